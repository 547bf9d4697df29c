use crate::granularity::Granularity;

/// A granularity that a weight of this shape does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The granularity belongs to another kind of weight.
    #[error("granularity `{granularity}` needs {needs}, but the shape is {shape:?}")]
    Rank {
        /// The granularity asked for.
        granularity: Granularity,
        /// The shape found.
        shape: Vec<usize>,
        /// What would be valid.
        needs: &'static str,
    },
    /// A side of the block, or of a group of inputs, does not divide its axis.
    #[error(
        "granularity `{granularity}` does not tile the weight: {side} does not divide {axis} {size}"
    )]
    Block {
        /// The granularity asked for.
        granularity: Granularity,
        /// The side that does not divide.
        side: usize,
        /// The axis it should divide.
        axis: &'static str,
        /// The length of that axis.
        size: usize,
    },
    /// The groups of the convolution do not divide the axis that they cut.
    #[error("{groups} groups do not divide {axis} {size}")]
    Groups {
        /// The groups asked for.
        groups: usize,
        /// The axis that they should divide.
        axis: &'static str,
        /// The length of that axis.
        size: usize,
    },
    /// The tensor has no elements, or no axes.
    #[error("a weight of shape {shape:?} has no elements")]
    Empty {
        /// The shape found.
        shape: Vec<usize>,
    },
}
