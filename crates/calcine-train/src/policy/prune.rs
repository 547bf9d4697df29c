mod check;
mod outcome;
mod select;
mod state;

use std::collections::BTreeMap;
use std::fmt;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use calcine_criteria::{Aggregation, Needs, Score, Select};
use calcine_mask::Masks;
use calcine_observe::{Reconstruction, Wanted};
use calcine_params::Inventory;
use calcine_schedule::{Clock, Curve};
use rand::RngExt;

use self::state::{Pending, State};
use super::{Changed, GradientMasks, Hold, Policy, PolicyRecord, UnfitRecord, Unit, When};
use crate::{KeptIndices, PolicyOutcome, stream};

/// A pruner on a schedule: score × granularity × select × amount, over a window.
///
/// Whenever its window fires, it scores the units of its parameters as they stand, selects, and holds
/// what was dropped at zero from then on. A mask is computed from the weights, zeros included, so under
/// a hard mask a weight once dropped scores lowest and stays dropped while the amount grows.
///
/// A score that needs gradients is averaged over batches, each scored by itself; how many is
/// [`Batches`]. A firing then *begins* the collection, and the selection follows as many steps later. A batch whose
/// scores are not all finite numbers does not count, and if none counts, the selection waits for as many batches again.
/// Parameters that have no gradient, since they are frozen or the loss does not reach them, cannot be ranked by
/// it: they are left as they are, with a warning.
///
/// A score of activations is shown them by the driver's [`ActivationSource`](calcine_observe::ActivationSource) right before the selection,
/// of the model as it is then, over as many batches.
///
/// After a selection, weights can be [refitted](Prune::with_reconstruction) to what their layers gave before.
///
/// What is drawn at random comes from the [seed](Prune::with_seed), the pruner's name, the parameter's path and the
/// step.
///
/// Nothing is read from a GPU, unless the score or the selection says so, or weights are refitted; but for scores of
/// gradients one number a selection: how many batches count.
pub struct Prune {
    name: String,
    targets: Vec<Target>,
    score: Box<dyn Score + Send>,
    select: Box<dyn Select + Send>,
    growth: Option<Box<dyn Score + Send>>,
    when: When,
    settings: Settings,
    masks: Masks,
    /// `Select::measure` of each parameter at its first selection, where the selection wants that.
    references: BTreeMap<String, Tensor<1>>,
    /// Sums over batches of the scores that need gradients.
    scores: BTreeMap<String, Tensor<1>>,
    growths: BTreeMap<String, Tensor<1>>,
    /// How many batches are in the sums: `[1]`.
    counted: Option<Tensor<1>>,
    /// What the score wanted to see of activations, for the selection that comes.
    activities: BTreeMap<String, Tensor<1>>,
    state: State,
}

#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    hold: Hold,
    gradients: GradientMasks,
    after: After,
    lifetime: Lifetime,
    first: First,
    batches: Batches,
    ranking: Ranking,
    reconstruct: Option<Reconstruct>,
    seed: Option<u64>,
}

/// Groups that are selected together, with one amount.
pub struct Target {
    /// The groups; under a global level they compete.
    pub groups: Vec<Group>,
    /// The amount over the window's progress.
    pub amount: Box<dyn Curve + Send + Sync>,
}

/// Parameters that share one decision.
#[derive(Debug, Clone)]
pub struct Group {
    units: Vec<Unit>,
    aggregation: Aggregation,
    /// What falls with them, and has no say.
    followers: Vec<Unit>,
}

/// What becomes of the masks when the window is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After {
    /// They hold always from then on.
    #[default]
    Hold,
    /// They are forgotten. What they set to zero may grow again.
    Release,
}

/// How long a mask lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// Until the next selection.
    #[default]
    Window,
    /// One step: what `DropFilter` does, over [`Hold::Shadow`].
    Step,
}

/// When the first firing selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum First {
    /// At once.
    #[default]
    AtOnce,
    /// A step later, when there has been a batch.
    NextStep,
}

/// Over how many batches a score that needs gradients is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// So many, collected from a firing on.
    Count(u64),
    /// All of the run so far; the first selection waits for one. Of activations, all that the driver's
    /// [`ActivationSource`](calcine_observe::ActivationSource) has.
    All,
}

impl Batches {
    /// How many of those that the activation source has; all if `None`.
    fn of_activations(self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count.max(1)),
            Self::All => None,
        }
    }
}

impl Default for Batches {
    fn default() -> Self {
        Self::Count(1)
    }
}

/// What weights are refitted by after a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconstruct {
    /// How many output positions of a batch are looked at, each of all its samples.
    pub positions: usize,
    /// Over how many batches of those that the driver's [`ActivationSource`](calcine_observe::ActivationSource) has.
    pub batches: Batches,
}

impl Default for Reconstruct {
    /// Ten positions of eight batches.
    fn default() -> Self {
        Self {
            positions: 10,
            batches: Batches::Count(8),
        }
    }
}

