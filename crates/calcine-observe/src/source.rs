use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;
use calcine_criteria::Needs;
use calcine_mask::Masks;

/// The activations of the layer of a weight that a score requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationRequest {
    /// The path of the weight.
    pub weight: String,
    /// [`Needs::Activity`]: a statistic of the outputs of its filters; [`Needs::InputNorm`]: the norms of its inputs.
    pub needs: Needs,
    /// The number of batches; all available batches if `None`.
    pub batches: Option<u64>,
}

/// A request to refit weights so that, under new masks, their layers reproduce their former outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconstruction {
    /// The paths of the weights.
    pub weights: Vec<String>,
    /// The number of batches; all available batches if `None`.
    pub batches: Option<u64>,
    /// The number of output positions that are sampled per batch.
    pub positions: usize,
    /// The seed of the random positions.
    pub seed: u64,
}

/// Provides the activations of a model to policies.
///
/// Policies only have access to weights and gradients; the activations between layers come from a traced network:
/// [`NetworkActivations`](crate::NetworkActivations).
pub trait ActivationSource<M: Module>: Send {
    /// Checks whether the source can answer a request.
    ///
    /// # Errors
    ///
    /// If it cannot; the reason is written for the author of the recipe.
    fn check(&self, request: &ActivationRequest) -> Result<(), String>;

    /// Checks whether the model has all parameters of the network that is observed.
    ///
    /// # Errors
    ///
    /// If it does not; with the reason.
    fn check_model(&self, model: &M) -> Result<(), String> {
        let _ = model;
        Ok(())
    }

    /// The requested statistics of the given model, one vector per request in the same order. All are computed over the
    /// largest number of batches that a request asks for.
    ///
    /// # Shapes
    ///
    /// For an activity `[filters]`, for input norms `[inputs]`, including those of all groups of a convolution.
    fn observe(&mut self, model: &M, requests: &[ActivationRequest]) -> Vec<Tensor<1>>;

    /// Checks whether the source can refit these weights. By default it cannot.
    ///
    /// # Errors
    ///
    /// If it cannot; the reason is written for the author of the recipe.
    fn check_reconstruction(&self, reconstruction: &Reconstruction) -> Result<(), String> {
        let _ = reconstruction;
        Err("this activation source cannot refit weights".to_owned())
    }

    /// The refitted weights, and biases of the same layers, which under the masks best reproduce the outputs of the
    /// layers of the given model. Weights that cannot be refitted are left out.
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
