use burn::tensor::{Bool, Tensor, TensorData};

use super::bracket::{Decided, Open, Search};
use super::chunks::Chunks;
use crate::score::Scores;

/// Implements [`super::drop_smallest`] for `0 < count < total`.
///
/// A sample estimates the largest dropped score. One pass then decides about all scores except the few near the
/// estimate, from which the rest is selected. The result is exact for any sample: the pass counts, and if the estimate
/// was wrong, another pass follows.
pub(super) fn drop_smallest(scores: Vec<Scores>, count: usize) -> Vec<Tensor<1, Bool>> {
    let devices: Vec<_> = scores.iter().map(Scores::device).collect();
    let scores = Chunks::new(scores);
    let mut keep: Vec<Vec<bool>> = scores.lengths().map(|length| vec![false; length]).collect();
    decide(&scores, count, &mut scores.cut(&mut keep));
    let vector = |(keep, device): (Vec<bool>, _)| {
        let length = keep.len();
        Tensor::from_data(TensorData::new(keep, [length]), device)
    };
    keep.into_iter().zip(&devices).map(vector).collect()
}

fn decide(scores: &Chunks, count: usize, keep: &mut [&mut [bool]]) {
    let mut search = Search::new(scores, count);
    loop {
        let bracket = search.bracket();
        let decided = scores.each(keep, |scores, keep| bracket.decide(scores, keep));
        let below: usize = decided.iter().map(|part| part.below).sum();
        let open: usize = decided.iter().map(|part| part.open.len()).sum();
        if count < below {
            search.go_lower();
        } else if below + open < count {
            search.go_higher();
        } else {
            return settle(&decided, count - below, keep);
        }
    }
}

/// Keeps all undecided scores except the `count` smallest; they are in order of position.
fn settle(decided: &[Decided], count: usize, keep: &mut [&mut [bool]]) {
    let mut keys: Vec<i32> = Vec::new();
    for part in decided {
        keys.extend(part.open.iter().map(|open| open.key));
    }
    let (mut cut, mut ties) = (i32::MIN, 0);
    if count > 0 {
        let (smaller, &mut last, _) = keys.select_nth_unstable(count - 1);
        (cut, ties) = (last, 1 + smaller.iter().filter(|&&key| key == last).count());
    }
    for (part, keep) in decided.iter().zip(keep) {
        for Open { index, key } in &part.open {
            let tied = *key == cut && ties > 0;
            ties -= usize::from(tied);
            keep[*index as usize] = *key >= cut && !tied;
        }
    }
}
