mod check;

use serde::{Deserialize, Serialize};

pub use self::check::SettingError;
use crate::{FloatType, RangeEstimator, Scheme};

/// The version of a recipe.
const FORMAT: u32 = 1;

/// How a network is quantized. The default is 8 bits: symmetric weights with one quantizer per output, and affine
/// activations with one quantizer per tensor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizationSettings {
    /// The preparation of the network before calibration.
    #[serde(skip_serializing_if = "is_default")]
    pub prepare: Preparation,
    /// The quantization of weights.
    pub weights: WeightSettings,
    /// The quantization of activations.
    pub activations: ActivationSettings,
    /// The bit widths of accumulators and biases.
    #[serde(skip_serializing_if = "is_default")]
    pub accumulator: AccumulatorSettings,
    /// The first and the last layer with weights, if they are treated differently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_last: Option<FirstLastSettings>,
    /// Layers that are treated differently. If several overrides match a layer, each key is that of the last one that
    /// has it; if none has it, that of `first_last`, or of all layers.
    #[serde(rename = "layer", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Override>,
}

/// The accumulator for products. A layer whose sums could overflow it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccumulatorSettings {
    /// The number of bits of an accumulator, including the sign: 8 to 32.
    pub bits: u8,
    /// The number of bits of a bias: 8 to 32.
    pub bias_bits: u8,
}

impl Default for AccumulatorSettings {
    fn default() -> Self {
        Self {
            bits: 32,
            bias_bits: 32,
        }
    }
}

/// Exceptions for the layers that consume the input and produce the output, which are usually the most sensitive ones.
/// An [`Override`] of such a layer changes only the keys that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstLastSettings {
    /// Keeps these layers and the inputs of the network in float, and stores their parameters in this type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatType>,
    /// The number of bits of their weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u8>,
    /// The number of bits of their outputs, and of the inputs of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bits: Option<u8>,
}

/// The preparation of a network before calibration, by [`prepare`](crate::prepare).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preparation {
    /// Whether the weights of consecutive layers are equalized, channel by channel: [`equalize`](crate::equalize).
    pub equalize: bool,
    /// How much of the outliers of activations is moved into weights, 0 to 1: [`smooth`](crate::smooth).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smooth: Option<f64>,
}

/// The quantization of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightSettings {
    /// The number of bits of an integer: 2 to 16, or 1 to 16 if affine.
    pub bits: u8,
    /// The scheme. `Affine` is suitable for weights of one sign or with an asymmetric range, and has a zero point for
    /// each scale.
    pub scheme: Scheme,
    /// Whether each output has its own scale; in an embedding, each row.
    pub per_channel: bool,
    /// The number of columns that share a scale: the row of an output, over all inputs and kernel positions, is divided
    /// into groups of this size, the last of which may be smaller. It requires `per_channel`, and activations in float
    /// (`bits = 0`). `None`: all columns of a row share a scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// The range of a quantizer. Estimators that average over samples use all weights as one sample.
    pub range_estimator: RangeEstimator,
    /// Whether scales are powers of two.
    pub power_of_two: bool,
    /// How weights are rounded.
    pub rounding: Rounding,
    /// Whether biases compensate for the change that rounding causes in the means of a layer's outputs (Nagel et al.,
    /// 2019); not for transposed convolutions.
    pub correct_bias: bool,
    /// Whether the statistics of batch norms are re-estimated for the rounded weights:
    /// [`reestimate`](crate::reestimate). Scales that all outputs share do not change; only means are compensated then.
    pub reestimate: bool,
}

/// How weights are rounded. Those of transposed convolutions and embeddings are always rounded to the nearest integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest integer.
    #[default]
    Nearest,
    /// Column by column, where the remaining columns compensate for the error of each over the calibration images
    /// (GPTQ; Frantar et al., 2023).
    Gptq,
    /// Each weight up or down, so that the error of the layer's outputs over the calibration images is smallest: the
    /// problem of `AdaRound` (Nagel et al., 2020), solved by changing one weight after the other as long as that helps.
    AdaRound,
}

impl WeightSettings {
    /// Whether the settings need samples of the inputs of layers.
    pub(crate) fn needs_samples(&self) -> bool {
        self.correct_bias || self.rounding != Rounding::Nearest
    }

    /// Whether the settings need batches.
    pub(crate) fn needs_batches(&self) -> bool {
        self.needs_samples() || self.reestimate
    }
}

/// The quantization of activations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivationSettings {
    /// The number of bits of an integer, 1 to 16; 0 leaves activations in float (weight-only quantization).
    pub bits: u8,
    /// The scheme.
    pub scheme: Scheme,
    /// The range of a quantizer.
    pub range_estimator: RangeEstimator,
    /// Whether scales are powers of two.
    pub power_of_two: bool,
    /// Whether quantizers have the range of each batch, which is computed in the forward pass: the inputs of layers
    /// with integer weights are quantized, everything else is in float, and no calibration is needed.
    pub dynamic: bool,
}

/// Exceptions for some layers. A key that is not set has the value of an earlier override of the same layer, of
/// `first_last`, or of all layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The layers, as a [`Pattern`](calcine_names::Pattern) of their names: `fc`, `layer1.*.conv1`, `**`.
    ///
    /// The name of a layer is that of the module that contains its weight, so that `P` matches the layers whose weights
    /// `P.weight` matches among parameters, in all places where they are used. A pattern that matches no such name
    /// refers to nodes and inputs of the graph: `conv1_2` may be the second use of `conv1`, `layer1.0.add` the output
    /// of a block, and `input` the input of the network. The path of a weight, `conv1.weight`, refers to its layer. A
    /// pattern that would match layers only with `**` in place of `*` matches none, like `P.weight` among parameters,
    /// and the [report](crate::QuantizationReport) says so. A pattern that matches nothing else is an error, and so is
    /// `input` if a layer has this name, too.
    pub name: String,
    /// Keeps the layer and its result in float, and stores its parameters in this type; it computes in `f32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatType>,
    /// The number of bits of its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u8>,
    /// The number of bits of its result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bits: Option<u8>,
    /// The range of the quantizers of its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_range_estimator: Option<RangeEstimator>,
    /// The range of the quantizer of its result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_range_estimator: Option<RangeEstimator>,
    /// The factor by which the ranges of the quantizers of its weights are stretched; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_stretch: Option<f64>,
    /// The factor by which the range of the quantizer of its result is stretched; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_stretch: Option<f64>,
}

/// A recipe that consists of quantization settings.
#[derive(Serialize)]
struct QuantizationRecipe<'a> {
    format: u32,
    quantize: &'a QuantizationSettings,
}

/// Whether a value is the default, and therefore not written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl QuantizationSettings {
    /// The recipe for post-training quantization with these settings: `format = 1` and the tables of `[quantize]`. The
    /// crate `calcine-recipe` reads it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let recipe = QuantizationRecipe {
            format: FORMAT,
            quantize: self,
        };
        toml::to_string(&recipe).expect("settings are plain data")
    }
}

impl Default for WeightSettings {
    fn default() -> Self {
        Self {
            bits: 8,
            scheme: Scheme::Symmetric,
            per_channel: true,
            group: None,
            range_estimator: RangeEstimator::MinMax,
            power_of_two: false,
            rounding: Rounding::Nearest,
            correct_bias: false,
            reestimate: false,
        }
    }
}

impl Default for ActivationSettings {
    fn default() -> Self {
        Self {
            bits: 8,
            scheme: Scheme::Affine,
            range_estimator: RangeEstimator::MinMax,
            power_of_two: false,
            dynamic: false,
        }
    }
}
