use std::fmt;

use calcine_kernels::ZeroSteps;

/// How the engine executes a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Execution {
    /// By a kernel for 8-bit integers.
    Codes,
    /// By a table that contains the result for each 8-bit integer.
    Table,
    /// By a kernel for floats, or by vectorized loops.
    Floats,
    /// Together with the layer of this name, while the sums of the layer are in registers.
    Fused(String),
    /// Once, when the network is loaded, because all operands are constants.
    Constant,
    /// Without any work: the result is the memory of the operand.
    Moved,
    /// By copying numbers to other positions.
    Copied,
    /// In integers by vectorized loops, on values in row-major order.
    Integers,
    /// In integers by loops without vector instructions, on values in row-major order.
    PlainIntegers,
    /// In float by loops without vector instructions, on values in row-major order.
    PlainFloats,
}

impl fmt::Display for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes => f.write_str("8-bit integers"),
            Self::Table => f.write_str("table of 8-bit integers"),
            Self::Floats => f.write_str("floats"),
            Self::Fused(layer) => write!(f, "with `{layer}`"),
            Self::Constant => f.write_str("when loaded"),
            Self::Moved => f.write_str("nothing to compute"),
            Self::Copied => f.write_str("copied"),
            Self::Integers => f.write_str("integers"),
            Self::PlainIntegers => f.write_str("integers, plain loops"),
            Self::PlainFloats => f.write_str("floats, plain loops"),
        }
    }
}

/// A node of the network, and how the engine executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReport {
    /// The name of the node.
    pub node: String,
    /// The operation of the node.
    pub operation: String,
    /// How the node is executed.
    pub execution: Execution,
    /// How many zero weights a layer has that runs by a kernel, whether they are skipped, and why.
    pub zeros: Option<ZeroSteps>,
    /// The number of steps that convert operands or the result of this node to another layout or type.
    pub conversions: usize,
}
