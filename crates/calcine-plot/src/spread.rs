//! Moves labels apart.

/// Positions with distances of at least `gap`, between `from` and `to`, that are as close as possible to the `wanted`
/// positions.
///
/// ```text
/// minimise Σ(pᵢ − wᵢ)²   where   pᵢ₊₁ − pᵢ ≥ gap,   from ≤ pᵢ ≤ to
/// ```
///
/// With `qᵢ = pᵢ − i·gap` this is monotone regression, which the pool-adjacent-violators algorithm solves exactly,
/// including the bounds. Equal wanted positions keep their order. If there is not enough room, the last positions are
/// above `to`.
pub(crate) fn spread(wanted: &[f64], gap: f64, from: f64, to: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Blocks of labels that touch: the mean of their wanted positions, and their number.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (rank, &index) in order.iter().enumerate() {
        let mut block = (wanted[index] - rank as f64 * gap, 1);
        while let Some(&(mean, count)) = blocks.last()
            && block.0 <= mean
        {
            blocks.pop();
            let both = count + block.1;
            block = (
                (mean * count as f64 + block.0 * block.1 as f64) / both as f64,
                both,
            );
        }
        blocks.push(block);
    }
    let last = to - wanted.len().saturating_sub(1) as f64 * gap;
    let means = blocks
        .iter()
        .flat_map(|&(mean, count)| std::iter::repeat_n(mean, count));
    let mut placed = vec![0.0; wanted.len()];
    for ((rank, &index), mean) in order.iter().enumerate().zip(means) {
        placed[index] = mean.min(last).max(from) + rank as f64 * gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_room_stay_where_they_are() {
        assert_eq!(
            spread(&[50.0, 10.0, 90.0], 12.0, 0.0, 100.0),
            [50.0, 10.0, 90.0]
        );
        assert!(spread(&[], 12.0, 0.0, 100.0).is_empty());
    }

    #[test]
    fn labels_that_collide_move_apart_evenly_and_keep_their_order() {
        assert_eq!(spread(&[50.0, 50.0], 10.0, 0.0, 100.0), [45.0, 55.0]);
        assert_eq!(
            spread(&[52.0, 50.0, 51.0], 10.0, 0.0, 100.0),
            [61.0, 41.0, 51.0]
        );
    }

    #[test]
    fn labels_never_overlap_nor_leave_the_plot() {
        for n in 1..30 {
            let wanted: Vec<f64> = (0..n).map(|i| f64::from(i * i * 37 % 101) - 3.0).collect();
            let placed = spread(&wanted, 7.0, 0.0, 210.0);
            let mut sorted = placed.clone();
            sorted.sort_by(f64::total_cmp);
            assert!(
                sorted
                    .windows(2)
                    .all(|pair| pair[1] - pair[0] >= 7.0 - 1e-9)
            );
            assert!(sorted[0] >= -1e-9 && sorted[n as usize - 1] <= 210.0 + 1e-9);
        }
    }
}
