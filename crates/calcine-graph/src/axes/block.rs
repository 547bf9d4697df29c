//! Axes that a reshape merges or splits.

/// Neighbouring axes before and after a reshape that contain the same elements, if the reshape merges or splits them.
///
/// The lengths are split into factors such that each axis is a run of factors, row-major: `[16, 5, 5]` and `[400]` into
/// 16, 5, 5. Elements can be removed by the values of one factor, which is the factor that the block follows; the other
/// factors stay complete.
#[derive(Debug)]
pub(super) struct Block {
    /// The position of the node, and of the block within it.
    pub(super) id: (usize, usize),
    /// The number of factors.
    pub(super) factors: usize,
    /// A label for each value of the followed factor.
    pub(super) labels: Vec<usize>,
}

/// A value in place of a factor, if all factors have been tried: the outermost one is then final.
pub(super) const EXHAUSTED: usize = usize::MAX;
