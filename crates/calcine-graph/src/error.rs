//! Errors of graphs.

use thiserror::Error;

/// Why a graph is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An id does not exist in the graph.
    #[error("{place} names value {id}, but the graph has {count} values, from 0")]
    UnknownValue {
        /// The node, or the list of the graph, that contains it.
        place: String,
        /// The id.
        id: usize,
        /// The number of values.
        count: usize,
    },
    /// A node uses a value that no earlier node produces.
    #[error(
        "`{op}` at {node} uses {value}, which no earlier node makes: nodes must stand in running order"
    )]
    Order {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The value that is not available yet.
        value: String,
    },
    /// A value is used but not an input, or is listed twice as an input.
    #[error("`{value}` is not given once: inputs must be listed, each of them once")]
    Input {
        /// The value.
        value: String,
    },
    /// Two inputs, nodes, constants or parameters have the same name.
    #[error("two {what} are called {name}: names must be unique")]
    Name {
        /// What they are.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An operation has too few or too many operands.
    #[error("`{op}` at {node} has {found} operands, but takes {}", range(*.least, *.most))]
    Operands {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The number of operands.
        found: usize,
        /// The smallest valid number.
        least: usize,
        /// The largest valid number.
        most: usize,
    },
    /// A tensor has too few or too many axes.
    #[error("`{op}` at {node} needs {value} to have {expected} axes, but it has {found}")]
    Rank {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The tensor.
        value: String,
        /// The number of axes.
        found: usize,
        /// The valid number.
        expected: usize,
    },
    /// An axis does not exist.
    #[error("`{op}` at {node} works along axis {axis}, but {value} has {rank} axes, from 0")]
    Axis {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The tensor.
        value: String,
        /// The axis.
        axis: usize,
        /// The number of axes.
        rank: usize,
    },
    /// Two axes must have the same length, but do not.
    #[error("`{op}` at {node}: {one} and {other} must be equally long")]
    Lengths {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The first axis and its length, in words.
        one: String,
        /// The other axis and its length, in words.
        other: String,
    },
    /// The settings of an operation do not match its tensors.
    #[error("`{op}` at {node}: {problem}")]
    Setting {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The problem, with the numbers.
        problem: String,
    },
    /// Tensors are too large to be counted.
    #[error(
        "{value} is too large: valid are 2^48 elements a tensor, and 2^28 for the lengths of all axes \
         of all tensors together"
    )]
    Size {
        /// The tensor at which the limit is exceeded.
        value: String,
    },
}

fn range(least: usize, most: usize) -> String {
    match most {
        usize::MAX => format!("{least} or more"),
        most if most == least => format!("{least}"),
        most => format!("{least} to {most}"),
    }
}
