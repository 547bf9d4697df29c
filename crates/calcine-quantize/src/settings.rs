use std::path::{Path, PathBuf};

use calcine_graph::Graph;
use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::plan::has_integers;
use crate::{Clip, FloatType, QuantizeError, Scheme};

/// The version of a settings file.
const FORMAT: u32 = 1;

/// How a network is quantized. The default is 8 bits throughout: weights symmetric, a grid for each output;
/// activations affine, a grid for each tensor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is done to the network before it is calibrated.
    pub prepare: Preparation,
    /// What weights become.
    pub weights: WeightSettings,
    /// What activations become.
    pub activations: ActivationSettings,
    /// What sums and biases may need.
    pub sums: SumSettings,
    /// The first and the last layer with weights, if they are treated otherwise.
    pub ends: Option<EndSettings>,
    /// Layers that are treated otherwise; of several that match, the last one decides, and all of them before `ends`.
    #[serde(rename = "layer")]
    pub layers: Vec<Override>,
}

/// The integers that products are added up in. A layer that could leave them is an error, with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SumSettings {
    /// Bits of a sum, sign included: 8 to 32.
    pub bits: u8,
    /// Bits of a bias: 8 to 32.
    pub bias_bits: u8,
}

impl Default for SumSettings {
    fn default() -> Self {
        Self {
            bits: 32,
            bias_bits: 32,
        }
    }
}

/// What is other for the layers that see the input and give the output: the most sensitive ones as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndSettings {
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

/// The grids of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightSettings {
    /// Bits of an integer: 2 to 16, or 1 to 16 if affine.
    pub bits: u8,
    /// How a range becomes a grid: `Affine` loses nothing on weights that are of one sign, or reach further to one side, and
    /// has a zero point for each step.
    pub scheme: Scheme,
    /// Whether each output has a step of its own; of an embedding, each row.
    pub per_channel: bool,
    /// Columns that share a step: the row of an output's weights, all inputs and places of the kernel, is cut into groups
    /// of so many, the last being what is left. Takes `per_channel`, and activations in float (`bits = 0`). `None`: all of
    /// a row share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// What a grid covers. What needs samples to average over goes by all weights at once.
    pub clip: Clip,
    /// Whether steps are powers of two.
    pub power_of_two: bool,
    /// How weights get to their grid.
    pub rounding: Rounding,
    /// Whether biases make up for what rounding does to the mean of a layer's sums (Nagel et al., 2019); those of transposed
    /// convolutions do not.
    pub correct_bias: bool,
    /// Whether batch norms get the statistics of what rounded weights give: [`reestimate`](crate::reestimate). Steps that all
    /// outputs share stay, and means alone are made up for.
    pub reestimate: bool,
}

/// How weights get to their grid. Those of transposed convolutions and embeddings go to the nearest integers whatever it
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

/// The grids of activations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivationSettings {
    /// Bits of an integer, 1 to 16; 0 leaves activations as they are, and quantizes weights alone.
    pub bits: u8,
    /// How a range becomes a grid.
    pub scheme: Scheme,
    /// What a grid covers.
    pub clip: Clip,
    /// Whether steps are powers of two.
    pub power_of_two: bool,
    /// Whether grids go by each batch's own range, found as it runs: what layers with integer weights are fed is quantized,
    /// all else is in float, and calibration is not asked.
    pub dynamic: bool,
}

/// What is other for some layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which layers, by the names that the graph gives them: `fc`, `layer1.*.conv1`, `**`.
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
    /// What the grids of its weights cover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_clip: Option<Clip>,
    /// What the grid of its result covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_clip: Option<Clip>,
    /// How many times as wide the grids of its weights are as that; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_stretch: Option<f64>,
    /// How many times as wide the grid of its result is; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_stretch: Option<f64>,
}

/// A file of settings that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not of this form; with line and column.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, where, and what would be valid.
        reason: String,
    },
}

