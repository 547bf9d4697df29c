//! Writes networks as ONNX files.

mod builder;
mod codes;
mod dynamic;
mod exact;
mod functions;
mod integer;
mod operators;
mod quantized;
mod weights;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use calcine_graph::Source;
use calcine_quantize::Quantized;
use calcine_trace::Network;

use self::builder::Builder;
pub(crate) use self::codes::Codes;
use crate::proto::{Data, External, Graph, Model};
use crate::runtime::Dialect;
use crate::{ExportError, Runtime};

/// The form in which the numbers of a network are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Form {
    /// 32-bit floats: the only form of a float network.
    Float,
    /// Float operators between `QuantizeLinear` and `DequantizeLinear` (QDQ). Every runtime reads this form, and `ONNX
    /// Runtime` computes it in integers.
    #[default]
    Qdq,
    /// `QLinearConv` and `QLinearMatMul` where possible, otherwise like [`Integer`](Self::Integer).
    QOperator,
    /// `ConvInteger` and `MatMulInteger`, with the rescaling in standard operators.
    Integer,
}

impl Form {
    /// All forms of a quantized network.
    pub const QUANTIZED: [Self; 3] = [Self::Qdq, Self::QOperator, Self::Integer];

    /// The name of the form: `float`, `qdq`, `qoperator` or `integer`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Qdq => "qdq",
            Self::QOperator => "qoperator",
            Self::Integer => "integer",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let forms = [Self::Float, Self::Qdq, Self::QOperator, Self::Integer];
        let found = forms.into_iter().find(|form| form.name() == name);
        found.ok_or_else(|| {
            format!("unknown form `{name}`: expected float, qdq, qoperator or integer")
        })
    }
}

/// The metadata key of the [`Form`].
const FORM: &str = "calcine.form";
/// The metadata key of the [`Runtime`] for which the file is written.
const RUNTIME: &str = "calcine.runtime";
/// The metadata key of the share of weights that are zero.
const SPARSITY: &str = "calcine.sparsity";

/// The settings of an export.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The runtime for which the file is written; it determines the form and its details. With `None`, the file is for
    /// any runtime, with the details that are fastest in ONNX Runtime.
    pub runtime: Option<Runtime>,
    /// The opset, 13 to 25. With `None`, it is 17, or 21 if the form needs a type that opset 21 introduced.
    pub opset: Option<i64>,
    /// The form of a quantized network; a float network has only one form. With `None`, it is [`Runtime::form`] if
    /// there is a runtime, `integer` if the network has dynamic quantization, and otherwise `qdq`.
    pub form: Option<Form>,
    /// Whether sums, products and means in the form `qdq` are written with operators that give the integers of
    /// [`Quantized`] bit for bit. Otherwise they are written as other tools do. Runtimes fuse those into faster
    /// kernels, whose integers may differ by one next to ties. With `None`, they are exact if the runtime computes the
    /// layers exactly, too, which OpenVINO and TensorRT do not.
    pub exact: Option<bool>,
    /// Additional metadata of the file. They replace metadata of the network with the same key.
    pub metadata: BTreeMap<String, String>,
}

impl ExportOptions {
    /// The form in which a quantized network is written with these options.
    #[must_use]
    pub fn form_of(&self, quantized: &Quantized) -> Form {
        let runtime = self.runtime.unwrap_or(Runtime::OnnxRuntime);
        self.form.unwrap_or_else(|| runtime.form(quantized))
    }

    fn is_exact(&self) -> bool {
        let runtime = self.runtime.is_none_or(Runtime::is_exact);
        self.exact.unwrap_or(runtime)
    }

    fn dialect(&self) -> Dialect {
        self.runtime.unwrap_or(Runtime::OnnxRuntime).dialect()
    }

    fn opset(&self, default: i64) -> Result<i64, ExportError> {
        match self.opset.unwrap_or(default) {
            opset @ 13..=25 => Ok(opset),
            opset => Err(ExportError::Opset(opset)),
        }
    }

