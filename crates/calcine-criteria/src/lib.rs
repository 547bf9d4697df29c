//! Pruning criteria: importance scores for the units of a weight, and exact selections of the units to keep.
//!
//! # Should I use this crate?
//!
//! Use it to decide *what to prune* in your own training loop, on any device, without a recipe or a
//! trainer. It works with rows (one per unit, from `calcine-fold`), not with layers or models.
//!
//! A pruner combines four parts: **score × granularity × selection × amount**. A [`Score`] assigns a number to each
//! unit (units with larger scores are kept); a [`Select`] decides from the scores which units to keep.
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
//! | score | value |
//! |---|---|
//! | [`Magnitude`] | mean of \|w\|: the element's magnitude, or a unit's length-normalised L1 norm |
//! | [`Norm`] | L1, L2 and max norms of a unit, total or normalised by its length |
//! | [`Lamp`] | squared norm divided by the sum of all squared norms that are not smaller: comparable between layers |
//! | [`GeometricMedian`] | distance to the other units |
//! | [`NormScale`] | \|γ\| of the batch norm behind the layer |
//! | [`Taylor`] | first-order change of the loss: signed, absolute, squared |
//! | [`Snip`], [`Gradient`] | Σ\|w·g\|, Σ\|g\| |
//! | [`Movement`] | −Σw·g, accumulated during training |
//! | [`SecondOrder`] | ½Σw²g²: optimal brain damage |
//! | [`Apoz`], [`MeanActivation`] | how often, and how strongly, a unit is active |
//! | [`Wanda`] | \|w\| times the norm of the input that the weight multiplies |
//! | [`Random`], [`Noisy`] | random numbers, and scores with some noise |
//!
//! A score or selection that [draws](Score::draws) random numbers needs a seed, for which there is no default: [`stream`]
//! derives one for each parameter and point in time.
//!
//! | selection | keeps |
//! |---|---|
//! | [`Threshold`] | scores above τ |
//! | [`Sensitivity`] | scores above s·σ of the weight, σ frozen at first use or refreshed |
//! | [`Level`] | all but exactly ⌊f·N⌋ of each parameter; [`Count`] rounds otherwise |
//! | [`DrawnLevel`] | the same, at a level drawn from a range |
//! | [`GlobalLevel`] | all but exactly ⌊f·ΣN⌋ units of all parameters together, or a share of their total cost |
//! | [`NOfM`] | all but ⌊f·M⌋ of every M consecutive units: 2:4 |
//! | [`Hysteresis`] | drops below one threshold, restores above another: dynamic network surgery |
//! | [`Regrow`] | a constant level; some units are dropped and as many regrown: `RigL`, SET |
//! | [`Bernoulli`] | each unit with a probability |
//!
//! An [`Aggregation`] combines the scores of units that are kept or removed together.
//!
//! [`Rounding::share`] converts every share to a number of units.
//!
//! To add a criterion, implement [`Score`] or pass a closure. Selections do not read from a GPU, except for a global level
//! over units of different cost. Scores in host memory (flex, ndarray) are selected there; scores on other devices are
//! selected by bisection on the device. The results are equal bit for bit.

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
