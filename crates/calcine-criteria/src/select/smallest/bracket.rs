use super::chunks::Chunks;
use super::order::{key, last_below, last_equal, score};

/// Bounds between which the largest dropped score (the cut) probably lies.
#[derive(Clone, Copy)]
pub(super) struct Bracket {
    /// The cut is larger than this; NaN if there is no bound.
    above: f32,
    /// The cut is not larger than this; infinite if there is no bound.
    up_to: f32,
}

/// The decisions about scores that follow from a bracket.
pub(super) struct Decided {
    /// The number of scores below the bracket, which are dropped.
    pub(super) below: usize,
    /// The scores within the bracket, in order of position.
    pub(super) open: Vec<Open>,
}

/// A score within a bracket, which is still undecided.
pub(super) struct Open {
    pub(super) index: u32,
    pub(super) key: i32,
}

/// The decision, compiled for the widest available vector registers.
struct Decide<'a> {
    bracket: &'a Bracket,
    scores: &'a [f32],
    keep: &'a mut [bool],
}

impl pulp::NullaryFnOnce for Decide<'_> {
    type Output = Decided;

    #[inline(always)]
    fn call(self) -> Decided {
        self.bracket.decide_all(self.scores, self.keep)
    }
}

/// The number of scores that are compared at once.
const BLOCK: usize = 64;

impl Bracket {
    /// Keeps the scores above the bracket, drops those below, and returns those within.
    pub(super) fn decide(&self, scores: &[f32], keep: &mut [bool]) -> Decided {
        pulp::Arch::new().dispatch(Decide {
            bracket: self,
            scores,
            keep,
        })
    }

    #[inline(always)]
    fn decide_all(&self, scores: &[f32], keep: &mut [bool]) -> Decided {
        let mut decided = Decided {
            below: 0,
            open: Vec::with_capacity(scores.len() / 8),
        };
        let (blocks, rest) = scores.as_chunks::<BLOCK>();
        let (keep_blocks, keep_rest) = keep.as_chunks_mut::<BLOCK>();
        for (i, (block, keep)) in blocks.iter().zip(keep_blocks).enumerate() {
            self.decide_block(BLOCK * i, block, keep, &mut decided);
        }
        if rest.is_empty() {
            return decided;
        }
        // The padding of the last block is above every bracket that has an upper bound; brackets without one are
        // handled below.
        let mut block = [f32::INFINITY; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        let mut keep = [false; BLOCK];
        self.decide_block(BLOCK * blocks.len(), &block, &mut keep, &mut decided);
        keep_rest.copy_from_slice(&keep[..rest.len()]);
        let open = &mut decided.open;
        open.truncate(open.partition_point(|open| (open.index as usize) < scores.len()));
        decided
    }

    /// Compares all scores of a block without branches, so that the compiler vectorizes the loop; the scores within the
    /// bracket are then collected one by one.
    #[inline(always)]
    fn decide_block(
        &self,
        start: usize,
        scores: &[f32; BLOCK],
        keep: &mut [bool; BLOCK],
        decided: &mut Decided,
    ) {
        let mut below = 0u32;
        let mut inside = [0u8; BLOCK];
        for i in 0..BLOCK {
            let (is_below, is_above) = (scores[i] <= self.above, scores[i] > self.up_to);
            keep[i] = is_above;
            below = below.wrapping_add(u32::from(is_below));
            inside[i] = u8::from(!(is_below | is_above));
        }
        decided.below += below as usize;
        let mut inside = bits(&inside);
        while inside != 0 {
            let i = inside.trailing_zeros() as usize;
            decided.open.push(Open {
                index: (start + i) as u32,
                key: key(scores[i]),
            });
            inside &= inside - 1;
        }
    }
}

/// Collects one bit per byte; each byte is 0 or 1.
#[inline(always)]
fn bits(bytes: &[u8; BLOCK]) -> u64 {
    // The product collects the lowest bits of eight bytes in its highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut bits = 0;
    for (word, bytes) in bytes.as_chunks::<8>().0.iter().enumerate() {
        let gathered = u64::from_le_bytes(*bytes).wrapping_mul(GATHER) >> 56;
        bits |= gathered << (8 * word);
    }
    bits
}

/// A sequence of brackets, until one contains the cut.
pub(super) struct Search {
    bracket: Bracket,
    sample: Option<Sample>,
    /// The number of standard deviations between a bound and the expected position of the cut.
    margin: f64,
}

/// For at most this many scores, no sample is taken.
const FEW: usize = 1 << 10;

/// About one bracket in seven does not contain the cut, and the next one is more than twice as wide. Another pass costs
/// less than a wider first bracket, in which more scores would be undecided.
const MARGIN: f64 = 1.5;

impl Search {
    pub(super) fn new(scores: &Chunks, count: usize) -> Self {
        let everything = Bracket {
            above: f32::NAN,
            up_to: f32::INFINITY,
        };
        let mut sample = (scores.total() > FEW).then(|| Sample::new(scores, count));
        let bracket = sample.as_mut().map(|sample| sample.bracket(MARGIN));
        Self {
            bracket: bracket.unwrap_or(everything),
            sample,
            margin: MARGIN,
        }
    }

