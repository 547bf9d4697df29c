//! The runtimes for which files are written.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use calcine_graph::{Op, ValueId};
use calcine_quantize::Quantized;

use crate::export::Codes;
use crate::{ExportError, Form};

/// A runtime that executes ONNX files. `docs/onnx.md` has a table of what each of them computes in integers, with its
/// version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Runtime {
    /// [ONNX Runtime](https://onnxruntime.ai), on CPUs.
    OnnxRuntime,
    /// [OpenVINO](https://docs.openvino.ai), on CPUs.
    OpenVino,
    /// [TensorRT](https://developer.nvidia.com/tensorrt), on NVIDIA's GPUs. Files for TensorRT follow its
    /// documentation, but have not been tested with it.
    TensorRt,
    /// [tract](https://crates.io/crates/tract-onnx), in Rust.
    Tract,
    /// [rten](https://crates.io/crates/rten), in Rust.
    Rten,
}

/// The details in which files for the runtimes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dialect {
    /// Activations are `int8` with the zero point 0, and biases are floats.
    pub(crate) signed: bool,
    /// Activations are integers that are stored as floats, and layers are float operators on them.
    pub(crate) whole_floats: bool,
    /// Numbers are divided by the scale before a `QuantizeLinear` with the scale 1, because the runtime's
    /// `QuantizeLinear` multiplies with the reciprocal.
    pub(crate) divides: bool,
    /// The runtime has no 16-bit activations: those of more than 8 bits are integers that are stored as floats.
    pub(crate) no_words: bool,
    /// The runtime has no 4-bit and 16-bit weights, and no scales per block.
    pub(crate) bytes_only: bool,
    /// The block size of scales must divide the axis.
    pub(crate) whole_blocks: bool,
    /// The runtime has no 16-bit floats.
    pub(crate) full_floats: bool,
    /// `DynamicQuantizeLinear` follows ONNX's specification, also for tensors that contain only zeros.
    pub(crate) dynamic_operator: bool,
}

impl Runtime {
    /// All runtimes.
    pub const ALL: [Self; 5] = [
        Self::OnnxRuntime,
        Self::OpenVino,
        Self::TensorRt,
        Self::Tract,
        Self::Rten,
    ];

    /// The name on the command line: `onnxruntime`, `openvino`, `tensorrt`, `tract` or `rten`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::OpenVino => "openvino",
            Self::TensorRt => "tensorrt",
            Self::Tract => "tract",
            Self::Rten => "rten",
        }
    }

    /// The name of the runtime with the version for whose behaviour files are written.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "ONNX Runtime 1.32",
            Self::OpenVino => "OpenVINO 2026.4",
            Self::TensorRt => "TensorRT 10",
            Self::Tract => "tract 0.23",
            Self::Rten => "rten 0.27",
        }
    }

    /// The form in which the runtime computes most of a quantized network in integers. For rten, whose integer
    /// convolutions are wrong at padded borders and in batches, it is the form in which integers are stored as floats.
    #[must_use]
    pub fn form(self, quantized: &Quantized) -> Form {
        let dynamic = || quantized.layers().any(|layer| layer.dynamic.is_some());
        match self {
            Self::Tract => Form::Integer,
            Self::OnnxRuntime | Self::OpenVino if dynamic() => Form::Integer,
            _ => Form::Qdq,
        }
    }

    /// Whether sums, products and means are written so that they give the integers of [`Quantized`], although this
    /// prevents fused kernels.
    pub(crate) fn is_exact(self) -> bool {
        !matches!(self, Self::OpenVino | Self::TensorRt)
    }

    pub(crate) fn dialect(self) -> Dialect {
        let none = Dialect::default();
        match self {
            Self::OnnxRuntime => Dialect {
                dynamic_operator: true,
                ..none
            },
            // It drops `QuantizeLinear` and `DequantizeLinear` of 16 bits, saturation and all.
            Self::OpenVino => Dialect {
                dynamic_operator: true,
                no_words: true,
                whole_blocks: true,
                ..none
            },
            Self::TensorRt => Dialect {
                signed: true,
                ..none
            },
            Self::Tract => Dialect {
                divides: true,
                no_words: true,
                bytes_only: true,
                ..none
            },
            Self::Rten => Dialect {
                whole_floats: true,
                no_words: true,
                bytes_only: true,
                full_floats: true,
                ..none
            },
        }
    }
}