    /// The model of a graph, with the metadata `recorded` of its network, which are replaced by those of the options.
    fn model(
        &self,
        graph: Graph<'static>,
        (opset, form): (i64, Form),
        zeros: Zeros,
        recorded: &BTreeMap<String, String>,
    ) -> Model<'static> {
        let runtime = self.runtime.map(|runtime| runtime.name().to_owned());
        let sparsity = zeros.share().map(|share| format!("{share:.4}"));
        let mut metadata = recorded.clone();
        for (key, value) in [
            (FORM, Some(form.name().to_owned())),
            (RUNTIME, runtime),
            (SPARSITY, sparsity),
        ] {
            match value {
                Some(value) => metadata.insert(key.to_owned(), value),
                None => metadata.remove(key),
            };
        }
        metadata.extend(self.metadata.clone());
        Model {
            ir_version: match opset {
                ..=14 => 7,
                15..=18 => 8,
                19..=20 => 9,
                21..=22 => 10,
                23 => 11,
                24 => 12,
                _ => 13,
            },
            producer: (
                Cow::Borrowed("calcine"),
                Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            ),
            opsets: vec![(Cow::Borrowed(""), opset)],
            metadata: metadata
                .into_iter()
                .map(|(key, value)| (Cow::Owned(key), Cow::Owned(value)))
                .collect(),
            graph,
            functions: 0,
        }
    }
}

/// The number of zeros among the weights (the elements of parameters with two or more axes), and the number of weights.
#[derive(Debug, Clone, Copy, Default)]
struct Zeros {
    zeros: usize,
    of: usize,
}

impl Zeros {
    fn count<T: PartialEq + Default>(&mut self, shape: &[usize], weight: impl Iterator<Item = T>) {
        if shape.len() > 1 {
            self.of += shape.iter().product::<usize>();
            self.zeros += weight.filter(|x| *x == T::default()).count();
        }
    }

    fn share(self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "numbers of weights")]
        let share = self.zeros as f64 / self.of as f64;
        (self.of > 0).then_some(share)
    }
}

/// An ONNX model in memory, which can be saved.
#[derive(Debug)]
pub struct OnnxModel(Model<'static>);

/// The maximum number of bytes of a file in protobuf.
const LARGEST: usize = (1 << 31) - 1;
/// Beyond so many bytes of weights, what other parts have room is not worth to be counted.
const ROOM: usize = LARGEST - (64 << 20);

impl OnnxModel {
    /// The bytes of the model as a single file. Equal models give equal bytes.
    ///
    /// # Errors
    ///
    /// If the file would have more than 2³¹ bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ExportError> {
        let weights = self.weights();
        if weights > ROOM {
            return Err(ExportError::Large(weights));
        }
        Ok(self.0.write())
    }

    /// Saves the model atomically. If it exceeds 2 GiB, the weights are written to a second file in the same directory,
    /// `NAME.onnx.data`, each at a multiple of 4,096 bytes, so that a runtime can map it into memory.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), ExportError> {
        match self.weights() > ROOM {
            true => self.save_with_external_data(file),
            false => Ok(calcine_files::write(file, self.0.write())?),
        }
    }

    /// Saves the model atomically, and writes weights of 1,024 bytes or more to a second file in the same directory,
    /// `NAME.onnx.data`.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or if the path has no file name.
    pub fn save_with_external_data(&self, file: &Path) -> Result<(), ExportError> {
        const SMALL: usize = 1024;
        const PAGE: usize = 4096;
        let name = file.file_name().map(|name| name.to_string_lossy());
        let name = name.ok_or_else(|| {
            std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "the path has no file name",
            )
        })?;
        let location = format!("{name}.data");
        let mut bytes: Vec<u8> = Vec::new();
        let mut graph = Graph {
            name: self.0.graph.name.clone(),
            nodes: self.0.graph.nodes.clone(),
            inputs: self.0.graph.inputs.clone(),
            outputs: self.0.graph.outputs.clone(),
            ..Graph::default()
        };
        for tensor in &self.0.graph.initializers {
            let mut tensor = tensor.clone();
            if let Data::Raw(raw) = &tensor.data
                && raw.len() >= SMALL
            {
                bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
                let external = External {
                    location: Cow::Owned(location.clone()),
                    offset: Some(bytes.len() as u64),
                    length: Some(raw.len() as u64),
                };
                bytes.extend_from_slice(raw);
                tensor.data = Data::External(Box::new(external));
            }
            graph.initializers.push(tensor);
        }
        let model = Model {
            graph,
            ir_version: self.0.ir_version,
            producer: self.0.producer.clone(),
            opsets: self.0.opsets.clone(),
            metadata: self.0.metadata.clone(),
            functions: 0,
        };
        calcine_files::write(file.with_file_name(location), bytes)?;
        Ok(calcine_files::write(file, model.write())?)
    }

    /// The opset of the model.
    #[must_use]
    pub fn opset(&self) -> i64 {
        self.0.opsets.first().map_or(0, |(_, opset)| *opset)
    }

    fn weights(&self) -> usize {
        let tensors = self.0.graph.initializers.iter();
        let bytes = tensors.map(|tensor| match &tensor.data {
            Data::Raw(raw) => raw.len(),
            _ => 0,
        });
        bytes.sum()
    }
}

