use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::kind::Basic;

/// A permutation of the elements of a tensor: its axes are split, reordered and joined again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shuffle {
    /// The lengths of the axes before the permutation.
    lengths: Vec<usize>,
    /// For each position afterwards, which of the axes is there.
    order: Vec<usize>,
}

/// The largest rank that the ndarray backend supports.
const MOST_AXES: usize = 6;

impl Shuffle {
    /// The permutation from axes in the order `from` to the same axes in the order `to`; both index `lengths`.
    ///
    /// Axes of length one are dropped, and axes that stay neighbours are joined. What remains is the smallest number of
    /// axes that describe the permutation; there are none if nothing moves.
    pub(crate) fn new(lengths: &[usize], from: &[usize], to: &[usize]) -> Self {
        let long = |&axis: &usize| lengths[axis] > 1;
        let from: Vec<usize> = from.iter().copied().filter(long).collect();
        let places = to
            .iter()
            .filter_map(|axis| from.iter().position(|other| other == axis));
        // Runs of axes that are neighbours before and after the permutation.
        let mut runs: Vec<Range<usize>> = Vec::new();
        for place in places {
            match runs.last_mut() {
                Some(run) if run.end == place => run.end += 1,
                _ => runs.push(place..place + 1),
            }
        }
        let mut before = runs.clone();
        before.sort_unstable_by_key(|run| run.start);
        let order = runs
            .iter()
            .map(|run| before.partition_point(|other| other.start < run.start))
            .collect();
        let joined = |run: Range<usize>| from[run].iter().map(|&axis| lengths[axis]).product();
        let lengths = before.into_iter().map(joined).collect();
        Self { lengths, order }
    }

    /// The number of axes that are permuted.
    pub(crate) fn axes(&self) -> usize {
        self.order.len()
    }

    /// Whether the permutation is possible, and fast, in one copy.
    ///
    /// flex copies runs or tiles if the last axis stays one of the last two. Otherwise it copies element by element,
    /// which takes longer than two copies of runs.
    pub(crate) fn is_direct(&self) -> bool {
        let last = self.axes().saturating_sub(1);
        self.axes() <= MOST_AXES && self.order.iter().rev().take(2).any(|&axis| axis == last)
    }

    /// Whether the permutation changes nothing.
    pub(crate) fn is_identity(&self) -> bool {
        self.axes() < 2
    }

    /// The lengths before, along and after an axis, if the permutation only moves this axis to the front.
    pub(crate) fn one_axis_first(&self) -> Option<[usize; 3]> {
        match (&self.order[..], &self.lengths[..]) {
            ([1, 0], &[before, along]) => Some([before, along, 1]),
            ([1, 0, 2], &[before, along, after]) => Some([before, along, after]),
            _ => None,
        }
    }

    /// The inverse permutation.
    pub(crate) fn inverse(&self) -> Self {
        let mut order = vec![0; self.axes()];
        for (after, &before) in self.order.iter().enumerate() {
            order[before] = after;
        }
        let lengths = self.order.iter().map(|&axis| self.lengths[axis]).collect();
        Self { lengths, order }
    }

    /// The elements in the new order: one copy, or none for the identity.
    pub(crate) fn apply<K: Basic>(&self, elements: Tensor<1, K>) -> Tensor<1, K> {
        match self.axes() {
            0 | 1 => elements,
            2 => self.permute::<2, K>(elements),
            3 => self.permute::<3, K>(elements),
            4 => self.permute::<4, K>(elements),
            5 => self.permute::<5, K>(elements),
            _ => self.permute::<MOST_AXES, K>(elements),
        }
    }

    fn permute<const A: usize, K: Basic>(&self, elements: Tensor<1, K>) -> Tensor<1, K> {
        let axes = |axes: &[usize]| -> [usize; A] { axes.try_into().expect("A axes") };
        let count: usize = self.lengths.iter().product();
        elements
            .reshape(axes(&self.lengths))
            .permute(axes(&self.order))
            .reshape([count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffle(lengths: &[usize], to: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let from: Vec<usize> = (0..lengths.len()).collect();
        let Shuffle { lengths, order } = Shuffle::new(lengths, &from, to);
        (lengths, order)
    }

    #[test]
    fn only_axes_that_move_are_left() {
        assert_eq!(
            shuffle(&[2, 3, 4], &[1, 0, 2]),
            (vec![2, 3, 4], vec![1, 0, 2])
        );
        assert_eq!(shuffle(&[2, 3, 4], &[2, 0, 1]), (vec![6, 4], vec![1, 0]));
        assert_eq!(shuffle(&[2, 1, 4], &[1, 0, 2]), (vec![8], vec![0]));
        assert_eq!(shuffle(&[2, 3, 1], &[2, 1, 0]), (vec![2, 3], vec![1, 0]));
        assert_eq!(shuffle(&[1, 1], &[1, 0]), (vec![], vec![]));
    }

    #[test]
    fn a_permutation_is_direct_if_it_leaves_the_last_axis_near_the_end() {
        let direct =
            |to: &[usize]| Shuffle::new(&[2; 8], &[0, 1, 2, 3, 4, 5, 6, 7], to).is_direct();
        assert!(direct(&[0, 1, 2, 3, 5, 4, 6, 7]));
        assert!(direct(&[6, 7, 0, 1, 2, 3, 4, 5]));
        assert!(!direct(&[0, 2, 1, 7, 4, 5, 3, 6]));
        assert!(!direct(&[1, 0, 3, 2, 5, 4, 7, 6]), "eight axes");
    }

    #[test]
    fn the_inverse_undoes_the_order() {
        let shuffle = Shuffle::new(&[2, 3, 4], &[0, 1, 2], &[2, 0, 1]);
        assert_eq!(shuffle.inverse(), Shuffle::new(&[4, 6], &[0, 1], &[1, 0]));
        assert_eq!(shuffle.inverse().inverse(), shuffle);
    }
}
