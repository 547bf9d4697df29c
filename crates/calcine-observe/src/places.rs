use std::fmt;

use calcine_graph::{ElementKind, Graph, Node};
use calcine_names::{Pattern, nearest};

use crate::activity::activation_nodes;
use crate::error::ObserveError;
use crate::place::Place;

/// Selects the nodes that are observed. Only nodes with float results are.
pub struct Places(Selection);

enum Selection {
    Activations,
    All,
    Matching(Vec<String>),
    SelectedBy(Box<dyn Fn(&Node) -> bool>),
}

impl Places {
    /// The results of activation functions: ReLU and its variants, sigmoid, tanh, clamps.
    ///
    /// If a function consists of several operations, its last one is observed: for `x · sigmoid(x)`, the product.
    #[must_use]
    pub fn activations() -> Self {
        Self(Selection::Activations)
    }

    /// All nodes.
    #[must_use]
    pub fn all() -> Self {
        Self(Selection::All)
    }

    /// The nodes whose names match one of these patterns (see [`Pattern`]). A pattern that matches no node is an error.
    #[must_use]
    pub fn matching<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self(Selection::Matching(
            patterns.into_iter().map(Into::into).collect(),
        ))
    }

    /// The nodes for which a function returns true.
    #[must_use]
    pub fn selected_by(choose: impl Fn(&Node) -> bool + 'static) -> Self {
        Self(Selection::SelectedBy(Box::new(choose)))
    }

    /// The places in a graph, in its order.
    pub(crate) fn find(&self, graph: &Graph) -> Result<Vec<Place>, ObserveError> {
        let floats = || {
            let nodes = graph.nodes.iter();
            nodes.filter(|node| graph.value(node.output).kind == ElementKind::Float)
        };
        let (found, what): (Vec<&Node>, &str) = match &self.0 {
            Selection::All => (floats().collect(), "**"),
            Selection::SelectedBy(choose) => (
                floats().filter(|node| choose(node)).collect(),
                "selected_by",
            ),
            Selection::Activations => {
                let activations = activation_nodes(graph);
                let of = |node: &&Node| activations.contains(&node.output);
                (floats().filter(of).collect(), "activations")
            }
            Selection::Matching(patterns) => {
                let mut compiled = Vec::new();
                for text in patterns {
                    let pattern = Pattern::new(text).map_err(|error| ObserveError::Pattern {
                        pattern: error.pattern,
                        why: error.reason,
                    })?;
                    if !floats().any(|node| pattern.matches(&node.name)) {
                        let names = floats().map(|node| node.name.as_str());
                        return Err(ObserveError::NoNode {
                            pattern: text.clone(),
                            nearest: nearest(text, names),
                        });
                    }
                    compiled.push(pattern);
                }
                let of = |node: &&Node| compiled.iter().any(|pattern| pattern.matches(&node.name));
                (floats().filter(of).collect(), "matching")
            }
        };
        if found.is_empty() {
            return Err(ObserveError::NoNode {
                pattern: what.to_owned(),
                nearest: Vec::new(),
            });
        }
        let place = |node: &Node| Place::of_node(node.name.clone(), &[node.output]);
        Ok(found.into_iter().map(place).collect())
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Selection::Activations => f.write_str("Places(activations)"),
            Selection::All => f.write_str("Places(all)"),
            Selection::Matching(patterns) => write!(f, "Places(matching {patterns:?})"),
            Selection::SelectedBy(_) => f.write_str("Places(selected_by …)"),
        }
    }
}
