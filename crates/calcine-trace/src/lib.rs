//! Any Burn model as a [`Network`]: a named, executable, trainable graph, without touching the model's code.
//!
//! # Should I use this crate?
//!
//! Yes, to measure, watch or rewrite what a model computes, or to keep it in one file that needs none of its
//! code. No, if parameters are all you want: `calcine-params` reads and edits those of any module.
//!
//! # The parts
//!
//! | item | what |
//! |---|---|
//! | [`trace`] | records a forward pass as a network |
//! | [`Network`] | the graph and the model's parameters: a Burn module that computes the same |
//! | [`Network::run`] | a pass in which every result can be looked at or replaced |
//! | [`Network::rewritten`], [`Which`], [`Added`] | another graph and other tensors in place of its own |
//! | [`Network::save`], [`Network::load`] | one safetensors file |
//! | [`evaluate`] | one node's operation on tensors |
//! | [`AnyTensor`], [`Tensors`] | tensors whose rank and kind are known at run time; what goes in and comes out |
//! | [`TraceError`], [`ForwardError`], [`RewriteError`], [`NetworkFileError`] | what was wrong, where, and what would be valid |
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

mod activity;
mod apply;
mod assemble;
mod error;
mod file;
mod leaf;
mod lower;
mod network;
mod record;
mod run;
mod steps;
mod tensor;
pub mod watch;

use burn::module::Module;
use burn::tensor::TensorData;
use calcine_graph::{Graph, Kind, Node, Op};
use calcine_params::Inventory;

pub use calcine_graph as graph;
pub use error::{ForwardError, RewriteError, TraceError};
pub use file::NetworkFileError;
pub use leaf::Added;
pub use network::{Network, Which, batch_size};
pub use tensor::{AnyTensor, Tensors};

/// Records what `forward` does to the sample, as a network with the model's parameters.
///
/// The pass is recorded on Burn's capture device, which computes nothing, for batches of two and of three
/// made of the sample's first element. What differs between the two is a function of the batch, so that the
/// network runs with any. The model's parameters are copied to the host for that, and are then the network's own: training one
/// does not move the other. They keep their paths, their ids, and whether they are trained.
///
/// Burn records no dropout where there is no tape, so a network has none. What Rust decides while it
/// runs is recorded as it went.
///
/// # Errors
///
/// If an operation has no counterpart in a graph, if the sample does not fit, or if the pass does another
/// thing for another batch.
pub fn trace<M: Module, I: Tensors, O: Tensors>(
    model: &M,
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
    let device = sample.first().map(AnyTensor::device).unwrap_or_default();
    let small = record::record(model, &sample, 2, &forward)?;
    let large = record::record(model, &sample, 3, &forward)?;
    let assembled = assemble::assemble(&small, &large)?;
    let mut graph = assembled.graph;
    let mut constants = vec![None; graph.values.len()];
    for (id, data) in assembled.constants {
        constants[id.0] = Some(constant(data, graph.value(id).kind, &device));
    }
    tell_momentum(&mut graph, &Inventory::of(model));
    Ok(Network::new(graph, leaf::Leaves::of(model)?, constants))
}

/// What a node computes of these operands, which may stand for others than the graph's: the operation alone, on
/// tensors of the shapes that the graph says for a batch of this size.
///
/// Batch norms use the statistics among their operands. Nothing is read.
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

/// Writes into the graph what no recording of an evaluation tells: how much of a batch goes into the running
/// statistics of the model's batch norms.
fn tell_momentum(graph: &mut Graph, inventory: &Inventory) {
    let values = &graph.values;
    for node in &mut graph.nodes {
        if let Op::BatchNorm { momentum, .. } = &mut node.op {
            let gamma = &values[node.inputs[1].0].name;
            let layer = gamma.rsplit_once('.').map_or("", |(layer, _)| layer);
            let told = inventory.batch_norm(layer).and_then(|norm| norm.momentum);
            if let Some(told) = told {
                *momentum = told;
            }
        }
    }
}

fn constant(data: TensorData, kind: Kind, device: &burn::tensor::Device) -> AnyTensor {
    use burn::tensor::Tensor;
    tensor::with_kind!(kind, K => tensor::with_rank!(data.shape().num_dims(), D => {
        AnyTensor::from(Tensor::<D, K>::from_data(data, device).without_autodiff())
    }))
}
