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
use calcine_observe::{ActivationRequest, Reconstruction};
use calcine_params::Inventory;
use calcine_schedule::{Clock, Curve};
use rand::RngExt;

use self::state::{Pending, State};
use super::{Changed, GradientMasks, Hold, Policy, PolicyRecord, UnfitRecord, Unit, When};
use crate::{KeptIndices, PolicyOutcome, stream};

/// A pruner on a schedule: score × granularity × selection × amount, over a window.
///
/// Whenever its window fires, it scores the units of its parameters, selects, and from then on keeps the dropped units
/// at zero. A mask is computed from the current weights, including zeros. Under a hard mask, dropped weights therefore
/// have the lowest score, and stay dropped while the amount grows.
///
/// A score that needs gradients is averaged over batches, each of which is scored separately; [`Batches`] is their
/// number. When the window fires, the pruner *begins* to collect scores, and it selects that number of steps later.
/// Batches whose scores are not all finite are ignored; if all are, the selection waits for the same number of batches
/// again. Parameters without a gradient (frozen, or not reached by the loss) cannot be ranked by it: they are not
/// pruned, and there is a warning.
///
/// A score that needs activations gets them from the [`ActivationSource`](calcine_observe::ActivationSource) of the
/// driver right before the selection, computed with the current model over the same number of batches.
///
/// After a selection, weights can be [refitted](Prune::with_reconstruction) to the former outputs of their layers.
///
/// Random numbers depend on the [seed](Prune::with_seed), the name of the pruner, the path of the parameter, and the
/// step.
///
/// Nothing is read from a GPU, unless the score or the selection documents it, or weights are refitted. Scores of
/// gradients read one number per selection: how many batches count.
pub struct Prune {
    name: String,
    targets: Vec<Target>,
    score: Box<dyn Score + Send>,
    select: Box<dyn Select + Send>,
    growth: Option<Box<dyn Score + Send>>,
    when: When,
    settings: Settings,
    masks: Masks,
    /// The results of `Select::measure` for each parameter at the first selection, if the selection needs them.
    references: BTreeMap<String, Tensor<1>>,
    /// The sums over batches of scores that need gradients.
    scores: BTreeMap<String, Tensor<1>>,
    growths: BTreeMap<String, Tensor<1>>,
    /// The number of batches in the sums: `[1]`.
    counted: Option<Tensor<1>>,
    /// The activations that the score requested for the next selection.
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
    /// The groups. Under a global level they compete.
    pub groups: Vec<Group>,
    /// The amount over the progress of the window.
    pub amount: Box<dyn Curve + Send + Sync>,
}

/// Parameters that share one decision.
#[derive(Debug, Clone)]
pub struct Group {
    units: Vec<Unit>,
    aggregation: Aggregation,
    /// Parameters that are masked according to the decision, without influence on it.
    followers: Vec<Unit>,
}

/// What happens to the masks after the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After {
    /// They stay for good.
    #[default]
    Hold,
    /// They are discarded. Weights that they have set to zero may grow again.
    Release,
}

/// How long a mask lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// Until the next selection.
    #[default]
    Window,
    /// For one step: `DropFilter`, together with [`Hold::Shadow`].
    Step,
}

/// When the pruner selects after its window has fired for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum First {
    /// In the same step.
    #[default]
    AtOnce,
    /// One step later, when there has been a batch.
    NextStep,
}

/// The number of batches over which a score that needs gradients is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// This number of batches, collected from the moment at which the window fires.
    Count(u64),
    /// All batches of the run so far; the first selection waits for one. For activations, all batches of the
    /// [`ActivationSource`](calcine_observe::ActivationSource) of the driver.
    All,
}

impl Batches {
    /// The number of batches to request from the activation source; all if `None`.
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

/// The samples by which weights are refitted after a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconstruct {
    /// The number of output positions per batch that are sampled, each from all samples of the batch.
    pub positions: usize,
    /// The number of batches of the [`ActivationSource`](calcine_observe::ActivationSource) of the driver.
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
    /// The stored weights.
    #[default]
    Stored,
    /// The weights with the following norm folded in.
    Folded,
}

impl Target {
    /// A target of parameters that are decided on separately, with one amount.
    #[must_use]
    pub fn new(parameters: Vec<Unit>, amount: Box<dyn Curve + Send + Sync>) -> Self {
        let groups = parameters.into_iter().map(Group::single).collect();
        Self { groups, amount }
    }

