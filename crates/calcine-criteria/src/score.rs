//! Scores: a number for each unit; larger stays.

mod magnitude;
mod norm;

pub use magnitude::Magnitude;
pub use norm::Norm;

use burn::tensor::Tensor;

/// What is known of the units of one parameter. One row, or one entry, per unit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evidence {
    /// The weight: `[units, members]`.
    pub weight: Tensor<2>,
    /// The loss gradient at the weight: `[units, members]`.
    pub gradient: Option<Tensor<2>>,
    /// A statistic of the unit's activations: `[units]`.
    pub activity: Option<Tensor<1>>,
}

impl Evidence {
    /// The weight alone.
    #[must_use]
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight,
            gradient: None,
            activity: None,
        }
    }

    /// With the gradient, of the weight's shape.
    #[must_use]
    pub fn with_gradient(mut self, gradient: Tensor<2>) -> Self {
        self.gradient = Some(gradient);
        self
    }

    /// With a statistic of each unit's activations.
    #[must_use]
    pub fn with_activity(mut self, activity: Tensor<1>) -> Self {
        self.activity = Some(activity);
        self
    }

    /// How many units there are.
    #[must_use]
    pub fn units(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// Which evidence a score cannot do without. The weight is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Needs {
    /// The weight alone.
    #[default]
    Weight,
    /// The weight and its gradient.
    Gradient,
    /// The weight and its units' activity.
    Activity,
}

/// Gives each unit a number; **larger stays**.
///
/// A closure `Fn(&Evidence) -> Tensor<1>` is a score that needs the weight alone.
///
/// # Examples
///
/// A whole criterion, the largest minus the smallest member:
///
/// ```
/// use burn::tensor::Tensor;
/// use calcine_criteria::{Evidence, Score};
///
/// #[derive(Debug)]
/// struct Span;
///
/// impl Score for Span {
///     fn score(&self, evidence: &Evidence) -> Tensor<1> {
///         let rows = evidence.weight.clone();
///         (rows.clone().max_dim(1) - rows.min_dim(1)).reshape([evidence.units()])
///     }
/// }
/// ```
pub trait Score {
    /// Which evidence must be there.
    fn needs(&self) -> Needs {
        Needs::Weight
    }

    /// The scores, on the evidence's device; nothing is read.
    ///
    /// # Shapes
    ///
    /// Result: `[units]`.
    fn score(&self, evidence: &Evidence) -> Tensor<1>;
}

impl<F: Fn(&Evidence) -> Tensor<1>> Score for F {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        self(evidence)
    }
}

impl Score for Box<dyn Score + Send> {
    fn needs(&self) -> Needs {
        (**self).needs()
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        (**self).score(evidence)
    }
}
