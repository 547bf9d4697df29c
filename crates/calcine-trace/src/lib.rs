//! Records any Burn model as a [`Network`]: a named, executable, trainable graph. The code of the model does not
//! change.
//!
//! # Should I use this crate?
//!
//! Use it to measure, observe or rewrite what a model computes, or to store it in one file that does not need the
//! model's code. To read and edit only parameters, `calcine-params` is enough.
//!
//! # Contents
//!
//! | item | purpose |
//! |---|---|
//! | [`trace`], [`trace_made`] | records a forward pass as a network |
//! | [`Network`] | the graph and the parameters of the model: a Burn module that computes the same |
//! | [`Network::run`] | executes a forward pass in which every result can be observed or replaced |
//! | [`Network::from_parts`], [`NewParameter`] | creates a network from a graph and tensors, for example from a file |
//! | [`Network::rewritten`], [`NetworkTensor`], [`AddedParameter`] | replaces the graph and the tensors of a network |
//! | [`Network::save`], [`Network::load`] | writes and reads one safetensors file |
//! | [`evaluate`], [`try_compute`] | executes the operation of one node on tensors; returns an error where Burn panics |
//! | [`AnyTensor`], [`Tensors`] | tensors whose rank and kind are known at run time; inputs and outputs |
//! | [`TraceError`], [`ForwardError`], [`RewriteError`], [`NetworkFileError`] | the problem, its place, and what would be valid |
//!
//! # Examples
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use calcine_trace::trace;
//!
//! let device = Device::flex();
//! let model: Linear = LinearConfig::new(4, 2).init(&device);
//! let sample = Tensor::<2>::zeros([1, 4], &device);
//! let network = trace(&model, sample, |model, x| model.forward(x))?;
//!
//! let layers: Vec<_> = network.graph().nodes.iter().map(|node| node.name.as_str()).collect();
//! assert_eq!(layers, ["linear"]);
//! let y: Tensor<2> = network.forward(Tensor::<2>::ones([32, 4], &device));
//! assert_eq!(y.dims(), [32, 2]);
//! # Ok::<(), calcine_trace::TraceError>(())
//! ```

mod apply;
mod assemble;
mod chains;
mod compare;
mod compose;
mod data;
mod error;
mod file;
#[cfg(feature = "flex")]
mod kernels;
mod leaf;
mod lower;
mod momentum;
mod naming;
mod network;
mod order;
mod parts;
mod record;
mod run;
mod step;
mod steps;
mod stored;
mod tensor;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use calcine_graph::{ElementKind, Graph, Node};

pub use calcine_graph as graph;
pub use error::{ForwardError, RewriteError, TraceError, Untraceable};
pub use file::NetworkFileError;
pub use leaf::AddedParameter;
pub use network::{Network, NetworkTensor};
pub use parts::NewParameter;
pub use run::{Observer, batch_size, try_compute, typed_outputs};
pub use tensor::{AnyTensor, Tensors};

