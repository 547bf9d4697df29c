use calcine_observe::ObserveError;
use calcine_quant::{FloatType, QuantizerError, StatisticsError};
use calcine_trace::{ForwardError, RewriteError};

use crate::SettingError;

/// Why a network cannot be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A quantizer cannot be created.
    #[error(transparent)]
    Quantizer(#[from] QuantizerError),
    /// A range is not known from calibration, or is not valid.
    #[error(
        "no range is known of what `{name}` gives: calibrate the network that is quantized, with images for which it gives finite numbers"
    )]
    NotCalibrated {
        /// The node or input.
        name: String,
    },
    /// A value is not finite.
    #[error("{what} of `{name}` is {value}: no quantizer covers it")]
    NotFinite {
        /// The layer.
        name: String,
        /// Which value it is.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// A number is too large for the float type in which it should be stored.
    #[error("`{name}` has {value}, which is no number of {kept:?}: keep it in `f32`")]
    Beyond {
        /// The parameter.
        name: String,
        /// The number.
        value: f32,
        /// The type.
        kept: FloatType,
    },
    /// Sums may exceed 32-bit integers, or integers that are exact in `f32`.
    #[error(
        "sums of `{name}` may reach {bound}, beyond {limit}: give it fewer bits, or keep it in float"
    )]
    Accumulator {
        /// The layer.
        name: String,
        /// The largest possible magnitude.
        bound: u64,
        /// The largest magnitude that is exact.
        limit: u64,
    },
    /// Quantization parameters that do not fit a layer.
    #[error("the quantization parameters of `{name}`: {problem}")]
    Parameters {
        /// The layer.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A setting has an invalid value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The statistics of a calibration are inconsistent, for example after a file was edited.
    #[error("the calibration of `{name}`: {source}")]
    Calibration {
        /// The node or input.
        name: String,
        /// The problem.
        source: StatisticsError,
    },
    /// A batch contains a value that is not finite.
    #[error(
        "batch {batch} has a number that is not finite, in `{input}`: leave that sample out, or mend it"
    )]
    Batch {
        /// The index of the batch, from 0.
        batch: usize,
        /// The input.
        input: String,
    },
    /// An override matches no layer.
    #[error("`{pattern}` matches no layer, no node and no input; nearest: {nearest}")]
    NoLayer {
        /// The pattern.
        pattern: String,
        /// The most similar names of layers.
        nearest: String,
    },
    /// The name of an override is ambiguous.
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
    /// A pattern is not valid.
    #[error("`{pattern}` is not a valid pattern: {reason}")]
    Pattern {
        /// The text.
        pattern: String,
        /// The reason.
        reason: String,
    },
    /// The weights have scales for groups of columns, but the inputs are quantized, too.
    #[error(
        "the weights of `{name}` have scales for groups of columns, and its inputs are integers, whose sums one scale must serve: leave activations in float (`bits = 0`), or leave out `group`"
    )]
    Groups {
        /// The layer.
        name: String,
    },
    /// The settings need the inputs of layers.
    #[error(
        "`rounding` other than to the nearest, `correct_bias` and `reestimate` go by what layers are fed: give the batches, `quantize_with_batches`"
    )]
    NoSamples,
    /// There is no batch for calibration.
    #[error("there is nothing to calibrate with: no batch")]
    NoBatch,
    /// The batches cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The network does not accept the changed parameters.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// The batches do not match the inputs of the network.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}
