use burn::tensor::{Bool, Tensor};

use crate::shuffle::Shuffle;

/// Repeats one value per unit for all members of the unit, in stored order.
///
/// The values are repeated axis by axis, beginning with the innermost axis, so that all copies except the last one are
/// small, and the last one copies whole runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spread {
    /// The permutation from the order of the units to that of their axes as stored.
    order: Shuffle,
    repeats: Vec<Repeat>,
}

/// Repeats each of `outer` runs of `inner` values this many times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repeat {
    outer: usize,
    times: usize,
    inner: usize,
}

impl Spread {
    /// The repetition for axes of these `lengths`. Units are numbered along the axes `units`; the other axes of
    /// `stored` are those of their members.
    pub(crate) fn new(lengths: &[usize], units: &[usize], stored: &[usize]) -> Self {
        let is_unit = |axis: &usize| units.contains(axis);
        let stored_units: Vec<usize> = stored.iter().copied().filter(is_unit).collect();
        let mut outer: usize = units.iter().map(|&axis| lengths[axis]).product();
        let (mut inner, mut times) = (1, 1);
        let mut repeats = Vec::new();
        for axis in stored.iter().rev() {
            let length = lengths[*axis];
            if !is_unit(axis) {
                times *= length;
            } else if length > 1 {
                repeats.push(Repeat {
                    outer,
                    times,
                    inner,
                });
                outer /= length;
                inner *= times * length;
                times = 1;
            }
        }
        repeats.push(Repeat {
            outer,
            times,
            inner,
        });
        repeats.retain(|repeat| repeat.times > 1);
        Self {
            order: Shuffle::new(lengths, units, &stored_units),
            repeats,
        }
    }

    /// `[units]` to `[numel]`.
    pub(crate) fn apply(&self, units: Tensor<1, Bool>) -> Tensor<1, Bool> {
        let units = self.order.apply(units);
        self.repeats.iter().fold(units, |values, repeat| {
            let Repeat {
                outer,
                times,
                inner,
            } = *repeat;
            let runs = values.reshape([outer, 1, inner]);
            let repeated = runs.expand([outer, times, inner]);
            repeated.reshape([outer * times * inner])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(lengths: &[usize], units: &[usize]) -> Vec<[usize; 3]> {
        let stored: Vec<usize> = (0..lengths.len()).collect();
        let repeats = Spread::new(lengths, units, &stored).repeats;
        let numbers = |repeat: Repeat| [repeat.outer, repeat.times, repeat.inner];
        repeats.into_iter().map(numbers).collect()
    }

    #[test]
    fn neighbouring_axes_of_members_are_repeated_at_once_and_the_innermost_first() {
        assert_eq!(repeats(&[8, 3, 5, 5], &[0]), [[8, 75, 1]]);
        assert_eq!(repeats(&[8, 3, 5, 5], &[1]), [[3, 25, 1], [1, 8, 75]]);
        assert_eq!(repeats(&[8, 1, 3, 1, 5], &[0, 1, 3]), [[8, 15, 1]]);
        assert_eq!(repeats(&[8, 3], &[]), [[1, 24, 1]]);
        assert_eq!(repeats(&[8, 3], &[0, 1]), [[0; 3]; 0]);
    }
}
