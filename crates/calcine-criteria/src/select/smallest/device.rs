use burn::tensor::{Bool, Int, Tensor};

/// Exponents of powers of two whose product exceeds the ratio of the largest to the smallest normal number; chosen
/// greedily: 64 + 64 + 64 + 63.
const EXPONENT_STEPS: [i32; 10] = [64, 64, 64, 32, 16, 8, 4, 2, 1, 1];

/// The number of mantissa bits of an `f32`.
const MANTISSA_BITS: i32 = 23;

/// Implements [`super::drop_smallest`] for `0 < count < total`, without a device read.
///
/// The count-th smallest score is found bit by bit, beginning with the exponent: each round counts the scores below a
/// trial value, with one comparison and one sum. Every trial value is exact (a power of two, or a sum of powers of
/// two), so the result is exactly the score. The position of the last dropped unit among those with an equal score is
/// found in the same way.
pub(super) fn drop_smallest(scores: &[Tensor<1>], count: usize) -> Vec<Tensor<1, Bool>> {
    let scores: Vec<_> = scores.iter().cloned().map(ordered).collect();
    let cut = value_at(&scores, count);
    let smaller = total(&scores, |scores| scores.clone().lower(cut.clone()));
    let ties = smaller.neg().add_scalar(count as i64);
    let equal: Vec<_> = scores
        .iter()
        .map(|scores| scores.clone().equal(cut.clone()))
        .collect();
    let last = position_after(&equal, &ties);
    let mut offset = 0;
    let decide = |(scores, equal): (&Tensor<1>, Tensor<1, Bool>)| {
        let tied = equal.bool_and(positions(scores.dims()[0], offset, &last).lower(last.clone()));
        offset += scores.dims()[0];
        scores.clone().lower(cut.clone()).bool_or(tied).bool_not()
    };
    scores.iter().zip(equal).map(decide).collect()
}

/// Scores that can be compared: subnormal numbers are zero, as they are on some devices anyway, and NaN is infinite.
pub(in crate::select) fn ordered(scores: Tensor<1>) -> Tensor<1> {
    let tiny = scores.clone().abs().lower_scalar(f32::MIN_POSITIVE);
    let nan = scores.clone().is_nan();
    scores.mask_fill(tiny, 0.0).mask_fill(nan, f32::INFINITY)
}

/// The `count`-th smallest score: `[1]`.
///
/// A negative result is found by its magnitude: it is the largest `m` for which at least `count` scores are `<= -m`. A
/// positive result is the largest `m` for which fewer than `count` scores are `< m`.
fn value_at(scores: &[Tensor<1>], count: usize) -> Tensor<1> {
    let count = count as i64;
    let negative =
        total(scores, |scores| scores.clone().lower_scalar(0.0)).greater_equal_scalar(count);
    let reaches = |trial: Tensor<1>| {
        let below = total(scores, |scores| scores.clone().lower(trial.clone()));
        let beyond = total(scores, |scores| {
            scores.clone().lower_equal(trial.clone().neg())
        });
        let up = below.lower_scalar(count);
        let down = beyond.greater_equal_scalar(count);
        up.bool_and(negative.clone().bool_not())
            .bool_or(down.bool_and(negative.clone()))
    };
    let zero = scores[0].zeros_like().slice(0..1);
    let smallest = zero.clone().add_scalar(f32::MIN_POSITIVE);
    let is_normal = reaches(smallest.clone());
    let mut power = smallest;
    for step in EXPONENT_STEPS {
        let trial = power.clone().mul_scalar(2f32.powi(step));
        power = power.mask_where(reaches(trial.clone()), trial);
    }
    let mut value = power.clone();
    for bit in 1..=MANTISSA_BITS {
        let trial = value.clone() + power.clone().mul_scalar(2f32.powi(-bit));
        value = value.mask_where(reaches(trial.clone()), trial);
    }
    let magnitude = zero.mask_where(is_normal, value);
    magnitude.clone().mask_where(negative, magnitude.neg())
}

/// The largest position before which there are at most `ties` marked entries: `[1]`.
fn position_after(marked: &[Tensor<1, Bool>], ties: &Tensor<1, Int>) -> Tensor<1, Int> {
    let lengths: Vec<usize> = marked.iter().map(|marked| marked.dims()[0]).collect();
    let mut bit = lengths.iter().sum::<usize>().next_power_of_two() as i64;
    let mut after = ties.zeros_like();
    while bit > 0 {
        let trial = after.clone().add_scalar(bit);
        let mut offset = 0;
        let before = marked.iter().map(|marked| {
            let length = marked.dims()[0];
            let inside = positions(length, offset, &trial).lower(trial.clone());
            offset += length;
            marked.clone().bool_and(inside).int().sum()
        });
        let before = before.reduce(|a, b| a + b).expect("at least one vector");
        after = after.mask_where(before.lower_equal(ties.clone()), trial);
        bit /= 2;
    }
    after
}

/// `offset..offset + length`, in the integer type of `like`.
fn positions(length: usize, offset: usize, like: &Tensor<1, Int>) -> Tensor<1, Int> {
    let (start, end) = (offset as i64, (offset + length) as i64);
    Tensor::arange(start..end, &like.device())
}

/// The number of scores in all vectors for which `ask` is true: `[1]`.
fn total(scores: &[Tensor<1>], ask: impl Fn(&Tensor<1>) -> Tensor<1, Bool>) -> Tensor<1, Int> {
    scores
        .iter()
        .map(|scores| ask(scores).int().sum())
        .reduce(|a, b| a + b)
        .expect("not empty")
}
