mod boxes;
mod dot;
mod layout;
mod svg;

use std::collections::BTreeMap;

use crate::error::GraphError;
use crate::graph::Graph;

/// How much of a network a drawing shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// A box for each layer and each operation that joins ways; what follows one after the other, such as
    /// batch-norm and activation, is written into the box.
    #[default]
    Layers,
    /// A box for each operation.
    Operations,
}

/// A drawing of a network, from top to bottom: names, types, shapes, multiply-accumulates.
///
/// # Examples
///
/// ```
/// use calcine_graph::{Drawing, Graph};
///
/// let mut drawing = Drawing::default();
/// drawing.notes.insert("conv1".into(), "72 % sparse".into());
/// # let graph = Graph::default();
/// let svg = drawing.svg(&graph)?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), calcine_graph::GraphError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawing {
    /// How much is shown.
    pub detail: Detail,
    /// Whether parameters are listed, with their shapes.
    pub parameters: bool,
    /// Text for nodes, by their names: their sparsity, say. Names without a node are ignored.
    pub notes: BTreeMap<String, String>,
}

impl Drawing {
    /// A picture for browsers and documents. Ways that skip layers run beside them.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Graph::check).
    pub fn svg(&self, graph: &Graph) -> Result<String, GraphError> {
        let picture = boxes::Picture::of(graph, self)?;
        Ok(svg::write(&picture, &layout::place(&picture)))
    }

    /// A description in the language of Graphviz, which lays it out itself.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Graph::check).
    pub fn dot(&self, graph: &Graph) -> Result<String, GraphError> {
        Ok(dot::write(&boxes::Picture::of(graph, self)?))
    }
}
