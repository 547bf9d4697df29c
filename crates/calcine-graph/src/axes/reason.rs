use std::fmt;

/// Why an index of an axis cannot be removed.
///
/// # Examples
///
/// The text is a clause about the axis, as in ``this axis stays: `layer_norm` at encoder.norm takes the mean of it``.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason {
    pub(crate) node: Option<String>,
    pub(crate) op: &'static str,
    pub(crate) phrase: &'static str,
}

impl Reason {
    /// The node that needs the whole axis; `None` for inputs and outputs of the network.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The name of the operation, or `input`, `output`, `parameter`.
    #[must_use]
    pub fn op(&self) -> &'static str {
        self.op
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "`{}` at {node} {}", self.op, self.phrase),
            None => f.write_str(self.phrase),
        }
    }
}
