use crate::granularity::Granularity;

/// Why a weight of this shape does not have a granularity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// The granularity is not defined for weights of this rank.
    #[error("granularity `{granularity}` needs {needs}, but the shape is {shape:?}")]
    Rank {
        /// The requested granularity.
        granularity: Granularity,
        /// The shape of the weight.
        shape: Vec<usize>,
        /// The valid weights, in words.
        needs: &'static str,
    },
    /// A side of the block, or the size of a group of inputs, does not divide its axis.
    #[error(
        "granularity `{granularity}` does not tile the weight: {side} does not divide {axis} {size}"
    )]
    Block {
        /// The requested granularity.
        granularity: Granularity,
        /// The side that does not divide the axis.
        side: usize,
        /// The axis.
        axis: &'static str,
        /// The length of the axis.
        size: usize,
    },
    /// The groups of the convolution do not divide the axis that they partition.
    #[error("{groups} groups do not divide {axis} {size}")]
    Groups {
        /// The requested number of groups.
        groups: usize,
        /// The axis.
        axis: &'static str,
        /// The length of the axis.
        size: usize,
    },
    /// The tensor has no elements, or no axes.
    #[error("a weight of shape {shape:?} has no elements")]
    Empty {
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
}