/// The file: the settings under the version of its form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    format: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    prepare: Preparation,
    #[serde(default)]
    weights: WeightSettings,
    #[serde(default)]
    activations: ActivationSettings,
    #[serde(default, skip_serializing_if = "is_default")]
    sums: SumSettings,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<EndSettings>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layer: Vec<Override>,
}

/// Whether there is nothing to write.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Settings {
    /// Reads a TOML file: `format = 1`, `[prepare]`, `[weights]`, `[activations]`, `[sums]`, `[ends]`, and a `[[layer]]` for each override.
    ///
    /// # Errors
    ///
    /// If it cannot be read, has keys that there are not, or values that are none; with line and column.
    pub fn from_file(file: impl AsRef<Path>) -> Result<Self, SettingsError> {
        let file = file.as_ref();
        let text = std::fs::read_to_string(file).map_err(|source| SettingsError::Io {
            file: file.to_path_buf(),
            source,
        })?;
        Self::parse(&text).map_err(|reason| SettingsError::Malformed {
            file: file.to_path_buf(),
            reason,
        })
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file), as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: SettingsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.format != FORMAT {
            return Err(format!(
                "format {} is unknown; this version reads {FORMAT}",
                file.format
            ));
        }
        if let Some(layer) = file.layer.iter().find(|layer| !layer.is_sound()) {
            return Err(format!(
                "a stretch of `{}` is no number above 0",
                layer.name
            ));
        }
        if let Some(group) = file.weights.group
            && (group == 0 || !file.weights.per_channel)
        {
            return Err(format!(
                "`group` is {group}: it takes `per_channel = true` and at least 1 column"
            ));
        }
        let activations = &file.activations;
        if activations.dynamic && (activations.power_of_two || activations.clip != Clip::MinMax) {
            return Err(
                "`dynamic` ranges are those of a batch: no `clip`, no `power_of_two`".into(),
            );
        }
        if let Some(smooth) = file.prepare.smooth
            && !(0.0..=1.0).contains(&smooth)
        {
            return Err(format!("`smooth` is {smooth}, expected 0 to 1"));
        }
        for (key, bits) in [("bits", file.sums.bits), ("bias_bits", file.sums.bias_bits)] {
            if !(8..=32).contains(&bits) {
                return Err(format!("`{key}` of `sums` is {bits}, expected 8 to 32"));
            }
        }
        Ok(Self {
            prepare: file.prepare,
            weights: file.weights,
            activations: file.activations,
            sums: file.sums,
            ends: file.ends,
            layers: file.layer,
        })
    }

    /// The text of a file that says the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let file = SettingsFile {
            format: FORMAT,
            prepare: self.prepare,
            weights: self.weights,
            activations: self.activations,
            sums: self.sums,
            ends: self.ends,
            layer: self.layers.clone(),
        };
        toml::to_string(&file).expect("settings are plain data")
    }
}

impl Override {
    fn is_sound(&self) -> bool {
        let stretches = [self.weight_stretch, self.activation_stretch];
        let mut stretches = stretches.into_iter().flatten();
        stretches.all(|stretch| stretch.is_finite() && stretch > 0.0)
    }
}

impl Default for WeightSettings {
    fn default() -> Self {
        Self {
            bits: 8,
            scheme: Scheme::Symmetric,
            per_channel: true,
            group: None,
            clip: Clip::MinMax,
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
            clip: Clip::MinMax,
            power_of_two: false,
            dynamic: false,
        }
    }
}

/// The settings of each layer, patterns compiled.
pub(crate) struct ByLayer<'a> {
    settings: &'a Settings,
    /// The names that `ends` is of.
    ends: Vec<&'a str>,
    overrides: Vec<(GlobMatcher, &'a Override)>,
}

/// What holds for one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerSettings {
    pub(crate) float: Option<FloatType>,
    pub(crate) weights: WeightSettings,
    pub(crate) activations: ActivationSettings,
    pub(crate) weight_stretch: f64,
    pub(crate) activation_stretch: f64,
}