/// Writes a network as an ONNX model of 32-bit floats.
///
/// Parameters become initializers that are named by their paths, and values have the names of the graph. The batch size
/// is free: axes that depend on the batch have the dimension `batch`. Batch norms are not folded. Weights have Burn's
/// layout, which is `[in, out]` for linear layers. The metadata of the file are those of the network
/// ([`Network::metadata`]), the form, the runtime, and the share of zeros among the weights. Reads the device.
///
/// # Errors
///
/// If operations cannot be expressed in ONNX, all of which are listed, or if the opset is not supported.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_onnx::{ExportOptions, export};
/// use calcine_trace::trace;
///
/// let device = Device::flex();
/// let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let network = trace(&model, Tensor::<2>::zeros([1, 4], &device), |model, x| model.forward(x))?;
/// let file = export(&network, &ExportOptions::default())?.to_bytes()?;
/// # assert!(!file.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(network: &Network, options: &ExportOptions) -> Result<OnnxModel, ExportError> {
    let opset = options.opset(17)?;
    let graph = network.graph();
    let mut b = Builder::new(graph, opset);
    let used: std::collections::BTreeSet<_> = graph
        .nodes
        .iter()
        .flat_map(|node| &node.inputs)
        .chain(&graph.outputs)
        .copied()
        .collect();
    let mut zeros = Zeros::default();
    for id in used {
        if let Some(tensor) = network.tensor(id) {
            let name = b.name(id);
            if graph.value(id).source == Source::Parameter {
                let data = tensor.clone().into_data();
                zeros.count(&tensor.shape(), data.iter::<f32>());
            }
            b.tensor(&name, tensor);
        }
    }
    for node in &graph.nodes {
        if let Some(&parameter) = node
            .inputs
            .iter()
            .find(|id| graph.value(**id).source == Source::Parameter)
        {
            let name = b.name(parameter);
            b.behind(name.rsplit_once('.').map_or("", |(layer, _)| layer));
        }
        let operands: Vec<String> = node.inputs.iter().map(|&id| b.name(id)).collect();
        let output = b.name(node.output);
        operators::emit(&mut b, node, &operands, &output);
    }
    let outputs: Vec<String> = graph.outputs.iter().map(|&id| b.name(id)).collect();
    let graph = b.finish(&outputs).map_err(ExportError::Nodes)?;
    let metadata = network.metadata();
    Ok(OnnxModel(options.model(
        graph,
        (opset, Form::Float),
        zeros,
        metadata,
    )))
}

/// Writes a quantized network as an ONNX model, in the form that the options determine.
///
/// The integers of a weight become an initializer that is named by the path of the weight. Batch norms are folded into
/// layers as in the network. Activations are unsigned (symmetric ones have the zero point 128), and biases are 32-bit
/// integers with the scale `float32(s_x · s_w)`. `docs/arithmetic.md` specifies the arithmetic; with
/// [`ExportOptions::exact`], the kernels of `ONNX Runtime` give the same integers for the file. Reads the device.
///
/// # Errors
///
/// If the form is [`Form::Float`], if operations or bit widths cannot be expressed in the form or opset, all of which
/// are listed, or if the opset is not supported.
pub fn export_quantized(
    quantized: &Quantized,
    options: &ExportOptions,
) -> Result<OnnxModel, ExportError> {
    let form = options.form_of(quantized);
    if form == Form::Float {
        return Err(ExportError::Form {
            form: "float",
            problem: "has no integers: valid for a quantized network are qdq, qoperator and integer",
        });
    }
    if let Some(runtime) = options.runtime {
        runtime.check(quantized, form)?;
    }
    let opset = options.opset(quantized::default_opset(quantized, options, form))?;
    let mut zeros = Zeros::default();
    for layer in quantized.layers() {
        zeros.count(layer.shape, layer.weight.iter().copied());
    }
    for (id, _) in quantized.graph().parameters() {
        if let Some(tensor) = quantized.tensor(id) {
            let data = tensor.clone().into_data();
            zeros.count(&tensor.shape(), data.iter::<f32>());
        }
    }
    let graph = quantized::graph(quantized, options, (form, opset))?;
    let metadata = quantized.metadata();
    Ok(OnnxModel(options.model(
        graph,
        (opset, form),
        zeros,
        metadata,
    )))
}
