//! Reads ONNX files as networks.

mod attention;
mod computed;
mod einsum;
mod elementwise;
mod finish;
mod fold;
mod host;
mod importer;
mod indexing;
mod layers;
mod losses;
mod nodes;
mod norms;
mod parameters;
mod pools;
mod qlinear;
mod quantized;
mod quantizer;
mod recurrent;
mod reductions;
mod resize;
mod shapes;
mod sharing;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use burn::tensor::{Device, TensorData};
use calcine_graph::{Extent, Source};
use calcine_quantize::QuantizationParameters;
use calcine_trace::Network;

use self::fold::kind_of;
use self::host::{Elements, Folder, Host};
use self::importer::{Importer, Known, Operand};
use self::shapes::or_one;
use self::sharing::Sharing;
use crate::error::{ImportError, UnsupportedNode};
use crate::proto::{self, Dimension, Model};

/// The supported opsets.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// How a file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Whether the first axis of each input is the batch axis and may have any length, even if the file was made for a
    /// fixed batch size. If a file cannot be read in this way, it is read with its fixed batch size.
    pub free_batch: bool,
    /// The lengths of other axes to which the file gives only a name, such as those of sequences.
    pub lengths: BTreeMap<String, usize>,
    /// The values of inputs that are the same for every batch, by name, such as a shape, an axis or a mask. They are
    /// not inputs of the network, and everything that depends only on them is computed when the file is read.
    pub constants: BTreeMap<String, TensorData>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            free_batch: true,
            lengths: BTreeMap::new(),
            constants: BTreeMap::new(),
        }
    }
}

/// Reads a network from the bytes of an ONNX file like [`read_file`], but without external data.
///
/// # Errors
///
/// The errors of [`read_file`], and an error if weights are in another file.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_onnx::{ExportOptions, ImportOptions, export, read_bytes};
/// use calcine_trace::trace;
///
/// let device = Device::flex();
/// let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let x = Tensor::<2>::ones([3, 4], &device);
/// let network = trace(&model, x.clone(), |model, x| model.forward(x))?;
/// let file = export(&network, &ExportOptions::default())?.to_bytes()?;
///
/// let again = read_bytes(&file, &ImportOptions::default(), &device)?;
/// let (a, b): (Tensor<2>, Tensor<2>) = (network.forward(x.clone()), again.forward(x));
/// assert!(a.all_close(b, None, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_bytes(
    bytes: &[u8],
    options: &ImportOptions,
    device: &Device,
) -> Result<Network, ImportError> {
    Ok(read_in(bytes, None, options, device)?.network)
}

/// Reads the network of an ONNX file, and puts it on a device.
///
/// Float initializers become parameters with the same names, with these exceptions: parameters of batch and layer norms
/// have Burn's names (`gamma`, `beta`, `running_mean`, `running_var`), characters that cannot occur in a path are
/// replaced by `_`, and parameters that an exporter numbered (`onnx::Conv_12`) have the path of their node. PyTorch's
/// exporters store equal parameters once; these are separated. A parameter that several modules share remains one
/// parameter, with its paths in the other modules as aliases ([`Network::with_alias`]).
///
/// A matrix that is transposed before a product is stored as the product needs it. Values that do not depend on an
/// input are computed, shapes become part of the graph, and operators without effect (`Identity`, `Dropout`, casts
/// between floats) are removed. All floats are converted to 32 bits. Quantized integers are dequantized. The network
/// has the metadata of the file ([`Network::metadata`]).
///
/// The network can be trained, and its batch size is free if [`ImportOptions::free_batch`] is set.
///
/// Memory is limited to a small multiple of the size of the file, whatever sizes the file declares. External data must
/// be in the folder of the file or below.
///
/// # Errors
///
/// If the file is not an ONNX model, or has an unsupported opset; if a tensor is missing or does not fit; if an axis of
/// an input has no length; or if nodes cannot be represented in a graph (all of them are listed).
/// length; if nodes have no counterpart in a graph, all of which are listed.
pub fn read_file(
    file: &Path,
    options: &ImportOptions,
    device: &Device,
) -> Result<Network, ImportError> {
    Ok(import_file(file, options, device)?.network)
}

/// The network of an ONNX file, with the quantization parameters that the file contains.
#[derive(Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The network in floats, as [`read_file`] returns it.
    pub network: Network,
    /// The quantization parameters of activations and weights; empty if the file is not quantized.
    /// [`quantize_as`](calcine_quantize::quantize_as) makes a quantized network of both.
    pub parameters: QuantizationParameters,
    /// The names of values and parameters that stay in float, because a [`Quantized`](calcine_quantize::Quantized) network cannot
    /// represent their quantization, such as activations of 32 bits. Activations with a scale for each channel are not among them: the
    /// network rounds them with operations of its own.
    pub left_out: Vec<String>,
}

