//! The mathematics of quantization: quantizers, range estimators, fake-quantization with gradients, fixed-point factors.
//!
//! # Should I use this crate?
//!
//! Use it to quantize numbers, or to train with fake-quantized weights and activations, in your own code. To quantize a
//! whole network, use `calcine-quantize`.
//!
//! # Contents
//!
//! | item | what |
//! |---|---|
//! | [`Quantizer`], [`Scheme`] | scale, zero point and integer range, in ONNX's convention |
//! | [`DistillerQuantizer`] | the same in Distiller's convention, and conversions |
//! | [`RangeEstimator`], [`Observer`], [`CalibrationStatistics`], [`Counts`] | the range of a quantizer, chosen from calibration statistics: min-max, averages, ACIQ, percentiles, smallest error |
//! | [`MovingRange`], [`value_range`] | the moving average of a range, for quantization-aware training |
//! | [`fake_quantize`], [`fake_quantize_between`], [`fake_quantize_rows`] | fake-quantization with straight-through gradients |
//! | [`Method`] | the methods of quantization-aware training |
//! | [`lsq`], [`lsq_plus`], [`pact`], [`dorefa_weight`], [`wrpn_weight`], [`unit_activation`], [`ternary_weight`], [`ttq_weight`] | learned quantizers, and weight transformations of the published methods |
//! | [`GroupedWeight`], [`pack`], [`unpack`] | group-wise quantized weights, and packed integers |
//! | [`FloatType`] | half-precision formats for parameters that stay in float |
//! | [`FixedPoint`], [`accumulator_bits`] | fixed-point factors, and the width of an accumulator |
//! | [`host`] | element-wise arithmetic on tensors in host memory, in one pass |
//! | [`QuantizerError`] | why a quantizer cannot be created |
//!
//! # Examples
//!
//! ```
//! use calcine_quant::{Quantizer, Scheme};
//!
//! let quantizer = Quantizer::from_range(-1.0, 3.0, 8, Scheme::Affine)?;
//! assert_eq!((quantizer.zero_point, quantizer.quantize(0.0), quantizer.quantize(99.0)), (64, 64, 255));
//! assert_eq!(quantizer.dequantize(64), 0.0);
//! # Ok::<(), calcine_quant::QuantizerError>(())
//! ```

mod distiller;
mod error;
mod fake;
mod fixed;
#[cfg(feature = "flex")]
mod flex;
mod grouped;
pub mod host;
mod method;
mod moving;
mod observer;
mod one_pass;
mod range_estimator;
mod statistics;

pub use calcine_format::{FloatType, MAX_BITS, Quantizer, QuantizerError, Scheme, pack, unpack};
pub use distiller::DistillerQuantizer;
pub use error::StatisticsError;
pub use fake::{
    dorefa_weight, fake_quantize, fake_quantize_between, fake_quantize_rows, lsq, lsq_along,
    lsq_initial_scale, lsq_plus, pact, quantizer_between, ternary_weight, ttq_weight,
    unit_activation, wrpn_weight,
};
pub use fixed::{FixedPoint, accumulator_bits};
pub use grouped::GroupedWeight;
pub use method::Method;
pub use moving::{MovingRange, value_range};
pub use observer::Observer;
pub use range_estimator::{RangeEstimator, UnknownRangeEstimator};
pub use statistics::{CalibrationStatistics, Counts};