/// A remark about a quantized network in a runtime: what the runtime computes in another way than one may expect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remark {
    /// The names of the layers or values to which the remark applies; empty if it applies to all.
    pub names: Vec<String>,
    /// What the runtime does, and how to avoid it.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The maximum number of names that are listed.
        const SHOWN: usize = 3;
        let shown: Vec<&str> = self.names.iter().take(SHOWN).map(String::as_str).collect();
        match (shown.is_empty(), self.names.len().saturating_sub(SHOWN)) {
            (true, _) => write!(f, "{}", self.text),
            (false, 0) => write!(f, "{}: {}", shown.join(", "), self.text),
            (false, more) => write!(f, "{} and {more} more: {}", shown.join(", "), self.text),
        }
    }
}

/// The kinds of layers and values about which there are remarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trait {
    /// An activation of more than 8 bits.
    WideActivation,
    /// A layer with integer inputs and weights of more than 8 bits.
    WideWeight,
    /// A transposed convolution with integer inputs.
    Transposed,
    /// A layer with dynamic quantization.
    Dynamic,
    /// A linear layer with integer weights and float inputs.
    WeightOnlyLinear,
    /// Another layer with integer weights and float inputs.
    WeightOnly,
}

fn traits(quantized: &Quantized) -> BTreeMap<Trait, Vec<String>> {
    let mut found: BTreeMap<Trait, Vec<String>> = BTreeMap::new();
    let graph = quantized.graph();
    for (id, value) in graph.values.iter().enumerate() {
        let quantizer = quantized.quantizer_of(ValueId(id));
        if quantizer.is_some_and(|quantizer| quantizer.high - quantizer.low > 255) {
            found
                .entry(Trait::WideActivation)
                .or_default()
                .push(value.name.clone());
        }
    }
    for (position, node) in graph.nodes.iter().enumerate() {
        let Some(layer) = quantized.layer_at(position) else {
            continue;
        };
        let transposed = matches!(node.op, Op::TransposedConvolution { .. });
        let kind = match (layer.dynamic, layer.float_bias, &node.op) {
            (_, _, Op::Embedding) => continue,
            (Some(_), ..) => Trait::Dynamic,
            (None, Some(_), Op::Linear) => Trait::WeightOnlyLinear,
            (None, Some(_), _) => Trait::WeightOnly,
            (None, None, _) if transposed => Trait::Transposed,
            (None, None, _) if layer.bits > 8 => Trait::WideWeight,
            (None, None, _) => continue,
        };
        found.entry(kind).or_default().push(layer.name.to_owned());
    }
    found
}

/// Whether an activation, or a layer with integer inputs, has more than 8 bits.
fn is_wide(quantized: &Quantized) -> bool {
    let found = traits(quantized);
    found.contains_key(&Trait::WideActivation) || found.contains_key(&Trait::WideWeight)
}

