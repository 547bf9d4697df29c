//! Reshapes that merge and split axes.

use std::collections::BTreeMap;

use super::block::Block;
use super::walk::{SOFT, Walk};
use crate::error::GraphError;
use crate::extent::Extent;
use crate::graph::{Graph, Node, ValueId};

const MIXES: &str = "mixes it with its neighbours";

/// An axis that is longer than 1.
#[derive(Debug, Clone, Copy)]
struct Axis {
    value: ValueId,
    axis: usize,
    extent: Extent,
}

impl Axis {
    /// The length for one sample.
    fn length(self) -> usize {
        self.extent.fixed + self.extent.per_sample
    }

    /// How many times the batch is a factor of the length, and the remaining factor.
    fn size(self) -> (usize, usize) {
        (usize::from(!self.extent.is_fixed()), self.length())
    }

    fn is_plain(self) -> bool {
        self.extent.fixed == 0 || self.extent.per_sample == 0
    }
}

impl Walk<'_> {
    pub(super) fn reshape(&mut self, position: usize, node: &Node) -> Result<(), GraphError> {
        let [before, after] =
            [node.inputs[0], node.output].map(|value| long_axes(self.graph, value));
        for (number, (before, after)) in blocks(&before, &after).into_iter().enumerate() {
            let sizes = [&before, &after].map(|side| product(side));
            let plain = before.iter().chain(&after).all(|axis| axis.is_plain());
            match (before.as_slice(), after.as_slice()) {
                ([one], [other]) if one.extent == other.extent => {
                    self.same(node, (one.value, one.axis), (other.value, other.axis))?;
                }
                _ if plain && sizes[0] != sizes[1] => {
                    return Err(self.setting(
                        node,
                        format!("{} elements do not make {}", words(&before), words(&after)),
                    ));
                }
                _ if plain => self.block((position, number), node, &before, &after),
                _ => self.pin_block(node, &before, &after),
            }
        }
        Ok(())
    }

    fn block(&mut self, id: (usize, usize), node: &Node, before: &[Axis], after: &[Axis]) {
        let Some(bounds) = bounds(before, after) else {
            self.pin_block(node, before, after);
            return;
        };
        let pairs = bounds.windows(2).map(|pair| (pair[0], pair[1]));
        let factors: Vec<(Bound, Bound)> = pairs
            .filter(|(from, to)| from.product < to.product)
            .collect();
        let follow = self.follows.get(&id).copied();
        let follow = follow.filter(|&factor| factor < factors.len()).unwrap_or(0);
        let Some(&(from, to)) = factors.get(follow) else {
            return;
        };
        let number = self.because(node, "goes by another axis that it merges with this one") | SOFT;
        let mixes = self.because(node, MIXES);
        let mut mixed = false;
        let mut labels: BTreeMap<usize, usize> = BTreeMap::new();
        for side in [before, after] {
            for (axis, start, end) in placed(side) {
                let span = self.span(axis.value, axis.axis);
                if !has_batch_outermost(start, end, &bounds) {
                    self.pin_span(span, mixes);
                    mixed |= start <= from && to <= end;
                } else if start <= from && to <= end {
                    for index in 0..span.length {
                        let value =
                            index / (end.product / to.product) % (to.product / from.product);
                        let first = *labels.entry(value).or_insert(span.label(index));
                        self.labels.join(first, span.label(index));
                    }
                } else {
                    self.pin_span(span, number);
                }
            }
        }
        if mixed {
            labels
                .values()
                .for_each(|&label| self.labels.pin(label, mixes));
        }
        self.blocks.push(Block {
            id,
            factors: factors.len(),
            labels: labels.into_values().collect(),
        });
    }

    fn pin_block(&mut self, node: &Node, before: &[Axis], after: &[Axis]) {
        let number = self.because(node, MIXES);
        for axis in before.iter().chain(after) {
            self.pin_span(self.span(axis.value, axis.axis), number);
        }
    }
}

/// Neighbouring axes before and after a reshape that contain the same elements, each as a run of the same factors.
pub(crate) struct Runs {
    pub(crate) before: Vec<Run>,
    pub(crate) after: Vec<Run>,
}

