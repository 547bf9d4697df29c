mod outcomes;

use std::fmt;

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Device, Tensor};
use calcine_mask::Masks;
use calcine_observe::{ActivationSource, Reconstruction, Wanted};
use calcine_params::{Inventory, replace};
use calcine_schedule::Clock;

use crate::{
    ActivationSourceError, Changed, GradientMasks, Hold, KeptIndices, Policy, RatePlan,
    ThinnedError, Values,
};

/// One training step, in the one order there is.
///
/// ```text
/// forward_backward(&model, batch)
///   1  policies: before_forward      masks may be computed anew, and weights refitted under them
///   2  view                          the forward pass sees masks that the stored weights do not obey
///   3  objective                     the user's forward and loss
///   4  policies: loss_term           added in recipe order
///   5  backward
/// step(model, optimizer, gradients)
///   6  policies: before_update       gradients read or changed
///   7  gradient masks                of the policies that ask
///   8  stored weights                refitted, rewound; under the masks that the forward pass saw, but for shadows
///   9  optimizer
///  10  policies: after_update        stored weights changed
///  11  masks                         true zeros
///  12  policies: end_step            masks kept, released or discarded; new hard ones act at once
///  13  clock                         and at an epoch's last step, end_epoch
/// ```
///
/// The driver is a plain value beside the model: it works in any loop that calls these two in turn.
/// A step reads nothing from the device, unless a score or a selection in it says that it does. Before the
/// first moment of a step in which a score looks at activations, the driver's [`ActivationSource`] runs its batches, and
/// reads once.
///
/// # Gradient accumulation
///
/// [`forward_backward`](Self::forward_backward) may be called several times before a
/// [`step`](Self::step), whose gradients are then the sum: what happens once a step happens once. Policies act before
/// the first pass (moment 1), their terms are in the first pass's loss (moment 4), so a penalty is not to be divided by the
/// number of passes, and all passes see the same view. Gradients that are thrown away instead are
/// [announced](Self::discard).
pub struct Driver<M> {
    clock: Clock,
    /// What the step that comes has seen so far.
    progress: Progress,
    /// How long the run is to be, if that is known.
    epochs: Option<u64>,
    policies: Vec<Box<dyn Policy<M>>>,
    rates: RatePlan,
    source: Option<Box<dyn ActivationSource<M>>>,
    held: Held,
    stored: Stored,
    /// What stored parameters go back to in this step.
    rewound: Values,
    /// What stored parameters become under the new masks of this step.
    refitted: Values,
}

/// How far the driver is with a step before its update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No forward pass.
    Nothing,
    /// Policies have acted, and the passes so far do not count.
    Begun,
    /// A forward pass with the policies' terms, or several.
    Passed,
}

/// The policies' masks, intersected: what any of them drops is dropped.
#[derive(Debug, Default)]
struct Held {
    /// What the forward pass sees: all of them.
    seen: Masks,
    /// What stored weights obey during an update: all but shadows.
    updated: Masks,
    /// What they obey between steps: hard ones.
    always: Masks,
    /// Those that cover the gradients.
    gradients: Masks,
    /// Whether some hold less than always.
    looser: bool,
}

