use calcine_graph::ValueId;

/// What is observed under one name: a tensor, or several as if they were one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) values: Vec<ValueId>,
    /// Which axis counts channels, if that is known better than by the graph.
    pub(crate) axis: Option<usize>,
}

impl Place {
    /// The results of nodes.
    pub(crate) fn of_node(name: String, values: &[ValueId]) -> Self {
        Self {
            name,
            values: values.to_vec(),
            axis: None,
        }
    }
}
