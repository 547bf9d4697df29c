use std::fmt;

/// How the engine computes a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// By a kernel of 8-bit integers.
    Codes,
    /// By a table of each integer's result.
    Table,
    /// By a kernel of floats, or by vectorized loops.
    Floats,
    /// With the layer of this name, before its sums leave the registers.
    Fused(String),
    /// Once, when the network is loaded.
    Constant,
    /// Not at all: the numbers are where they should be.
    Moved,
    /// Not computed, but copied to other positions.
    Copied,
    /// In whole numbers by vectorized loops, between conversions.
    Integers,
    /// In whole numbers by plain loops, between conversions.
    PlainIntegers,
    /// In float by plain loops, between conversions.
    PlainFloats,
}

impl fmt::Display for How {
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

/// A node of the network, and how the engine computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Its operation.
    pub operation: String,
    /// How it is computed.
    pub how: How,
    /// How often steps of this node copy or convert numbers for it.
    pub conversions: usize,
}