/// The factors of an axis: those between two products of lengths, counted from the left of its block.
pub(crate) struct Run {
    pub(crate) axis: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The blocks of a reshape whose factors divide each other; nothing is known about the others.
pub(crate) fn runs(graph: &Graph, before: ValueId, after: ValueId) -> Vec<Runs> {
    let (before, after) = (long_axes(graph, before), long_axes(graph, after));
    let mut found = Vec::new();
    for (before, after) in blocks(&before, &after) {
        let plain = before.iter().chain(&after).all(|axis| axis.is_plain());
        let bounds = bounds(&before, &after);
        if let Some(bounds) = bounds.filter(|_| plain && product(&before) == product(&after)) {
            let [before, after] = [before, after].map(|side| {
                let axes = placed(&side);
                let axes =
                    axes.filter(|(_, start, end)| has_batch_outermost(*start, *end, &bounds));
                let runs = axes.map(|(axis, start, end)| Run {
                    axis: axis.axis,
                    start: start.product,
                    end: end.product,
                });
                runs.collect()
            });
            found.push(Runs { before, after });
        }
    }
    found
}

fn long_axes(graph: &Graph, value: ValueId) -> Vec<Axis> {
    let shape = graph.value(value).shape.iter().enumerate();
    shape
        .map(|(axis, &extent)| Axis {
            value,
            axis,
            extent,
        })
        .filter(|axis| axis.extent != Extent::fixed(1))
        .collect()
}

/// The shortest runs of axes that contain the same number of elements.
fn blocks(before: &[Axis], after: &[Axis]) -> Vec<(Vec<Axis>, Vec<Axis>)> {
    let mut blocks = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        let start = (i, j);
        i = (i + 1).min(before.len());
        j = (j + 1).min(after.len());
        loop {
            let sizes = (product(&before[start.0..i]), product(&after[start.1..j]));
            if sizes.0 < sizes.1 && i < before.len() {
                i += 1;
            } else if sizes.1 < sizes.0 && j < after.len() {
                j += 1;
            } else if sizes.0 != sizes.1 && (i < before.len() || j < after.len()) {
                (i, j) = (before.len(), after.len());
            } else {
                break;
            }
        }
        blocks.push((before[start.0..i].to_vec(), after[start.1..j].to_vec()));
    }
    blocks
}

fn product(axes: &[Axis]) -> (usize, usize) {
    axes.iter().fold((0, 1), |(batches, rest), axis| {
        (batches + axis.size().0, rest * axis.size().1)
    })
}

/// The beginning or the end of an axis: the product of everything to the left of it in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bound {
    /// How many times the batch is a factor.
    batches: usize,
    /// The product of the other lengths.
    product: usize,
}

const LEFT: Bound = Bound {
    batches: 0,
    product: 1,
};

/// Each axis with its beginning and its end.
fn placed(side: &[Axis]) -> impl Iterator<Item = (Axis, Bound, Bound)> {
    side.iter().scan(LEFT, |start, &axis| {
        let end = Bound {
            batches: start.batches + axis.size().0,
            product: start.product * axis.length(),
        };
        Some((axis, std::mem::replace(start, end), end))
    })
}

/// The ends of the axes of both sides, from the left.
///
/// `None` if they do not divide each other.
fn bounds(before: &[Axis], after: &[Axis]) -> Option<Vec<Bound>> {
    let ends = placed(before).chain(placed(after)).map(|(_, _, end)| end);
    let mut bounds: Vec<Bound> = std::iter::once(LEFT).chain(ends).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let divide = bounds
        .windows(2)
        .all(|pair| pair[0].product > 0 && pair[1].product.is_multiple_of(pair[0].product));
    (divide && bounds.len() > 1).then_some(bounds)
}

/// Whether the batch, if it is a factor of an axis, is the outermost factor, as the labels of axes require: `[5, B]`
/// that becomes `[5·B]` is not supported.
fn has_batch_outermost(start: Bound, end: Bound, bounds: &[Bound]) -> bool {
    let first = bounds.iter().find(|bound| start < **bound);
    start.batches == end.batches || first.is_none_or(|first| first.batches > start.batches)
}

fn words(axes: &[Axis]) -> String {
    let lengths: Vec<String> = axes.iter().map(|axis| axis.extent.to_string()).collect();
    format!("[{}]", lengths.join(", "))
}
