mod outcomes;

use std::fmt;

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Device, Tensor};
use calcine_mask::Masks;
use calcine_observe::{ActivationRequest, ActivationSource, Reconstruction};
use calcine_params::{Inventory, replace};
use calcine_schedule::Clock;

use crate::{
    ActivationSourceError, Changed, GradientMasks, Hold, KeptIndices, Policy, RatePlan,
    ThinnedError, Values,
};

/// Defines the order of all operations in a training step.
///
/// ```text
/// forward_backward(&model, batch)
///   1  policies: before_forward      masks may be recomputed, and weights refitted under them
///   2  view                          masks that the stored weights do not have are applied to a copy
///   3  objective                     the user's forward pass and loss
///   4  policies: loss_term           terms are added in the order of the recipe
///   5  backward
/// step(model, optimizer, gradients)
///   6  policies: before_update       gradients are read or changed
///   7  gradient masks                of the policies that request them
///   8  stored weights                refitted, rewound; masked as in the forward pass, except for shadows
///   9  optimizer
///  10  policies: after_update        stored weights are changed
///  11  masks                         exact zeros
///  12  policies: end_step            masks are kept, released or discarded; new hard masks act at once
///  13  clock                         and at the last step of an epoch, end_epoch
/// ```
///
/// The driver does not contain the model, and works in any loop that calls these two functions in turn. A step does not
/// read from the device, unless a score or a selection documents that it does. Before operation 1 of a step in which a
/// score needs activations, the [`ActivationSource`] of the driver runs its batches and reads from the device once.
///
/// # Gradient accumulation
///
/// [`forward_backward`](Self::forward_backward) may be called several times before a [`step`](Self::step), which then
/// uses the sum of the gradients. Operations 1 and 4 happen only in the first call: all passes see the same view, and
/// the terms of policies are part of the first loss, so a penalty must not be divided by the number of passes. If you
/// do not use the gradients, call [`discard`](Self::discard).
pub struct Driver<M> {
    clock: Clock,
    /// Which parts of the next step have already happened.
    progress: Progress,
    /// The number of epochs of the run, if it is known.
    epochs: Option<u64>,
    policies: Vec<Box<dyn Policy<M>>>,
    rates: RatePlan,
    source: Option<Box<dyn ActivationSource<M>>>,
    held: Held,
    stored: Stored,
    /// The values that rewound parameters get in this step.
    rewound: Values,
    /// The values that parameters get under the new masks of this step.
    refitted: Values,
}

/// The progress of a step before its update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There was no forward pass.
    Nothing,
    /// Policies have acted, and the passes so far have been discarded.
    Started,
    /// There was a forward pass with the terms of the policies, and possibly more passes.
    Passed,
}

/// The combined masks of the policies: an element is dropped if any policy drops it.
#[derive(Debug, Default)]
struct Held {
    /// The masks of the forward pass: all of them.
    seen: Masks,
    /// The masks of the stored weights during an update: all except shadows.
    updated: Masks,
    /// The masks of the stored weights between steps: the hard ones.
    always: Masks,
    /// The masks that are applied to gradients.
    gradients: Masks,
    /// Whether some masks are not hard.
    looser: bool,
}

impl Held {
    fn new<M: Module>(policies: &[Box<dyn Policy<M>>]) -> Self {
        let those = |ask: &dyn Fn(&dyn Policy<M>) -> bool| {
            let asked = policies.iter().filter(|policy| ask(&***policy));
            Masks::intersection(asked.filter_map(|policy| policy.masks()))
        };
        let loose = |policy: &dyn Policy<M>| policy.hold() != Hold::Always;
        Self {
            looser: !those(&loose).is_empty(),
            seen: those(&|_| true),
            updated: those(&|policy| policy.hold() != Hold::Shadow),
            always: those(&|policy| policy.hold() == Hold::Always),
            gradients: those(&|policy| policy.gradient_masks() == GradientMasks::On),
        }
    }

    /// Whether stored weights obey all masks after a step.
    fn stored(&self) -> Stored {
        if self.looser {
            Stored::Unmasked
        } else {
            Stored::Masked
        }
    }
}

/// Whether the stored weights obey all masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Masked,
    Unmasked,
}

/// The results of a forward and a backward pass.
#[derive(Debug)]
pub struct Forward<O> {
    /// The loss of the objective without the terms of the policies, detached from autodiff: `[1]`.
    pub loss: Tensor<1>,
    /// The other output of the objective.
    pub output: O,
    /// The terms of the policies by name, detached from autodiff: `[1]` each.
    pub terms: Vec<(String, Tensor<1>)>,
    /// The gradients of the stored model.
    pub gradients: GradientsParams,
}

