//! What can be wrong with a graph.

use thiserror::Error;

/// Why a graph is not the network it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An id that no value of the graph has.
    #[error("{place} names value {id}, but the graph has {count} values, from 0")]
    UnknownValue {
        /// Which node, or which list of the graph.
        place: String,
        /// The id found.
        id: usize,
        /// How many values there are.
        count: usize,
    },
    /// A node uses what no earlier node makes.
    #[error(
        "`{op}` at {node} uses {value}, which no earlier node makes: nodes must stand in running order"
    )]
    Order {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The value that is not there yet.
        value: String,
    },
    /// What a node uses and nobody gives, or what is given twice.
    #[error("`{value}` is not given once: inputs must be listed, each of them once")]
    Input {
        /// The value.
        value: String,
    },
    /// Two nodes, two parameters, or two of inputs, nodes, constants and parameters of the same name.
    #[error("two {what} are called {name}: names must be unique")]
    Name {
        /// What they are.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An operation with too few or too many operands.
    #[error("`{op}` at {node} has {found} operands, but takes {}", range(*.least, *.most))]
    Operands {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The number found.
        found: usize,
        /// The fewest that are valid.
        least: usize,
        /// The most that are valid.
        most: usize,
    },
    /// A tensor with too few or too many axes.
    #[error("`{op}` at {node} needs {value} to have {expected} axes, but it has {found}")]
    Rank {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The tensor.
        value: String,
        /// The number found.
        found: usize,
        /// The number that is valid.
        expected: usize,
    },
    /// An axis beyond the last.
    #[error("`{op}` at {node} works along axis {axis}, but {value} has {rank} axes, from 0")]
    Axis {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// The tensor.
        value: String,
        /// The axis found.
        axis: usize,
        /// How many there are.
        rank: usize,
    },
    /// Two axes that must be equally long and are not.
    #[error("`{op}` at {node}: {one} and {other} must be equally long")]
    Lengths {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// An axis and its length, in words.
        one: String,
        /// The axis that should be as long, and its length.
        other: String,
    },
    /// An operation whose settings do not fit its tensors.
    #[error("`{op}` at {node}: {problem}")]
    Setting {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// What does not fit, with the numbers.
        problem: String,
    },
    /// Tensors too large to count.
    #[error(
        "{value} is too large: valid are 2^48 elements a tensor, and 2^28 for the lengths of all axes \
         of all tensors together"
    )]
    Size {
        /// The tensor with which it becomes too much.
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
