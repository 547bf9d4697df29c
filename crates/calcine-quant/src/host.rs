//! Element-wise arithmetic on tensors in host memory: one pass over the values, in place, on all cores.
//!
//! Burn executes one operation at a time, and its rounding calls a function for each number. The functions of this module work if
//! [`reaches`] returns true; for other devices and other types of numbers, the caller combines Burn's operations, which give the same
//! results.

use burn::tensor::{DType, Device, Tensor, TensorData};
use calcine_device::in_host_memory;
pub use calcine_kernels::fake::nearest;
use rayon::prelude::*;

/// The approximate number of values that one task processes.
const TASK: usize = 1 << 14;

/// Whether the functions of this module support the tensor: its values are `f32` in host memory.
#[must_use]
pub fn reaches<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && in_host_memory(&tensor.device())
}

/// The values of a tensor, detached from autodiff, and its shape and device.
struct Numbers<const D: usize> {
    data: TensorData,
    shape: [usize; D],
    device: Device,
}

impl<const D: usize> Numbers<D> {
    /// Takes the values out of a tensor; they are copied only if another tensor shares them.
    fn new(tensor: Tensor<D>) -> Self {
        let (shape, device) = (tensor.dims(), tensor.device());
        let data = tensor.without_autodiff().into_data();
        Self {
            data,
            shape,
            device,
        }
    }

    fn slice(&mut self) -> &mut [f32] {
        let numbers = self.data.as_mut_slice::<f32>();
        numbers.expect("`reaches` is asked first")
    }

    fn tensor(self) -> Tensor<D> {
        Tensor::from_data(self.data, (&self.device, DType::F32))
    }
}

/// Applies a function to each value of the tensor. The result is detached from autodiff.
///
/// # Panics
///
/// If [`reaches`] is false for the tensor; this holds for all functions of this module.
#[must_use]
pub fn map<const D: usize>(tensor: Tensor<D>, change: impl Fn(f32) -> f32 + Sync) -> Tensor<D> {
    let mut numbers = Numbers::new(tensor);
    numbers.slice().par_chunks_mut(TASK).for_each(|chunk| {
        for x in chunk {
            *x = change(*x);
        }
    });
    numbers.tensor()
}

/// Applies a function to each value of the first tensor and the value of the second tensor at the same position. Both
/// have the same shape.
#[must_use]
pub fn zip<const D: usize>(
    first: Tensor<D>,
    second: Tensor<D>,
    change: impl Fn(f32, f32) -> f32 + Sync,
) -> Tensor<D> {
    let (mut first, mut second) = (Numbers::new(first), Numbers::new(second));
    let pairs = first.slice().par_chunks_mut(TASK);
    let pairs = pairs.zip(second.slice().par_chunks_mut(TASK));
    pairs.for_each(|(first, second)| {
        for (a, b) in first.iter_mut().zip(second) {
            *a = change(*a, *b);
        }
    });
    first.tensor()
}

/// `change((x + bias) · factor)`, with one bias and one factor per channel along an axis; both the sum and the product
/// are rounded to `f32`.
///
/// # Shapes
///
/// `bias`, `factor`: the length of the axis.
#[must_use]
pub fn scale_channels<const D: usize>(
    tensor: Tensor<D>,
    axis: usize,
    bias: &[f32],
    factor: &[f32],
    change: impl Fn(f32) -> f32 + Sync,
) -> Tensor<D> {
    let mut numbers = Numbers::new(tensor);
    let channels = numbers.shape[axis];
    let places: usize = numbers.shape[axis + 1..].iter().product();
    let sample = (channels * places).max(1);
    let task = (TASK / sample).max(1) * sample;
    let each = |task: &mut [f32]| {
        for sample in task.chunks_mut(sample) {
            if places == 1 {
                let numbers = sample.iter_mut().zip(bias).zip(factor);
                numbers.for_each(|((x, bias), factor)| *x = change((*x + bias) * factor));
                continue;
            }
            for (places, (bias, factor)) in sample.chunks_mut(places).zip(bias.iter().zip(factor)) {
                for x in places {
                    *x = change((*x + bias) * factor);
                }
            }
        }
    };
    numbers.slice().par_chunks_mut(task).for_each(each);
    numbers.tensor()
}