impl<M: Module> Driver<M> {
    /// A driver at the beginning of a run with `steps_per_epoch` optimizer steps per epoch. (In a loop that accumulates
    /// the gradients of several batches, there are fewer steps than batches.)
    ///
    /// # Panics
    ///
    /// If the settings of a policy are invalid, or an epoch has no steps; [`try_new`](Self::try_new) returns an error
    /// instead.
    #[must_use]
    pub fn new(steps_per_epoch: u64, policies: Vec<Box<dyn Policy<M>>>, rates: RatePlan) -> Self {
        Self::try_new(steps_per_epoch, policies, rates).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A driver at the beginning of a run.
    ///
    /// # Errors
    ///
    /// If the settings of a policy are [invalid](Policy::check), or an epoch has no steps; the error contains all
    /// problems.
    pub fn try_new(
        steps_per_epoch: u64,
        policies: Vec<Box<dyn Policy<M>>>,
        rates: RatePlan,
    ) -> Result<Self, PolicyError> {
        let refused = |policy: &dyn Policy<M>| {
            let why = policy.check().err()?;
            Some(format!("`{}`: {why}", policy.name()))
        };
        let each = policies.iter().map(AsRef::as_ref);
        let mut problems: Vec<String> = each.filter_map(refused).collect();
        if steps_per_epoch == 0 {
            problems.push("an epoch of 0 steps never ends: expected at least 1".to_owned());
        }
        if !problems.is_empty() {
            return Err(PolicyError { problems });
        }
        Ok(Self {
            clock: Clock::new(steps_per_epoch),
            progress: Progress::Nothing,
            epochs: None,
            policies,
            rates,
            source: None,
            held: Held::default(),
            stored: Stored::Masked,
            rewound: Values::default(),
            refitted: Values::default(),
        })
    }

    /// Sets the source of activations for policies whose scores need them.
    ///
    /// # Errors
    ///
    /// If the source cannot answer the request of a policy; the error contains all problems.
    pub fn with_activation_source(
        mut self,
        source: Box<dyn ActivationSource<M>>,
    ) -> Result<Self, ActivationSourceError> {
        let refused = |policy: &dyn Policy<M>, wanted: &ActivationRequest| {
            let why = source.check(wanted).err()?;
            Some(format!("`{}`: {why}", policy.name()))
        };
        let mut problems = Vec::new();
        for policy in self.policies() {
            let wanted = policy.activation_requests();
            problems.extend(wanted.iter().filter_map(|wanted| refused(policy, wanted)));
            if let Some(wanted) = policy.reconstruction(&self.clock)
                && let Err(why) = source.check_reconstruction(&wanted)
            {
                problems.push(format!("`{}`: {why}", policy.name()));
            }
        }
        if !problems.is_empty() {
            return Err(ActivationSourceError::new(problems));
        }
        self.source = Some(source);
        Ok(self)
    }

    /// The activations that policies need; empty if no score uses activations.
    #[must_use]
    pub fn activation_requests(&self) -> Vec<ActivationRequest> {
        self.policies()
            .flat_map(Policy::activation_requests)
            .collect()
    }

    /// The weights that policies refit after their selections.
    #[must_use]
    pub fn reconstructions(&self) -> Vec<Reconstruction> {
        let policies = self.policies();
        policies
            .filter_map(|policy| policy.reconstruction(&self.clock))
            .collect()
    }

    /// Checks that policies that need activations get them.
    ///
    /// # Errors
    ///
    /// If a policy needs activations and there is no [`ActivationSource`].
    pub fn check_activation_source(&self) -> Result<(), ActivationSourceError> {
        let blind = |policy: &dyn Policy<M>| {
            let what = "needs activations: give the driver an activation source";
            let looks = !policy.activation_requests().is_empty()
                || policy.reconstruction(&self.clock).is_some();
            looks.then(|| format!("`{}` {what}", policy.name()))
        };
        let problems: Vec<String> = self.policies().filter_map(blind).collect();
        if self.source.is_some() || problems.is_empty() {
            Ok(())
        } else {
            Err(ActivationSourceError::new(problems))
        }
    }

    /// Checks that the [`ActivationSource`], if there is one, supports this model.
    ///
    /// # Errors
    ///
    /// If it does not, for example because its network was traced from another model.
    pub fn check_model(&self, model: &M) -> Result<(), ActivationSourceError> {
        let source = self.source.as_ref();
        let checked = source.map_or(Ok(()), |source| source.check_model(model));
        checked.map_err(|why| ActivationSourceError::new(vec![why]))
    }

    /// The position of the next step.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let shifts = self.policies.iter().map(|policy| policy.rate_shift());
        let behind = shifts.max().unwrap_or(0);
        let mut clock = self.clock;
        clock.epoch = clock.epoch.saturating_sub(behind);
        self.rates.rate(&clock)
    }

