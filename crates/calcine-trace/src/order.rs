//! Sorts elements along an axis.

use std::cmp::Ordering;

use burn::backend::capture::CaptureBackend;
use burn::tensor::{Float, Int, Tensor, TensorData};
use calcine_graph::ElementKind;

use crate::tensor::{AnyTensor, with_kind, with_rank};

/// The positions of the first `count` elements along an axis in ascending or descending order. Equal elements are
/// ordered by their positions.
///
/// Reads the device, because Burn's own functions do not define the order of equal elements. On a device that only
/// records, Burn's operation is recorded.
pub(crate) fn order(x: AnyTensor, axis: usize, descending: bool, count: usize) -> AnyTensor {
    if records(&x) {
        return recorded(x, axis, descending, count);
    }
    let device = x.device();
    let (kind, mut shape) = (x.kind(), x.shape());
    let data = x.without_autodiff().into_data();
    let lines = Lines {
        length: shape[axis],
        inner: shape[axis + 1..].iter().product(),
        count,
    };
    shape[axis] = count;
    let towards = |ordering: Ordering| match descending {
        true => ordering.reverse(),
        false => ordering,
    };
    let positions = match kind {
        ElementKind::Int => {
            let values: Vec<i64> = data.iter::<i64>().collect();
            lines.ordered(&values, |a, b| towards(a.cmp(b)))
        }
        _ => {
            let values: Vec<f32> = data.iter::<f32>().collect();
            let larger = |a: &f32, b: &f32| {
                let ordering = a.partial_cmp(b);
                ordering.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            };
            lines.ordered(&values, |a, b| towards(larger(a, b)))
        }
    };
    let positions = TensorData::new(positions, shape.clone());
    with_rank!(shape.len(), D => Tensor::<D, Int>::from_data(positions, &device).into())
}

/// Whether two elements with the same position in all other axes are equal, or both NaN. Reads the device.
pub(crate) fn has_equal(x: AnyTensor, axis: usize) -> bool {
    let Some(length) = x.shape().get(axis).copied().filter(|&length| length > 1) else {
        return false;
    };
    let last = x.rank() - 1;
    let lines = with_kind!(x.kind(), K => with_rank!(x.rank(), D => {
        x.of::<D, K>().swap_dims(axis, last).into_data()
    }));
    let values: Vec<f64> = lines.iter::<f64>().collect();
    values.chunks(length).any(|line| {
        let mut line = line.to_vec();
        line.sort_unstable_by(f64::total_cmp);
        let equal = |pair: &[f64]| pair[0] == pair[1] || pair[0].is_nan() && pair[1].is_nan();
        line.windows(2).any(equal)
    })
}

/// Whether operations on the tensor are recorded instead of computed.
fn records(x: &AnyTensor) -> bool {
    with_kind!(x.kind(), K => {
        let tensor: Tensor<1, K> = x.clone().of();
        tensor.try_into_primitive::<CaptureBackend>().is_ok()
    })
}

fn recorded(x: AnyTensor, axis: usize, descending: bool, count: usize) -> AnyTensor {
    with_rank!(x.rank(), D => {
        let positions = match (x.kind(), descending) {
            (ElementKind::Int, true) => x.of::<D, Int>().argsort_descending(axis),
            (ElementKind::Int, false) => x.of::<D, Int>().argsort(axis),
            (_, true) => x.of::<D, Float>().argsort_descending(axis),
            (_, false) => x.of::<D, Float>().argsort(axis),
        };
        positions.narrow(axis, 0, count).into()
    })
}

/// The elements of a tensor as lines along an axis.
struct Lines {
    length: usize,
    /// The number of elements of the axes after it.
    inner: usize,
    /// The number of elements to take from each line.
    count: usize,
}

impl Lines {
    fn ordered<E>(&self, values: &[E], compare: impl Fn(&E, &E) -> Ordering) -> Vec<i64> {
        let block = (self.length * self.inner).max(1);
        let mut positions = vec![0; values.len() / block * self.count * self.inner];
        let outer = positions.chunks_exact_mut((self.count * self.inner).max(1));
        let mut line: Vec<usize> = Vec::with_capacity(self.length);
        for (values, positions) in values.chunks_exact(block).zip(outer) {
            for at in 0..self.inner {
                let element = |position: usize| &values[position * self.inner + at];
                let before =
                    |a: &usize, b: &usize| compare(element(*a), element(*b)).then(a.cmp(b));
                line.clear();
                line.extend(0..self.length);
                if self.count < self.length {
                    line.select_nth_unstable_by(self.count, before);
                    line.truncate(self.count);
                }
                line.sort_unstable_by(before);
                for (place, &position) in line.iter().enumerate() {
                    positions[place * self.inner + at] = position.cast_signed() as i64;
                }
            }
        }
        positions
    }
}
