use burn::tensor::{Device, TensorData};
use calcine_graph::{ElementKind, Graph};
use calcine_trace::AnyTensor;

use crate::RunError;

/// Creates inputs of a network for a batch, in the shapes with which it was traced. Floats are `number(i)` for the i-th
/// element of an input in row-major order; integers are zero, and booleans are false.
///
/// # Errors
///
/// If an input has more axes than tensors can have.
///
/// # Examples
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(4, 2).init(&device);
/// let network = calcine_trace::trace(&layer, Tensor::<2>::zeros([1, 4], &device), |m, x| m.forward(x))?;
/// let inputs = calcine_run::filled_inputs(network.graph(), 3, &device, |i| i as f32)?;
/// assert_eq!(inputs[0].shape(), [3, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn filled_inputs(
    graph: &Graph,
    batch: usize,
    device: &Device,
    number: impl Fn(usize) -> f32,
) -> Result<Vec<AnyTensor>, RunError> {
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let count: usize = shape.iter().product();
        let data = match value.kind {
            ElementKind::Float => TensorData::new((0..count).map(&number).collect(), shape),
            ElementKind::Int => TensorData::zeros::<i64, _>(shape),
            ElementKind::Bool => TensorData::zeros::<bool, _>(shape),
        };
        AnyTensor::from_data(data, value.kind, device).ok_or_else(|| RunError::Unfit {
            problems: vec![format!("the input `{}` has too many axes", value.name)],
        })
    });
    inputs.collect()
}
