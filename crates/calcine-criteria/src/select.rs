//! Selections: from scores to a decision for each unit.

mod global;
mod level;
mod sensitivity;
mod smallest;
mod threshold;

pub use global::GlobalLevel;
pub use level::Level;
pub use sensitivity::Sensitivity;
pub use threshold::Threshold;

use burn::tensor::{Bool, Tensor};

/// The units of one parameter, up for selection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Candidate {
    /// A score per unit; larger stays: `[units]`.
    pub scores: Tensor<1>,
    /// What the last selection kept, if there was one: `[units]`.
    pub kept: Option<Tensor<1, Bool>>,
    /// What [`Select::reference`] measured at the first selection.
    pub reference: Option<Tensor<1>>,
}

impl Candidate {
    /// Scores alone: a first selection.
    #[must_use]
    pub fn new(scores: Tensor<1>) -> Self {
        Self {
            scores,
            kept: None,
            reference: None,
        }
    }

    /// With what the last selection kept.
    #[must_use]
    pub fn with_kept(mut self, kept: Option<Tensor<1, Bool>>) -> Self {
        self.kept = kept;
        self
    }

    /// With the reference measured at the first selection.
    #[must_use]
    pub fn with_reference(mut self, reference: Option<Tensor<1>>) -> Self {
        self.reference = reference;
        self
    }
}

/// Decides which units to keep.
///
/// It sees all parameters of a pruner at once, so that layers can compete for a common budget.
/// Nothing is read from a GPU.
pub trait Select {
    /// A measure of the parameter, taken once before its first selection and handed back, frozen, in
    /// every [`Candidate`]. Most selections need none.
    ///
    /// # Shapes
    ///
    /// `weight`: `[units, members]`; `scores`: `[units]`; result: any vector.
    fn reference(&self, weight: &Tensor<2>, scores: &Tensor<1>) -> Option<Tensor<1>> {
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
}

impl Select for Box<dyn Select + Send> {
    fn reference(&self, weight: &Tensor<2>, scores: &Tensor<1>) -> Option<Tensor<1>> {
        (**self).reference(weight, scores)
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        (**self).keep(candidates, amount)
    }
}
