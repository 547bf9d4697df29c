use std::fmt;

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use calcine_mask::Masks;
use calcine_schedule::Clock;

use crate::{Changed, GradientMasks, Policy, RatePlan};

/// One training step, in the one order there is.
///
/// ```text
/// forward_backward(&model, batch)
///   1  policies: before_forward      masks may be computed anew
///   2  view                          the forward pass sees new masks at once
///   3  objective                     the user's forward and loss
///   4  policies: loss_term           added in recipe order
///   5  backward
/// step(model, optimizer, gradients)
///   6  policies: before_update       gradients read or changed
///   7  gradient masks                of the policies that ask; new ones on the weights too
///   8  optimizer
///   9  policies: after_update        stored weights changed
///  10  masks                         last: true zeros
///  11  clock                         and at an epoch's last step, end_epoch
/// ```
///
/// The driver is a plain value beside the model: it works in any loop that calls these two in turn.
/// A step reads nothing from the device.
pub struct Driver<M> {
    clock: Clock,
    policies: Vec<Box<dyn Policy<M>>>,
    rates: RatePlan,
    /// What all policies' masks drop.
    masks: Masks,
    /// What the masks of policies with [`GradientMasks::On`] drop.
    gradient_masks: Masks,
    stored: Stored,
}

/// Whether the stored weights obey the masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Masked,
    Unmasked,
}

/// What a forward and backward pass gave.
#[derive(Debug)]
pub struct Forward<O> {
    /// The objective's loss without the policies' terms, outside autodiff: `[1]`.
    pub loss: Tensor<1>,
    /// Whatever else the objective returned.
    pub output: O,
    /// The gradients of the stored model.
    pub gradients: GradientsParams,
}

impl<M: Module> Driver<M> {
    /// A driver at the beginning of a run.
    #[must_use]
    pub fn new(steps_per_epoch: u64, policies: Vec<Box<dyn Policy<M>>>, rates: RatePlan) -> Self {
        Self {
            clock: Clock::new(steps_per_epoch),
            policies,
            rates,
            masks: Masks::default(),
            gradient_masks: Masks::default(),
            stored: Stored::Masked,
        }
    }

    /// The step that comes next.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The learning rate of the step that comes next.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rates.rate(&self.clock)
    }

    /// The masks of all policies, intersected.
    #[must_use]
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Tells the learning-rate schedules an epoch's validation metric.
    pub fn observe(&mut self, metric: f64) {
        self.rates.observe(metric);
    }

    /// Moments 1 to 5 of the [step](Self).
    ///
    /// `objective` is the user's forward pass up to the loss: `[1]`, and anything else it wants to
    /// hand out.
    pub fn forward_backward<B, O>(
        &mut self,
        model: &M,
        batch: B,
        objective: impl FnOnce(&M, B) -> (Tensor<1>, O),
    ) -> Forward<O> {
        let mut changed = false;
        for policy in &mut self.policies {
            changed |= policy.before_forward(&self.clock, model) == Changed::Masks;
        }
        if changed {
            self.combine();
            self.stored = Stored::Unmasked;
        }
        let view;
        let seen = match self.stored {
            Stored::Masked => model,
            Stored::Unmasked => {
                view = self.masks.view(model);
                &view
            }
        };
        let (loss, output) = objective(seen, batch);
        let mut total = loss.clone();
        for policy in &mut self.policies {
            if let Some(term) = policy.loss_term(&self.clock, model) {
                total = total + term;
            }
        }
        let gradients = GradientsParams::from_grads(total.backward(), model);
        Forward {
            loss: loss.without_autodiff(),
            output,
            gradients,
        }
    }

    /// Moments 6 to 11 of the [step](Self), at the driver's own [rate](Self::rate).
    #[must_use]
    pub fn step(
        &mut self,
        model: M,
        optimizer: &mut ModuleOptimizer,
        gradients: GradientsParams,
    ) -> M {
        self.step_at(self.rate(), model, optimizer, gradients)
    }

    /// The same at a learning rate that somebody else decides.
    #[must_use]
    pub fn step_at(
        &mut self,
        rate: impl Into<ModuleLearningRate>,
        mut model: M,
        optimizer: &mut ModuleOptimizer,
        mut gradients: GradientsParams,
    ) -> M {
        for policy in &mut self.policies {
            policy.before_update(&self.clock, &model, &mut gradients);
        }
        self.gradient_masks
            .apply_to_gradients(&model, &mut gradients);
        if self.stored == Stored::Unmasked {
            // Weight decay must not pull at what the forward pass no longer saw.
            model = self.gradient_masks.apply(model);
        }
        model = optimizer.step(rate, model, gradients);
        for policy in &mut self.policies {
            model = policy.after_update(&self.clock, model);
        }
        model = self.masks.apply(model);
        self.stored = Stored::Masked;
        if self.clock.step + 1 == self.clock.steps_per_epoch {
            for policy in &mut self.policies {
                policy.end_epoch(&self.clock, &model);
            }
        }
        self.clock.tick();
        model
    }

    /// Intersects the policies' masks.
    fn combine(&mut self) {
        self.masks = Masks::intersection(self.policies.iter().filter_map(|policy| policy.masks()));
        let covering = self
            .policies
            .iter()
            .filter(|p| p.gradient_masks() == GradientMasks::On);
        self.gradient_masks = Masks::intersection(covering.filter_map(|policy| policy.masks()));
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &dyn Policy<M>> {
        self.policies.iter().map(|policy| &**policy)
    }

    pub(crate) fn rates(&self) -> &RatePlan {
        &self.rates
    }

    pub(crate) fn parts_mut(&mut self) -> (&mut [Box<dyn Policy<M>>], &mut RatePlan) {
        (&mut self.policies, &mut self.rates)
    }

    /// Sets the clock of a resumed run, whose stored weights obey the policies' masks.
    pub(crate) fn resume_at(&mut self, clock: Clock) {
        self.clock = clock;
        self.combine();
        self.stored = Stored::Masked;
    }
}

impl<M> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("clock", &self.clock)
            .field("policies", &self.policies.len())
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}