    /// The intersection of the masks of all policies.
    #[must_use]
    pub fn masks(&self) -> &Masks {
        &self.held.seen
    }

    /// The model as its forward pass uses it, with all masks applied. Use it for evaluation and for saving weights.
    #[must_use]
    pub fn masked_model(&self, model: &M) -> M {
        match self.stored {
            Stored::Masked => model.clone(),
            Stored::Unmasked => self.held.seen.forward(model),
        }
    }

    /// Passes the validation metric of an epoch to the learning-rate schedules.
    pub fn observe(&mut self, metric: f64) {
        self.rates.observe(metric);
    }

    /// Executes operations 1 to 5 of a [step](Self).
    ///
    /// `objective` computes the loss, `[1]`, and any other output.
    ///
    /// # Panics
    ///
    /// If a score needs activations, or weights are refitted, and there is [no source for
    /// them](Self::check_activation_source).
    pub fn forward_backward<B, O>(
        &mut self,
        model: &M,
        batch: B,
        objective: impl FnOnce(&M, B) -> (Tensor<1>, O),
    ) -> Forward<O> {
        if self.progress == Progress::Nothing {
            self.begin_step(model);
        }
        let is_first = self.progress != Progress::Passed;
        self.progress = Progress::Passed;
        let view;
        let seen = match self.stored {
            Stored::Masked if self.is_as_stored() => model,
            Stored::Unmasked if self.is_as_stored() => {
                view = self.held.seen.forward(model);
                &view
            }
            _ => {
                let mut values = self.rewound.clone();
                values.extend(self.refitted.clone());
                view = (self.held.seen).forward(&replace(model.clone(), values));
                &view
            }
        };
        let (loss, output) = objective(seen, batch);
        let mut total = loss.clone();
        let mut terms = Vec::new();
        let policies = self.policies.iter_mut().filter(|_| is_first);
        for policy in policies {
            if let Some(term) = policy.loss_term(&self.clock, seen) {
                terms.push((policy.name().to_owned(), term.clone().without_autodiff()));
                total = total + term;
            }
        }
        // The view has its own leaves where it differs from the model, with the identifiers of the stored parameters.
        let gradients = GradientsParams::from_grads(total.backward(), seen);
        Forward {
            loss: loss.without_autodiff(),
            output,
            terms,
            gradients,
        }
    }

    /// The operations of policies before the first forward pass of a step.
    fn begin_step(&mut self, model: &M) {
        self.observe_activations(model);
        let mut changed = Changed::Nothing;
        let mut reconstructions = Vec::new();
        for policy in &mut self.policies {
            let own = policy.before_forward(&self.clock, model);
            if own == Changed::Masks {
                reconstructions.extend(policy.reconstruction(&self.clock));
            }
            changed = changed.or(own);
        }
        if changed == Changed::Masks {
            let before = (!reconstructions.is_empty()).then(|| self.masked_model(model));
            self.held = Held::new(&self.policies);
            self.stored = Stored::Unmasked;
            self.refitted = before.map_or_else(Values::default, |before| {
                self.reconstruct(&before, &reconstructions)
            });
        }
        let rewound = self.policies.iter().filter_map(|policy| policy.rewound());
        self.rewound = rewound.flatten().map(|(id, v)| (*id, v.clone())).collect();
        self.refitted.retain(|id, _| !self.rewound.contains_key(id));
    }

    /// Discards the forward passes since the last step, whose gradients were not used. The next pass counts as the
    /// first one of the step again, so its loss includes the terms of the policies. Decisions that policies have
    /// already made remain.
    pub fn discard(&mut self) {
        if self.progress == Progress::Passed {
            self.progress = Progress::Started;
        }
    }

    /// Executes operations 6 to 13 of the [step](Self), with the [learning rate](Self::rate) of the driver.
    #[must_use]
    pub fn step(
        &mut self,
        model: M,
        optimizer: &mut ModuleOptimizer,
        gradients: GradientsParams,
    ) -> M {
        self.step_at(self.rate(), model, optimizer, gradients)
    }

