//! Scores: a number for each unit. Units with larger scores are kept.

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

/// The inputs of a score for the units of one parameter, with one row or one entry per unit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evidence {
    weight: Weight,
    /// The gradient of the loss with respect to the weight, for one batch: `[units, members]`.
    pub gradient: Option<Tensor<2>>,
    /// The statistic of the activations of each unit that the score [needs](Needs::Activity): `[units]`.
    pub activity: Option<Tensor<1>>,
    /// The L2 norm, over samples and positions, of the input that each weight multiplies: `[units, members]`.
    pub input_norm: Option<Tensor<2>>,
    /// The scale γ of the normalization behind the layer, for each unit: `[units]`.
    pub norm_scale: Option<Tensor<1>>,
    /// The seed of the random stream of a score that [draws](Score::draws). The caller passes a different seed for every
    /// parameter and point in time.
    pub seed: Option<u64>,
    /// Weight times gradient, if it differs from the product of the two: `[units, members]`.
    product: Option<Tensor<2>>,
    /// The purpose of the scores.
    purpose: Purpose,
}

/// The purpose of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To select the units to keep.
    Keep,
    /// To select the units to regrow.
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
    /// Evidence with the weight alone, `[units, members]`.
    #[must_use]
    pub fn new(rows: Tensor<2>) -> Self {
        Self::with_weight(Weight::Rows(rows))
    }

    /// Evidence with the weight alone in its stored layout, `[before, units, after]`. Norms then need no copy of it.
    #[must_use]
    pub fn in_place(weight: Tensor<3>) -> Self {
        Self::with_weight(Weight::InPlace(weight))
    }

    fn with_weight(weight: Weight) -> Self {
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

    /// Adds the gradient, which has the shape of the weight.
    #[must_use]
    pub fn with_gradient(mut self, gradient: Tensor<2>) -> Self {
        self.gradient = Some(gradient);
        self
    }

    /// Adds a statistic of the activations of each unit.
    #[must_use]
    pub fn with_activity(mut self, activity: Tensor<1>) -> Self {
        self.activity = Some(activity);
        self
    }

    /// Adds the norm of the input that each weight multiplies, in the shape of the weight.
    #[must_use]
    pub fn with_input_norm(mut self, norms: Tensor<2>) -> Self {
        self.input_norm = Some(norms);
        self
    }

    /// Adds the scale of the normalization of each unit.
    #[must_use]
    pub fn with_norm_scale(mut self, scale: Tensor<1>) -> Self {
        self.norm_scale = Some(scale);
        self
    }

    /// Adds the seed for random numbers.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Adds weight times gradient, `[units, members]`, for transformed weights. Folding a norm multiplies a weight and divides
    /// its gradient, which leaves their product unchanged. Scores of products use this value, so that they rank exactly as
    /// without the transformation.
    #[must_use]
    pub fn with_weight_times_gradient(mut self, product: Tensor<2>) -> Self {
        self.product = Some(product);
        self
    }

    /// Marks the evidence as one for regrowth: units whose weights are all zero are scored like all others. Otherwise some
    /// scores rank such units last, so that dropped units stay dropped.
    #[must_use]
    pub fn growing(mut self) -> Self {
        self.purpose = Purpose::Grow;
        self
    }

    /// The weight, `[units, members]`. This is a copy if the weight was given [in its stored layout](Self::in_place).
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

    /// The number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        match &self.weight {
            Weight::Rows(rows) => rows.dims()[0],
            Weight::InPlace(weight) => weight.dims()[1],
        }
    }

    /// The number of weights of a unit.
    #[must_use]
    pub fn members(&self) -> usize {
        match &self.weight {
            Weight::Rows(rows) => rows.dims()[1],
            Weight::InPlace(weight) => weight.dims()[0] * weight.dims()[2],
        }
    }

    /// The device of the weight.
    #[must_use]
    pub fn device(&self) -> Device {
        match &self.weight {
            Weight::Rows(rows) => rows.device(),
            Weight::InPlace(weight) => weight.device(),
        }
    }

    /// Applies `measure` to every weight and aggregates the results in each unit: `[units]`.
    ///
    /// In host memory, this is done in parts: writing the magnitudes of a large weight to newly allocated memory takes longer
    /// than computing them.
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
        gradient.expect("this score needs the gradient: see `Score::needs`")
    }

    /// The units that should score lowest because all their weights are zero, `[units]`; `None` if the scores are for
    /// [regrowth](Self::growing).
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
        self.seed.expect(
            "this score draws random numbers, so its evidence needs a seed: see `Score::draws`",
        )
    }

    /// # Panics
    ///
    /// If there is no activity.
    fn expect_activity(&self) -> Tensor<1> {
        let activity = self.activity.clone();
        activity.expect("this score needs the activity of the units: see `Score::needs`")
    }
}

/// The evidence that a score requires in addition to the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Needs {
    /// Only the weight.
    #[default]
    Weight,
    /// The gradient of the weight. With several batches, each batch is scored separately, and the scores are averaged.
    Gradient,
    /// A statistic of the activations of the units.
    Activity(Activity),
    /// The norms of the inputs that the weight multiplies.
    InputNorm,
    /// The scale of the normalization behind the layer.
    NormScale,
}

/// A statistic of the activations of a unit: its output, after the activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activity {
    /// The share of zeros, from 0 to 1, over all positions of all samples: APoZ.
    ZeroShare,
    /// The mean over all positions of all samples.
    Mean,
}

/// A score assigns a number to each unit. **Units with larger scores are kept.**
///
/// A closure `Fn(&Evidence) -> Tensor<1>` is a score that needs only the weight.
///
/// # Panics
///
/// Scores panic if evidence that they [need](Score::needs) is missing, or the seed if they [draw](Score::draws) random
/// numbers.
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
    /// The required evidence.
    fn needs(&self) -> Needs {
        Needs::Weight
    }

    /// Whether the score draws random numbers, so that the evidence needs a [seed](Evidence::seed).
    fn draws(&self) -> bool {
        false
    }

    /// The scores, on the device of the evidence. Nothing is read from the device, unless the score documents it.
    ///
    /// # Shapes
    ///
    /// Result: `[units]`.
    fn score(&self, evidence: &Evidence) -> Tensor<1>;

    /// The same scores in the form for a selection. If the scores are magnitudes of existing numbers, the numbers are
    /// returned, and the selection computes the magnitudes while it reads them.
    fn deferred(&self, evidence: &Evidence) -> Scores {
        self.score(evidence).into()
    }

    /// The scores of one batch, which are averaged over several batches. They do not include what is done once per selection,
    /// in [`of_mean`](Self::of_mean).
    fn of_batch(&self, evidence: &Evidence) -> Tensor<1> {
        self.score(evidence)
    }

    /// The final scores, given the mean over the batches.
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

/// The sum of the members of each unit: `[units]`.
fn row_sums(rows: Tensor<2>) -> Tensor<1> {
    let [units, members] = rows.dims();
    if members == 1 {
        rows.reshape([units])
    } else {
        rows.sum_dim(1).reshape([units])
    }
}

/// The number of values that are aggregated at once in host memory: 64 KiB, so that intermediate results stay in the
/// cache of the core.
const PART: usize = 1 << 14;

/// How the values of a unit are aggregated.
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