impl<'a> ByLayer<'a> {
    /// Every pattern must match a node or an input.
    pub(crate) fn new(settings: &'a Settings, graph: &'a Graph) -> Result<Self, QuantizeError> {
        let nodes = graph.nodes.iter().map(|node| node.name.as_str());
        let inputs = graph.inputs.iter().map(|id| &*graph.value(*id).name);
        let names: Vec<&str> = nodes.chain(inputs).collect();
        let mut overrides = Vec::new();
        for layer in &settings.layers {
            let glob = Glob::new(&layer.name).map_err(|error| QuantizeError::Pattern {
                pattern: layer.name.clone(),
                reason: error.kind().to_string(),
            })?;
            let glob = glob.compile_matcher();
            if !names.iter().any(|name| glob.is_match(name)) {
                return Err(QuantizeError::NoLayer {
                    pattern: layer.name.clone(),
                    nearest: nearest(&layer.name, &names),
                });
            }
            overrides.push((glob, layer));
        }
        let layers = graph.nodes.iter().filter(|node| has_integers(graph, node));
        let layers: Vec<&str> = layers.map(|node| node.name.as_str()).collect();
        let ends = [layers.first(), layers.last()].into_iter().flatten();
        let inputs = graph.inputs.iter().map(|id| &*graph.value(*id).name);
        Ok(Self {
            settings,
            ends: ends.copied().chain(inputs).collect(),
            overrides,
        })
    }

    /// What each value's numbers are kept in where nodes need it in float: the widest type that one of them asks for.
    pub(crate) fn kept(&self, graph: &Graph) -> Vec<FloatType> {
        let mut kept: Vec<Option<FloatType>> = vec![None; graph.values.len()];
        for node in &graph.nodes {
            let asked = self.of(&node.name).float.unwrap_or(FloatType::F32);
            for id in &node.inputs {
                kept[id.0] = kept[id.0].max(Some(asked));
            }
        }
        let kept = kept.into_iter();
        kept.map(|asked| asked.unwrap_or(FloatType::F32)).collect()
    }

    pub(crate) fn of(&self, name: &str) -> LayerSettings {
        let mut found = LayerSettings {
            float: None,
            weights: self.settings.weights,
            activations: self.settings.activations,
            weight_stretch: 1.0,
            activation_stretch: 1.0,
        };
        if let Some(ends) = &self.settings.ends
            && self.ends.contains(&name)
        {
            found.float = ends.float;
            found.weights.bits = ends.weight_bits.unwrap_or(found.weights.bits);
            found.activations.bits = ends.activation_bits.unwrap_or(found.activations.bits);
        }
        let matching = self
            .overrides
            .iter()
            .filter(|(glob, _)| glob.is_match(name));
        for (_, layer) in matching {
            found.float = layer.float;
            found.weights.bits = layer.weight_bits.unwrap_or(found.weights.bits);
            found.weights.clip = layer.weight_clip.unwrap_or(found.weights.clip);
            found.activations.bits = layer.activation_bits.unwrap_or(found.activations.bits);
            found.activations.clip = layer.activation_clip.unwrap_or(found.activations.clip);
            found.weight_stretch = layer.weight_stretch.unwrap_or(found.weight_stretch);
            found.activation_stretch =
                (layer.activation_stretch).unwrap_or(found.activation_stretch);
        }
        found
    }
}

/// The names most like a pattern.
fn nearest(pattern: &str, names: &[&str]) -> String {
    let mut by_likeness: Vec<&&str> = names.iter().collect();
    by_likeness.sort_by(|a, b| {
        strsim::jaro_winkler(pattern, b).total_cmp(&strsim::jaro_winkler(pattern, a))
    });
    let three: Vec<&str> = by_likeness.into_iter().take(3).copied().collect();
    three.join(", ")
}
