//! Reshapes that merge and split axes.

use std::collections::BTreeMap;

use super::walk::{SOFT, Walk};
use crate::{Extent, GraphError, Node, ValueId};

/// A reshape's neighbouring axes, before and after, that hold the same elements, if that needs merging
/// or splitting.
///
/// Lengths are cut into factors such that each axis is a run of them, row-major: `[16, 5, 5]` and `[400]`
/// into 16, 5, 5. Elements can be removed by the values of one factor, which is said to be followed; the
/// others stay whole.
#[derive(Debug)]
pub(super) struct Block {
    /// Position of the node, and of the block in it.
    pub(super) id: (usize, usize),
    /// How many factors there are.
    pub(super) factors: usize,
    /// A label for each value of the factor that is followed.
    pub(super) labels: Vec<usize>,
}

/// In the place of a factor, if all have been tried: the outermost, for good.
pub(super) const EXHAUSTED: usize = usize::MAX;

/// An axis longer than 1.
#[derive(Debug, Clone, Copy)]
struct Axis {
    value: ValueId,
    axis: usize,
    extent: Extent,
}

impl Axis {
    /// The length without the batch.
    fn length(self) -> usize {
        self.extent.fixed + self.extent.per_sample
    }

    /// How often the batch is in it, and the rest.
    fn size(self) -> (usize, usize) {
        (usize::from(!self.extent.is_fixed()), self.length())
    }

    fn is_plain(self) -> bool {
        self.extent.fixed == 0 || self.extent.per_sample == 0
    }
}

impl Walk<'_> {
    pub(super) fn reshape(&mut self, position: usize, node: &Node) -> Result<(), GraphError> {
        let [before, after] = [node.inputs[0], node.output].map(|value| self.long_axes(value));
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

    fn long_axes(&self, value: ValueId) -> Vec<Axis> {
        let shape = self.graph.value(value).shape.iter().enumerate();
        shape
            .map(|(axis, &extent)| Axis {
                value,
                axis,
                extent,
            })
            .filter(|axis| axis.extent != Extent::fixed(1))
            .collect()
    }

    fn block(&mut self, id: (usize, usize), node: &Node, before: &[Axis], after: &[Axis]) {
        let Some(bounds) = bounds(before, after) else {
            self.pin_block(node, before, after);
            return;
        };
        let factors = bounds.len() - 1;
        let follow = self
            .follows
            .get(&id)
            .copied()
            .filter(|&factor| factor < factors)
            .unwrap_or(0);
        let (from, to) = (bounds[follow], bounds[follow + 1]);
        let number = self.because(node, "goes by another axis that it merges with this one") | SOFT;
        let mut labels: BTreeMap<usize, usize> = BTreeMap::new();
        for side in [before, after] {
            let mut start = 1;
            for axis in side {
                let end = start * axis.length();
                let span = self.span(axis.value, axis.axis);
                if start <= from && to <= end {
                    for index in 0..span.length {
                        let value = index / (end / to) % (to / from);
                        let first = *labels.entry(value).or_insert(span.label(index));
                        self.labels.join(first, span.label(index));
                    }
                } else {
                    self.pin_span(span, number);
                }
                start = end;
            }
        }
        self.blocks.push(Block {
            id,
            factors,
            labels: labels.into_values().collect(),
        });
    }

    fn pin_block(&mut self, node: &Node, before: &[Axis], after: &[Axis]) {
        let number = self.because(node, "mixes it with its neighbours");
        for axis in before.iter().chain(after) {
            self.pin_span(self.span(axis.value, axis.axis), number);
        }
    }
}

/// The shortest runs of axes that hold equally many elements.
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

/// The products of lengths, from the left, at which an axis of either side ends; 1 is the first.
///
/// `None` if they do not divide one another, or if the batch is not the outermost.
fn bounds(before: &[Axis], after: &[Axis]) -> Option<Vec<usize>> {
    let mut bounds = vec![1];
    for side in [before, after] {
        let mut product = 1;
        for (position, axis) in side.iter().enumerate() {
            if position > 0 && !axis.extent.is_fixed() {
                return None;
            }
            product *= axis.length();
            bounds.push(product);
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    let divide = bounds
        .windows(2)
        .all(|pair| pair[0] > 0 && pair[1].is_multiple_of(pair[0]));
    (divide && bounds.len() > 1).then_some(bounds)
}

fn words(axes: &[Axis]) -> String {
    let lengths: Vec<String> = axes.iter().map(|axis| axis.extent.to_string()).collect();
    format!("[{}]", lengths.join(", "))
}
