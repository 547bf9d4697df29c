use std::collections::BTreeMap;
use std::fmt;

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, TensorData, Transaction};
use calcine_criteria::{Candidate, Evidence, Score, Select};
use calcine_fold::Fold;
use calcine_mask::Masks;
use calcine_params::{Inventory, Parameter, flat};
use calcine_schedule::{Clock, Curve, Window};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Changed, Policy, PolicyRecord, UnfitRecord};

/// A pruner on a schedule: score × grain × select × amount, over a window.
///
/// Whenever its window fires, it scores the units of its parameters as they stand, selects, and holds
/// what was dropped at zero from then on, after the window too. A mask is computed from the weights,
/// zeros included, so a weight once dropped scores lowest and stays dropped while the amount grows.
///
/// Nothing is read from a GPU.
pub struct Prune {
    name: String,
    targets: Vec<Target>,
    score: Box<dyn Score + Send>,
    select: Box<dyn Select + Send>,
    window: Window,
    unit: WindowUnit,
    gradients: GradientMasks,
    masks: Masks,
    /// [`Select::reference`] of each parameter, frozen at its first selection.
    references: BTreeMap<String, Tensor<1>>,
}

/// Parameters that are selected together, with one amount.
pub struct Target {
    /// The parameters and how each is cut into units.
    pub parameters: Vec<Unit>,
    /// The amount over the window's progress.
    pub amount: Box<dyn Curve + Send + Sync>,
}

/// A parameter and its units.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The parameter.
    pub parameter: Parameter,
    /// How it is cut.
    pub fold: Fold,
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowUnit {
    /// Epochs: it fires before an epoch's first step.
    #[default]
    Epochs,
    /// Steps since the run began.
    Steps,
}

impl WindowUnit {
    /// The clock in this unit, if this is a moment at which a window of it can fire.
    #[must_use]
    pub fn moment(self, clock: &Clock) -> Option<u64> {
        match self {
            Self::Epochs => (clock.step == 0).then_some(clock.epoch),
            Self::Steps => Some(clock.global_step()),
        }
    }
}

/// Whether a policy's masks also zero the gradients of what they drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GradientMasks {
    /// Gradients pass; momentum builds up behind the mask, but cannot move a weight.
    #[default]
    Off,
    /// Gradients of dropped weights are zero, so that a later regrowth starts without a kick.
    On,
}

impl Prune {
    /// A pruner that has not fired yet.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        targets: Vec<Target>,
        score: Box<dyn Score + Send>,
        select: Box<dyn Select + Send>,
        window: Window,
        unit: WindowUnit,
    ) -> Self {
        Self {
            name: name.into(),
            targets,
            score,
            select,
            window,
            unit,
            gradients: GradientMasks::default(),
            masks: Masks::default(),
            references: BTreeMap::new(),
        }
    }

    /// Whether the masks cover the gradients too.
    #[must_use]
    pub fn with_gradient_masks(mut self, gradients: GradientMasks) -> Self {
        self.gradients = gradients;
        self
    }

    fn select<M: Module>(&mut self, model: &M, progress: f64) {
        for target in &self.targets {
            let units = &target.parameters;
            let weights = flat(model, units.iter().map(|unit| &unit.parameter));
            let mut candidates = Vec::with_capacity(units.len());
            for (unit, weight) in units.iter().zip(weights) {
                let path = &unit.parameter.path;
                let rows = unit.fold.rows(weight);
                let scores = self.score.score(&Evidence::new(rows.clone()));
                if !self.references.contains_key(path)
                    && let Some(reference) = self.select.reference(&rows, &scores)
                {
                    self.references.insert(path.clone(), reference);
                }
                let reference = self.references.get(path).cloned();
                candidates.push(Candidate::new(scores).with_reference(reference));
            }
            let amount = target.amount.at(progress);
            let kept = self.select.keep(&candidates, amount);
            drop(candidates);
            for (unit, keep) in units.iter().zip(kept) {
                self.masks.insert(&unit.parameter, spread(&unit.fold, keep));
            }
        }
    }
}

/// Decisions per unit over all elements, flat in stored order.
fn spread(fold: &Fold, keep: Tensor<1, Bool>) -> Tensor<1, Bool> {
    let numel = fold.shape().iter().product::<usize>();
    match fold.shape().len() {
        1 => fold.spread::<1>(keep),
        2 => fold.spread::<2>(keep).reshape([numel]),
        3 => fold.spread::<3>(keep).reshape([numel]),
        4 => fold.spread::<4>(keep).reshape([numel]),
        5 => fold.spread::<5>(keep).reshape([numel]),
        rank => unreachable!("a fold of rank {rank} was never bound"),
    }
}

impl<M: Module> Policy<M> for Prune {
    fn name(&self) -> &str {
        &self.name
    }

    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        match self.unit.moment(clock) {
            Some(moment) if self.window.fires(moment) => {
                self.select(model, self.window.progress(moment));
                Changed::Masks
            }
            _ => Changed::Nothing,
        }
    }

    fn masks(&self) -> Option<&Masks> {
        Some(&self.masks)
    }

    fn gradient_masks(&self) -> GradientMasks {
        self.gradients
    }

    fn record(&self) -> PolicyRecord {
        let masks = self.masks.to_bytes().expect("masks are plain bytes");
        let read = self
            .references
            .values()
            .cloned()
            .fold(Transaction::default(), |read, values| read.register(values));
        let values: Vec<Vec<u8>> = read
            .execute()
            .into_iter()
            .map(|data| data.iter::<f32>().flat_map(f32::to_le_bytes).collect())
            .collect();
        let mut views = BTreeMap::new();
        for (path, bytes) in self.references.keys().zip(&values) {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            views.insert(path, view.expect("four bytes a number"));
        }
        let references = safetensors::serialize(views, None).expect("references are plain vectors");
        PolicyRecord::from([
            ("masks.safetensors".to_owned(), masks),
            ("references.safetensors".to_owned(), references),
        ])
    }

    fn restore(
        &mut self,
        record: &PolicyRecord,
        inventory: &Inventory,
        device: &Device,
    ) -> Result<(), UnfitRecord> {
        let unfit = |reason: String| UnfitRecord {
            policy: self.name.clone(),
            reason,
        };
        let file = |name: &str| record.get(name).ok_or_else(|| unfit(format!("no {name}")));
        let masks = Masks::from_bytes(file("masks.safetensors")?, inventory, device)
            .map_err(|error| unfit(error.to_string()))?;
        let references = SafeTensors::deserialize(file("references.safetensors")?)
            .map_err(|error| unfit(error.to_string()))?;
        self.references = references
            .iter()
            .map(|(path, view)| {
                let word = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                let values: Vec<f32> = view.data().chunks_exact(4).map(word).collect();
                let length = values.len();
                (
                    path.to_owned(),
                    Tensor::from_data(TensorData::new(values, [length]), device),
                )
            })
            .collect();
        self.masks = masks;
        Ok(())
    }
}

impl fmt::Debug for Prune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prune")
            .field("name", &self.name)
            .field("window", &self.window)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}
