//! Which factor of merged axes a cut follows.

use std::collections::HashMap;

use super::block::EXHAUSTED;
use super::walk::{SOFT, Walk};

/// What stops a cut along a factor, gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// Something needs all of its values.
    Pinned,
    /// Another reshape goes by another factor; it may yet change its mind.
    Reshape,
    /// All values go together.
    Single,
}

/// What reshapes should follow instead, if one of them is stopped and has another factor.
///
/// The gravest obstacles are dealt with first, in all reshapes at once, and then the network is walked
/// again: what only other reshapes stood in the way of may be free then. Of reshapes that stand in one another's way
/// the last gives way, alone: two that shuffle channels agree on a factor so. A reshape that has tried all
/// factors returns to the outermost and stays.
pub(super) fn reconsider(walk: &mut Walk<'_>) -> Option<HashMap<(usize, usize), usize>> {
    let blocks = std::mem::take(&mut walk.blocks);
    let obstacles: Vec<Option<Obstacle>> = blocks
        .iter()
        .map(|block| obstacle(walk, &block.labels))
        .collect();
    for kind in [Obstacle::Pinned, Obstacle::Reshape, Obstacle::Single] {
        let mut follows = walk.follows.clone();
        let mut changed = false;
        let met = blocks.iter().zip(&obstacles).rev();
        for (block, _) in met.filter(|(_, met)| **met == Some(kind)) {
            let factor = follows.entry(block.id).or_insert(0);
            if block.factors > 1 && *factor != EXHAUSTED {
                *factor = if *factor + 1 < block.factors {
                    *factor + 1
                } else {
                    EXHAUSTED
                };
                changed = true;
                if kind == Obstacle::Reshape {
                    break;
                }
            }
        }
        if changed {
            return Some(follows);
        }
    }
    None
}

fn obstacle(walk: &mut Walk<'_>, labels: &[usize]) -> Option<Obstacle> {
    let pins: Option<Vec<u32>> = labels
        .iter()
        .map(|&label| walk.labels.pinned(label))
        .collect();
    match pins {
        Some(pins) if pins.iter().any(|pin| pin & SOFT == 0) => Some(Obstacle::Pinned),
        Some(_) => Some(Obstacle::Reshape),
        None => {
            let first = walk.labels.root(*labels.first()?);
            let single = labels.iter().all(|&label| walk.labels.root(label) == first);
            single.then_some(Obstacle::Single)
        }
    }
}
