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
use calcine_observe::{Reconstruction, Wanted};
use calcine_params::Inventory;
use calcine_schedule::Clock;

use crate::{KeptIndices, PolicyOutcome};

/// Whether a policy's masks are other than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// They are as they were.
    Nothing,
    /// They changed: the driver combines and applies them anew.
    Masks,
}

impl Changed {
    /// Either of two changes.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Masks => self,
            Self::Nothing => other,
        }
    }
}

/// How masks hold the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// Stored weights are zero after every step: hard masks.
    #[default]
    Always,
    /// Stored weights are zeroed before every update and not after it, so that what is dropped is as large
    /// as its last update: Distiller's `mask_on_forward_only`.
    Forward,
    /// Stored weights stay dense and go on training behind the mask; only the forward pass sees it. Double
    /// copies.
    Shadow,
}

/// Whether a policy's masks also zero the gradients of what they drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GradientMasks {
    /// Gradients pass straight through: what is dropped goes on training where the mask lets it, and
    /// momentum builds up behind a hard one, but cannot move a weight.
    #[default]
    Off,
    /// Gradients of dropped weights are zero, so that a later regrowth starts without a kick.
    On,
}

/// Stored values by parameter, flat.
pub type Values = BTreeMap<ParamId, Tensor<1>>;

/// What acts in a training step. Every method does nothing unless implemented.
///
/// The order in which the [`Driver`](crate::Driver) calls them is its own documentation. Within one
/// moment, policies act in the order of the recipe. None of these methods may read from the device, but for
/// [`outcomes`](Self::outcomes).
pub trait Policy<M: Module>: Send {
    /// What the recipe calls it; for logs and checkpoints.
    fn name(&self) -> &str;

    /// Whether it can do what it is set up for: a [`Driver`](crate::Driver) asks when it is made.
    ///
    /// # Errors
    ///
    /// If it cannot, with what is missing and what would be valid.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What it looks at in activations, whenever it does.
    fn wanted(&self) -> Vec<Wanted> {
        Vec::new()
    }

    /// Whether it looks before the forward pass that comes.
    fn looks(&self, clock: &Clock) -> bool {
        let _ = clock;
        false
    }

    /// Takes up what it [wanted](Self::wanted), in that order, of the model as its forward pass would see it
    /// now.
    fn look(&mut self, found: Vec<Tensor<1>>) {
        let _ = found;
    }

    /// Before the first forward pass of a step: masks may be computed anew.
    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        let _ = (clock, model);
        Changed::Nothing
    }

    /// What is refitted, so that its layers give what they gave, whenever its masks were computed anew
    /// [before a forward pass](Self::before_forward).
    fn reconstruction(&self, clock: &Clock) -> Option<Reconstruction> {
        let _ = clock;
        None
    }

    /// Values that stored parameters go back to in this step, before its forward pass.
    ///
    /// The optimizer forgets its state then: its momentum belongs to other weights.
    fn rewound(&self) -> Option<&Values> {
        None
    }

    /// A term to add to the loss of a step's first forward pass: `[1]`. The model is the one that the forward
    /// pass sees.
    fn loss_term(&mut self, clock: &Clock, model: &M) -> Option<Tensor<1>> {
        let _ = (clock, model);
        None
    }

    /// Between backward and optimizer: gradients may be read and changed.
    fn before_update(&mut self, clock: &Clock, model: &M, gradients: &mut GradientsParams) {
        let _ = (clock, model, gradients);
    }

    /// After the optimizer, whose learning rate was `rate`: stored weights may be changed (through
    /// `calcine_params::edit`).
    fn after_update(&mut self, clock: &Clock, rate: f64, model: M) -> M {
        let _ = (clock, rate);
        model
    }

    /// At the step's end, after masks were applied: masks may be kept for good, released or discarded.
    fn end_step(&mut self, clock: &Clock) -> Changed {
        let _ = clock;
        Changed::Nothing
    }

    /// After the last step of an epoch. The clock still stands at that step.
    fn end_epoch(&mut self, clock: &Clock, model: &M) {
        let _ = (clock, model);
    }

    /// The masks it holds the weights to, in every step from when it made them.
    fn masks(&self) -> Option<&Masks> {
        None
    }

    /// How they hold them.
    fn hold(&self) -> Hold {
        Hold::Always
    }

    /// Whether its masks also cover the gradients.
    fn gradient_masks(&self) -> GradientMasks {
        GradientMasks::Off
    }

    /// How many epochs the learning rate's position lies behind the run's.
    fn rate_shift(&self) -> u64 {
        0
    }

    /// What cannot come of it on the model that it was made for, known before the first step; a sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What it was asked to do and what it has reached, in a run whose next step would be the clock's.
    ///
    /// Called between steps, at the end of a run; it may read the device.
    fn outcomes(&self, clock: &Clock) -> Vec<PolicyOutcome> {
        let _ = clock;
        Vec::new()
    }

    /// What a checkpoint must keep of it.
    fn record(&self) -> PolicyRecord {
        PolicyRecord::default()
    }

    /// What a policy that acts on the thinned model goes on from: its [record](Self::record), of the
    /// elements that remain.
    ///
    /// Whatever it remembers by element or unit must follow; the default is for policies that remember
    /// nothing of the kind.
    fn thinned_record(&self, kept_indices: &KeptIndices) -> PolicyRecord {
        let _ = kept_indices;
        self.record()
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
