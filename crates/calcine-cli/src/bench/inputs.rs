//! The inputs with which a network is measured.

use burn::tensor::{Device, TensorData};
use calcine::engine::{Array, Numbers};
use calcine::graph::{ElementKind, Graph};
use calcine::trace::AnyTensor;

use crate::failure::{Failure, bad};

/// Inputs of zeros for a batch of this size, for the engine.
pub(super) fn arrays(graph: &Graph, batch: usize) -> Vec<Array> {
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let count = shape.iter().product();
        let numbers = match value.kind {
            ElementKind::Float => Numbers::Floats(vec![0.0; count]),
            ElementKind::Int => Numbers::Ints(vec![0; count]),
            ElementKind::Bool => Numbers::Bools(vec![false; count]),
        };
        Array { shape, numbers }
    });
    inputs.collect()
}

/// Inputs of zeros for a batch of this size.
pub(super) fn zeros(
    graph: &Graph,
    batch: usize,
    device: &Device,
) -> Result<Vec<AnyTensor>, Failure> {
    inputs(graph, batch, device, |_| 0.0)
}

/// Inputs whose floats are evenly distributed between −1 and 1; other elements are zero.
pub(super) fn drawn(
    graph: &Graph,
    batch: usize,
    device: &Device,
) -> Result<Vec<AnyTensor>, Failure> {
    // Steps of the golden ratio are spread evenly.
    inputs(graph, batch, device, |at| {
        (2.0 * (0.618_033_988_75 * at as f64).fract() - 1.0) as f32
    })
}

fn inputs(
    graph: &Graph,
    batch: usize,
    device: &Device,
    number: impl Fn(usize) -> f32,
) -> Result<Vec<AnyTensor>, Failure> {
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let count: usize = shape.iter().product();
        let data = match value.kind {
            ElementKind::Float => TensorData::new((0..count).map(&number).collect(), shape),
            ElementKind::Int => TensorData::zeros::<i64, _>(shape),
            ElementKind::Bool => TensorData::zeros::<bool, _>(shape),
        };
        AnyTensor::from_data(data, value.kind, device)
            .ok_or_else(|| bad(format!("the input `{}` has too many axes", value.name)))
    });
    inputs.collect()
}