/// Reads an ONNX file like [`read_file`], together with its quantization parameters.
///
/// # Errors
///
/// The errors of [`read_file`].
pub fn import_file(
    file: &Path,
    options: &ImportOptions,
    device: &Device,
) -> Result<Imported, ImportError> {
    let bytes = std::fs::read(file)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    read_in(&bytes, Some(folder), options, device)
}

/// Whether a file is to be read as ONNX according to its name, which ends with `.onnx`.
#[must_use]
pub fn is_onnx(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

/// The names of the inputs of a file that are not initializers, in order.
///
/// # Errors
///
/// If the bytes are not an ONNX model.
pub fn input_names(bytes: &[u8]) -> Result<Vec<String>, ImportError> {
    let model = Model::read(bytes)?;
    let initializers: HashSet<&str> = model
        .graph
        .initializers
        .iter()
        .map(|tensor| &*tensor.name)
        .collect();
    let inputs = model.graph.inputs.iter();
    let inputs = inputs.filter(|input| !initializers.contains(&*input.name));
    Ok(inputs
        .map(|input| input.name.clone().into_owned())
        .collect())
}

/// Reads a tensor from a file of inputs or outputs (`input_0.pb`): floats as `f32`, integers as `i64`, and booleans.
///
/// # Errors
///
/// If the bytes are not a tensor of ONNX, or one of an unsupported type.
pub fn read_tensor(bytes: &[u8]) -> Result<TensorData, ImportError> {
    let tensor = proto::Tensor::read(bytes)?;
    let host = Folder::default().host(&tensor)?;
    let shape = host.shape.clone();
    Ok(match &host.elements {
        Elements::Floats(values) => TensorData::new(values.clone(), shape),
        Elements::Ints(values) => {
            let values: Vec<i64> = values.iter().map(|value| value.fixed).collect();
            TensorData::new(values, shape)
        }
        Elements::Bools(values) => TensorData::new(values.clone(), shape),
    })
}

fn read_in(
    bytes: &[u8],
    folder: Option<PathBuf>,
    options: &ImportOptions,
    device: &Device,
) -> Result<Imported, ImportError> {
    let model = Model::read(bytes)?;
    let mut folder = Folder::new(folder);
    let first = network(
        &model,
        bytes.len(),
        &mut folder,
        options,
        options.free_batch,
        device,
    );
    let fixed = model.graph.inputs.iter().any(|input| {
        let first = input.shape.as_ref().and_then(|shape| shape.first());
        matches!(first, Some(Dimension::Fixed(_)))
    });
    match first {
        Err(error @ (ImportError::Nodes(_) | ImportError::Graph(_) | ImportError::Network(_)))
            if options.free_batch && fixed =>
        {
            network(&model, bytes.len(), &mut folder, options, false, device).map_err(|_| error)
        }
        first => first,
    }
}

fn network(
    model: &Model<'_>,
    size: usize,
    folder: &mut Folder,
    options: &ImportOptions,
    free_batch: bool,
    device: &Device,
) -> Result<Imported, ImportError> {
    let opset = model
        .opsets
        .iter()
        .find(|(domain, _)| matches!(&**domain, "" | "ai.onnx"));
    let opset = opset.map_or(1, |(_, opset)| *opset);
    if !OPSETS.contains(&opset) {
        return Err(ImportError::Opset(opset));
    }
    let graph = &model.graph;
    if graph.sparse > 0 || model.functions > 0 {
        return Err(ImportError::Malformed(
            "sparse initializers and functions of its own are not read; valid are dense tensors and ONNX's operators",
        ));
    }
    // The memory limit for constants that the file computes.
    let budget = 16 * size as u128 + (1 << 22);
    let mut importer = Importer::new(opset, budget);
    let tensors: HashMap<&str, &proto::Tensor<'_>> = graph
        .initializers
        .iter()
        .map(|tensor| (&*tensor.name, tensor))
        .collect();
    inputs(&mut importer, graph, &tensors, options, free_batch)?;
    let order = order(graph)?;
    let needed = needed(graph, &order);
    let uses = uses(graph, &needed);
    let mut left = uses.clone();
    let sharing = Sharing::of(graph, &needed, &tensors, folder)?;
    let mut problems: Vec<UnsupportedNode> = Vec::new();
    let mut layer = String::new();
    for position in needed {
        let node = &graph.nodes[position];
        let mut operands = Vec::with_capacity(node.inputs.len());
        let mut broken = false;
        for (at, name) in node.inputs.iter().enumerate() {
            if name.is_empty() {
                operands.push(None);
                continue;
            }
            if !importer.known.contains_key(&**name) {
                let Some(tensor) = tensors.get(&**name) else {
                    return Err(ImportError::Value {
                        name: name.clone().into_owned(),
                        problem: "is read, and no input, initializer or node gives it".to_owned(),
                    });
                };
                let mut host = folder.host(tensor)?;
                host.name = Some(name.clone().into_owned());
                importer
                    .known
                    .insert(name.clone().into_owned(), Known::Host(Rc::new(host)));
            }
            operands.push(match &importer.known[&**name] {
                Known::Host(host) => Some(Operand::Host(match sharing.own(position, at) {
                    Some(own) => Rc::new(own.of(host)),
                    None => Rc::clone(host),
                })),
                Known::Value(id) => Some(Operand::Value(*id)),
                Known::Broken => {
                    broken = true;
                    None
                }
            });
            if let Some((owner, _)) = name
                .rsplit_once('.')
                .filter(|_| tensors.contains_key(&**name))
            {
                owner.clone_into(&mut layer);
            }
        }
        importer.single_use.clear();
        for (name, operand) in node.inputs.iter().zip(&operands) {
            if let Some(Operand::Value(id)) = operand
                && uses.get(&**name) == Some(&1)
            {
                importer.single_use.insert(*id);
            }
        }
        let results = match broken {
            true => Err(None),
            false => importer.read_node(node, &operands).map_err(Some),
        };
        // A tensor that no other node reads, such as a weight whose transpose is stored in the network, is dropped.
        for name in &node.inputs {
            if let Some(count) = left.get_mut(&**name) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    importer.known.remove(&**name);
                }
            }
        }
        match results {
            Ok(results) => {
                for (name, known) in node.outputs.iter().zip(results) {
                    importer.known.insert(name.clone().into_owned(), known);
                }
            }
            Err(reason) => problems.extend(reason.map(|reason| UnsupportedNode {
                node: match node.name.is_empty() {
                    true => node.outputs[0].clone().into_owned(),
                    false => node.name.clone().into_owned(),
                },
                operator: match node.domain.is_empty() {
                    true => node.op_type.clone().into_owned(),
                    false => format!("{}.{}", node.domain, node.op_type),
                },
                opset,
                layer: layer.clone(),
                reason,
            })),
        }
        for name in &node.outputs {
            importer
                .known
                .entry(name.clone().into_owned())
                .or_insert(Known::Broken);
        }
    }
    if !problems.is_empty() {
        return Err(ImportError::Nodes(problems));
    }
    for output in &graph.outputs {
        if let Some(tensor) = tensors
            .get(&*output.name)
            .filter(|_| !importer.known.contains_key(&*output.name))
        {
            let host = folder.host(tensor)?;
            importer
                .known
                .insert(output.name.clone().into_owned(), Known::Host(Rc::new(host)));
        }
    }
    let mut imported = importer.finish(graph, device)?;
    for (key, value) in &model.metadata {
        imported.network = imported.network.with_metadata(&**key, &**value);
    }
    Ok(imported)
}

