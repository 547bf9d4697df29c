use std::fmt;

use calcine_graph::{ElementKind, Graph, Node};
use calcine_names::{Pattern, nearest};

use crate::activity::activation_nodes;
use crate::error::ObserveError;
use crate::place::Place;

/// Which nodes are observed. Only nodes that give floats are.
pub struct Places(Which);

enum Which {
    Activations,
    All,
    Matching(Vec<String>),
    That(Box<dyn Fn(&Node) -> bool>),
}

impl Places {
    /// The results of activation functions: relu and its kin, sigmoid, tanh, clamps.
    ///
    /// What is written in several operations counts where it ends: of `x · sigmoid(x)` the product.
    #[must_use]
    pub fn activations() -> Self {
        Self(Which::Activations)
    }

    /// All nodes.
    #[must_use]
    pub fn all() -> Self {
        Self(Which::All)
    }

    /// The nodes whose names match one of these patterns, as [`Pattern`] says. A pattern that matches nothing is an
    /// error.
    #[must_use]
    pub fn matching<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self(Which::Matching(
            patterns.into_iter().map(Into::into).collect(),
        ))
    }

    /// The nodes that a function chooses.
    #[must_use]
    pub fn that(choose: impl Fn(&Node) -> bool + 'static) -> Self {
        Self(Which::That(Box::new(choose)))
    }

    /// The places in a graph, in its order.
    pub(crate) fn find(&self, graph: &Graph) -> Result<Vec<Place>, ObserveError> {
        let floats = || {
            let nodes = graph.nodes.iter();
            nodes.filter(|node| graph.value(node.output).kind == ElementKind::Float)
        };
        let (found, what): (Vec<&Node>, &str) = match &self.0 {
            Which::All => (floats().collect(), "**"),
            Which::That(choose) => (floats().filter(|node| choose(node)).collect(), "that"),
            Which::Activations => {
                let activations = activation_nodes(graph);
                let of = |node: &&Node| activations.contains(&node.output);
                (floats().filter(of).collect(), "activations")
            }
            Which::Matching(patterns) => {
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
            Which::Activations => f.write_str("Places(activations)"),
            Which::All => f.write_str("Places(all)"),
            Which::Matching(patterns) => write!(f, "Places(matching {patterns:?})"),
            Which::That(_) => f.write_str("Places(that …)"),
        }
    }
}
