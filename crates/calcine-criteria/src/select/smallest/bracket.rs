use super::chunks::Chunks;
use super::order::{key, last_below, last_equal, ordered, score};

/// So many scores are selected from without narrowing.
const FEW: usize = 1 << 10;

/// Standard deviations between a pivot and where the cut is expected.
const MARGIN: f64 = 2.5;

/// Bounds around the `count`-th smallest score, the cut.
pub(super) struct Bracket {
    /// The cut is above; NaN where nothing is known.
    above: f32,
    /// The cut is at most this; infinite where nothing is known.
    up_to: f32,
    /// How many scores are at most `above`.
    below: usize,
    /// How many are at most `up_to`.
    end: usize,
}

/// A score inside a bracket, not decided about.
pub(super) struct Open {
    pub(super) index: u32,
    pub(super) key: i32,
}

impl Bracket {
    /// A bracket with few scores in it, or with equal ones alone.
    pub(super) fn around(scores: &Chunks, count: usize) -> Self {
        let total = scores.total();
        let mut bracket = Self {
            above: f32::NAN,
            up_to: f32::INFINITY,
            below: 0,
            end: total,
        };
        if total > FEW {
            bracket.narrow(scores, count, sampled_pivots(scores, count));
            if bracket.end - bracket.below > total / 16
                && let Some(pivots) = bracket.interpolated_pivots(count)
            {
                bracket.narrow(scores, count, pivots);
            }
        }
        bracket
    }

    pub(super) fn below(&self) -> usize {
        self.below
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Moves the bounds to the pivots around the cut.
    fn narrow(&mut self, scores: &Chunks, count: usize, [low, high]: [f32; 2]) {
        self.move_to(scores, count, [last_equal(low), last_equal(high)]);
        if self.up_to == last_equal(low) {
            // Maybe the cut is `low` itself: a score that many have, such as zero.
            self.move_to(scores, count, [last_below(low)]);
        }
    }

    /// Counts the scores up to each bound, and takes those bounds that are closer to the cut.
    fn move_to<const N: usize>(&mut self, scores: &Chunks, count: usize, bounds: [f32; N]) {
        let bounds = bounds.map(|bound| bound.min(f32::MAX));
        let mut found = [0; N];
        for counts in scores.each(|scores| bounds.map(|bound| count_up_to(bound, scores))) {
            found = std::array::from_fn(|i| found[i] + counts[i]);
        }
        for (bound, found) in bounds.into_iter().zip(found) {
            if (self.below..count).contains(&found) {
                (self.above, self.below) = (bound, found);
            } else if (count..self.end).contains(&found) {
                (self.up_to, self.end) = (bound, found);
            }
        }
    }

    /// Where the cut should be if scores were spread evenly over the bracket, a little to either side.
    fn interpolated_pivots(&self, count: usize) -> Option<[f32; 2]> {
        if self.above.is_nan() || self.up_to.is_infinite() || self.is_one_score() {
            return None;
        }
        let inside = (self.end - self.below) as f64;
        let margin = MARGIN * inside.sqrt() / 2.0 + inside / 16.0;
        let (above, up_to) = (f64::from(self.above), f64::from(self.up_to));
        let at = |rank: f64| (above + (up_to - above) * (rank / inside).clamp(0.0, 1.0)) as f32;
        let rank = (count - self.below) as f64;
        Some([at(rank - margin), at(rank + margin)])
    }

    fn is_one_score(&self) -> bool {
        last_below(ordered(self.up_to)) == self.above
    }

    /// Keeps what lies above the bracket, drops the rest, and tells what is inside.
    pub(super) fn decide(&self, scores: &[f32], keep: &mut [bool]) -> Vec<Open> {
        let everything = self.up_to.is_infinite();
        for (keep, &score) in keep.iter_mut().zip(scores) {
            let up_to = (score <= self.up_to) | everything;
            *keep = !up_to;
        }
        let mut open = Vec::new();
        let (blocks, rest) = scores.as_chunks::<32>();
        for (i, block) in blocks.iter().enumerate() {
            self.push_inside(32 * i, block, &mut open);
        }
        if !rest.is_empty() {
            // A NaN is above every bracket with an upper bound; without one, see below.
            let mut block = [f32::NAN; 32];
            block[..rest.len()].copy_from_slice(rest);
            self.push_inside(32 * blocks.len(), &block, &mut open);
            open.truncate(open.partition_point(|open| (open.index as usize) < scores.len()));
        }
        open
    }

    /// One bit a score, which costs little where several are compared at once.
    #[inline]
    fn push_inside(&self, start: usize, block: &[f32; 32], open: &mut Vec<Open>) {
        let everything = self.up_to.is_infinite();
        let mut inside = 0u32;
        for (i, &score) in block.iter().enumerate() {
            let (below, up_to) = (score <= self.above, score <= self.up_to);
            inside |= u32::from((up_to | everything) & !below) << i;
        }
        while inside != 0 {
            let i = inside.trailing_zeros() as usize;
            open.push(Open {
                index: (start + i) as u32,
                key: key(block[i]),
            });
            inside &= inside - 1;
        }
    }
}

/// Two scores between which the cut probably lies.
fn sampled_pivots(scores: &Chunks, count: usize) -> [f32; 2] {
    let total = scores.total();
    let step = total / (total / 512).clamp(1 << 8, 1 << 12);
    // Odd and no multiple of three: no stride of a convolution's weights is hit again and again.
    let sample = scores.every(step - step % 6 + 1);
    let mut sample: Vec<i32> = sample.into_iter().map(key).collect();
    let size = sample.len() as f64;
    let share = count as f64 / total as f64;
    let (middle, spread) = (share * size, (share * (1.0 - share) * size).sqrt());
    let upper = ((middle + MARGIN * spread) as usize + 1).min(sample.len() - 1);
    let lower = ((middle - MARGIN * spread).max(0.0) as usize).min(upper);
    let (before, &mut high, _) = sample.select_nth_unstable(upper);
    let low = match lower {
        _ if lower == upper => high,
        _ => *before.select_nth_unstable(lower).1,
    };
    [score(low), score(high)]
}

/// How many scores are at most `bound`.
fn count_up_to(bound: f32, scores: &[f32]) -> usize {
    // It wraps, so that checked builds count as fast; a chunk has fewer than 2³² scores.
    let count = |count: u32, &score: &f32| count.wrapping_add(u32::from(score <= bound));
    scores.iter().fold(0, count) as usize
}
