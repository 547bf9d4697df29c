//! The state of a pruner besides its masks, and its record in a checkpoint.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use calcine_criteria::Rescale;
use calcine_fold::Granularity;
use calcine_mask::Masks;
use calcine_params::Inventory;
use serde::{Deserialize, Serialize};

use super::{After, Prune, Target, Unit};
use crate::policy::record::{vectors_from_bytes, vectors_to_bytes};
use crate::{KeptIndices, PolicyRecord};

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Whether the window has fired.
    pub(super) fired: bool,
    /// A selection that is waiting for batches.
    pub(super) pending: Option<Pending>,
    /// The number of batches in the sums of scores.
    pub(super) batches: u64,
    /// The progress of the window at the last selection.
    #[serde(default)]
    pub(super) selected: Option<f64>,
    /// Whether the model has lost units since then.
    #[serde(default)]
    pub(super) thinned: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The progress of the window when it fired.
    pub(super) progress: f64,
    /// The number of batches to wait for.
    pub(super) left: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Stage {
    /// The window has not begun, or is open.
    #[default]
    Open,
    /// The window is over, and the masks are kept.
    Held,
    /// The window is over, and the masks have been discarded.
    Released,
}

impl State {
    pub(super) fn is_over(&self) -> bool {
        self.stage != Stage::Open
    }

    pub(super) fn close(&mut self, after: After) {
        self.stage = match after {
            After::Hold => Stage::Held,
            After::Release => Stage::Released,
        };
    }
}

/// References, sums of scores and sums of growth scores, by path.
type Vectors<'a> = [&'a BTreeMap<String, Tensor<1>>; 3];

fn record(
    masks: &Masks,
    maps: Vectors<'_>,
    counted: Option<&Tensor<1>>,
    state: State,
) -> PolicyRecord {
    let masks = masks.to_bytes().expect("masks are plain bytes");
    let mut vectors = BTreeMap::new();
    vectors.extend(counted.map(|counted| (COUNTED.to_owned(), counted.clone())));
    for (kind, map) in [REFERENCE, SCORE, GROWTH].into_iter().zip(maps) {
        let named = map
            .iter()
            .map(|(path, v)| (format!("{kind}/{path}"), v.clone()));
        vectors.extend(named);
    }
    let state = serde_json::to_vec(&state).expect("plain data");
    PolicyRecord::from([
        (MASKS.to_owned(), masks),
        (VECTORS.to_owned(), vectors_to_bytes(&vectors)),
        (STATE.to_owned(), state),
    ])
}

const MASKS: &str = "masks.safetensors";
const VECTORS: &str = "vectors.safetensors";
const STATE: &str = "state.json";

/// The prefix of a vector in the record, which is followed by its path.
const REFERENCE: &str = "reference";
const SCORE: &str = "score";
const GROWTH: &str = "growth";

/// The name of the vector with the number of batches in the sums; no path has this name.
const COUNTED: &str = "counted";

impl Prune {
    pub(super) fn to_record(&self) -> PolicyRecord {
        record(
            &self.masks,
            [&self.references, &self.scores, &self.growths],
            self.counted.as_ref(),
            self.state,
        )
    }

    /// The sums of element-wise scores are reduced. Those of larger units are discarded, together with a waiting
    /// selection.
    pub(super) fn to_thinned_record(&self, kept_indices: &KeptIndices) -> PolicyRecord {
        let masks = kept_indices.gather_masks(&self.masks);
        let elements = |unit: &Unit| unit.fold.granularity() == Granularity::Element;
        if self.targets.iter().flat_map(Target::units).all(elements) {
            let sums = [&self.scores, &self.growths].map(|sums| kept_indices.gather_vectors(sums));
            let maps = [&self.references, &sums[0], &sums[1]];
            let state = State {
                thinned: true,
                ..self.state
            };
            return record(&masks, maps, self.counted.as_ref(), state);
        }
        let none = BTreeMap::new();
        let state = State {
            batches: 0,
            pending: None,
            thinned: true,
            ..self.state
        };
        record(&masks, [&self.references, &none, &none], None, state)
    }

    /// Checks that these sums belong to the units of the pruner.
    fn check_sums(&self, sums: &BTreeMap<String, Tensor<1>>) -> Result<(), String> {
        for (path, sum) in sums {
            let mut units = self.targets.iter().flat_map(Target::units);
            let unit = units.find(|unit| unit.parameter.path == *path);
            let unit =
                unit.ok_or_else(|| format!("it has scores of `{path}`, which is not pruned"))?;
            let (found, expected) = (sum.dims()[0], unit.fold.units());
            if found != expected {
                return Err(format!(
                    "it has {found} scores for the {expected} units of `{path}`"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn take_record(
        &mut self,
        record: &PolicyRecord,
        inventory: &Inventory,
        device: &Device,
    ) -> Result<(), String> {
        let file = |name: &str| record.get(name).ok_or_else(|| format!("no {name}"));
        self.masks = Masks::from_bytes(file(MASKS)?, inventory, device)
            .map_err(|error| error.to_string())?;
        if self.select.rescale() == Rescale::Kept {
            self.masks.rescale_kept();
        }
        let vectors =
            vectors_from_bytes(file(VECTORS)?, device).map_err(|error| error.to_string())?;
        self.state = serde_json::from_slice(file(STATE)?).map_err(|error| error.to_string())?;
        let of = |kind: &str| {
            let own = |(key, vector): (&String, &Tensor<1>)| {
                let (found, path) = key.split_once('/')?;
                (found == kind).then(|| (path.to_owned(), vector.clone()))
            };
            vectors.iter().filter_map(own).collect()
        };
        let (scores, growths) = (of(SCORE), of(GROWTH));
        self.check_sums(&scores)?;
        self.check_sums(&growths)?;
        self.counted = vectors.get(COUNTED).cloned();
        self.references = of(REFERENCE);
        self.scores = scores;
        self.growths = growths;
        Ok(())
    }
}
