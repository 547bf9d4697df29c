//! Any Burn model as a [`Network`]: a named, executable, trainable graph, without touching the model's code.

mod activity;
mod apply;
mod assemble;
mod error;
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
use calcine_graph::Kind;
use calcine_params::Inventory;

pub use calcine_graph as graph;
pub use error::{ForwardError, TraceError};
pub use network::Network;
pub use tensor::{AnyTensor, Tensors};

/// Records what `forward` does to the sample, as a network with the model's parameters.
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
    let mut constants = vec![None; assembled.graph.values.len()];
    for (id, data) in assembled.constants {
        let kind = assembled.graph.value(id).kind;
        constants[id.0] = Some(constant(data, kind, &device));
    }
    let inventory = Inventory::of(model);
    let momentum = |layer: &str| inventory.batch_norm(layer).map(|norm| norm.momentum);
    Network::new(
        assembled.graph,
        leaf::Leaves::of(model)?,
        constants,
        &momentum,
    )
}

fn constant(data: TensorData, kind: Kind, device: &burn::tensor::Device) -> AnyTensor {
    use burn::tensor::Tensor;
    tensor::with_kind!(kind, K => tensor::with_rank!(data.shape().num_dims(), D => {
        AnyTensor::from(Tensor::<D, K>::from_data(data, device))
    }))
}
