use calcine_observe::ObserveError;
use calcine_quant::{FloatType, QuantizerError, StatisticsError};
use calcine_trace::{ForwardError, RewriteError};

use crate::SettingError;

/// A network that cannot be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// There is no such quantizer.
    #[error(transparent)]
    Quantizer(#[from] QuantizerError),
    /// A range that calibration did not see, or that is none.
    #[error(
        "no range is known of what `{name}` gives: calibrate the network that is quantized, with images for which it gives finite numbers"
    )]
    NotCalibrated {
        /// The node or input.
        name: String,
    },
    /// A value that is not a number.
    #[error("{what} of `{name}` is {value}: no quantizer covers it")]
    NotFinite {
        /// The layer.
        name: String,
        /// What of it.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// A number too large for the type that it is to be kept in.
    #[error("`{name}` has {value}, which is no number of {kept:?}: keep it in `f32`")]
    Beyond {
        /// The parameter.
        name: String,
        /// The number.
        value: f32,
        /// The type.
        kept: FloatType,
    },
    /// Sums that 32-bit integers may not hold, or 32-bit numbers not exactly.
    #[error(
        "sums of `{name}` may reach {bound}, beyond {limit}: give it fewer bits, or keep it in float"
    )]
    Accumulator {
        /// The layer.
        name: String,
        /// The largest magnitude.
        bound: u64,
        /// The largest that is exact.
        limit: u64,
    },
    /// A setting whose value is none that it can have.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A calibration whose statistics are of no numbers, as an edited file may have them.
    #[error("the calibration of `{name}`: {source}")]
    Calibration {
        /// The node or input.
        name: String,
        /// What is wrong.
        source: StatisticsError,
    },
    /// A batch with a number that is none.
    #[error(
        "batch {batch} has a number that is not finite, in `{input}`: leave that sample out, or mend it"
    )]
    Batch {
        /// Which, from 0.
        batch: usize,
        /// The input.
        input: String,
    },
    /// An override for layers that are not there.
    #[error("`{pattern}` matches no layer, no node and no input; nearest: {nearest}")]
    NoLayer {
        /// The pattern.
        pattern: String,
        /// Layers that there are.
        nearest: String,
    },
    /// A name that two things could have.
    #[error(
        "`{pattern}` could be the layer of `{other}` and what the network is fed: write `{other}` or `{input}`"
    )]
    Ambiguous {
        /// The name.
        pattern: String,
        /// The weight of the layer.
        other: String,
        /// The input.
        input: String,
    },
    /// A pattern that is none.
    #[error("`{pattern}` is no pattern: {reason}")]
    Pattern {
        /// The text.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// Weights with scales for groups of columns, where inputs are integers too.
    #[error(
        "the weights of `{name}` have scales for groups of columns, and its inputs are integers, whose sums one scale must serve: leave activations in float (`bits = 0`), or leave out `group`"
    )]
    Groups {
        /// The layer.
        name: String,
    },
    /// Settings that go by what layers are fed.
    #[error(
        "`rounding` other than to the nearest, `correct_bias` and `reestimate` go by what layers are fed: give the batches, `quantize_with_batches`"
    )]
    NoSamples,
    /// No batch to calibrate with.
    #[error("there is nothing to calibrate with: no batch")]
    NoBatch,
    /// Batches that cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A network that does not take other parameters.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// Batches that do not fit.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}