/// Adds the inputs of the file that are not initializers to the graph.
fn inputs(
    importer: &mut Importer,
    graph: &proto::Graph<'_>,
    tensors: &HashMap<&str, &proto::Tensor<'_>>,
    options: &ImportOptions,
    free_batch: bool,
) -> Result<(), ImportError> {
    for input in &graph.inputs {
        if tensors.contains_key(&*input.name) {
            continue;
        }
        let wrong = |problem: String| ImportError::Value {
            name: input.name.clone().into_owned(),
            problem,
        };
        let kind = kind_of(input.data_type).map_err(|reason| {
            wrong(format!(
                "has {reason}; valid are floats, integers and booleans"
            ))
        })?;
        if let Some(data) = options.constants.get(&*input.name) {
            let host = Host::of_data(data, input.data_type);
            let host = host.map_err(|problem| wrong(format!("is a constant that {problem}")))?;
            let known = Known::Host(Rc::new(host));
            importer
                .known
                .insert(input.name.clone().into_owned(), known);
            continue;
        }
        let shape = input.shape.as_ref().filter(|shape| shape.len() <= 6);
        let shape = shape.ok_or_else(|| wrong("has no shape of at most 6 axes".to_owned()))?;
        let mut extents = Vec::with_capacity(shape.len());
        for (axis, dimension) in shape.iter().enumerate() {
            extents.push(match dimension {
                Dimension::Fixed(length) => {
                    let length = usize::try_from(*length).ok().filter(|&length| length > 0);
                    let length = length.ok_or_else(|| wrong(format!("has an axis {axis} without a length")))?;
                    // If inputs have different lengths, only those as long as the first one have the batch axis.
                    if axis == 0
                        && free_batch
                        && *importer.fixed_batch.get_or_insert(length) == length
                    {
                        Extent::BATCH
                    } else {
                        Extent::fixed(length)
                    }
                }
                Dimension::Named(name) if options.lengths.contains_key(&**name) => Extent::fixed(options.lengths[&**name]),
                dimension if axis == 0 || Some(dimension) == shape.first() && *dimension != Dimension::Unknown => Extent::BATCH,
                Dimension::Named(name) => {
                    return Err(wrong(format!(
                        "has an axis {axis} of a length that is called `{name}`; a network needs a number: give one for this name"
                    )));
                }
                Dimension::Unknown => return Err(wrong(format!("has an axis {axis} of no length"))),
            });
        }
        let is_scalar = extents.is_empty();
        let id = importer.given(&input.name, or_one(extents), kind, Source::Input);
        if is_scalar {
            importer.mark_scalar(id);
        }
        importer.data_types.insert(id, input.data_type);
        importer.graph.inputs.push(id);
        importer
            .known
            .insert(input.name.clone().into_owned(), Known::Value(id));
    }
    Ok(())
}

