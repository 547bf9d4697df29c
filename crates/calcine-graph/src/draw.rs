mod boxes;
mod dot;
mod layout;
mod svg;

use std::collections::BTreeMap;

use crate::error::GraphError;
use crate::graph::Graph;

/// The level of detail of a drawing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// One box for each layer, and for each operation that joins branches. Operations that follow one after the other,
    /// such as batch norm and activation, are in the same box.
    #[default]
    Layers,
    /// One box for each operation.
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
    /// Additional text for nodes, by name, for example their sparsity. Names that no node has are ignored.
    pub notes: BTreeMap<String, String>,
}

impl Drawing {
    /// Draws an SVG image. Branches that skip layers run beside them.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Graph::check).
    pub fn svg(&self, graph: &Graph) -> Result<String, GraphError> {
        let picture = boxes::Picture::new(graph, self)?;
        Ok(svg::write(&picture, &layout::place(&picture)))
    }

    /// Writes a description for Graphviz, which computes its own layout.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Graph::check).
    pub fn dot(&self, graph: &Graph) -> Result<String, GraphError> {
        Ok(dot::write(&boxes::Picture::new(graph, self)?))
    }
}
