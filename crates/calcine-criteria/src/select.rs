//! Selections: from scores to a decision for each unit.

mod bernoulli;
mod count;
mod drawn_level;
mod global;
mod hysteresis;
mod level;
mod n_of_m;
mod regrow;
mod sensitivity;
mod smallest;
mod threshold;

pub use bernoulli::Bernoulli;
pub use count::{AtLeast, Count};
pub use drawn_level::DrawnLevel;
pub use global::GlobalLevel;
pub use hysteresis::Hysteresis;
pub use level::Level;
pub use n_of_m::NOfM;
pub use regrow::Regrow;
pub use sensitivity::Sensitivity;
pub use threshold::Threshold;

use burn::tensor::{Bool, Tensor};

use crate::score::Scores;

/// The units of one parameter, up for selection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// A score per unit; larger stays: `[units]`.
    pub scores: Scores,
    /// What the last selection kept, if there was one: `[units]`.
    pub kept: Option<Tensor<1, Bool>>,
    /// What [`Select::measure`] gave, now or at the first selection.
    pub reference: Option<Tensor<1>>,
    /// For selections that regrow, how much each unit would be worth: `[units]`.
    pub growth: Option<Tensor<1>>,
    /// What one unit costs, in whatever the budget counts.
    pub cost: u64,
    /// What a selection that [draws](Select::draws) derives its random stream from.
    pub seed: Option<u64>,
}

impl Candidate {
    /// Scores alone: a first selection, with units of cost 1.
    #[must_use]
    pub fn new(scores: impl Into<Scores>) -> Self {
        Self {
            scores: scores.into(),
            kept: None,
            reference: None,
            growth: None,
            cost: 1,
            seed: None,
        }
    }

    /// With what the last selection kept.
    #[must_use]
    pub fn with_kept(mut self, kept: Option<Tensor<1, Bool>>) -> Self {
        self.kept = kept;
        self
    }

    /// With what [`Select::measure`] gave.
    #[must_use]
    pub fn with_reference(mut self, reference: Option<Tensor<1>>) -> Self {
        self.reference = reference;
        self
    }

    /// With growth scores.
    #[must_use]
    pub fn with_growth(mut self, growth: Option<Tensor<1>>) -> Self {
        self.growth = growth;
        self
    }

    /// With the cost of a unit.
    #[must_use]
    pub fn with_cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// With the seed of what is drawn.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn expect_reference(&self) -> Tensor<1> {
        let reference = self.reference.clone();
        reference.expect("this selection needs what `Select::measure` gave")
    }

    /// # Panics
    ///
    /// If there is no seed.
    fn expect_seed(&self) -> u64 {
        self.seed.expect(
            "this selection draws at random: give its candidates a seed, see `Select::draws`",
        )
    }
}

/// Whether a selection compares with a measure of the parameter, and of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reference {
    /// It needs none.
    #[default]
    None,
    /// Of the first selection.
    Frozen,
    /// Of this selection.
    Refreshed,
}

/// Whether the forward pass scales what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rescale {
    /// It sees the weights as they are.
    #[default]
    Nothing,
    /// Kept units are multiplied by units / kept units, so that sums keep their expectation (inverted
    /// dropout). For masks on the forward pass: stored weights are never scaled.
    Kept,
}

/// Decides which units to keep.
///
/// It sees all parameters of a pruner at once, so that layers can compete for a common budget.
/// Nothing is read from a GPU, unless the selection says so.
pub trait Select {
    /// Whether it draws at random, so that its candidates need a [seed](Candidate::seed).
    fn draws(&self) -> bool {
        false
    }

    /// Whether it lets units grow again, so that its candidates need a [growth score](Candidate::growth).
    fn grows(&self) -> bool {
        false
    }

    /// Whether it can select from a parameter of so many units.
    ///
    /// # Errors
    ///
    /// If it cannot, with what would be valid; [`keep`](Self::keep) panics then.
    fn check(&self, units: usize) -> Result<(), String> {
        let _ = units;
        Ok(())
    }

    /// Whether [`measure`](Self::measure) is wanted, and of when.
    fn reference(&self) -> Reference {
        Reference::None
    }

    /// A measure of the parameter, handed back in its [`Candidate`].
    ///
    /// # Shapes
    ///
    /// `weight`: `[units, members]`; `scores`: `[units]`; result: any vector.
    fn measure(&self, weight: &Tensor<2>, scores: &Tensor<1>) -> Option<Tensor<1>> {
        let _ = (weight, scores);
        None
    }

    /// One decision per candidate: true keeps.
    ///
    /// What `amount` means is the selection's own: a level, a threshold, a multiple of σ.
    ///
    /// # Shapes
    ///
    /// Results: `[units]` of each candidate.
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>>;

    /// How many units in all a selection by this amount leaves dropped, of candidates that have so many units
    /// each and equal costs; `None` if scores or draws decide that.
    ///
    /// With it a pruner knows before the first step whether it can drop anything.
    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        let _ = (units, amount);
        None
    }

    /// Whether candidates compete: what one loses depends on the others.
    fn competes(&self) -> bool {
        false
    }

    /// Whether the forward pass scales what is kept.
    fn rescale(&self) -> Rescale {
        Rescale::Nothing
    }
}

impl Select for Box<dyn Select + Send> {
    fn draws(&self) -> bool {
        (**self).draws()
    }

    fn grows(&self) -> bool {
        (**self).grows()
    }

    fn check(&self, units: usize) -> Result<(), String> {
        (**self).check(units)
    }

    fn reference(&self) -> Reference {
        (**self).reference()
    }

    fn measure(&self, weight: &Tensor<2>, scores: &Tensor<1>) -> Option<Tensor<1>> {
        (**self).measure(weight, scores)
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        (**self).keep(candidates, amount)
    }

    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        (**self).to_drop(units, amount)
    }

    fn competes(&self) -> bool {
        (**self).competes()
    }

    fn rescale(&self) -> Rescale {
        (**self).rescale()
    }
}

/// The unbiased standard deviation of all values, 0 of a single one: `[1]`.
fn deviation(values: Tensor<1>) -> Tensor<1> {
    let count = values.dims()[0];
    let mean = values.clone().mean();
    (values - mean)
        .square()
        .sum()
        .div_scalar(count.saturating_sub(1).max(1) as f64)
        .sqrt()
}
