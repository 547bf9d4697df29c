use burn::tensor::{Bool, Tensor, TensorData};
use rayon::prelude::*;

/// Scores per parallel chunk: large enough to pay for a thread, small enough to balance. A vector of no
/// more is selected where it is: waking a thread costs more than it saves.
const CHUNK: usize = 1 << 16;

/// Leading bits of a key that the histogram counts.
const BITS: u32 = 12;

/// See [`super::drop_smallest`]; `0 < count < total`.
///
/// Three passes: count the leading bits, collect the one bucket in which the count falls, decide.
pub(super) fn drop_smallest(scores: Vec<Tensor<1>>, count: usize) -> Vec<Tensor<1, Bool>> {
    let devices: Vec<_> = scores.iter().map(Tensor::device).collect();
    let data: Vec<TensorData> = scores.into_iter().map(Tensor::into_data).collect();
    let scores: Vec<&[f32]> = data
        .iter()
        .map(|data| data.as_slice().expect("scores were cast to f32"))
        .collect();
    let cut = Cut::find(&scores, count);
    let decide = |(vector, (scores, device)): (usize, (&&[f32], _))| {
        let keep = cut.keep(vector, scores);
        let length = keep.len();
        Tensor::from_data(TensorData::new(keep, [length]), device)
    };
    scores
        .iter()
        .zip(&devices)
        .enumerate()
        .map(decide)
        .collect()
}

/// Where the dropped end: all keys below `key`, and those equal to it up to position `last`.
struct Cut {
    key: u32,
    last: (usize, usize),
}

impl Cut {
    fn find(scores: &[&[f32]], count: usize) -> Self {
        let histogram = histogram(scores);
        let (mut below, mut bucket) = (0, 0);
        while below + histogram[bucket] < count {
            below += histogram[bucket];
            bucket += 1;
        }
        let members = members(scores, bucket as u32);
        let mut keys: Vec<u32> = members.iter().map(|member| member.0).collect();
        let (_, &mut key, _) = keys.select_nth_unstable(count - below - 1);
        let smaller = members.iter().filter(|member| member.0 < key).count();
        let equal = count - below - smaller;
        let (_, vector, index) = members
            .into_iter()
            .filter(|member| member.0 == key)
            .nth(equal - 1)
            .expect("the bucket holds the scores at the cut");
        Self {
            key,
            last: (vector, index),
        }
    }

    fn keep(&self, vector: usize, scores: &[f32]) -> Vec<bool> {
        let mut keep = vec![false; scores.len()];
        // Equal scores are dropped up to `ties`, the position after the last dropped one.
        let ties = match vector.cmp(&self.last.0) {
            std::cmp::Ordering::Less => scores.len(),
            std::cmp::Ordering::Equal => self.last.1 + 1,
            std::cmp::Ordering::Greater => 0,
        };
        let decide = |(chunk, (keep, scores)): (usize, (&mut [bool], &[f32]))| {
            let free = ties.saturating_sub(chunk * CHUNK).min(scores.len());
            let (tied_keep, open_keep) = keep.split_at_mut(free);
            let (tied, open) = scores.split_at(free);
            for (keep, &score) in tied_keep.iter_mut().zip(tied) {
                *keep = key(score) > self.key;
            }
            for (keep, &score) in open_keep.iter_mut().zip(open) {
                *keep = key(score) >= self.key;
            }
        };
        if scores.len() <= CHUNK {
            decide((0, (&mut keep, scores)));
        } else {
            let chunks = keep.par_chunks_mut(CHUNK).zip(scores.par_chunks(CHUNK));
            chunks.enumerate().for_each(decide);
        }
        keep
    }
}

/// How many scores have each value of the leading bits.
fn histogram(scores: &[&[f32]]) -> Vec<usize> {
    let empty = || vec![0; 1 << BITS];
    let count = |chunk: &[f32]| {
        // Four rows break the chain of increments to one counter.
        let mut rows = vec![[0u32; 4]; 1 << BITS];
        let mut fours = chunk.chunks_exact(4);
        for four in &mut fours {
            for (row, &score) in four.iter().enumerate() {
                rows[(key(score) >> (32 - BITS)) as usize][row] += 1;
            }
        }
        for &score in fours.remainder() {
            rows[(key(score) >> (32 - BITS)) as usize][0] += 1;
        }
        rows.iter()
            .map(|row| row.iter().map(|&n| n as usize).sum())
            .collect()
    };
    let add = |mut a: Vec<usize>, b: Vec<usize>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    scores
        .iter()
        .map(|scores| match scores.len() {
            ..=CHUNK => count(scores),
            _ => scores.par_chunks(16 * CHUNK).map(count).reduce(empty, add),
        })
        .fold(empty(), add)
}

/// Key, vector and index of every score in a bucket, in order of position.
fn members(scores: &[&[f32]], bucket: u32) -> Vec<(u32, usize, usize)> {
    let of_vector = |(vector, scores): (usize, &&[f32])| {
        let part = |(chunk, scores): (usize, &[f32])| -> Vec<_> {
            let keyed = scores.iter().map(|&score| key(score)).enumerate();
            let inside = keyed.filter(|(_, key)| key >> (32 - BITS) == bucket);
            inside
                .map(|(i, key)| (key, vector, chunk * CHUNK + i))
                .collect()
        };
        if scores.len() <= CHUNK {
            return part((0, scores));
        }
        let parts: Vec<Vec<_>> = scores.par_chunks(CHUNK).enumerate().map(part).collect();
        parts.concat()
    };
    scores.iter().enumerate().flat_map(of_vector).collect()
}

/// A key that orders as the scores do: subnormal numbers as zero, NaN as infinite.
#[inline]
fn key(score: f32) -> u32 {
    let bits = score.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    if magnitude < 0x0080_0000 {
        0x8000_0000
    } else if magnitude > 0x7f80_0000 {
        0xff80_0000
    } else if bits == magnitude {
        bits | 0x8000_0000
    } else {
        !bits
    }
}
