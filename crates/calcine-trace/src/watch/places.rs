use std::fmt;

use calcine_graph::{Graph, Kind, Node, ValueId};
use globset::{GlobBuilder, GlobMatcher};

use super::error::{WatchError, most_like};
use super::pass::Place;
use crate::activity::activation_nodes;

/// Which nodes are watched. Only nodes that give floats are.
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

    /// The nodes whose names match one of these patterns: `*` is any part of one element of a name, `**` any
    /// elements. A pattern that matches nothing is an error.
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
    pub(super) fn find(&self, graph: &Graph) -> Result<Vec<Place>, WatchError> {
        let floats = || {
            let nodes = graph.nodes.iter();
            nodes.filter(|node| graph.value(node.output).kind == Kind::Float)
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
                let mut globs = Vec::new();
                for pattern in patterns {
                    let glob = glob(pattern)?;
                    if !floats().any(|node| is_match(&glob, node)) {
                        let names = floats().map(|node| node.name.as_str());
                        return Err(WatchError::NoNode {
                            pattern: pattern.clone(),
                            nearest: most_like(pattern, names),
                        });
                    }
                    globs.push(glob);
                }
                let of = |node: &&Node| globs.iter().any(|glob| is_match(glob, node));
                (floats().filter(of).collect(), "matching")
            }
        };
        if found.is_empty() {
            return Err(WatchError::NoNode {
                pattern: what.to_owned(),
                nearest: Vec::new(),
            });
        }
        let place = |node: &Node| Place::of_node(node.name.clone(), &[node.output]);
        Ok(found.into_iter().map(place).collect())
    }
}

impl Place {
    /// The results of nodes.
    pub(super) fn of_node(name: String, values: &[ValueId]) -> Self {
        Self {
            name,
            values: values.to_vec(),
            axis: None,
        }
    }
}

fn is_match(glob: &GlobMatcher, node: &Node) -> bool {
    glob.is_match(node.name.replace('.', "/"))
}

/// Elements of names are glob components, so that `*` stays inside one.
fn glob(pattern: &str) -> Result<GlobMatcher, WatchError> {
    GlobBuilder::new(&pattern.replace('.', "/"))
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| WatchError::Pattern {
            pattern: pattern.to_owned(),
            why: error.kind().to_string(),
        })
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
