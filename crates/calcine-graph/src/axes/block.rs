//! Axes that a reshape merges or splits.

/// A reshape's neighbouring axes, before and after, that hold the same elements, if that needs merging
/// or splitting.
///
/// Lengths are cut into factors such that each axis is a run of them, row-major: `[16, 5, 5]` and `[400]`
/// into 16, 5, 5. Elements can be removed by the values of one factor, which is said to be followed; the
/// others stay whole.
#[derive(Debug)]
pub(super) struct Block {
    /// Position of the node, and of the block in it.
    pub(super) id: (usize, usize),
    /// How many factors there are.
    pub(super) factors: usize,
    /// A label for each value of the factor that is followed.
    pub(super) labels: Vec<usize>,
}

/// In the place of a factor, if all have been tried: the outermost, for good.
pub(super) const EXHAUSTED: usize = usize::MAX;
