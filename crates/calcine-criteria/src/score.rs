//! Scores: a number for each unit; larger stays.

mod apoz;
mod geometric_median;
mod gradient;
mod lamp;
mod magnitude;
mod mean_activation;
mod movement;
mod noisy;
mod norm;
mod norm_scale;
mod random;
mod scores;
mod second_order;
mod snip;
mod taylor;
mod wanda;

pub use apoz::Apoz;
pub use geometric_median::GeometricMedian;
pub use gradient::Gradient;
pub use lamp::Lamp;
pub use magnitude::Magnitude;
pub use mean_activation::MeanActivation;
pub use movement::Movement;
pub use noisy::Noisy;
pub use norm::Norm;
pub use norm_scale::NormScale;
pub use random::Random;
pub use scores::Scores;
pub use second_order::SecondOrder;
pub use snip::Snip;
pub use taylor::Taylor;
pub use wanda::Wanda;

use burn::tensor::{Bool, Tensor};
use rayon::prelude::*;

use crate::host::in_host_memory;

/// What is known of the units of one parameter. One row, or one entry, per unit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evidence {
    /// The weight: `[units, members]`.
    pub weight: Tensor<2>,
    /// The loss gradient at the weight, of one batch: `[units, members]`.
    pub gradient: Option<Tensor<2>>,
    /// The statistic of each unit's activations that the score [needs](Needs::Activity): `[units]`.
    pub activity: Option<Tensor<1>>,
    /// The L2 norm, over samples and positions, of the input that each weight multiplies: `[units, members]`.
    pub input_norm: Option<Tensor<2>>,
    /// The scale γ that the normalisation after the layer gives the unit's output: `[units]`.
    pub norm_scale: Option<Tensor<1>>,
    /// What a score that draws lots derives its random stream from; the caller gives every parameter
    /// and every moment another.
    pub seed: u64,
}

impl Evidence {
    /// The weight alone, with seed 0.
    #[must_use]
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight,
            gradient: None,
            activity: None,
            input_norm: None,
            norm_scale: None,
            seed: 0,
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

    /// With the norm of the input that each weight multiplies, of the weight's shape.
    #[must_use]
    pub fn with_input_norm(mut self, norms: Tensor<2>) -> Self {
        self.input_norm = Some(norms);
        self
    }

    /// With the scale of each unit's normalisation.
    #[must_use]
    pub fn with_norm_scale(mut self, scale: Tensor<1>) -> Self {
        self.norm_scale = Some(scale);
        self
    }

    /// With the seed of what is drawn.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many units there are.
    #[must_use]
    pub fn units(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Weight times gradient: `[units, members]`.
    fn weight_times_gradient(&self) -> Tensor<2> {
        self.weight.clone() * self.expect_gradient()
    }

    /// # Panics
    ///
    /// If there is no gradient.
    fn expect_gradient(&self) -> Tensor<2> {
        let gradient = self.gradient.clone();
        gradient.expect("this score needs the gradient: ask `Score::needs`")
    }

    /// Whether all weights of a unit are zero: `[units]`.
    fn is_dead(&self) -> Tensor<1, Bool> {
        let largest = self.weight.clone().abs().max_dim(1);
        largest.reshape([self.units()]).equal_elem(0.0)
    }

    /// # Panics
    ///
    /// If there is no activity.
    fn expect_activity(&self) -> Tensor<1> {
        let activity = self.activity.clone();
        activity.expect("this score needs the units' activity: ask `Score::needs`")
    }
}

/// Which evidence a score cannot do without. The weight is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Needs {
    /// The weight alone.
    #[default]
    Weight,
    /// The weight and its gradient. Of several batches, the scores are averaged: each batch is scored by
    /// itself.
    Gradient,
    /// A statistic of the units' activations.
    Activity(Activity),
    /// The weight and the norms of what it multiplies.
    InputNorm,
    /// The scale of the normalisation that follows.
    NormScale,
}

/// A statistic of a unit's activations: what comes out of it, after its activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activity {
    /// The share of zeros, from 0 to 1, over all positions of all samples: APoZ.
    ZeroShare,
    /// The mean over all positions of all samples.
    Mean,
}

/// Gives each unit a number; **larger stays**.
///
/// A closure `Fn(&Evidence) -> Tensor<1>` is a score that needs the weight alone.
///
/// # Panics
///
/// Scores panic if evidence that they [need](Score::needs) is not there.
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

    /// The scores, on the evidence's device. Nothing is read, unless the score says so.
    ///
    /// # Shapes
    ///
    /// Result: `[units]`.
    fn score(&self, evidence: &Evidence) -> Tensor<1>;

    /// The same scores for a selection, which can take magnitudes by itself: what is already there is
    /// handed on, and nothing is computed twice.
    fn deferred(&self, evidence: &Evidence) -> Scores {
        self.score(evidence).into()
    }
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

    fn deferred(&self, evidence: &Evidence) -> Scores {
        (**self).deferred(evidence)
    }
}

/// Sums over each unit's members: `[units]`.
fn row_sums(rows: Tensor<2>) -> Tensor<1> {
    let [units, members] = rows.dims();
    if members == 1 {
        rows.reshape([units])
    } else {
        rows.sum_dim(1).reshape([units])
    }
}

/// Numbers that are reduced at once in host memory: 64 KiB, so that what lies between stays close to its
/// core.
const PART: usize = 1 << 14;

/// What `reduce` makes of each row: `[units, members]` to `[units]`.
///
/// In host memory that is done a few rows at a time: the magnitudes of a large weight take longer to write
/// to fresh memory than to compute.
fn reduced(rows: Tensor<2>, reduce: impl Fn(Tensor<2>) -> Tensor<2> + Sync) -> Tensor<1> {
    let [units, members] = rows.dims();
    let step = (PART / members).max(1);
    if units <= 4 * step || !in_host_memory(&rows.device()) {
        return reduce(rows).reshape([units]);
    }
    let starts: Vec<usize> = (0..units).step_by(step).collect();
    let part = |start| reduce(rows.clone().slice(start..units.min(start + step)));
    let parts = starts.into_par_iter().map(part).collect();
    Tensor::cat(parts, 0).reshape([units])
}
