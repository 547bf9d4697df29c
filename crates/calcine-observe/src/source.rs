use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_criteria::Needs;
use calcine_mask::Masks;

/// What a score wants to know of a weight's layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The path of the weight.
    pub weight: String,
    /// [`Needs::Activity`]: a statistic of what its filters come to; [`Needs::InputNorm`]: the norm of what
    /// it is fed.
    pub what: Needs,
    /// Over how many batches; all that there are if `None`.
    pub batches: Option<u64>,
}

/// Weights that are to give, under new masks, what their layers gave before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconstruction {
    /// The paths of the weights.
    pub weights: Vec<String>,
    /// Over how many batches; all that there are if `None`.
    pub batches: Option<u64>,
    /// How many output positions of a batch are looked at.
    pub positions: usize,
    /// What the positions are drawn from.
    pub seed: u64,
}

/// Looks at a model's activations, when a policy asks.
///
/// Policies see weights and gradients; only a traced network shows what lies between layers:
/// [`NetworkActivations`](crate::NetworkActivations).
pub trait ActivationSource<M: Module>: Send {
    /// Whether it can say this of a weight.
    ///
    /// # Errors
    ///
    /// If it cannot; with the reason, for whoever wrote the recipe.
    fn check(&self, wanted: &Wanted) -> Result<(), String>;

    /// Whether it can look at this model: whether the model has all that it runs.
    ///
    /// # Errors
    ///
    /// If it cannot; with the reason.
    fn check_model(&self, model: &M) -> Result<(), String> {
        let _ = model;
        Ok(())
    }

    /// What is wanted, in that order, of the model as it is given: a vector each. All over as many batches
    /// as any of them wants.
    ///
    /// # Shapes
    ///
    /// Of an activity `[filters]`, of input norms `[inputs]`, those of all groups of a convolution.
    fn observe(&mut self, model: &M, wanted: &[Wanted]) -> Vec<Tensor<1>>;

    /// Whether it can refit these weights. By default it cannot.
    ///
    /// # Errors
    ///
    /// If it cannot; with the reason, for whoever wrote the recipe.
    fn check_reconstruction(&self, reconstruction: &Reconstruction) -> Result<(), String> {
        let _ = reconstruction;
        Err("nothing refits weights".to_owned())
    }

    /// The weights, and biases of the same layers, that under the masks come nearest to what the layers of the
    /// model as it is given give. What cannot be refitted is left out.
    fn reconstruct(
        &mut self,
        model: &M,
        masks: &Masks,
        reconstruction: &Reconstruction,
    ) -> BTreeMap<ParamId, Tensor<1>> {
        let _ = (model, masks, reconstruction);
        BTreeMap::new()
    }
}
