use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_params::{Inventory, Parameter, flat};
use calcine_schedule::Clock;

use super::record::{vectors_from_bytes, vectors_to_bytes};
use super::{Changed, Policy, PolicyRecord, UnfitRecord, Values};
use crate::{KeptIndices, PolicyOutcome};

/// Returns a run to an earlier epoch while its masks stay (lottery tickets).
///
/// It saves all trainable parameters before epoch `to`. Before each of the epochs `at`, it restores them, the position
/// of the learning rate, or both, and the optimizer is reset. A pruner that fires before the same epoch ranks the
/// *trained* weights, so its mask is the winning ticket under which the rewound weights are trained. Epoch 0 is the
/// original lottery ticket (Frankle and Carbin, 2019), a later epoch is late rewinding (Frankle et al., 2020), and
/// restoring only the rate is learning-rate rewinding (Renda et al., 2020).
///
/// Running statistics of norms are not restored: they adapt within a few steps.
#[derive(Debug, Clone)]
pub struct Rewind {
    to: u64,
    at: Vec<u64>,
    restore: Restore,
    parameters: Vec<Parameter>,
    /// The parameters at the beginning of epoch `to`.
    saved: BTreeMap<String, Tensor<1>>,
    /// The same values, in a step that rewinds.
    rewound: Option<Values>,
    /// The number of epochs by which the learning rate is behind the run.
    shift: u64,
}

/// What a rewind restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// The weights only.
    Weights,
    /// The position of the learning rate only.
    Rate,
    /// Both.
    Both,
}

/// Why a rewind is not possible: the epoch `to` is not over at the time of the rewind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rewind before epoch {at} cannot go back to epoch {to}, which is not over then: expected an epoch after {to}"
)]
pub struct RewindError {
    at: u64,
    to: u64,
}

impl Rewind {
    /// A policy that saves the parameters of a model with this inventory before epoch `to`, and returns to them before
    /// each of the epochs `at`.
    ///
    /// # Panics
    ///
    /// If an epoch of `at` is not after `to`; [`try_new`](Self::try_new) returns an error instead.
    #[must_use]
    pub fn new(inventory: &Inventory, to: u64, at: Vec<u64>, restore: Restore) -> Self {
        Self::try_new(inventory, to, at, restore).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Like [`new`](Self::new), but returns an error.
    ///
    /// # Errors
    ///
    /// If an epoch of `at` is not after `to`.
    pub fn try_new(
        inventory: &Inventory,
        to: u64,
        at: Vec<u64>,
        restore: Restore,
    ) -> Result<Self, RewindError> {
        if let Some(&at) = at.iter().find(|&&at| at <= to) {
            return Err(RewindError { at, to });
        }
        let trainable = inventory
            .iter()
            .filter(|parameter| parameter.is_trainable());
        Ok(Self {
            to,
            at,
            restore,
            parameters: trainable.cloned().collect(),
            saved: BTreeMap::new(),
            rewound: None,
            shift: 0,
        })
    }

    /// Checks that the saved value belongs to this parameter.
    fn fits(&self, path: &str, saved: &Tensor<1>) -> Result<(), String> {
        let parameter = self.parameters.iter().find(|own| own.is_called(path));
        let parameter = parameter.ok_or_else(|| format!("the model has no parameter `{path}`"))?;
        let (found, expected) = (saved.dims()[0], parameter.numel());
        if found == expected {
            Ok(())
        } else {
            Err(format!(
                "it has {found} values for the {expected} elements of `{path}`"
            ))
        }
    }

    fn record_with(&self, saved: &BTreeMap<String, Tensor<1>>) -> PolicyRecord {
        PolicyRecord::from([
            (SAVED.to_owned(), vectors_to_bytes(saved)),
            (SHIFT.to_owned(), self.shift.to_string().into_bytes()),
        ])
    }
}

impl<M: Module> Policy<M> for Rewind {
    fn name(&self) -> &'static str {
        "rewind"
    }

    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        if clock.step > 0 {
            return Changed::Nothing;
        }
        if clock.epoch == self.to && self.restore != Restore::Rate {
            let values = flat(model, &self.parameters);
            let paths = self.parameters.iter().map(|p| p.path.clone());
            self.saved = paths.zip(values).collect();
        }
        if self.at.contains(&clock.epoch) {
            if self.restore != Restore::Weights {
                self.shift = clock.epoch - self.to;
            }
            let value = |p: &Parameter| Some((p.id, self.saved.get(&p.path)?.clone()));
            self.rewound = Some(self.parameters.iter().filter_map(value).collect());
        }
        Changed::Nothing
    }

    fn rewound(&self) -> Option<&Values> {
        self.rewound.as_ref()
    }

    fn end_step(&mut self, _: &Clock) -> Changed {
        self.rewound = None;
        Changed::Nothing
    }

    fn rate_shift(&self) -> u64 {
        self.shift
    }

    fn outcomes(&self, clock: &Clock) -> Vec<PolicyOutcome> {
        let begun = |epoch: u64| (epoch, 0) < (clock.epoch, clock.step);
        let done = self.at.iter().filter(|&&epoch| begun(epoch)).count();
        let next = self.at.iter().find(|&&epoch| !begun(epoch));
        let missed = next.map(|epoch| format!("epoch {epoch} was not reached"));
        let asked = format!(
            "a return to epoch {} before the epochs {:?}",
            self.to, self.at
        );
        let outcome = PolicyOutcome::new("rewind", asked, format!("{done} of them"));
        vec![outcome.with_missed(missed)]
    }

    fn record(&self) -> PolicyRecord {
        self.record_with(&self.saved)
    }

    fn thinned_record(&self, kept_indices: &KeptIndices) -> PolicyRecord {
        self.record_with(&kept_indices.gather_vectors(&self.saved))
    }

    fn restore(
        &mut self,
        record: &PolicyRecord,
        _: &Inventory,
        device: &Device,
    ) -> Result<(), UnfitRecord> {
        let unfit = |reason: String| UnfitRecord {
            policy: "rewind".to_owned(),
            reason,
        };
        let file = |name: &str| record.get(name).ok_or_else(|| unfit(format!("no {name}")));
        let saved =
            vectors_from_bytes(file(SAVED)?, device).map_err(|error| unfit(error.to_string()))?;
        for (path, values) in &saved {
            self.fits(path, values).map_err(unfit)?;
        }
        let shift = std::str::from_utf8(file(SHIFT)?)
            .ok()
            .and_then(|text| text.parse().ok());
        self.shift = shift.ok_or_else(|| unfit(format!("{SHIFT} is not a number")))?;
        self.saved = saved;
        Ok(())
    }
}

const SAVED: &str = "saved.safetensors";
const SHIFT: &str = "shift";
