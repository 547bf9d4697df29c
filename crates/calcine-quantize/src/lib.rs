//! Quantizes a traced network after training, and computes bit for bit what an integer engine would.
//!
//! # Should I use this crate?
//!
//! Yes, to know what a network is worth with 8-bit or smaller integers, and to have it in a file that small. Not to
//! make it faster by itself: it simulates, with whole numbers held in `f32`.
//!
//! # The parts
//!
//! | item | what |
//! |---|---|
//! | [`Calibration`], [`CalibrationStatistics`] | what every value of a network was over some batches; JSON |
//! | [`QuantizationSettings`], [`Override`], [`FirstLastSettings`] | bits, schemes and range estimators, for all layers and for some: `[quantize]` of a recipe; each checks itself |
//! | [`RangeEstimator`] | which part of a range a quantizer covers: min-max, average, ACIQ, percentiles, least error |
//! | [`quantize_with`] | a network quantized after training in one call: prepared, calibrated, quantized |
//! | [`quantize`], [`Quantized`] | batch norms folded, weights rounded, a quantizer on every edge; its forward pass |
//! | [`QuantizationReport`] | what stays in float and why, which settings changed nothing, where numbers were lost |
//! | [`quantize_with_batches`], [`Rounding`] | the same with weights rounded for what the layers are fed (GPTQ), and biases corrected |
//! | [`prepare`], [`equalize`], [`smooth`], [`reestimate`] | networks that compute the same, or nearly, and lose less |
//! | [`fold_norms`] | the network without batch norms that layers can do themselves |
//! | [`lapq`], [`greedy`] | settings that lose least, found by trying: [`Trials`], [`Evaluation`] |
//! | [`mixed_precision`], [`MixedPrecision`] | what fewer bits of each layer cost, and the widths that lose least within a budget |
//! | [`QatNetwork`], [`Method`], [`QatStage`] | quantization-aware training: the network on its quantizers, which learn or follow |
//! | [`fake_quantize_weights`] | the same for the weights of any module, without a trace |
//! | [`Quantizer`], [`Scheme`] | a quantizer |
//! | [`QuantizeError`] | what does not fit, and where |
//!
//! # Examples
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use calcine_quantize::{QuantizationSettings, quantize_with};
//! use calcine_trace::trace;
//!
//! let device = Device::flex();
//! let model: Linear = LinearConfig::new(4, 2).init(&device);
//! let batches = [Tensor::<2>::from_floats([[0.0, 1.0, -1.0, 0.5]], &device)];
//! let network = trace(&model, batches[0].clone(), |m, x| m.forward(x))?;
//!
//! let int8 = quantize_with(network, &batches, &QuantizationSettings::default())?;
//! let y: Tensor<2> = int8.forward(batches[0].clone());
//! let expected = model.forward(batches[0].clone());
//! assert!((y - expected).abs().max().into_scalar::<f32>() < 0.02);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod ada_round;
mod batches;
mod by_layer;
mod calibrate;
mod cross_layer;
mod equalize;
mod error;
mod exact;
mod file;
mod float;
mod fold_norms;
mod gptq;
mod layer;
mod mixed_precision;
mod norms;
mod parts;
mod pass;
mod plan;
mod qat;
mod quantized;
mod report;
mod search;
mod sensitive;
mod settings;
mod uses;
mod weights;

pub use calcine_metric::{Evaluation, MetricValue};
pub use calcine_quant::{
    CalibrationStatistics, FloatType, Method, Quantizer, RangeEstimator, Scheme, StatisticsError,
};
pub use calibrate::{Calibration, CalibrationFileError};
pub use equalize::{equalize, prepare, smooth};
pub use error::QuantizeError;
pub use file::QuantizedFileError;
pub use fold_norms::fold_norms;
pub use mixed_precision::{BitWidth, BudgetError, LayerBitWidths, MixedPrecision, mixed_precision};
pub use norms::reestimate;
pub use qat::{QatError, QatNetwork, QatStage};
pub use quantized::{IntegerLayer, Quantized, quantize, quantize_with, quantize_with_batches};
pub use report::{
    ClippedRange, FloatNode, FloatReason, HalfPrecisionLoss, MatchedOverride, QuantizationReport,
    UnusedSetting,
};
pub use search::{SearchError, TrialProgress, Trials, greedy, lapq};
pub use settings::{
    AccumulatorSettings, ActivationSettings, FirstLastSettings, Override, Preparation,
    QuantizationSettings, Rounding, SettingError, WeightSettings,
};
pub use weights::fake_quantize_weights;
