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

use burn::tensor::{Bool, Device, Tensor};
use rayon::prelude::*;

use calcine_device::in_host_memory;

/// What is known of the units of one parameter. One row, or one entry, per unit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evidence {
    weight: Weight,
    /// The loss gradient at the weight, of one batch: `[units, members]`.
    pub gradient: Option<Tensor<2>>,
    /// The statistic of each unit's activations that the score [needs](Needs::Activity): `[units]`.
    pub activity: Option<Tensor<1>>,
    /// The L2 norm, over samples and positions, of the input that each weight multiplies: `[units, members]`.
    pub input_norm: Option<Tensor<2>>,
    /// The scale γ that the normalisation after the layer gives the unit's output: `[units]`.
    pub norm_scale: Option<Tensor<1>>,
    /// What a score that [draws](Score::draws) derives its random stream from; the caller gives every parameter
    /// and every moment another.
    pub seed: Option<u64>,
    /// Weight times gradient, where it is not the product of the two: `[units, members]`.
    product: Option<Tensor<2>>,
    /// What the scores are for.
    purpose: Purpose,
}

/// What scores are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To choose what stays.
    Keep,
    /// To choose what grows again.
    Grow,
}

#[derive(Debug, Clone)]
enum Weight {
    /// `[units, members]`.
    Rows(Tensor<2>),
    /// `[before, units, after]`.
    InPlace(Tensor<3>),
}

impl Evidence {
    /// The weight alone, `[units, members]`.
    #[must_use]
    pub fn new(rows: Tensor<2>) -> Self {
        Self::of(Weight::Rows(rows))
    }

    /// The weight alone as it is stored, `[before, units, after]`. Norms need no copy of it then.
    #[must_use]
    pub fn in_place(weight: Tensor<3>) -> Self {
        Self::of(Weight::InPlace(weight))
    }

