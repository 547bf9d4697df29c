mod penalty;
mod prune;
mod record;
mod rewind;
mod unit;
mod when;

pub use penalty::{Apply, Penalized, Penalty};
pub use prune::{After, Batches, First, Group, Lifetime, Prune, Reconstruct, Target};
pub use rewind::{Restore, Rewind, RewindError};
pub use unit::{Unit, UnitNorm};
pub use when::{When, WindowUnit};

use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use calcine_mask::Masks;
use calcine_observe::{ActivationRequest, Reconstruction};
use calcine_params::Inventory;
use calcine_schedule::Clock;

use crate::{KeptIndices, PolicyOutcome};

/// Whether the masks of a policy have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// They have not changed.
    Nothing,
    /// They have changed: the driver combines and applies them again.
    Masks,
}

impl Changed {
    /// Combines two changes.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Masks => self,
            Self::Nothing => other,
        }
    }
}

/// How masks are applied to the stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// Stored weights are zero after every step (hard masks).
    #[default]
    Always,
    /// Stored weights are set to zero before every update, but not after it, so that a dropped weight has the value of
    /// its last update: Distiller's `mask_on_forward_only`.
    Forward,
    /// Stored weights stay dense and continue to be trained behind the mask; only the forward pass uses it. This needs
    /// a copy of the weights.
    Shadow,
}

/// Whether the masks of a policy are also applied to gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GradientMasks {
    /// Gradients pass straight through. Dropped weights continue to be trained if the mask is not hard; behind a hard
    /// mask, momentum accumulates, but cannot change a weight.
    #[default]
    Off,
    /// The gradients of dropped weights are zero, so that no momentum has accumulated if they are regrown later.
    On,
}

/// Values of parameters, flat in stored order.
pub type Values = BTreeMap<ParamId, Tensor<1>>;

/// A policy acts in a training step. The default implementation of every method does nothing.
///
/// [`Driver`](crate::Driver) documents the order in which the methods are called. Within one operation, policies act in
/// the order of the recipe. None of these methods may read from the device, except [`outcomes`](Self::outcomes).
pub trait Policy<M: Module>: Send {
    /// The name in the recipe, for logs and checkpoints.
    fn name(&self) -> &str;

    /// Checks that the settings are valid. It is called when a [`Driver`](crate::Driver) is created.
    ///
    /// # Errors
    ///
    /// If they are not; with what is missing and what would be valid.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The activations that the policy needs, whenever it uses them.
    fn activation_requests(&self) -> Vec<ActivationRequest> {
        Vec::new()
    }

    /// Whether the policy uses activations before the next forward pass.
    fn uses_activations(&self, clock: &Clock) -> bool {
        let _ = clock;
        false
    }

    /// Receives the [requested](Self::activation_requests) activations, in the same order, of the model as its forward
    /// pass would use it now.
    fn receive_activations(&mut self, found: Vec<Tensor<1>>) {
        let _ = found;
    }

    /// Called before the first forward pass of a step. Masks may be recomputed.
    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        let _ = (clock, model);
        Changed::Nothing
    }

    /// The weights to refit, so that their layers reproduce their former outputs, whenever the masks were recomputed
    /// [before a forward pass](Self::before_forward).
    fn reconstruction(&self, clock: &Clock) -> Option<Reconstruction> {
        let _ = clock;
        None
    }

    /// Values to which stored parameters return in this step, before its forward pass.
    ///
    /// The optimizer then discards its state, because its momentum belongs to other weights.
    fn rewound(&self) -> Option<&Values> {
        None
    }

    /// A term to add to the loss of the first forward pass of a step: `[1]`. The model is the one that the forward pass
    /// uses.
    fn loss_term(&mut self, clock: &Clock, model: &M) -> Option<Tensor<1>> {
        let _ = (clock, model);
        None
    }

    /// Called between backward pass and optimizer. Gradients may be read and changed.
    fn before_update(&mut self, clock: &Clock, model: &M, gradients: &mut GradientsParams) {
        let _ = (clock, model, gradients);
    }

    /// Called after the optimizer, with the learning rate that it used. Stored weights may be changed (through
    /// `calcine_params::edit`).
    fn after_update(&mut self, clock: &Clock, rate: f64, model: M) -> M {
        let _ = (clock, rate);
        model
    }

    /// Called at the end of a step, after masks have been applied. Masks may be kept for good, released or discarded.
    fn end_step(&mut self, clock: &Clock) -> Changed {
        let _ = clock;
        Changed::Nothing
    }

    /// Called after the last step of an epoch. The clock is still at that step.
    fn end_epoch(&mut self, clock: &Clock, model: &M) {
        let _ = (clock, model);
    }

    /// The current masks of the policy, which are applied in every step.
    fn masks(&self) -> Option<&Masks> {
        None
    }

    /// How the masks are applied.
    fn hold(&self) -> Hold {
        Hold::Always
    }

    /// Whether the masks are also applied to gradients.
    fn gradient_masks(&self) -> GradientMasks {
        GradientMasks::Off
    }

    /// The number of epochs by which the position of the learning rate is behind that of the run.
    fn rate_shift(&self) -> u64 {
        0
    }

    /// What the policy cannot reach with the model that it was created for, as far as it is known before the first
    /// step; one sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The requested and the reached state, in a run whose next step is at this clock.
    ///
    /// It is called between steps or at the end of a run, and may read from the device.
    fn outcomes(&self, clock: &Clock) -> Vec<PolicyOutcome> {
        let _ = clock;
        Vec::new()
    }

    /// The state that a checkpoint has to contain.
    fn record(&self) -> PolicyRecord {
        PolicyRecord::default()
    }

    /// The state with which a policy for the thinned model continues: the [record](Self::record), reduced to the
    /// elements that remain.
    ///
    /// All state by element or unit has to be reduced; the default is for policies without such state.
    fn thinned_record(&self, kept_indices: &KeptIndices) -> PolicyRecord {
        let _ = kept_indices;
        self.record()
    }

    /// Restores the state that [`record`](Self::record) returned.
    ///
    /// # Errors
    ///
    /// If the record belongs to another policy or to another model.
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

/// The state of a policy as named byte strings. Equal states give equal records.
pub type PolicyRecord = BTreeMap<String, Vec<u8>>;

/// Why a policy cannot restore a record.
#[derive(Debug, thiserror::Error)]
#[error("the state of policy `{policy}` does not fit: {reason}")]
pub struct UnfitRecord {
    /// The name of the policy.
    pub policy: String,
    /// The reason.
    pub reason: String,
}
