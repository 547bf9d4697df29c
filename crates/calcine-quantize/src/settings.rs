mod check;

use serde::{Deserialize, Serialize};

pub use self::check::SettingError;
use crate::{FloatType, RangeEstimator, Scheme};

/// The version of a recipe.
const FORMAT: u32 = 1;

/// How a network is quantized. The default is 8 bits throughout: weights symmetric, a quantizer for each output;
/// activations affine, a quantizer for each tensor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizationSettings {
    /// What is done to the network before it is calibrated.
    #[serde(skip_serializing_if = "is_default")]
    pub prepare: Preparation,
    /// What weights become.
    pub weights: WeightSettings,
    /// What activations become.
    pub activations: ActivationSettings,
    /// The widths of accumulators and biases.
    #[serde(skip_serializing_if = "is_default")]
    pub accumulator: AccumulatorSettings,
    /// The first and the last layer with weights, if they are treated otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_last: Option<FirstLastSettings>,
    /// Layers that are treated otherwise. Of several that match, each key is the last one's that has it, and where none has it,
    /// that of `first_last`, or of all layers.
    #[serde(rename = "layer", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Override>,
}

/// The integers in which products are accumulated. A layer whose sums could overflow them is an error, with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccumulatorSettings {
    /// Bits of an accumulator, sign included: 8 to 32.
    pub bits: u8,
    /// Bits of a bias: 8 to 32.
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

/// What is other for the layers that see the input and give the output: the most sensitive ones as a rule. An [`Override`] of
/// such a layer changes the keys that it has, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstLastSettings {
    /// Keeps them in float, the network's inputs too, and their parameters as numbers of this type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatType>,
    /// Bits of their weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u8>,
    /// Bits of what they give, and of the network's inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bits: Option<u8>,
}

/// What is done to a network before it is calibrated, by [`prepare`](crate::prepare).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preparation {
    /// Whether layers in a row get weights of equal size, channel by channel: [`equalize`](crate::equalize).
    pub equalize: bool,
    /// How much of the outliers of activations goes into weights, 0 to 1: [`smooth`](crate::smooth).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smooth: Option<f64>,
}

/// The quantizers of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightSettings {
    /// Bits of an integer: 2 to 16, or 1 to 16 if affine.
    pub bits: u8,
    /// How a range becomes a quantizer: `Affine` loses nothing on weights that are of one sign, or reach further to one side, and
    /// has a zero point for each scale.
    pub scheme: Scheme,
    /// Whether each output has a scale of its own; of an embedding, each row.
    pub per_channel: bool,
    /// Columns that share a scale: the row of an output's weights, all inputs and places of the kernel, is cut into groups
    /// of so many, the last being what is left. Takes `per_channel`, and activations in float (`bits = 0`). `None`: all of
    /// a row share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// What a quantizer covers. What needs samples to average over goes by all weights at once.
    pub range_estimator: RangeEstimator,
    /// Whether scales are powers of two.
    pub power_of_two: bool,
    /// How weights get to their quantizers.
    pub rounding: Rounding,
    /// Whether biases make up for what rounding does to the mean of a layer's sums (Nagel et al., 2019); those of transposed
    /// convolutions do not.
    pub correct_bias: bool,
    /// Whether batch norms get the statistics of what rounded weights give: [`reestimate`](crate::reestimate). Steps that all
    /// outputs share stay, and means alone are made up for.
    pub reestimate: bool,
}

/// How weights get to their quantizers. Those of transposed convolutions and embeddings go to the nearest integers whatever it
/// says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest integer.
    #[default]
    Nearest,
    /// One input after the other, the others making up for what each errs over the calibration's images (GPTQ;
    /// Frantar et al., 2023).
    Gptq,
    /// Each up or down, so that the layer's sums err least over the calibration's images: `AdaRound`'s problem (Nagel
    /// et al., 2020), solved by turning over one weight after the other, as long as that helps.
    AdaRound,
}

impl WeightSettings {
    /// Whether it takes what layers are fed.
    pub(crate) fn needs_samples(&self) -> bool {
        self.correct_bias || self.rounding != Rounding::Nearest
    }

    /// Whether it takes batches.
    pub(crate) fn needs_batches(&self) -> bool {
        self.needs_samples() || self.reestimate
    }
}

/// The quantizers of activations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivationSettings {
    /// Bits of an integer, 1 to 16; 0 leaves activations as they are, and quantizes weights alone.
    pub bits: u8,
    /// How a range becomes a quantizer.
    pub scheme: Scheme,
    /// What a quantizer covers.
    pub range_estimator: RangeEstimator,
    /// Whether scales are powers of two.
    pub power_of_two: bool,
    /// Whether quantizers go by each batch's own range, found as it runs: what layers with integer weights are fed is quantized,
    /// all else is in float, and calibration is not asked.
    pub dynamic: bool,
}

/// What is other for some layers: the keys that it has. Those that it has not are those of an earlier override of the same
/// layer, of `first_last`, or of all layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which layers, as a [`Pattern`](calcine_names::Pattern) of their names: `fc`, `layer1.*.conv1`, `**`.
    ///
    /// A layer is called as the module that its weight is in, so that `P` means the layers whose weights `P.weight`
    /// selects among parameters, in all places where they are used. A pattern that matches no such name is one of nodes
    /// and inputs as the graph names them: `conv1_2` may be the second use of `conv1`, `layer1.0.add` what a block gives,
    /// `input` what the network is fed. A layer's weight by its path, `conv1.weight`, means that layer. One that `**` for `*` would make match layers
    /// is of none, as `P.weight` is of no parameter, and the [report](crate::QuantizationReport) says so. One that matches
    /// nothing else is an error, and so is `input` where a layer is called so, too.
    pub name: String,
    /// Keeps the layer in float, its result too, and its parameters as numbers of this type, the nearest; it computes in `f32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatType>,
    /// Bits of its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u8>,
    /// Bits of what it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_bits: Option<u8>,
    /// What the quantizers of its weights cover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_range_estimator: Option<RangeEstimator>,
    /// What the quantizer of its result covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_range_estimator: Option<RangeEstimator>,
    /// How many times as wide the quantizers of its weights are as that; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_stretch: Option<f64>,
    /// How many times as wide the quantizer of its result is; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_stretch: Option<f64>,
}

/// A recipe that consists of settings.
#[derive(Serialize)]
struct QuantizationRecipe<'a> {
    format: u32,
    quantize: &'a QuantizationSettings,
}

/// Whether there is nothing to write.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl QuantizationSettings {
    /// The recipe for quantization after training with these settings: `format = 1` and the tables of `[quantize]`. The crate
    /// `calcine-recipe` reads it.
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