    pub(super) fn bracket(&self) -> Bracket {
        self.bracket
    }

    /// The cut is below the bracket.
    pub(super) fn go_lower(&mut self) {
        let Bracket { above: up_to, .. } = self.bracket;
        let above = match self.wider().above {
            // The bound may be a score that occurs many times.
            above if above >= up_to => last_below(up_to),
            above => above,
        };
        self.bracket = Bracket { above, up_to };
    }

    /// The cut is above the bracket.
    pub(super) fn go_higher(&mut self) {
        let Bracket { up_to: above, .. } = self.bracket;
        let up_to = match self.wider().up_to {
            up_to if up_to <= above => f32::INFINITY,
            up_to => up_to,
        };
        self.bracket = Bracket { above, up_to };
    }

    fn wider(&mut self) -> Bracket {
        self.margin = self.margin.powi(3);
        let sample = self.sample.as_mut();
        sample.expect("only a sample misses").bracket(self.margin)
    }
}

/// A sample of the scores.
struct Sample {
    keys: Vec<i32>,
    /// The expected position of the cut in the sorted sample, and its standard deviation.
    rank: f64,
    spread: f64,
}

/// The largest sample; in a long vector, each access is a cache miss.
const MOST: f64 = 4096.0;

impl Sample {
    /// The sample is so large that reading it costs about as much as deciding about the scores that it leaves
    /// undecided.
    fn new(scores: &Chunks, count: usize) -> Self {
        let total = scores.total() as f64;
        let step = (total / total.powf(2.0 / 3.0).min(MOST)) as usize;
        // The step is odd and not a multiple of three, so that it does not coincide with a stride of the weights of a
        // convolution.
        let keys = scores.every(step - step % 6 + 1, key);
        let (share, size) = (count as f64 / total, keys.len() as f64);
        Self {
            keys,
            rank: share * size,
            spread: (share * (1.0 - share) * size).sqrt().max(1.0),
        }
    }

    fn bracket(&mut self, margin: f64) -> Bracket {
        let [low, high] = self.keys_at([-margin, margin].map(|m| self.rank + m * self.spread));
        Bracket {
            above: match low {
                None => f32::NAN,
                // So many scores are equal that the cut is probably one of them.
                Some(low) if high == Some(low) => last_below(score(low)),
                // An infinite score equals a NaN, which is not below any bound.
                Some(low) => last_equal(score(low)).min(f32::MAX),
            },
            up_to: high.map_or(f32::INFINITY, |high| last_equal(score(high))),
        }
    }

    /// The keys at two ranks, the lower one first, if these ranks exist.
    fn keys_at(&mut self, ranks: [f64; 2]) -> [Option<i32>; 2] {
        let all = 0.0..self.keys.len() as f64;
        let [low, high] = ranks.map(|rank| all.contains(&rank).then_some(rank as usize));
        // Keys below the lower rank are not larger than its key, and need not be searched again.
        let first = low.unwrap_or(0);
        let low = low.map(|low| *self.keys.select_nth_unstable(low).1);
        let rest = &mut self.keys[first..];
        let high = high.map(|high| *rest.select_nth_unstable(high - first).1);
        [low, high]
    }
}
