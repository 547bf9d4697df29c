//! The gradient of a convolution's input at the positions that have the same remainder of the stride.

use super::Convolution;
use crate::floats::FloatLayer;
use crate::images::{Frame, Order};
use crate::packed::Filters;
use crate::plane::{Plane, Window};

/// The kernel elements along an axis that contribute to positions with a given remainder, as elements of a window over
/// the gradient of `y`.
struct Taps {
    /// The indices of the elements, from the last to the first, so that the positions that they read ascend.
    elements: Vec<usize>,
    /// The position that the last element reads for the first position of `x`, and the distance to the position that
    /// the next element reads.
    first: isize,
    step: usize,
}

impl Taps {
    /// Element `k` connects `x[u]` with `y[(u + padding − dilation · k) / stride]` if the division has no remainder.
    fn new(window: &Window, axis: usize, remainder: usize) -> Self {
        let [stride, dilation] = [window.stride[axis], window.dilation[axis]];
        let place = |k: usize| {
            let at = remainder + window.padding[axis];
            at.cast_signed() - (dilation * k).cast_signed()
        };
        let mut elements: Vec<usize> = (0..window.kernel[axis])
            .filter(|&k| place(k).rem_euclid(stride.cast_signed()) == 0)
            .collect();
        elements.reverse();
        let read = |k: &usize| place(*k).div_euclid(stride.cast_signed());
        let first = elements.first().map_or(0, read);
        let step = match &elements[..] {
            [a, b, ..] => read(b).abs_diff(read(a)),
            _ => 1,
        };
        Self {
            elements,
            first,
            step,
        }
    }
}

/// The positions of `x` with the same remainder modulo the stride.
pub(super) struct Phase {
    /// `None` if no window reads these positions.
    layer: Option<FloatLayer>,
    pub(super) frame: Frame,
    /// The index of the first of these positions in the gradient of `x`, and the layout of the positions in it.
    offset: usize,
    plane: Plane,
}

impl Phase {
    pub(super) fn new(of: &Convolution, weights: &[f32], first: [usize; 2]) -> Self {
        let Filters {
            inputs,
            outputs,
            groups,
            window,
        } = of.filters;
        let [rows, columns] = [0, 1].map(|axis| Taps::new(&window, axis, first[axis]));
        let stride = window.stride;
        let positions = [
            of.x.height.div_ceil(stride[0]),
            of.x.width.div_ceil(stride[1]),
        ];
        let mut plane = Plane::new(positions[0], positions[1], inputs);
        plane.pitch = stride[1] * inputs;
        plane.border[1][1] = positions[1] * (stride[0] - 1);
        let offset = (first[0] * positions[1] * stride[1] + first[1]) * inputs;
        let size = |taps: &Taps, positions: usize| {
            positions - 1 + taps.elements.len().saturating_sub(1) * taps.step + 1
        };
        let frame = Frame {
            size: [size(&rows, positions[0]), size(&columns, positions[1])],
            before: [-rows.first, -columns.first],
        };
        let kernel = [rows.elements.len(), columns.elements.len()];
        let layer = (kernel[0] * kernel[1] > 0).then(|| {
            let (each_in, each_out) = (inputs / groups, outputs / groups);
            let mut own = Vec::with_capacity(inputs * each_out * kernel[0] * kernel[1]);
            for input in 0..inputs {
                let group = input / each_in;
                for output in group * each_out..(group + 1) * each_out {
                    let from = (output * each_in + input % each_in) * window.kernel[0];
                    for row in &rows.elements {
                        for column in &columns.elements {
                            own.push(weights[(from + row) * window.kernel[1] + column]);
                        }
                    }
                }
            }
            let filters = Filters {
                inputs: outputs,
                outputs: inputs,
                groups,
                window: Window {
                    kernel,
                    stride: [1; 2],
                    dilation: [rows.step, columns.step],
                    padding: [0; 2],
                },
            };
            let from = Plane::new(frame.size[0], frame.size[1], outputs);
            FloatLayer::new(&own, &vec![0.0; inputs], filters, from, plane)
        });
        Self {
            layer,
            frame,
            offset,
            plane,
        }
    }

    pub(super) fn run(
        &self,
        of: &Convolution,
        image: &[f32],
        order: Order,
        read: &mut [f32],
        to: &mut [f32],
    ) {
        let to = &mut to[self.offset..];
        let Some(layer) = &self.layer else {
            for row in 0..self.plane.height {
                for column in 0..self.plane.width {
                    to[self.plane.index(0, row, column)..][..self.plane.channels].fill(0.0);
                }
            }
            return;
        };
        self.frame.fill(of.isa, image, of.y, order, read);
        layer.run(
            of.isa,
            1,
            read,
            [f32::NEG_INFINITY, f32::INFINITY],
            None,
            to,
        );
    }
}