/// Records what `forward` does with the sample, and returns a network with the model's parameters.
///
/// The pass is recorded three times on Burn's capture device, which computes nothing: for batches of two, of three, and
/// of a prime number that is larger than any axis in the first two recordings. Each batch repeats the first element of
/// the sample. Lengths and numbers that differ between the first two recordings are assumed to be functions of the
/// batch size, which the third recording must confirm. Then the outputs of model and network are compared, for the
/// whole sample and for its first element alone: either the network is equivalent to the model, or `trace` returns an
/// error with the reason.
/// is equivalent to the model, or `trace` returns an error with the reason.
///
/// For this comparison, the parameters of the model are copied to the host. The network has its own copies of the
/// parameters: training one does not change the other. The copies keep their paths, their ids, and whether they are
/// trained. The sample can be on any device, including an autodiff device.
///
/// Sorting orders equal elements by their positions, and reads the device for that; Burn's own functions do not define
/// this order. Therefore, outputs that depend on the order of elements that are equal in the sample are not compared
/// with those of the model.
///
/// The momentum of batch norms is measured: the model runs once with the first element of the sample on its device with
/// autodiff, with its batch norms in training mode and everything else as in evaluation mode. The running statistics of
/// the model do not change. The measured number is exact if it has few decimals, and otherwise accurate to 1e-7.
///
/// Without autodiff, Burn records no dropout, so a network contains none. Decisions of Rust code are recorded as they
/// are made for the sample: the recurrent layers of Burn have as many steps as the sample is long, and branches that
/// are taken for other values are not recorded.
///
/// Names are unique among inputs, nodes, constants and parameters. Layers and parameters have the paths of the model;
/// if a generated name (`input`, `conv1.relu`, or `conv1_2` for the second use of a layer) already exists, it is
/// followed by `_2`, `_3` and so on.
///
/// # Errors
///
/// If operations cannot be represented in a graph (all of them are named), if the sample does not fit, if the pass does
/// something else for another batch size, reads a value, draws a random number or panics, if network and model give
/// different outputs, or if the momentum of a batch norm that is trained cannot be measured. A model that keeps a
/// device in a field needs [`trace_made`].
pub fn trace<M: Module, I: Tensors, O: Tensors>(
    model: &M,
    sample: I,
    forward: impl Fn(&M, I) -> O,
) -> Result<Network, TraceError> {
    // Without autodiff, and with its own running statistics: capturing would update those of the model.
    let on = |device: &Device| model.valid().materialize().to_device(device);
    let training = |device: &Device| on(&device.clone().without_autodiff()).train();
    traced(model, on, training, sample, forward)
}

/// Like [`trace`], for a model that keeps the device that it was created on, and creates tensors there in its forward
/// pass: `make` creates the model on the given device.
///
/// It is called with the sample's device, for the parameters, and with the device of the recordings. If it initializes
/// weights randomly, it must also load them, because the network gets the weights of the first call.
///
/// # Errors
///
/// The same as for [`trace`].
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_trace::trace_made;
///
/// #[derive(Module, Debug)]
/// struct Shifted {
///     linear: Linear,
///     #[module(skip)]
///     device: Device,
/// }
///
/// let make = |device: &Device| Shifted {
///     linear: LinearConfig::new(4, 2).init(device),
///     device: device.clone(),
/// };
/// let sample = Tensor::<2>::zeros([1, 4], &Device::flex());
/// let network = trace_made(make, sample, |model, x| {
///     model.linear.forward(x) + Tensor::<2>::ones([1, 2], &model.device)
/// })?;
/// assert_eq!(network.graph().nodes.len(), 3);
/// # Ok::<(), calcine_trace::TraceError>(())
/// ```
pub fn trace_made<M: Module, I: Tensors, O: Tensors>(
    make: impl Fn(&Device) -> M,
    sample: I,
    forward: impl Fn(&M, I) -> O,
) -> Result<Network, TraceError> {
    let sample = sample.into_any();
    let device = sample.first().map(AnyTensor::device).unwrap_or_default();
    let model = record::attempt(|| make(&device))?;
    let Some(sample) = I::from_any(sample) else {
        return Err(TraceError::Sample {
            expected: I::expected(),
        });
    };
    traced(
        &model,
        |device: &Device| make(device).valid().materialize(),
        |device: &Device| make(device).valid().materialize().train(),
        sample,
        forward,
    )
}

