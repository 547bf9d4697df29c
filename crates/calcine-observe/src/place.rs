use calcine_graph::ValueId;

/// What is observed under one name: one tensor, or several that are treated as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) values: Vec<ValueId>,
    /// The channel axis, if the layer defines it.
    pub(crate) axis: Option<usize>,
}

impl Place {
    /// A place for the results of a node.
    pub(crate) fn of_node(name: String, values: &[ValueId]) -> Self {
        Self {
            name,
            values: values.to_vec(),
            axis: None,
        }
    }
}
