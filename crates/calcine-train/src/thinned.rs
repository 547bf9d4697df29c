use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::kind::Basic;
use burn::tensor::{Device, Int, Tensor};
use calcine_graph::Cut;
use calcine_mask::Masks;
use calcine_params::{Inventory, Parameter};

use crate::checkpoint::OptimizerState;
use crate::{Driver, Run, UnfitRecord};

/// For each parameter, the indices of the elements that remain after thinning, in stored order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptIndices {
    /// The indices, for parameters that lose elements.
    positions: BTreeMap<String, Vec<usize>>,
}

/// Why a run cannot continue with a thinned model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThinnedError {
    /// A cut does not belong to this model.
    #[error(
        "`{parameter}` is cut along axis {axis} of length {length}, but is {shape:?} in the model"
    )]
    Cut {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The length of the axis according to the cut.
        length: usize,
        /// The shape of the parameter; empty if there is no such parameter.
        shape: Vec<usize>,
    },
    /// The thinned model does not have the sizes that remain after the cuts.
    #[error("`{parameter}` has the shape {found:?} in the thinned model, expected {kept} elements")]
    Model {
        /// The parameter.
        parameter: String,
        /// The shape of the parameter; empty if there is no such parameter.
        found: Vec<usize>,
        /// The number of elements that remain.
        kept: usize,
    },
    /// The state of the optimizer does not have the shapes of the parameters.
    #[error("the state of the optimizer cannot be reduced: {reason}")]
    Optimizer {
        /// The reason.
        reason: String,
    },
    /// The driver belongs to another recipe.
    #[error("the driver cannot continue the run: {reason}")]
    Driver {
        /// The reason.
        reason: String,
    },
    /// The state of a policy cannot be restored.
    #[error(transparent)]
    Policy(#[from] UnfitRecord),
}

impl KeptIndices {
    /// The indices that remain after these cuts, with at most one cut for each axis.
    ///
    /// The cuts of a plan with several steps have to be composed first: `ThinningPlan::cuts`.
    ///
    /// # Errors
    ///
    /// If a cut does not belong to a parameter.
    pub fn from_cuts(cuts: &[Cut], before: &Inventory) -> Result<Self, ThinnedError> {
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

    /// The indices of the remaining elements of a parameter, flat; `None` if all elements remain.
    #[must_use]
    pub fn positions(&self, path: &str) -> Option<&[usize]> {
        self.positions.get(path).map(Vec::as_slice)
    }

    /// Gathers the remaining values of a parameter, or of anything with one value for each of its elements: flat, in
    /// stored order. Nothing is read from the device.
    #[must_use]
    pub fn gather<K: Basic>(&self, path: &str, values: Tensor<1, K>) -> Tensor<1, K> {
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

    /// Gathers the remaining elements of masks.
    #[must_use]
    pub fn gather_masks(&self, masks: &Masks) -> Masks {
        masks.gathered(|path| self.positions(path))
    }

    /// Gathers the remaining elements of vectors, by path.
    pub(crate) fn gather_vectors(
        &self,
        vectors: &BTreeMap<String, Tensor<1>>,
    ) -> BTreeMap<String, Tensor<1>> {
        let each = vectors.iter();
        each.map(|(path, values)| (path.clone(), self.gather(path, values.clone())))
            .collect()
    }
}

/// The indices of the elements that all cuts keep, flat and ascending.
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
    /// Continues the run with a thinned model, at the same step.
    ///
    /// `driver` is a new one from the same recipe, bound to the thinned model. Its policies, learning rates and clock
    /// continue from those of this run. State by element (masks, momentum, moments, saved weights) is reduced. The
    /// optimizer has no state for parameters that only the thinned model has, and starts with a new one. From here on,
    /// [`History::best_by`](crate::History::best_by) considers only later epochs, because the earlier ones belong to
    /// another model.
    ///
    /// The state of the optimizer and the records of the policies pass through the host.
    ///
    /// # Errors
    ///
    /// If the kept indices do not belong to this model, the thinned model does not have the sizes that they leave,
    /// state of the optimizer has another shape than its parameter, or the driver belongs to another recipe.
    pub fn thinned(
        self,
        model: M,
        mut driver: Driver<M>,
        kept_indices: &KeptIndices,
        device: &Device,
    ) -> Result<Self, ThinnedError> {
        let device = &device.clone().without_autodiff();
        let (before, after) = (
            Inventory::from_module(&self.model),
            Inventory::from_module(&model),
        );
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
        let optimizer = OptimizerState::new(&self.optimizer, &before)
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