impl Runtime {
    /// What the runtime does not compute in 8-bit integers for this network in this form, and where its results may
    /// differ from those of [`Quantized`].
    #[must_use]
    pub fn remarks(self, quantized: &Quantized, form: Form) -> Vec<Remark> {
        let title = self.title();
        let mut remarks = Vec::new();
        let mut say = |names: &[String], text: String| {
            let names = names.to_vec();
            remarks.push(Remark { names, text });
        };
        match self {
            Self::OnnxRuntime => {}
            Self::OpenVino => say(
                &[],
                format!(
                    "{title} fuses quantizers with what is before them: numbers next to ties may become the neighbouring integer"
                ),
            ),
            Self::TensorRt => say(
                &[],
                format!(
                    "{title}: written by its documentation, and not run by us: what saturates may become -128 instead of -127"
                ),
            ),
            Self::Tract if form == Form::Qdq => say(
                &[],
                format!("{title} computes Q/DQ in float: --form integer is its form of integers"),
            ),
            Self::Tract if form == Form::QOperator => say(
                &[],
                format!(
                    "{title} rescales QLinearConv in fixed point: numbers next to ties may become the neighbouring integer, \
                     and with --form integer none does"
                ),
            ),
            Self::Tract => {}
            Self::Rten => say(
                &[],
                format!(
                    "{title} has no integer convolution that is right at padded borders and in batches: layers compute in float, with whole numbers, whose sums are exact up to 2^24"
                ),
            ),
        }
        if self == Self::OpenVino {
            say(
                &[],
                format!(
                    "{title} computes what is float in bfloat16 where the processor has it, unless INFERENCE_PRECISION_HINT is f32"
                ),
            );
        }
        let in_float = |what: &str| format!("{what}: {title} has no integer kernel for these");
        for (kind, names) in &traits(quantized) {
            let text = match (kind, self, form) {
                (Trait::WideActivation, Self::OnnxRuntime, Form::Qdq) => format!(
                    "{}, and computes in float; --form integer computes them exactly, as two bytes each",
                    in_float("activations of more than 8 bits")
                ),
                (Trait::WideActivation, Self::OnnxRuntime, _) => {
                    format!(
                        "{}, and computes them as two bytes each, exactly",
                        in_float("activations of more than 8 bits")
                    )
                }
                (Trait::WideActivation, ..) => {
                    format!(
                        "{}: rounded and bounded in floats, and computed in float",
                        in_float("activations of more than 8 bits")
                    )
                }
                (Trait::WideWeight, Self::OnnxRuntime, Form::Qdq) => format!(
                    "{}, and computes in float; --form integer computes them exactly, as two bytes each",
                    in_float("weights of more than 8 bits")
                ),
                (Trait::WideWeight, Self::OnnxRuntime, _) => {
                    format!(
                        "{}, and computes them as two bytes each, exactly",
                        in_float("weights of more than 8 bits")
                    )
                }
                (Trait::WideWeight, ..) => format!(
                    "{}, and computes in float",
                    in_float("weights of more than 8 bits")
                ),
                (Trait::Transposed, Self::TensorRt, _)
                | (Trait::WeightOnly | Trait::WeightOnlyLinear | Trait::Dynamic, Self::Rten, _) => {
                    continue;
                }
                (Trait::Transposed, ..) => format!(
                    "transposed convolutions: {title} has none of integers, and computes in float"
                ),
                (Trait::Dynamic, Self::OpenVino, Form::Integer) => {
                    format!(
                        "ranges of each batch: {title} computes ConvInteger and MatMulInteger in float"
                    )
                }
                (Trait::Dynamic, _, Form::Qdq) => format!(
                    "ranges of each batch: {title} computes in float; --form integer is the form of integers"
                ),
                (Trait::Dynamic, ..) => continue,
                (Trait::WeightOnlyLinear, Self::OnnxRuntime, _) => format!(
                    "weights alone are integers: {title} runs MatMulNBits, which rounds the activations to 8 bits unless the session's \
                     `session.qdq_matmulnbits_accuracy_level` is 1"
                ),
                (Trait::WeightOnlyLinear | Trait::WeightOnly, ..) => {
                    format!("weights alone are integers: {title} computes in float")
                }
            };
            say(names, text);
        }
        remarks
    }

    /// Checks that the runtime can execute the network in this form.
    pub(crate) fn check(self, quantized: &Quantized, form: Form) -> Result<(), ExportError> {
        let all = 0..quantized.graph().values.len();
        let mut quantizers = all.filter_map(|id| quantized.quantizer_of(ValueId(id)));
        let mut layers = quantized.layers();
        let problem = match (self, form) {
            (Self::OpenVino, Form::QOperator) => {
                "is refused by OpenVINO 2026.4: valid are qdq and integer"
            }
            (Self::TensorRt, Form::QOperator | Form::Integer) => {
                "is none that TensorRT reads: valid is qdq"
            }
            (Self::TensorRt, _) if quantizers.any(|of| Codes::signed(of).is_none()) => {
                "takes activations of int8 with the zero point 0 in TensorRT: valid is a network that was quantized with \
                 `activations.scheme = \"symmetric\"` and 8 bits or fewer"
            }
            (Self::TensorRt, _)
                if layers.any(|layer| layer.zero_points.iter().any(|zero| *zero != 0)) =>
            {
                "takes weights with the zero point 0 in TensorRT: valid is a network that was quantized with \
                 `weights.scheme = \"symmetric\"`"
            }
            // Some of these files are never loaded.
            (Self::Tract, Form::QOperator | Form::Integer) if is_wide(quantized) => {
                "is not written for tract 0.23 with more than 8 bits, which it does not load reliably: valid are qdq, which it \
                 computes in float, and networks of at most 8 bits"
            }
            (Self::Rten, Form::QOperator) => "is refused by rten 0.27: valid is qdq",
            (Self::Rten, Form::Integer) => {
                "is computed wrongly by rten 0.27, at padded borders and in batches: valid is qdq"
            }
            _ => return Ok(()),
        };
        Err(ExportError::Form {
            form: form.name(),
            problem,
        })
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|runtime| runtime.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown runtime `{name}`: expected one of {names}")
        })
    }
}
