/// The units to remove, in ascending order: the `count` units with the smallest scores, or fewer, so that the number of
/// remaining units is a multiple of `multiple`.
///
/// Among equal scores, the lowest index is removed first; NaN counts as the largest score. At least one unit is kept,
/// and if there are fewer units than `multiple`, all are kept.
///
/// # Examples
///
/// ```
/// use calcine_graph::weakest;
///
/// let scores = [0.3, 0.1, 0.9, 0.1, 0.5, 0.7];
/// assert_eq!(weakest(&scores, 3, 1), [0, 1, 3]);
/// // 3 would remain; 4 is the next multiple of 4.
/// assert_eq!(weakest(&scores, 3, 4), [1, 3]);
/// ```
#[must_use]
pub fn weakest(scores: &[f64], count: usize, multiple: usize) -> Vec<usize> {
    let multiple = multiple.max(1);
    let stay = scores
        .len()
        .saturating_sub(count)
        .max(1)
        .next_multiple_of(multiple);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&one, &other| {
        // The signs of zero and NaN do not matter.
        let key = |index: usize| {
            if scores[index].is_nan() {
                f64::NAN
            } else {
                scores[index] + 0.0
            }
        };
        key(one).total_cmp(&key(other))
    });
    order.truncate(scores.len().saturating_sub(stay));
    order.sort_unstable();
    order
}