fn traced<M: Module, I: Tensors, O: Tensors>(
    model: &M,
    on: impl Fn(&Device) -> M,
    training: impl Fn(&Device) -> M,
    sample: I,
    forward: impl Fn(&M, I) -> O,
) -> Result<Network, TraceError> {
    let sample = sample.into_any();
    let empty = |input: &AnyTensor| input.rank() > tensor::MAX_RANK || input.shape().contains(&0);
    if sample.iter().any(empty) {
        return Err(TraceError::Sample {
            expected: I::expected(),
        });
    }
    let home = model.devices().into_iter().next();
    let home = home.or_else(|| sample.first().map(AnyTensor::device));
    let home = home.unwrap_or_default().without_autodiff();
    let capture = Device::capture();
    let record = |batches: &[usize]| match sample.is_empty() {
        // Without inputs, nothing marks the beginning of a pass.
        true => {
            let mut all = Vec::new();
            for &batch in batches {
                all.extend(record::record(&capture, &on, &sample, &[batch], &forward)?);
            }
            Ok(all)
        }
        false => record::record(&capture, &on, &sample, batches, &forward),
    };
    let assembled = |recordings: &[record::Recording]| {
        let steps = recordings.iter().map(steps::steps);
        assemble::assemble(recordings, &steps.collect::<Result<Vec<_>, _>>()?)
    };
    let given = sample.iter().flat_map(AnyTensor::shape).max();
    let mut large = large_batch(given.unwrap_or_default());
    let all = record(&[SMALL[0], SMALL[1], large]).and_then(|mut recordings| {
        let small = recordings.iter().take(SMALL.len());
        let longest = small.map(record::Recording::longest).max();
        if let Some(longest) = longest.filter(|&longest| longest >= large) {
            large = large_batch(longest);
            recordings = record(&[SMALL[0], SMALL[1], large])?;
        }
        assembled(&recordings)
    });
    let assembled = match all {
        Ok(assembled) => assembled,
        // The reason that small batches show is simpler.
        Err(error) => {
            assembled(&record(&SMALL)?)?;
            return Err(error);
        }
    };
    let graph = assembled.graph;
    let mut constants = vec![None; graph.values.len()];
    for (id, data) in assembled.constants {
        constants[id.0] = Some(constant(data, graph.value(id).kind, &home));
    }
    graph.check()?;
    let mut network = Network::new(graph, leaf::Leaves::of(model)?, constants);
    let sample: Vec<AnyTensor> = sample
        .into_iter()
        .map(|input| input.without_autodiff().to_device(&home))
        .collect();
    let first: Vec<AnyTensor> = sample.iter().map(record::first_element).collect();
    momentum::measure(&mut network, &training, &home, &first, &forward)?;
    compare::agree(&network, &model.valid(), first, &forward)?;
    if sample.iter().any(|input| input.shape()[0] > 1) {
        compare::agree(&network, &model.valid(), sample, &forward)?;
    }
    Ok(network)
}

/// The batch sizes of the two recordings that define what depends on the batch size.
const SMALL: [usize; 2] = [2, 3];

/// A prime number larger than the longest axis, so that no length equals a multiple of the batch size by chance, and
/// larger than numbers with which code is likely to compare a batch size.
fn large_batch(longest: usize) -> usize {
    let is_prime = |number: usize| {
        (2..)
            .take_while(|d| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
    };
    let mut larger = longest.max(65_536) + 1..;
    larger.find(|&number| is_prime(number)).unwrap_or(65_537)
}

/// Computes the operation of a node on these operands, which need not be those of the graph. Shapes that depend on the
/// batch size are those of this batch size.
///
/// Batch norms use the statistics among their operands. Only [`Op::ArgSort`](calcine_graph::Op::ArgSort) reads the
/// device.
///
/// # Panics
///
/// If operands are missing, or have other kinds or ranks.
#[must_use]
pub fn evaluate(graph: &Graph, node: &Node, operands: Vec<AnyTensor>, batch: usize) -> AnyTensor {
    let output = graph.value(node.output);
    let device = operands.first().map(AnyTensor::device).unwrap_or_default();
    let shape = output.shape_at(batch);
    apply::apply(node, operands, batch, &shape, output.kind, || {
        device.clone()
    })
}

fn constant(data: TensorData, kind: ElementKind, device: &Device) -> AnyTensor {
    use burn::tensor::Tensor;
    tensor::with_kind!(kind, K => tensor::with_rank!(data.shape().num_dims(), D => {
        AnyTensor::from(Tensor::<D, K>::from_data(data, device).without_autodiff())
    }))
}