/// Which weights are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ranking {
    /// As stored.
    #[default]
    Stored,
    /// With the following normalisation folded in.
    Folded,
}

impl Target {
    /// Parameters that decide for themselves.
    #[must_use]
    pub fn new(parameters: Vec<Unit>, amount: Box<dyn Curve + Send + Sync>) -> Self {
        let groups = parameters.into_iter().map(Group::one).collect();
        Self { groups, amount }
    }

    fn units(&self) -> impl Iterator<Item = &Unit> {
        self.groups.iter().flat_map(|group| &group.units)
    }
}

impl Group {
    /// A parameter by itself.
    #[must_use]
    pub fn one(unit: Unit) -> Self {
        Self {
            units: vec![unit],
            aggregation: Aggregation::First,
            followers: Vec::new(),
        }
    }

    /// Parameters that share a decision. `None` if there are none, or they are decided on in different numbers.
    #[must_use]
    pub fn of(units: Vec<Unit>, aggregation: Aggregation) -> Option<Self> {
        let count = units.first()?.decided();
        let equal = units.iter().all(|unit| unit.decided() == count);
        equal.then_some(Self {
            units,
            aggregation,
            followers: Vec::new(),
        })
    }

    /// With parameters that are masked as the group decides and have no say in it: biases, scales and shifts of
    /// what makes the same channels. `None` if they have different numbers of units.
    #[must_use]
    pub fn with_followers(mut self, followers: Vec<Unit>) -> Option<Self> {
        let count = self.units.first()?.decided();
        let equal = followers.iter().all(|unit| unit.decided() == count);
        self.followers = followers;
        equal.then_some(self)
    }
}

impl Prune {
    /// A pruner that has not fired yet.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        targets: Vec<Target>,
        score: Box<dyn Score + Send>,
        select: Box<dyn Select + Send>,
        when: When,
    ) -> Self {
        Self {
            name: name.into(),
            targets,
            score,
            select,
            growth: None,
            when,
            settings: Settings::default(),
            masks: Masks::default(),
            references: BTreeMap::new(),
            scores: BTreeMap::new(),
            growths: BTreeMap::new(),
            counted: None,
            activities: BTreeMap::new(),
            state: State::default(),
        }
    }

    /// With a score by which dead units grow, for selections that ask for one.
    #[must_use]
    pub fn with_growth(mut self, score: Box<dyn Score + Send>) -> Self {
        self.growth = Some(score);
        self
    }

    /// How the masks hold the weights.
    #[must_use]
    pub fn with_hold(mut self, hold: Hold) -> Self {
        self.settings.hold = hold;
        self
    }

    /// Whether the masks cover the gradients too.
    #[must_use]
    pub fn with_gradient_masks(mut self, gradients: GradientMasks) -> Self {
        self.settings.gradients = gradients;
        self
    }

    /// What becomes of the masks when the window is over.
    #[must_use]
    pub fn with_after(mut self, after: After) -> Self {
        self.settings.after = after;
        self
    }

    /// How long a mask lives.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Lifetime) -> Self {
        self.settings.lifetime = lifetime;
        self
    }

    /// When the first firing selects.
    #[must_use]
    pub fn with_first(mut self, first: First) -> Self {
        self.settings.first = first;
        self
    }

    /// Over how many batches gradients or activations are looked at.
    #[must_use]
    pub fn with_batches(mut self, batches: Batches) -> Self {
        self.settings.batches = batches;
        self
    }

    /// Scores weights with the batch-norm that follows folded in, `w·γ/√(σ² + ε)`: what the layer really
    /// multiplies by. Gradients are by that weight too, `g·√(σ² + ε)/γ` (zero where γ is), so products of weights and
    /// gradients stay what they are. For weights whose unit knows its norm; others are scored as they are.
    #[must_use]
    pub fn with_folded_norms(mut self) -> Self {
        self.settings.ranking = Ranking::Folded;
        self
    }

    /// After each selection, refits what is left of the weights, and their layers' biases, to what the layers
    /// gave right before it: feature-map reconstruction (He et al., 2017). The driver's
    /// [`ActivationSource`](calcine_observe::ActivationSource) does it, of all the pruner's weights by the same look at the model, and reads
    /// once.
    ///
    /// For input channels under masks that hold always; what is dropped is lost. The optimizer keeps its state.
    #[must_use]
    pub fn with_reconstruction(mut self, reconstruct: Reconstruct) -> Self {
        self.settings.reconstruct = Some(reconstruct);
        self
    }

    /// The run's seed, for what is drawn at random; there is no default.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Batches that a firing now has to wait for.
    fn to_wait(&self) -> u64 {
        let first = self.settings.first == First::NextStep && !self.state.fired;
        match self.settings.batches {
            Batches::Count(count) if self.needs_gradients() => count.max(1),
            Batches::All if self.needs_gradients() => u64::from(self.state.batches == 0),
            _ => u64::from(first),
        }
    }

    fn needs_activations(&self) -> bool {
        matches!(self.score.needs(), Needs::Activity(_) | Needs::InputNorm)
    }

    /// Whether it selects before the forward pass that comes.
    fn decides(&self, clock: &Clock) -> bool {
        let waited = matches!(self.state.pending, Some(Pending { left: 0, .. }));
        waited || (self.when.fires(clock).is_some() && self.to_wait() == 0)
    }

    fn needs_gradients(&self) -> bool {
        let growth = self.growth.as_ref().map(|score| score.needs());
        self.score.needs() == Needs::Gradient || growth == Some(Needs::Gradient)
    }
}

