use burn::tensor::{Bool, Tensor, TensorData};

use super::bracket::{Bracket, Open};
use super::chunks::Chunks;

/// See [`super::drop_smallest`]; `0 < count < total`.
///
/// A sample says roughly where the last dropped score lies, and one or two passes that count say for
/// certain, to within a few in a hundred scores. A last pass decides about all others, and the few are
/// selected from. Whatever the sample, the result is exact: a bad one leaves more to select from.
pub(super) fn drop_smallest(scores: Vec<Tensor<1>>, count: usize) -> Vec<Tensor<1, Bool>> {
    let devices: Vec<_> = scores.iter().map(Tensor::device).collect();
    let scores = Chunks::of(scores);
    let bracket = Bracket::around(&scores, count);
    let mut keep: Vec<Vec<bool>> = scores.lengths().map(|length| vec![false; length]).collect();
    let mut parts = scores.cut(&mut keep);
    let open = scores.each_into(&mut parts, |scores, keep| bracket.decide(scores, keep));
    if bracket.end() > count {
        settle(&open, count - bracket.below(), &mut parts);
    }
    let vector = |(keep, device): (Vec<bool>, _)| {
        let length = keep.len();
        Tensor::from_data(TensorData::new(keep, [length]), device)
    };
    keep.into_iter().zip(&devices).map(vector).collect()
}

/// Keeps all but the `count` smallest of those that are open; they are in order of position.
fn settle(open: &[Vec<Open>], count: usize, keep: &mut [&mut [bool]]) {
    let mut keys: Vec<i32> = open.iter().flatten().map(|open| open.key).collect();
    let (smaller, &mut cut, _) = keys.select_nth_unstable(count - 1);
    let mut ties = 1 + smaller.iter().filter(|&&key| key == cut).count();
    for (open, keep) in open.iter().zip(keep) {
        for Open { index, key } in open {
            let tied = *key == cut && ties > 0;
            ties -= usize::from(tied);
            keep[*index as usize] = *key >= cut && !tied;
        }
    }
}
