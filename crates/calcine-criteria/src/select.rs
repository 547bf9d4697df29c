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

/// The units of one parameter from which a selection chooses.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// A score per unit, `[units]`. Units with larger scores are kept.
    pub scores: Scores,
    /// The units that the last selection kept, if there was one: `[units]`.
    pub kept: Option<Tensor<1, Bool>>,
    /// The result of [`Select::measure`], of now or of the first selection.
    pub reference: Option<Tensor<1>>,
    /// Growth scores for selections that regrow units: `[units]`.
    pub growth: Option<Tensor<1>>,
    /// The cost of one unit, in the unit of the budget.
    pub cost: u64,
    /// The seed of the random stream of a selection that [draws](Select::draws).
    pub seed: Option<u64>,
}

impl Candidate {
    /// A candidate with scores alone, for a first selection with units of cost 1.
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

    /// Adds the units that the last selection kept.
    #[must_use]
    pub fn with_kept(mut self, kept: Option<Tensor<1, Bool>>) -> Self {
        self.kept = kept;
        self
    }

    /// Adds the result of [`Select::measure`].
    #[must_use]
    pub fn with_reference(mut self, reference: Option<Tensor<1>>) -> Self {
        self.reference = reference;
        self
    }

    /// Adds growth scores.
    #[must_use]
    pub fn with_growth(mut self, growth: Option<Tensor<1>>) -> Self {
        self.growth = growth;
        self
    }

    /// Sets the cost of a unit.
    #[must_use]
    pub fn with_cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Adds the seed for random numbers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn expect_reference(&self) -> Tensor<1> {
        let reference = self.reference.clone();
        reference.expect("this selection needs the result of `Select::measure`")
    }

    /// # Panics
    ///
    /// If there is no seed.
    fn expect_seed(&self) -> u64 {
        self.seed.expect(
            "this selection draws random numbers, so its candidates need a seed: see `Select::draws`",
        )
    }
}

/// Whether a selection uses a measure of the parameter, and when it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reference {
    /// The selection needs no measure.
    #[default]
    None,
    /// The measure is taken at the first selection.
    Frozen,
    /// The measure is taken at each selection.
    Refreshed,
}

/// Whether the forward pass scales the units that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rescale {
    /// Weights are not scaled.
    #[default]
    Nothing,
    /// Kept units are multiplied by units / kept units, so that the expectation of sums is unchanged (inverted dropout). Only the
    /// forward pass is scaled, never the stored weights.
    Kept,
}

/// A selection decides which units to keep.
///
/// It receives all parameters of a pruner at once, so that layers can compete for a common budget. Nothing is read from a GPU,
/// unless the selection documents it.
pub trait Select {
    /// Whether the selection draws random numbers, so that its candidates need a [seed](Candidate::seed).
    fn draws(&self) -> bool {
        false
    }

    /// Whether the selection regrows units, so that its candidates need a [growth score](Candidate::growth).
    fn grows(&self) -> bool {
        false
    }

    /// Checks whether the selection is possible for a parameter with this number of units.
    ///
    /// # Errors
    ///
    /// If it is not, with what would be valid; [`keep`](Self::keep) panics in this case.
    fn check(&self, units: usize) -> Result<(), String> {
        let _ = units;
        Ok(())
    }

    /// Whether the selection uses [`measure`](Self::measure), and when it is taken.
    fn reference(&self) -> Reference {
        Reference::None
    }

    /// A measure of the parameter, which is passed back in its [`Candidate`].
    ///
    /// # Shapes
    ///
    /// `weight`: `[units, members]`; `scores`: `[units]`; result: any vector.
    fn measure(&self, weight: &Tensor<2>, scores: &Tensor<1>) -> Option<Tensor<1>> {
        let _ = (weight, scores);
        None
    }

    /// The decision for each candidate: true means keep.
    ///
    /// The meaning of `amount` depends on the selection: a level, a threshold, a multiple of σ.
    ///
    /// # Shapes
    ///
    /// Results: `[units]` of each candidate.
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>>;

    /// The total number of units that are dropped with this amount, for candidates with these numbers of units and equal costs;
    /// `None` if it depends on scores or random numbers.
    ///
    /// A pruner uses it to find out before the first step whether it can drop anything.
    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        let _ = (units, amount);
        None
    }

    /// Whether candidates compete, so that the decision for one depends on the others.
    fn competes(&self) -> bool {
        false
    }

    /// Whether the forward pass scales the units that are kept.
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