impl<M: Module> Policy<M> for Prune {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        Self::check(self)
    }

    fn wanted(&self) -> Vec<Wanted> {
        if !self.needs_activations() {
            return Vec::new();
        }
        let units = self.targets.iter().flat_map(Target::units);
        let wanted = |unit: &Unit| Wanted {
            weight: unit.parameter.path.clone(),
            what: self.score.needs(),
            batches: self.settings.batches.of_activations(),
        };
        units.map(wanted).collect()
    }

    fn looks(&self, clock: &Clock) -> bool {
        self.needs_activations() && self.decides(clock)
    }

    fn look(&mut self, found: Vec<Tensor<1>>) {
        let units = self.targets.iter().flat_map(Target::units);
        let paths = units.map(|unit| unit.parameter.path.clone());
        self.activities = paths.zip(found).collect();
    }

    fn reconstruction(&self, clock: &Clock) -> Option<Reconstruction> {
        let Reconstruct { positions, batches } = self.settings.reconstruct?;
        let units = self.targets.iter().flat_map(Target::units);
        let name = format!("reconstruct.{}", self.name);
        Some(Reconstruction {
            weights: units.map(|unit| unit.parameter.path.clone()).collect(),
            batches: batches.of_activations(),
            positions,
            seed: stream(self.settings.seed?, &name, clock.global_step()).random(),
        })
    }

    fn before_forward(&mut self, clock: &Clock, model: &M) -> Changed {
        let mut changed = Changed::Nothing;
        if let Some(Pending { progress, left: 0 }) = self.state.pending {
            self.state.pending = None;
            changed = self.decide(clock, model, progress);
        }
        if let Some(progress) = self.when.fires(clock) {
            let left = self.to_wait();
            self.state.fired = true;
            if left == 0 {
                return self.decide(clock, model, progress).or(changed);
            }
            // A firing while another waits only renews its progress.
            let left = self.state.pending.map_or(left, |pending| pending.left);
            self.state.pending = Some(Pending { progress, left });
        }
        changed
    }

    fn before_update(&mut self, _: &Clock, model: &M, gradients: &mut GradientsParams) {
        let all = self.settings.batches == Batches::All && !self.state.is_over();
        if self.needs_gradients() && (all || self.state.pending.is_some()) {
            self.collect(model, gradients);
        }
        if let Some(pending) = &mut self.state.pending {
            pending.left = pending.left.saturating_sub(1);
        }
    }

    fn end_step(&mut self, clock: &Clock) -> Changed {
        let mut changed = Changed::Nothing;
        if self.settings.lifetime == Lifetime::Step && !self.masks.is_empty() {
            self.masks.clear();
            changed = Changed::Masks;
        }
        let over = self.when.is_over_after(clock) && self.state.pending.is_none();
        if over && !self.state.is_over() {
            self.state.close(self.settings.after);
            if self.settings.after == After::Release {
                self.masks.clear();
            }
            changed = Changed::Masks;
        }
        changed
    }

    fn masks(&self) -> Option<&Masks> {
        Some(&self.masks)
    }

    fn hold(&self) -> Hold {
        if self.state.is_over() {
            Hold::Always
        } else {
            self.settings.hold
        }
    }

    fn gradient_masks(&self) -> GradientMasks {
        self.settings.gradients
    }

    fn warnings(&self) -> Vec<String> {
        self.to_warnings()
    }

    fn outcomes(&self, clock: &Clock) -> Vec<PolicyOutcome> {
        vec![self.to_outcome(clock)]
    }

    fn record(&self) -> PolicyRecord {
        self.to_record()
    }

    fn thinned_record(&self, kept_indices: &KeptIndices) -> PolicyRecord {
        self.to_thinned_record(kept_indices)
    }

    fn restore(
        &mut self,
        record: &PolicyRecord,
        inventory: &Inventory,
        device: &Device,
    ) -> Result<(), UnfitRecord> {
        self.take_record(record, inventory, device)
            .map_err(|reason| UnfitRecord {
                policy: self.name.clone(),
                reason,
            })
    }
}

impl fmt::Debug for Prune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prune")
            .field("name", &self.name)
            .field("when", &self.when)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}
