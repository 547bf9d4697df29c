use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::kind::Basic;
use burn::tensor::{Device, Int, Tensor};
use calcine_graph::Cut;
use calcine_mask::Masks;
use calcine_params::{Inventory, Parameter};

use crate::checkpoint::OptimizerState;
use crate::{Driver, Run, UnfitRecord};

/// What a thinning leaves of each parameter: the positions of the elements that stay, in the order in which the
/// parameter was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptIndices {
    /// Of parameters that lose something.
    positions: BTreeMap<String, Vec<usize>>,
}

/// A run that cannot go on with a thinned model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThinnedError {
    /// A cut that is not of this model.
    #[error(
        "`{parameter}` is cut along axis {axis} of length {length}, but is {shape:?} in the model"
    )]
    Cut {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// Its length, as the cut has it.
        length: usize,
        /// The parameter's shape; empty if there is no such parameter.
        shape: Vec<usize>,
    },
    /// The thinned model is not what the cuts leave.
    #[error("`{parameter}` is {found:?} in the thinned model, {kept} elements are to be left")]
    Model {
        /// The parameter.
        parameter: String,
        /// Its shape; empty if there is no such parameter.
        found: Vec<usize>,
        /// What the cuts leave.
        kept: usize,
    },
    /// The optimizer's state does not follow the parameters.
    #[error("the optimizer's state cannot be cut: {reason}")]
    Optimizer {
        /// Why.
        reason: String,
    },
    /// The driver is of another recipe.
    #[error("the driver does not go on where the run was: {reason}")]
    Driver {
        /// Why.
        reason: String,
    },
    /// A policy's state does not fit.
    #[error(transparent)]
    Policy(#[from] UnfitRecord),
}

impl KeptIndices {
    /// What these cuts, one for each axis, leave of a model's parameters.
    ///
    /// Cuts of a plan of several steps are composed first: `Plan::cuts`.
    ///
    /// # Errors
    ///
    /// If a cut fits no parameter.
    pub fn of(cuts: &[Cut], before: &Inventory) -> Result<Self, ThinnedError> {
        let mut axes: BTreeMap<&str, Vec<&Cut>> = BTreeMap::new();
        for cut in cuts {
            let parameter = before.get(&cut.parameter);
            let shape = parameter.map_or(&[][..], |parameter| &parameter.shape);
            let (Some(parameter), true) = (parameter, shape.get(cut.axis) == Some(&cut.length))
            else {
                return Err(ThinnedError::Cut {
                    parameter: cut.parameter.clone(),
                    axis: cut.axis,
                    length: cut.length,
                    shape: shape.to_vec(),
                });
            };
            axes.entry(&parameter.path).or_default().push(cut);
        }
        let positions = axes.into_iter().filter_map(|(path, cuts)| {
            let parameter = before.get(path)?;
            Some((path.to_owned(), positions(parameter, &cuts)))
        });
        Ok(Self {
            positions: positions.collect(),
        })
    }

    /// Where the elements of a parameter that stay are in it, flat; `None` if all stay.
    #[must_use]
    pub fn positions(&self, path: &str) -> Option<&[usize]> {
        self.positions.get(path).map(Vec::as_slice)
    }

    /// What stays of a parameter's values, or of anything with one value for each of its elements: flat, in
    /// stored order. Nothing is read.
    #[must_use]
    pub fn of_values<K: Basic>(&self, path: &str, values: Tensor<1, K>) -> Tensor<1, K> {
        match self.positions(path) {
            Some(positions) => {
                let positions: Vec<i64> = positions.iter().map(|&at| at as i64).collect();
                let device = values.device();
                let positions = Tensor::<1, Int>::from_ints(positions.as_slice(), &device);
                values.select(0, positions)
            }
            None => values,
        }
    }

    /// The same for masks.
    #[must_use]
    pub fn of_masks(&self, masks: &Masks) -> Masks {
        masks.gathered(|path| self.positions(path))
    }

    /// The same for values by path.
    pub(crate) fn of_vectors(
        &self,
        vectors: &BTreeMap<String, Tensor<1>>,
    ) -> BTreeMap<String, Tensor<1>> {
        let each = vectors.iter();
        each.map(|(path, values)| (path.clone(), self.of_values(path, values.clone())))
            .collect()
    }
}

/// Where the elements that all cuts leave are, flat and ascending.
fn positions(parameter: &Parameter, cuts: &[&Cut]) -> Vec<usize> {
    let mut positions = vec![0];
    for (axis, &length) in parameter.shape.iter().enumerate() {
        let all: Vec<usize> = (0..length).collect();
        let cut = cuts.iter().find(|cut| cut.axis == axis);
        let kept = cut.map_or(&all, |cut| &cut.keep);
        let within = |at: &usize| -> Vec<usize> { kept.iter().map(|k| at * length + k).collect() };
        positions = positions.iter().flat_map(within).collect();
    }
    positions
}

impl<M: Module> Run<M> {
    /// The run, going on with a model of which something was removed, from the step where it is.
    ///
    /// `driver` is a fresh one of the same recipe, bound to the thinned model: its policies, learning rates and
    /// clock go on from this run's. State by element (masks, momentum, moments, saved weights) is cut along;
    /// the optimizer has none for parameters that the thinned model alone has, and begins them anew. From
    /// here on [`History::best_by`](crate::History::best_by) looks at the epochs to come only: what was
    /// before is another model.
    ///
    /// Optimizer state and policies' records pass through the host.
    ///
    /// # Errors
    ///
    /// If the kept indices are not of this model, the thinned one is not what they leave, the optimizer keeps
    /// state of another shape than its parameter's, or the driver is of another recipe.
    pub fn thinned(
        self,
        model: M,
        mut driver: Driver<M>,
        kept_indices: &KeptIndices,
        device: &Device,
    ) -> Result<Self, ThinnedError> {
        let device = &device.clone().without_autodiff();
        let (before, after) = (Inventory::of(&self.model), Inventory::of(&model));
        for parameter in &before {
            let path = &parameter.path;
            let kept = kept_indices
                .positions(path)
                .map_or(parameter.numel(), <[usize]>::len);
            let left = after.get(path);
            if left.map(Parameter::numel) != Some(kept) {
                return Err(ThinnedError::Model {
                    parameter: path.clone(),
                    found: left.map(|left| left.shape.clone()).unwrap_or_default(),
                    kept,
                });
            }
        }
        let unfit = |reason| ThinnedError::Optimizer { reason };
        let optimizer = OptimizerState::of(&self.optimizer, &before)
            .and_then(|state| state.thinned(kept_indices, &before, &after))
            .and_then(|state| state.load_into(self.optimizer, &after))
            .map_err(unfit)?;
        driver.go_on_from(&self.driver, kept_indices, &after, device)?;
        let mut history = self.history;
        history.first = history.epochs.len();
        Ok(Self {
            model,
            driver,
            optimizer,
            history,
            tally: self.tally,
            terms: Vec::new(),
        })
    }
}
