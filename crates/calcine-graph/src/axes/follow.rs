//! Decides which factor of merged axes is followed.

use std::collections::HashMap;

use super::block::EXHAUSTED;
use super::walk::{SOFT, Walk};

/// What prevents removal along a factor, most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// An operation needs all of its values.
    Pinned,
    /// Another reshape follows another factor; this may change.
    Reshape,
    /// All values belong to one unit.
    Single,
}

/// Which factors reshapes should follow instead, if one of them has an obstacle and another factor.
///
/// The most serious obstacles are handled first, in all reshapes at once, and then the network is walked again, because
/// this may resolve obstacles that were caused by other reshapes. Of reshapes that are obstacles for each other, only
/// the last one changes, so that two reshapes that shuffle channels can agree on a factor. A reshape that has tried all
/// factors returns to the outermost one for good.
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
