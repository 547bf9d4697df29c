//! Computes the graph without some labels.

use std::collections::HashSet;

use super::error::PlanError;
use crate::axes::Axes;
use crate::axes::Span;
use crate::extent::Extent;
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Op, Range};
use crate::properties::Sizes;

impl Axes {
    /// Checks that each axis keeps at least one index without these units.
    pub(super) fn leaves_something(&self, gone: &HashSet<usize>) -> Result<(), PlanError> {
        if gone.is_empty() {
            return Ok(());
        }
        for (id, name) in self.names().iter().enumerate() {
            for (axis, span) in self.spans(ValueId(id)).iter().enumerate() {
                if span.length > 0 && kept(self, gone, *span, span.length) == 0 {
                    return Err(PlanError::Empty {
                        place: name.clone(),
                        axis,
                        length: span.length,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The number of remaining labels among the first ones of an axis.
fn kept(axes: &Axes, gone: &HashSet<usize>, span: Span, first: usize) -> usize {
    span.labels()
        .take(first)
        .filter(|&label| !gone.contains(&axes.root(label)))
        .count()
}

pub(super) fn shrink(graph: &Graph, axes: &Axes, gone: &HashSet<usize>) -> Graph {
    let mut thinned = graph.clone();
    for (id, value) in thinned.values.iter_mut().enumerate() {
        for (extent, span) in value.shape.iter_mut().zip(axes.spans(ValueId(id))) {
            if span.length > 0 {
                let length = kept(axes, gone, *span, span.length);
                *extent = match extent.per_sample {
                    0 => Extent::fixed(length),
                    _ => Extent {
                        fixed: 0,
                        per_sample: length,
                    },
                };
            }
        }
    }
    for (node, before) in thinned.nodes.iter_mut().zip(&graph.nodes) {
        let counted = Counted {
            graph,
            axes,
            gone,
            node: before,
        };
        match (before.op.properties().sizes, &mut node.op) {
            (
                Sizes::Groups,
                Op::Convolution(convolution) | Op::TransposedConvolution { convolution, .. },
            ) if counted.length(before.inputs[0], 1) == convolution.groups => {
                convolution.groups = counted.kept(before.inputs[0], 1);
            }
            (Sizes::Ranges, Op::Slice(ranges)) => counted.ranges(ranges),
            (Sizes::Padding, Op::Pad { padding, .. }) => counted.padding(padding),
            (Sizes::Times, Op::Repeat { axis, times })
                if counted.length(before.inputs[0], *axis) == 1 =>
            {
                *times = counted.kept(before.output, *axis);
            }
            (Sizes::Nothing | Sizes::Groups | Sizes::Ranges | Sizes::Padding | Sizes::Times, _) => {
            }
        }
    }
    thinned
}

/// A node before thinning, and the remaining numbers of indices along its axes.
struct Counted<'a> {
    graph: &'a Graph,
    axes: &'a Axes,
    gone: &'a HashSet<usize>,
    node: &'a Node,
}

impl Counted<'_> {
    fn length(&self, value: ValueId, axis: usize) -> usize {
        self.graph.value(value).shape[axis].fixed
    }

    fn kept(&self, value: ValueId, axis: usize) -> usize {
        match self.axes.spans(value)[axis] {
            Span { length: 0, .. } => self.length(value, axis),
            span => kept(self.axes, self.gone, span, span.length),
        }
    }

    /// Ranges of reduced axes start after the remaining indices before them, and are as long as the remaining indices
    /// of the result.
    fn ranges(&self, ranges: &mut [Range]) {
        let (x, y) = (self.node.inputs[0], self.node.output);
        for (axis, range) in ranges.iter_mut().enumerate() {
            let span = self.axes.spans(x)[axis];
            if span.length == 0 || kept(self.axes, self.gone, span, span.length) == span.length {
                continue;
            }
            let (start, length) = (range.start.fixed, self.kept(y, axis));
            if self.graph.value(x).shape[axis].is_fixed() {
                range.start = Extent::fixed(kept(self.axes, self.gone, span, start));
                range.end = Extent::fixed(range.start.fixed + length);
            } else {
                // Only a whole axis that grows with the batch can be reduced.
                range.end = Extent {
                    fixed: 0,
                    per_sample: kept(self.axes, self.gone, span, span.length),
                };
            }
        }
    }

    /// The width of padding is the number of its remaining indices.
    fn padding(&self, padding: &mut [[usize; 2]]) {
        for (axis, [before, after]) in padding.iter_mut().enumerate() {
            let span = self.axes.spans(self.node.output)[axis];
            if *before + *after == 0 || span.length == 0 {
                continue;
            }
            let inner = span.length - *after;
            let ends = [*before, inner, span.length];
            let [start, end, all] = ends.map(|first| kept(self.axes, self.gone, span, first));
            (*before, *after) = (start, all - end);
        }
    }
}
