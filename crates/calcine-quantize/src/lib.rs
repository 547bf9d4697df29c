//! Quantizes a traced network, after training or with quantization-aware training, bit-exact with integer arithmetic.
//!
//! # Should I use this crate?
//!
//! Use it to find out how accurate a network is with integers of 8 or fewer bits, and to store it in a correspondingly
//! small file. On CPUs the network runs in 8-bit integers, by `calcine-engine`; on other devices its arithmetic is computed with
//! integers that are stored as `f32`, with the same results, bit for bit, and no gain in speed.
//!
//! # Contents
//!
//! | item | what |
//! |---|---|
//!  [`Calibration`], [`CalibrationStatistics`] | the statistics of every value of a network over some batches; JSON |
//!  [`QuantizationSettings`], [`Override`], [`FirstLastSettings`] | bits, schemes and range estimators, for all layers and for single ones: `[quantize]` of a recipe |
//!  [`RangeEstimator`] | the range of a quantizer: min-max, average, ACIQ, percentiles, smallest error |
//!  [`quantize_with`] | post-training quantization in one call: prepare, calibrate, quantize |
//!  [`quantize`], [`Quantized`] | the quantized network with folded batch norms, and its forward pass |
//!  [`QuantizationReport`] | what stays in float and why, which settings had no effect, where precision was lost |
//!  [`quantize_with_batches`], [`Rounding`] | the same with weights rounded for the inputs of the layers (GPTQ, AdaRound), and corrected biases |
//!  [`prepare`], [`equalize`], [`smooth`], [`reestimate`] | equivalent networks that are easier to quantize, and re-estimated batch norms |
//!  [`fold_norms`] | the network with batch norms folded into layers |
//!  [`lapq`], [`greedy`] | searches for the best settings: [`Trials`], [`Evaluation`] |
//!  [`mixed_precision`], [`MixedPrecision`] | the loss of each layer with fewer bits, and the best bit widths within a budget |
//!  [`QatNetwork`], [`Method`], [`QatStage`] | quantization-aware training, with learned scales or moving ranges |
//!  [`fake_quantize_weights`] | weight-only quantization-aware training of any module, without tracing |
//!  [`Quantizer`], [`Scheme`] | a quantizer |
//!  [`QuantizeError`] | why a network cannot be quantized, and where |
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
mod compiled;
mod cross_layer;
mod data;
mod equalize;
mod error;
mod exact;
mod file;
mod float;
mod fold_norms;
mod gptq;
mod known;
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
pub use known::{QuantizationParameters, WeightParameters, quantize_as};
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
