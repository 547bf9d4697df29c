//! Element-wise arithmetic on tensors in host memory: one pass over the values, in place, on all cores.
//!
//! Burn executes one operation at a time, so that fake-quantization needs ten passes over memory, and its rounding
//! calls a function for each number. The functions of this module work if [`reaches`] returns true; for other devices
//! and other types of numbers, the caller combines Burn's operations, which give the same results.
//! the caller composes Burn's operations, which give the same numbers.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use rayon::prelude::*;

/// The approximate number of values that one task processes.
const TASK: usize = 1 << 14;

/// Adding this constant to a number of magnitude at most 2²² and subtracting it again rounds to the nearest whole
/// number, ties to even, because an `f32` of at least 2²³ has no fraction.
const ROUNDER: f32 = 12_582_912.0;

/// Whether the tensors of this device are in host memory. Burn has no such query; the name of the device is the only
/// public information.
#[must_use]
pub fn in_host_memory(device: &Device) -> bool {
    let name = format!("{device:?}");
    name.contains("Flex") || name.contains("NdArray")
}

/// Whether the functions of this module support the tensor: its values are `f32` in host memory.
#[must_use]
pub fn reaches<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && in_host_memory(&tensor.device())
}

/// The nearest whole number within bounds, which are themselves whole numbers of magnitude at most 2²²; ties to even.
/// NaN stays NaN.
#[inline(always)]
#[must_use]
pub fn nearest(x: f32, ends: [f32; 2]) -> f32 {
    (within(x, ends) + ROUNDER) - ROUNDER
}

/// `x`, limited to the range between two numbers; NaN stays NaN. Compilers translate it to two vector instructions.
#[inline(always)]
pub(crate) fn within(x: f32, [low, high]: [f32; 2]) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
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

/// The result of replacing the values of a tensor while gradients pass straight through at some positions.
pub(crate) struct Replaced<const D: usize> {
    /// The tensor where gradients pass, and zero elsewhere.
    pub(crate) through: Tensor<D>,
    /// The new value minus `through`, detached from autodiff; the sum of both is exactly the new value.
    pub(crate) rest: Tensor<D>,
}

/// Computes a new value for each value of a tensor, and whether the gradient passes there. `None` if the sum of the two
/// parts would not be exactly the new value; for numbers within half a scale of their quantized values, it is.
pub(crate) fn replaced<const D: usize>(
    tensor: Tensor<D>,
    change: impl Fn(f32) -> (f32, bool) + Sync,
) -> Option<Replaced<D>> {
    let mut numbers = Numbers::new(tensor.clone());
    let shape = numbers.shape;
    let mut stopped = vec![false; shape.iter().product()];
    let (any, exact) = (AtomicBool::new(false), AtomicBool::new(true));
    let chunks = numbers.slice().par_chunks_mut(TASK);
    chunks
        .zip(stopped.par_chunks_mut(TASK))
        .for_each(|(numbers, stopped)| {
            // Counters instead of branches, so that the compiler vectorizes the loop.
            let (mut stops, mut errors) = (0_u32, 0_u32);
            for (x, stopped) in numbers.iter_mut().zip(stopped) {
                let (value, passes) = change(*x);
                let through = if passes { *x } else { 0.0 };
                let rest = value - through;
                errors |= u32::from(!(through + rest == value) & !value.is_nan());
                stops |= u32::from(!passes);
                *stopped = !passes;
                *x = rest;
            }
            let (stops, sums) = (stops > 0, errors == 0);
            if stops {
                any.store(true, Ordering::Relaxed);
            }
            if !sums {
                exact.store(false, Ordering::Relaxed);
            }
        });
    if !exact.into_inner() {
        return None;
    }
    let device = numbers.device.clone();
    let through = match any.into_inner() {
        true => {
            let mask = TensorData::new(stopped, shape);
            tensor.mask_fill(Tensor::<D, Bool>::from_data(mask, &device), 0.0)
        }
        false => tensor,
    };
    let rest = numbers.tensor();
    Some(Replaced { through, rest })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "whole numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_rounding_to_even_between_the_ends() {
        for ends in [[0.0, 255.0], [-128.0, 127.0], [-65_535.0, 65_535.0]] {
            for quarter in -1200..1200_i16 {
                for far in [1.0, 64.0, 1e9] {
                    let x = f32::from(quarter) * 0.25 * far;
                    let expected = x.round_ties_even().clamp(ends[0], ends[1]);
                    assert_eq!(nearest(x, ends), expected, "{x} {ends:?}");
                }
            }
            assert!(nearest(f32::NAN, ends).is_nan());
        }
    }
}