    /// Like [`step`](Self::step), with a learning rate that the caller chooses.
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
        (self.held.gradients).apply_to_gradients(&model, &mut gradients);
        if !self.refitted.is_empty() {
            model = replace(model, std::mem::take(&mut self.refitted));
        }
        if !self.rewound.is_empty() {
            model = replace(model, std::mem::take(&mut self.rewound));
            *optimizer = optimizer.clone().load_record(OptimizerRecord::default());
        }
        if self.stored == Stored::Unmasked {
            // Momentum and weight decay use the weights of the forward pass.
            model = self.held.updated.apply(model);
        }
        let rate = rate.into();
        let base = rate.base();
        model = optimizer.step(rate, model, gradients);
        for policy in &mut self.policies {
            model = policy.after_update(&self.clock, base, model);
        }
        model = self.held.always.apply(model);
        let mut changed = Changed::Nothing;
        for policy in &mut self.policies {
            changed = changed.or(policy.end_step(&self.clock));
        }
        if changed == Changed::Masks {
            self.held = Held::new(&self.policies);
            model = self.held.always.apply(model);
        }
        self.stored = self.held.stored();
        if self.clock.step + 1 == self.clock.steps_per_epoch {
            for policy in &mut self.policies {
                policy.end_epoch(&self.clock, &model);
            }
        }
        self.clock.tick();
        self.progress = Progress::Nothing;
        model
    }

    /// Checks whether saved state is from a run with these policies, this number of learning-rate schedules, and this
    /// number of steps per epoch.
    pub(crate) fn goes_on(
        &self,
        policies: &[String],
        rates: usize,
        clock: Clock,
    ) -> Result<(), String> {
        let own: Vec<_> = self
            .policies()
            .map(|policy| policy.name().to_owned())
            .collect();
        if own != policies {
            return Err(format!(
                "its policies are {policies:?}, those of the recipe are {own:?}"
            ));
        }
        let expected = self.rates.state().len();
        if rates != expected {
            return Err(format!(
                "it has {rates} learning-rate schedules, the recipe has {expected}"
            ));
        }
        let (found, expected) = (clock.steps_per_epoch, self.clock.steps_per_epoch);
        if found != expected {
            return Err(format!(
                "its epochs have {found} steps, those of this run {expected}"
            ));
        }
        Ok(())
    }

    /// Continues from the driver of the model before thinning.
    pub(crate) fn go_on_from(
        &mut self,
        before: &Self,
        kept_indices: &KeptIndices,
        inventory: &Inventory,
        device: &Device,
    ) -> Result<(), ThinnedError> {
        let refused = |reason| ThinnedError::Driver { reason };
        let policies: Vec<_> = before
            .policies()
            .map(|policy| policy.name().to_owned())
            .collect();
        let rates = before.rates.state();
        self.goes_on(&policies, rates.len(), before.clock)
            .map_err(refused)?;
        for (policy, before) in self.policies.iter_mut().zip(&before.policies) {
            policy.restore(&before.thinned_record(kept_indices), inventory, device)?;
        }
        self.rates
            .restore(&rates)
            .map_err(|error| refused(error.to_string()))?;
        self.resume_at(before.clock);
        Ok(())
    }

    /// Passes activations to the policies that need them now.
    fn observe_activations(&mut self, model: &M) {
        if !self
            .policies()
            .any(|policy| policy.uses_activations(&self.clock))
        {
            return;
        }
        let seen = self.masked_model(model);
        let Some(source) = &mut self.source else {
            return;
        };
        for policy in &mut self.policies {
            if policy.uses_activations(&self.clock) {
                policy.receive_activations(source.observe(&seen, &policy.activation_requests()));
            }
        }
    }

    /// The weights that, under the new masks, reproduce the outputs of their layers before the masks changed.
    ///
    /// If two pruners refit the same weight, the samples of the later one are used.
    fn reconstruct(&mut self, before: &M, reconstructions: &[Reconstruction]) -> Values {
        let source = self.source.as_mut();
        let source = source.expect(
            "weights are refitted by an activation source, as `check_activation_source` says",
        );
        let values = reconstructions
            .iter()
            .map(|wanted| source.reconstruct(before, &self.held.seen, wanted));
        values.flatten().collect()
    }

    /// Whether the forward pass of this step starts with the stored values.
    fn is_as_stored(&self) -> bool {
        self.rewound.is_empty() && self.refitted.is_empty()
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

    /// Sets the clock of a resumed run, whose stored weights obey the masks of the policies.
    pub(crate) fn resume_at(&mut self, clock: Clock) {
        self.clock = clock;
        self.progress = Progress::Nothing;
        self.held = Held::new(&self.policies);
        self.stored = self.held.stored();
    }
}

/// Why a driver cannot be created: the settings of policies or of the run are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct PolicyError {
    problems: Vec<String>,
}

impl PolicyError {
    /// The problems: one for each policy, with its name, and one for the run.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
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
