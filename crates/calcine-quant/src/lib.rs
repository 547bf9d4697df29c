//! The mathematics of quantization: quantizers, ranges, fake-quantization with gradients, fixed-point factors.
//!
//! # Should I use this crate?
//!
//! Yes, to quantize numbers or to train with quantized ones in code of your own. To quantize a whole network after
//! training, `calcine-quantize` does it.
//!
//! # The parts
//!
//! | item | what |
//! |---|---|
//! | [`Quantizer`], [`Scheme`] | which integers stand for which numbers, in ONNX's convention |
//! | [`DistillerQuantizer`] | the same in Distiller's convention, and conversions |
//! | [`RangeEstimator`], [`Observer`], [`CalibrationStatistics`], [`Counts`] | which part of the observed range a quantizer covers: min-max, averages, ACIQ, percentiles, least error |
//! | [`MovingRange`] | a range that follows training |
//! | [`fake_quantize`], [`fake_quantize_between`], [`fake_quantize_rows`] | numbers fake-quantized, gradients straight through |
//! | [`Method`] | which of these a network trains with |
//! | [`lsq`], [`lsq_plus`], [`pact`], [`dorefa_weight`], [`wrpn_weight`], [`unit_activation`], [`ternary_weight`], [`ttq_weight`] | quantizers that are learned, and weights that are made to fit theirs |
//! | [`GroupedWeight`], [`pack`], [`unpack`] | weights of few bits with a scale a group, and integers without gaps |
//! | [`FloatType`] | numbers of 16 bits, where they are no integers |
//! | [`FixedPoint`], [`accumulator_bits`] | factors as integers, sums that fit |
//! | [`host`] | element-wise arithmetic on tensors in host memory, in one pass |
//! | [`QuantizerError`] | what is no quantizer |
//!
//! # Examples
//!
//! ```
//! use calcine_quant::{Quantizer, Scheme};
//!
//! let quantizer = Quantizer::over(-1.0, 3.0, 8, Scheme::Affine)?;
//! assert_eq!((quantizer.zero_point, quantizer.quantize(0.0), quantizer.quantize(99.0)), (64, 64, 255));
//! assert_eq!(quantizer.dequantize(64), 0.0);
//! # Ok::<(), calcine_quant::QuantizerError>(())
//! ```

mod distiller;
mod error;
mod fake;
mod fixed;
mod float_type;
mod grouped;
pub mod host;
mod method;
mod moving;
mod observer;
mod packed;
mod quantizer;
mod range_estimator;
mod statistics;

pub use distiller::DistillerQuantizer;
pub use error::{QuantizerError, StatisticsError};
pub use fake::{
    dorefa_weight, fake_quantize, fake_quantize_between, fake_quantize_rows, lsq, lsq_along,
    lsq_initial_scale, lsq_plus, pact, quantizer_between, ternary_weight, ttq_weight,
    unit_activation, wrpn_weight,
};
pub use fixed::{FixedPoint, accumulator_bits};
pub use float_type::FloatType;
pub use grouped::GroupedWeight;
pub use method::Method;
pub use moving::MovingRange;
pub use observer::Observer;
pub use packed::{pack, unpack};
pub use quantizer::{MAX_BITS, Quantizer, Scheme};
pub use range_estimator::{RangeEstimator, UnknownRangeEstimator};
pub use statistics::{CalibrationStatistics, Counts};