    fn of(weight: Weight) -> Self {
        Self {
            weight,
            gradient: None,
            activity: None,
            input_norm: None,
            norm_scale: None,
            seed: None,
            product: None,
            purpose: Purpose::Keep,
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
        self.seed = Some(seed);
        self
    }

    /// With weight times gradient, `[units, members]`, where what is scored is a transformed weight: the folding of a
    /// norm multiplies a weight and divides its gradient, so it changes no product. Scores of products use it, and
    /// so they rank exactly as without the transformation.
    #[must_use]
    pub fn with_weight_times_gradient(mut self, product: Tensor<2>) -> Self {
        self.product = Some(product);
        self
    }

    /// For choosing what grows again: units whose weights are all zero are scored like any other. Else some scores
    /// put them last, so that what was dropped stays dropped.
    #[must_use]
    pub fn growing(mut self) -> Self {
        self.purpose = Purpose::Grow;
        self
    }

    /// The weight: `[units, members]`. A copy, if it was given [as stored](Self::in_place).
    #[must_use]
    pub fn rows(&self) -> Tensor<2> {
        match &self.weight {
            Weight::Rows(rows) => rows.clone(),
            Weight::InPlace(weight) => {
                let [before, units, after] = weight.dims();
                let rows = weight.clone().swap_dims(0, 1);
                rows.reshape([units, before * after])
            }
        }
    }

    /// How many units there are.
    #[must_use]
    pub fn units(&self) -> usize {
        match &self.weight {
            Weight::Rows(rows) => rows.dims()[0],
            Weight::InPlace(weight) => weight.dims()[1],
        }
    }

    /// How many weights a unit has.
    #[must_use]
    pub fn members(&self) -> usize {
        match &self.weight {
            Weight::Rows(rows) => rows.dims()[1],
            Weight::InPlace(weight) => weight.dims()[0] * weight.dims()[2],
        }
    }

    /// Where the weight is.
    #[must_use]
    pub fn device(&self) -> Device {
        match &self.weight {
            Weight::Rows(rows) => rows.device(),
            Weight::InPlace(weight) => weight.device(),
        }
    }

    /// What `measure` makes of every weight, joined in each unit: `[units]`.
    ///
    /// In host memory that is done part by part: the magnitudes of a large weight take longer to write to
    /// fresh memory than to compute.
    fn joined(&self, join: Join, measure: impl Fn(Tensor<3>) -> Tensor<3> + Sync) -> Tensor<1> {
        let (weight, split) = match &self.weight {
            Weight::Rows(rows) => {
                let [units, members] = rows.dims();
                (rows.clone().reshape([1, units, members]), 1)
            }
            Weight::InPlace(weight) => (weight.clone(), 0),
        };
        let shape = weight.dims();
        let whole = |part: Tensor<3>| join.along(join.along(measure(part), 2), 0);
        let step = (PART * shape[split] / weight.shape().num_elements()).max(1);
        if shape[split] <= 4 * step || !in_host_memory(&weight.device()) {
            return whole(weight).reshape([shape[1]]);
        }
        let starts: Vec<usize> = (0..shape[split]).step_by(step).collect();
        let part = |start: usize| {
            let mut range = shape.map(|length| 0..length);
            range[split] = start..shape[split].min(start + step);
            whole(weight.clone().slice(range))
        };
        let parts = Tensor::cat(starts.into_par_iter().map(part).collect(), split);
        join.along(parts, 0).reshape([shape[1]])
    }

    /// Weight times gradient: `[units, members]`.
    fn weight_times_gradient(&self) -> Tensor<2> {
        let gradient = self.expect_gradient();
        let product = self.product.clone();
        product.unwrap_or_else(|| self.rows() * gradient)
    }

    /// # Panics
    ///
    /// If there is no gradient.
    fn expect_gradient(&self) -> Tensor<2> {
        let gradient = self.gradient.clone();
        gradient.expect("this score needs the gradient: ask `Score::needs`")
    }

    /// The units that are to score lowest since all their weights are zero: `[units]`. None where the scores are for
    /// [growing](Self::growing).
    fn is_dead(&self) -> Tensor<1, Bool> {
        match self.purpose {
            Purpose::Keep => self.joined(Join::Max, Tensor::abs).equal_elem(0.0),
            Purpose::Grow => Tensor::<1>::zeros([self.units()], &self.device()).not_equal_elem(0.0),
        }
    }

    /// # Panics
    ///
    /// If there is no seed.
    fn expect_seed(&self) -> u64 {
        self.seed
            .expect("this score draws at random: give its evidence a seed, see `Score::draws`")
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
/// Scores panic if evidence that they [need](Score::needs) is not there, or a seed if they
/// [draw](Score::draws).
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
///         let rows = evidence.rows();
///         (rows.clone().max_dim(1) - rows.min_dim(1)).reshape([evidence.units()])
///     }
/// }
/// ```
pub trait Score {
    /// Which evidence must be there.
    fn needs(&self) -> Needs {
        Needs::Weight
    }

    /// Whether it draws at random, so that its evidence needs a [seed](Evidence::seed).
    fn draws(&self) -> bool {
        false
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

    /// The scores of one batch, of which the mean over several batches is taken. They are the scores, but for what
    /// happens once a selection, in [`of_mean`](Self::of_mean).
    fn of_batch(&self, evidence: &Evidence) -> Tensor<1> {
        self.score(evidence)
    }

    /// The scores, given the mean over batches.
    fn of_mean(&self, mean: Tensor<1>, evidence: &Evidence) -> Tensor<1> {
        let _ = evidence;
        mean
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

    fn draws(&self) -> bool {
        (**self).draws()
    }

    fn deferred(&self, evidence: &Evidence) -> Scores {
        (**self).deferred(evidence)
    }

    fn of_batch(&self, evidence: &Evidence) -> Tensor<1> {
        (**self).of_batch(evidence)
    }

    fn of_mean(&self, mean: Tensor<1>, evidence: &Evidence) -> Tensor<1> {
        (**self).of_mean(mean, evidence)
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

/// Numbers that are joined at once in host memory: 64 KiB, so that what lies between stays close to its
/// core.
const PART: usize = 1 << 14;

/// How numbers of a unit become one.
#[derive(Debug, Clone, Copy)]
enum Join {
    Sum,
    Max,
}

impl Join {
    fn along(self, numbers: Tensor<3>, axis: usize) -> Tensor<3> {
        if numbers.dims()[axis] == 1 {
            return numbers;
        }
        match self {
            Self::Sum => numbers.sum_dim(axis),
            Self::Max => numbers.max_dim(axis),
        }
    }
}
