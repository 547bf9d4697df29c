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
//! | [`Network::run`] | a forward pass in which every result can be observed or replaced |
//! | [`Network::from_parts`], [`NewParameter`] | creates a network from a graph and tensors, for example of a file |
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
/// The pass is recorded on Burn's capture device, which computes nothing, for batches of two, of three, and of a prime
/// number that is larger than any axis in the first two recordings; each batch repeats the first element of the sample.
/// What differs between the first two recordings is assumed to be a function of the batch size, which the third must
/// confirm. Then model and network compute the sample, and its first element alone, and must agree: either the network
/// is equivalent to the model, or `trace` returns an error with the reason.
///
/// For this comparison, the parameters of the model are copied to the host. The network has its own copies: training
/// one does not change the other. They keep their paths, their ids, and whether they are trained. The sample can be on
/// any device, including an autodiff device.
///
/// Sorting orders equal elements by their positions and reads the device for that; Burn's own functions leave their
/// order open. Outputs that depend on the order of elements that are equal in the sample are therefore not compared
/// with those of the model.
///
/// The momentum of batch norms is measured: the model runs once with the first element of the sample on its device with autodiff, where its
/// batch norms train and everything else is as in evaluation. The running statistics of the model stay as they are. The measured
/// number is exact if it has few decimals, and otherwise within 1e-7.
///
/// Burn records no dropout without autodiff, so a network has none. Decisions of Rust code are recorded as they were
/// made for the sample: the recurrent layers of Burn have as many steps as the sample is long, and branches that are
/// taken for other values are not recorded.
///
/// Names are unique among inputs, nodes, constants and parameters. Layers and parameters have the paths of the model;
/// if a generated name (`input`, `conv1.relu`, or `conv1_2` for the second use of a layer) already exists, it is
/// followed by `_2`, `_3` and so on.
///
/// # Errors
///
/// If operations have no counterpart in a graph (all of them are named), if the sample does not fit, if the pass does another
/// thing for another batch, reads a value, draws a number or panics, or if network and model give different outputs; or if the momentum of a batch norm that
/// trains cannot be measured. A model that keeps a device in a field needs [`trace_made`].
pub fn trace<M: Module, I: Tensors, O: Tensors>(
    model: &M,
    sample: I,
    forward: impl Fn(&M, I) -> O,
) -> Result<Network, TraceError> {
    // Without autodiff, and with running statistics of its own: capture would move the model's.
    let on = |device: &Device| model.valid().materialize().to_device(device);
    let training = |device: &Device| on(&device.clone().without_autodiff()).train();
    traced(model, on, training, sample, forward)
}

/// As [`trace`], for a model that keeps the device that it was made on, and makes tensors there in its forward pass:
/// `make` makes the model on the device that it is given.
///
/// It is called with the sample's device, for the parameters, and with that of the recordings. If it draws its
/// weights, let it load them too: those of the first call are the network's.
///
/// # Errors
///
/// As [`trace`].
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
        // Without inputs there is nothing to tell by where a pass begins.
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
        // What small batches tell is the simpler reason.
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

/// The batches of the two recordings that say what the batch changes.
const SMALL: [usize; 2] = [2, 3];

/// A prime number larger than the longest axis, so that no length is by chance what the batch makes of it, and larger than
/// what code is likely to compare a batch with.
fn large_batch(longest: usize) -> usize {
    let is_prime = |number: usize| {
        (2..)
            .take_while(|d| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
    };
    let mut larger = longest.max(65_536) + 1..;
    larger.find(|&number| is_prime(number)).unwrap_or(65_537)
}

/// What a node computes of these operands, which may stand for others than the graph's: the operation alone, on
/// tensors of the shapes that the graph says for a batch of this size.
///
/// Batch norms use the statistics among their operands. Nothing is read, but by [`Op::ArgSort`](calcine_graph::Op::ArgSort).
///
/// # Panics
///
/// If operands are missing, or of other kinds or ranks.
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
