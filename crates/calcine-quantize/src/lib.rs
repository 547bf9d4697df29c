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
//! | [`Calibration`], [`Seen`] | what every value of a network was over some batches; JSON |
//! | [`Settings`], [`Override`], [`EndSettings`] | bits, schemes and ways to clip, for all layers and for some; each checks itself |
//! | [`Clip`] | which part of a range a grid covers: min-max, average, ACIQ, percentiles, least error |
//! | [`quantize`], [`Quantized`] | batch norms folded, weights rounded, a grid on every edge; its forward pass |
//! | [`QuantizationReport`] | what stays in float and why, which settings changed nothing, where numbers were lost |
//! | [`quantize_over`], [`Rounding`] | the same with weights rounded for what the layers are fed (GPTQ), and biases corrected |
//! | [`prepare`], [`equalize`], [`smooth`], [`reestimate`] | networks that compute the same, or nearly, and lose less |
//! | [`fold_norms`] | the network without batch norms that layers can do themselves |
//! | [`lapq`], [`greedy`] | settings that lose least, found by trying: [`Trials`], [`Evaluation`] |
//! | [`widths`], [`Widths`] | what fewer bits of each layer cost, and the widths that lose least within a budget |
//! | [`AwareNetwork`], [`Method`], [`Stage`] | quantization-aware training: the network on its grids, which learn or follow |
//! | [`weights_on_grids`] | the same for the weights of any module, without a trace |
//! | [`Quantizer`], [`Scheme`] | a grid |
//! | [`QuantizeError`] | what does not fit, and where |
//!
//! # Examples
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use calcine_quantize::{Calibration, Settings, quantize};
//! use calcine_trace::trace;
//!
//! let device = Device::flex();
//! let model: Linear = LinearConfig::new(4, 2).init(&device);
//! let batches = [Tensor::<2>::from_floats([[0.0, 1.0, -1.0, 0.5]], &device)];
//! let network = trace(&model, batches[0].clone(), |m, x| m.forward(x))?;
//!
//! let seen = Calibration::of(&network, &batches)?;
//! let int8 = quantize(&network, &seen, &Settings::default())?;
//! let y: Tensor<2> = int8.forward(batches[0].clone());
//! let expected = model.forward(batches[0].clone());
//! assert!((y - expected).abs().max().into_scalar::<f32>() < 0.02);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ada_round;
mod aware;
mod batches;
mod calibrate;
mod equalize;
mod error;
mod exact;
mod file;
mod float;
mod fold_norms;
mod gptq;
mod layer;
mod norms;
mod parts;
mod pass;
mod plan;
mod quantized;
mod report;
mod seam;
mod search;
mod sensitive;
mod settings;
mod weights;
mod widths;

pub use aware::{AwareError, AwareNetwork, Stage};
pub use calcine_metric::{Evaluation, MetricValue};
pub use calcine_quant::{Clip, FloatType, Method, Quantizer, Scheme, Seen, SeenError};
pub use calibrate::{Calibration, CalibrationFileError};
pub use equalize::{equalize, prepare, smooth};
pub use error::QuantizeError;
pub use file::QuantizedFileError;
pub use fold_norms::fold_norms;
pub use norms::reestimate;
pub use quantized::{IntegerLayer, Quantized, quantize, quantize_over};
pub use report::{
    ClippedRange, FloatNode, FloatReason, HalfPrecisionLoss, MatchedOverride, QuantizationReport,
    UnusedSetting,
};
pub use search::{SearchError, TrialProgress, Trials, greedy, lapq};
pub use settings::{
    ActivationSettings, EndSettings, Override, Preparation, Rounding, SettingError, Settings,
    SettingsError, SumSettings, WeightSettings,
};
pub use weights::weights_on_grids;
pub use widths::{LayerWidths, NoWidths, Width, Widths, widths};