    fn units(&self) -> impl Iterator<Item = &Unit> {
        self.groups.iter().flat_map(|group| &group.units)
    }
}

impl Group {
    /// A group of one parameter.
    #[must_use]
    pub fn single(unit: Unit) -> Self {
        Self {
            units: vec![unit],
            aggregation: Aggregation::First,
            followers: Vec::new(),
        }
    }

    /// A group of parameters that share a decision. `None` if there are none, or their numbers of units differ.
    #[must_use]
    pub fn shared(units: Vec<Unit>, aggregation: Aggregation) -> Option<Self> {
        let count = units.first()?.decided();
        let equal = units.iter().all(|unit| unit.decided() == count);
        equal.then_some(Self {
            units,
            aggregation,
            followers: Vec::new(),
        })
    }

    /// Adds parameters that are masked according to the decision of the group, without influence on it: biases, and
    /// scales and shifts of norms, of the same channels. `None` if their numbers of units differ.
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

    /// Sets the score by which dropped units are regrown, for selections that need one.
    #[must_use]
    pub fn with_growth(mut self, score: Box<dyn Score + Send>) -> Self {
        self.growth = Some(score);
        self
    }

    /// Sets how the masks are applied.
    #[must_use]
    pub fn with_hold(mut self, hold: Hold) -> Self {
        self.settings.hold = hold;
        self
    }

    /// Sets whether the masks are also applied to gradients.
    #[must_use]
    pub fn with_gradient_masks(mut self, gradients: GradientMasks) -> Self {
        self.settings.gradients = gradients;
        self
    }

    /// Sets what happens to the masks after the window.
    #[must_use]
    pub fn with_after(mut self, after: After) -> Self {
        self.settings.after = after;
        self
    }

    /// Sets how long a mask lasts.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Lifetime) -> Self {
        self.settings.lifetime = lifetime;
        self
    }

    /// Sets when the pruner selects after its window has fired for the first time.
    #[must_use]
    pub fn with_first(mut self, first: First) -> Self {
        self.settings.first = first;
        self
    }

    /// Sets the number of batches for scores of gradients or activations.
    #[must_use]
    pub fn with_batches(mut self, batches: Batches) -> Self {
        self.settings.batches = batches;
        self
    }

    /// Scores weights with the following batch norm folded in, `w·γ/√(σ² + ε)`, which is the effective weight of the
    /// layer. Gradients are those with respect to that weight, `g·√(σ² + ε)/γ` (zero where γ is zero), so products of
    /// weights and gradients do not change. Applies to units with a known norm; others are scored as stored.
    #[must_use]
    pub fn with_folded_norms(mut self) -> Self {
        self.settings.ranking = Ranking::Folded;
        self
    }

    /// After each selection, refits the remaining weights, and the biases of their layers, to the outputs of the layers
    /// right before it: feature-map reconstruction (He et al., 2017). The
    /// [`ActivationSource`](calcine_observe::ActivationSource) of the driver does it, for all weights of the pruner
    /// from the same samples, with one device read.
    ///
    /// It is for input channels under hard masks; the values of dropped weights are lost. The optimizer keeps its
    /// state.
    #[must_use]
    pub fn with_reconstruction(mut self, reconstruct: Reconstruct) -> Self {
        self.settings.reconstruct = Some(reconstruct);
        self
    }

    /// Sets the seed of the run, for random numbers; there is no default.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// The number of batches for which a selection has to wait after the window has fired.
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

    /// Whether the pruner selects before the next forward pass.
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

    fn activation_requests(&self) -> Vec<ActivationRequest> {
        if !self.needs_activations() {
            return Vec::new();
        }
        let units = self.targets.iter().flat_map(Target::units);
        let wanted = |unit: &Unit| ActivationRequest {
            weight: unit.parameter.path.clone(),
            needs: self.score.needs(),
            batches: self.settings.batches.of_activations(),
        };
        units.map(wanted).collect()
    }

    fn uses_activations(&self, clock: &Clock) -> bool {
        self.needs_activations() && self.decides(clock)
    }

    fn receive_activations(&mut self, found: Vec<Tensor<1>>) {
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
            // If the window fires while a selection is waiting, only its progress is updated.
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