/// Orders the nodes so that operands are computed before they are used; files need not be sorted.
fn order(graph: &proto::Graph<'_>) -> Result<Vec<usize>, ImportError> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|output| !output.is_empty()) {
            if producers.insert(output, position).is_some() {
                return Err(ImportError::Value {
                    name: output.clone().into_owned(),
                    problem: "is the result of two nodes".to_owned(),
                });
            }
        }
    }
    let mut waiting = vec![0_usize; graph.nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (position, node) in graph.nodes.iter().enumerate() {
        for producer in node.inputs.iter().filter_map(|name| producers.get(&**name)) {
            waiting[position] += 1;
            readers[*producer].push(position);
        }
    }
    let mut ready: std::collections::BinaryHeap<_> = (0..graph.nodes.len())
        .filter(|&position| waiting[position] == 0)
        .map(std::cmp::Reverse)
        .collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(std::cmp::Reverse(position)) = ready.pop() {
        order.push(position);
        for &reader in &readers[position] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(std::cmp::Reverse(reader));
            }
        }
    }
    match waiting.iter().position(|&count| count > 0) {
        None => Ok(order),
        Some(position) => Err(ImportError::Value {
            name: graph.nodes[position].outputs[0].clone().into_owned(),
            problem: "depends on itself".to_owned(),
        }),
    }
}

/// The nodes that an output depends on.
fn needed(graph: &proto::Graph<'_>, order: &[usize]) -> Vec<usize> {
    let mut wanted: HashSet<&str> = graph.outputs.iter().map(|output| &*output.name).collect();
    let mut needed: Vec<usize> = Vec::new();
    for &position in order.iter().rev() {
        let node = &graph.nodes[position];
        if node.outputs.iter().any(|output| wanted.contains(&**output)) {
            wanted.extend(node.inputs.iter().map(|name| &**name));
            needed.push(position);
        }
    }
    needed.reverse();
    needed
}

/// How often each name is read; an output counts as one more read.
fn uses<'g>(graph: &'g proto::Graph<'_>, needed: &[usize]) -> HashMap<&'g str, usize> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let read = needed
        .iter()
        .flat_map(|&position| &graph.nodes[position].inputs);
    let read = read
        .map(|name| &**name)
        .chain(graph.outputs.iter().map(|output| &*output.name));
    read.for_each(|name| *uses.entry(name).or_default() += 1);
    uses
}

/// The path of the module that contains a node, as PyTorch's exporters write it: in the name of the node,
/// `/layer1/layer1.0/conv1/Conv`, or in its metadata, `['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']`. Empty
/// if the file does not contain it.
fn scope(node: &proto::Node<'_>) -> String {
    let mut modules = node.modules.trim_matches(['[', ']']).rsplit(", ").skip(1);
    if let Some(path) = modules.next() {
        return path.trim_matches(['\'', '"']).to_owned();
    }
    let Some((path, _)) = node.name.rsplit_once('/') else {
        return String::new();
    };
    let mut scope = String::new();
    let mut last = "";
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // The name of an element of a list begins with the name of the list.
        let own = part
            .strip_prefix(last)
            .and_then(|rest| rest.strip_prefix('.'));
        let own = own.filter(|_| !last.is_empty()).unwrap_or(part);
        if !scope.is_empty() {
            scope.push('.');
        }
        scope.push_str(own);
        last = part;
    }
    scope
}