impl Held {
    fn of<M: Module>(policies: &[Box<dyn Policy<M>>]) -> Self {
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

    /// What stored weights are after a step.
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

/// What a forward and backward pass gave.
#[derive(Debug)]
pub struct Forward<O> {
    /// The objective's loss without the policies' terms, outside autodiff: `[1]`.
    pub loss: Tensor<1>,
    /// Whatever else the objective returned.
    pub output: O,
    /// What the policies added, by their names, outside autodiff: `[1]` each.
    pub terms: Vec<(String, Tensor<1>)>,
    /// The gradients of the stored model.
    pub gradients: GradientsParams,
}

impl<M: Module> Driver<M> {
    /// A driver at the beginning of a run, of which an epoch has `steps_per_epoch` optimizer steps: of a loop
    /// that accumulates the gradients of several batches, fewer than batches.
    ///
    /// # Panics
    ///
    /// If a policy cannot do what it is set up for, or an epoch has no steps; [`try_new`](Self::try_new)
    /// returns an error.
    #[must_use]
    pub fn new(steps_per_epoch: u64, policies: Vec<Box<dyn Policy<M>>>, rates: RatePlan) -> Self {
        Self::try_new(steps_per_epoch, policies, rates).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A driver at the beginning of a run.
    ///
    /// # Errors
    ///
    /// If a policy [cannot do](Policy::check) what it is set up for, or an epoch has no steps; with every problem.
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

    /// With what shows activations to the policies whose scores look at them.
    ///
    /// # Errors
    ///
    /// If a policy wants what it cannot show; with every problem.
    pub fn with_activation_source(
        mut self,
        source: Box<dyn ActivationSource<M>>,
    ) -> Result<Self, ActivationSourceError> {
        let refused = |policy: &dyn Policy<M>, wanted: &Wanted| {
            let why = source.check(wanted).err()?;
            Some(format!("`{}`: {why}", policy.name()))
        };
        let mut problems = Vec::new();
        for policy in self.policies() {
            let wanted = policy.wanted();
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

    /// What policies look at in activations; nothing if no score is of activations.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        self.policies().flat_map(Policy::wanted).collect()
    }

    /// What policies refit after their selections.
    #[must_use]
    pub fn reconstructions(&self) -> Vec<Reconstruction> {
        let policies = self.policies();
        policies
            .filter_map(|policy| policy.reconstruction(&self.clock))
            .collect()
    }

    /// Whether all that policies want to see of activations is shown to them.
    ///
    /// # Errors
    ///
    /// If a policy looks at activations and there is no [`ActivationSource`].
    pub fn check_activation_source(&self) -> Result<(), ActivationSourceError> {
        let blind = |policy: &dyn Policy<M>| {
            let what =
                "looks at activations, which only a traced network shows: give the driver one";
            let looks = !policy.wanted().is_empty() || policy.reconstruction(&self.clock).is_some();
            looks.then(|| format!("`{}` {what}", policy.name()))
        };
        let problems: Vec<String> = self.policies().filter_map(blind).collect();
        if self.source.is_some() || problems.is_empty() {
            Ok(())
        } else {
            Err(ActivationSourceError::new(problems))
        }
    }

    /// Whether the [`ActivationSource`], if there is one, can look at this model.
    ///
    /// # Errors
    ///
    /// If it cannot, as when it runs a network that was traced from another model.
    pub fn check_model(&self, model: &M) -> Result<(), ActivationSourceError> {
        let source = self.source.as_ref();
        let checked = source.map_or(Ok(()), |source| source.check_model(model));
        checked.map_err(|why| ActivationSourceError::new(vec![why]))
    }

    /// The step that comes next.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The learning rate of the step that comes next.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let shifts = self.policies.iter().map(|policy| policy.rate_shift());
        let behind = shifts.max().unwrap_or(0);
        let mut clock = self.clock;
        clock.epoch = clock.epoch.saturating_sub(behind);
        self.rates.rate(&clock)
    }

    /// The masks of all policies, intersected.
    #[must_use]
    pub fn masks(&self) -> &Masks {
        &self.held.seen
    }

    /// The model as its forward pass sees it, which is what is evaluated and kept: all masks applied, also
    /// those that the stored weights do not obey.
    #[must_use]
    pub fn masked_model(&self, model: &M) -> M {
        match self.stored {
            Stored::Masked => model.clone(),
            Stored::Unmasked => self.held.seen.forward(model),
        }
    }

    /// Tells the learning-rate schedules an epoch's validation metric.
    pub fn observe(&mut self, metric: f64) {
        self.rates.observe(metric);
    }

    /// Moments 1 to 5 of the [step](Self).
    ///
    /// `objective` is the user's forward pass up to the loss: `[1]`, and anything else it wants to
    /// hand out.
    ///
    /// # Panics
    ///
    /// If a score looks at activations, or weights are refitted, and [nothing shows them](Self::check_activation_source).
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
        // The view has leaves of its own where it differs, with the stored parameters' identifiers.
        let gradients = GradientsParams::from_grads(total.backward(), seen);
        Forward {
            loss: loss.without_autodiff(),
            output,
            terms,
            gradients,
        }
    }

    /// The policies' part before a step's first forward pass.
    fn begin_step(&mut self, model: &M) {
        self.look(model);
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
            self.held = Held::of(&self.policies);
            self.stored = Stored::Unmasked;
            self.refitted = before.map_or_else(Values::default, |before| {
                self.reconstruct(&before, &reconstructions)
            });
        }
        let rewound = self.policies.iter().filter_map(|policy| policy.rewound());
        self.rewound = rewound.flatten().map(|(id, v)| (*id, v.clone())).collect();
        self.refitted.retain(|id, _| !self.rewound.contains_key(id));
    }

    /// Forgets the forward passes since the last step, whose gradients were thrown away: the next pass is a step's first
    /// again, whose loss has the policies' terms. What the policies decided before it stays decided.
    pub fn discard(&mut self) {
        if self.progress == Progress::Passed {
            self.progress = Progress::Begun;
        }
    }

    /// Moments 6 to 13 of the [step](Self), at the driver's own [rate](Self::rate).
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
        (self.held.gradients).apply_to_gradients(&model, &mut gradients);
        if !self.refitted.is_empty() {
            model = replace(model, std::mem::take(&mut self.refitted));
        }
        if !self.rewound.is_empty() {
            model = replace(model, std::mem::take(&mut self.rewound));
            *optimizer = optimizer.clone().load_record(OptimizerRecord::default());
        }
        if self.stored == Stored::Unmasked {
            // Momentum and weight decay see what the forward pass saw.
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
            self.held = Held::of(&self.policies);
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

    /// Whether it is of the same recipe as one with these policies, so many learning-rate schedules, and this
    /// clock; if not, why.
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
                "its policies are {policies:?}, the recipe's are {own:?}"
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
                "its epochs have {found} steps, this run's {expected}"
            ));
        }
        Ok(())
    }

    /// Takes up where the driver of the model before thinning was.
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

    /// Shows activations to the policies that want to see them now.
    fn look(&mut self, model: &M) {
        if !self.policies().any(|policy| policy.looks(&self.clock)) {
            return;
        }
        let seen = self.masked_model(model);
        let Some(source) = &mut self.source else {
            return;
        };
        for policy in &mut self.policies {
            if policy.looks(&self.clock) {
                policy.look(source.observe(&seen, &policy.wanted()));
            }
        }
    }

    /// The weights that under the new masks give what they gave to the model before them.
    ///
    /// Where two pruners have the same weight, the later one's samples count.
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

    /// Whether this step's forward pass starts from the stored values.
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

    /// Sets the clock of a resumed run, whose stored weights obey the policies' masks.
    pub(crate) fn resume_at(&mut self, clock: Clock) {
        self.clock = clock;
        self.progress = Progress::Nothing;
        self.held = Held::of(&self.policies);
        self.stored = self.held.stored();
    }
}

/// Policies that cannot do what they are set up for, or a run that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct PolicyError {
    problems: Vec<String>,
}

impl PolicyError {
    /// One for each policy, with its name, and one for the run.
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
