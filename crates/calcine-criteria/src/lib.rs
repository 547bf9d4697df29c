//! Pruning criteria: scores for the units of a weight, and the choice of which to keep.
//!
//! # Should I use this crate?
//!
//! Use it to decide *what to prune* in a loop of your own, on any device, without a recipe or a
//! trainer. It knows rows (one per unit, from `calcine-fold`), not layers or models.
//!
//! A pruner is a product: **score × granularity × select × amount**. A [`Score`] gives each unit a number
//! (larger stays); a [`Select`] turns numbers into a decision.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use calcine_criteria::{Candidate, Evidence, Level, Norm, Score, Select};
//!
//! let filters = Tensor::<2>::from_data([[3.0, 1.0], [0.1, 0.2], [2.0, 2.0]], &Device::flex());
//! let scores = Norm::L1.score(&Evidence::new(filters));
//! let keep = Level::default().keep(&[Candidate::new(scores)], 0.34).remove(0);
//! assert_eq!(keep.into_data().to_vec::<bool>().unwrap(), [true, false, true]);
//! ```
//!
//! | scores | larger stays |
//! |---|---|
//! | [`Magnitude`] | mean of \|w\|: the element's magnitude, or a unit's length-normalised L1 norm |
//! | [`Norm`] | L1, L2 and max norms of a unit, total or normalised by its length |
//! | [`Lamp`] | squared norm as a share of all no smaller: comparable between layers |
//! | [`GeometricMedian`] | distance to the other units |
//! | [`NormScale`] | \|γ\| of the normalisation that follows |
//! | [`Taylor`] | first-order change of the loss: signed, absolute, squared |
//! | [`Snip`], [`Gradient`] | Σ\|w·g\|, Σ\|g\| |
//! | [`Movement`] | −Σw·g, over a training |
//! | [`SecondOrder`] | ½Σw²g²: optimal brain damage |
//! | [`Apoz`], [`MeanActivation`] | how often, and how strongly, a unit is active |
//! | [`Wanda`] | \|w\| times the norm of what the weight multiplies |
//! | [`Random`], [`Noisy`] | random numbers, and scores with some noise |
//!
//! What [draws](Score::draws) needs a seed, of which there is no default: [`stream`] makes one for each parameter and
//! moment.
//!
//! | selections | keeps |
//! |---|---|
//! | [`Threshold`] | scores above τ |
//! | [`Sensitivity`] | scores above s·σ of the weight, σ frozen at first use or refreshed |
//! | [`Level`] | all but exactly ⌊f·N⌋ of each parameter; [`Count`] rounds otherwise |
//! | [`DrawnLevel`] | the same, at a level drawn from a range |
//! | [`GlobalLevel`] | all but exactly ⌊f·ΣN⌋ of all parameters together, or of what they cost |
//! | [`NOfM`] | all but ⌊f·M⌋ of every M consecutive units: 2:4 |
//! | [`Hysteresis`] | dropped below one threshold, taken back above another: network surgery |
//! | [`Regrow`] | a constant level whose members change: `RigL`, SET |
//! | [`Bernoulli`] | each unit with a probability |
//!
//! Scores of units that are kept or removed together become one by an [`Aggregation`].
//!
//! Wherever a share becomes a number it is [`Rounding::share`] that does it.
//!
//! Adding a criterion is adding a file: implement [`Score`] (or pass a closure) and nothing else
//! changes. No selection reads a GPU (but a global level over units of different cost): where scores live in host memory (flex, ndarray) they are
//! selected in place, elsewhere by bisection on the device, and both agree bit for bit.

mod aggregation;
pub mod score;
pub mod select;
mod share;
mod stream;

pub use aggregation::Aggregation;
pub use score::{
    Activity, Apoz, Evidence, GeometricMedian, Gradient, Lamp, Magnitude, MeanActivation, Movement,
    Needs, Noisy, Norm, NormScale, Random, Score, Scores, SecondOrder, Snip, Taylor, Wanda,
};
pub use select::{
    AtLeast, Bernoulli, Candidate, Count, DrawnLevel, GlobalLevel, Hysteresis, Level, NOfM,
    Reference, Regrow, Rescale, Select, Sensitivity, Threshold,
};
pub use share::Rounding;
pub use stream::stream;
