mod prune;

pub use prune::{GradientMasks, Prune, Target, Unit, WindowUnit};

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use calcine_mask::Masks;
use calcine_params::Inventory;
use calcine_schedule::Clock;

/// Whether a policy's masks are other than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// They are as they were.
    Nothing,
    /// They changed: the driver combines and applies them anew.
    Masks,
}

/// What acts in a training step. Every method does nothing unless implemented.
///
/// The order in which the [`Driver`](crate::Driver) calls them is its own documentation. Within one
/// moment, policies act in the order of the recipe. None of these methods may read from the device.
pub trait Policy<M: Module>: Send {
    /// What the recipe calls it; for logs and checkpoints.
    fn name(&self) -> &str;

    /// Before the forward pass: masks may be computed anew.
    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        let _ = (clock, model);
        Changed::Nothing
    }

    /// A term to add to the loss: `[1]`.
    fn loss_term(&mut self, clock: &Clock, model: &M) -> Option<Tensor<1>> {
        let _ = (clock, model);
        None
    }

    /// Between backward and optimizer: gradients may be read and changed.
    fn before_update(&mut self, clock: &Clock, model: &M, gradients: &mut GradientsParams) {
        let _ = (clock, model, gradients);
    }

    /// After the optimizer: stored weights may be changed (through `calcine_params::edit`).
    fn after_update(&mut self, clock: &Clock, model: M) -> M {
        let _ = clock;
        model
    }

    /// After the last step of an epoch. The clock still stands at that step.
    fn end_epoch(&mut self, clock: &Clock, model: &M) {
        let _ = (clock, model);
    }

    /// The masks it holds the weights to, in every step from when it made them.
    fn masks(&self) -> Option<&Masks> {
        None
    }

    /// Whether its masks also cover the gradients.
    fn gradient_masks(&self) -> GradientMasks {
        GradientMasks::Off
    }

    /// What a checkpoint must keep of it.
    fn record(&self) -> PolicyRecord {
        PolicyRecord::default()
    }

    /// Takes up what [`record`](Self::record) gave.
    ///
    /// # Errors
    ///
    /// If the record is another policy's or does not fit the model.
    fn restore(
        &mut self,
        record: &PolicyRecord,
        inventory: &Inventory,
        device: &Device,
    ) -> Result<(), UnfitRecord> {
        let _ = (record, inventory, device);
        Ok(())
    }
}

/// A policy's state as named byte strings. Equal states give equal records.
pub type PolicyRecord = BTreeMap<String, Vec<u8>>;

/// A record that a policy cannot take up.
#[derive(Debug, thiserror::Error)]
#[error("the state of policy `{policy}` does not fit: {reason}")]
pub struct UnfitRecord {
    /// The policy.
    pub policy: String,
    /// What does not fit.
    pub reason: String,
}
