//! Replaces weights that a network computes by parameters.

use std::collections::HashSet;

use calcine_graph::{ElementKind, Graph, Op, Source, Value, ValueId};

use crate::leaf::{Held, Leaf};
use crate::network::Network;

impl Network {
    /// The same network with a parameter in place of each weight and bias that its layers compute only from parameters
    /// and constants: the transposed matrix in `x.matmul(w.transpose())`, or the product for a scaled weight.
    ///
    /// This is for methods that process the elements of a weight, such as quantization. The new parameter has the path
    /// of the parameter that it was computed from. If that is still used, `_2`, `_3` and so on is appended. It is
    /// trained if that is. Operations that are no longer used are removed, and the ids of values change. A network
    /// without such weights is returned unchanged. Does not read the device.
    #[must_use]
    pub fn with_stored_weights(self) -> Self {
        let wanted = computed_operands(&self.graph);
        if wanted.is_empty() {
            return self;
        }
        let mut graph = (*self.graph).clone();
        let mut constants = self.constants.clone();
        let metadata = self.metadata().clone();
        let mut stored = Vec::new();
        for id in wanted {
            let Some(tensor) = self
                .computed(id)
                .filter(|tensor| tensor.kind() == ElementKind::Float)
            else {
                continue;
            };
            let is_leaf = |id: &ValueId| {
                let path = &self.graph.value(*id).name;
                self.leaves.0.iter().any(|leaf| leaf.path() == *path)
            };
            let Some(origin) = origin(&self.graph, id).filter(is_leaf) else {
                continue;
            };
            let new = ValueId(graph.values.len());
            graph.values.push(Value {
                name: String::new(),
                shape: graph.value(id).shape.clone(),
                kind: ElementKind::Float,
                source: Source::Parameter,
            });
            constants.push(None);
            for node in graph.nodes.iter_mut().filter(|node| has_weight(&node.op)) {
                let operands = node.inputs.iter_mut().filter(|operand| **operand == id);
                operands.for_each(|operand| *operand = new);
            }
            stored.push((new, origin, tensor));
        }
        without_dead_nodes(&mut graph);
        let used: HashSet<ValueId> = used(&graph).collect();
        let mut leaves = self.leaves;
        for (new, origin, tensor) in stored {
            let path = graph.value(origin).name.clone();
            let Some(at) = leaves.0.iter().position(|leaf| leaf.path() == path) else {
                continue;
            };
            let trained = leaves.0[at].held.is_trained();
            let Some(held) = Held::stored(tensor, trained) else {
                continue;
            };
            let mut walk = leaves.0[at].walk.clone();
            if used.contains(&origin)
                || graph
                    .parameters()
                    .any(|(id, v)| id != origin && v.name == path)
            {
                let name = free(&graph, &path);
                if let Some((last, _)) = walk.last_mut() {
                    name.rsplit('.').next().unwrap_or_default().clone_into(last);
                }
                graph.values[new.0].name = name;
                leaves.0.insert(at + 1, Leaf { walk, held });
            } else {
                // Nothing refers to the old parameter any more.
                graph.values[origin.0].source = Source::Constant;
                graph.values[new.0].name = path;
                leaves.0[at] = Leaf { walk, held };
            }
        }
        Self::new(graph, leaves, constants)
            .with_all_metadata(metadata)
            .compacted()
    }
}

/// The path, followed by a number that makes it unique in the graph.
fn free(graph: &Graph, path: &str) -> String {
    let taken = |name: &String| graph.values.iter().any(|value| value.name == *name);
    let mut numbered = (2..).map(|count| format!("{path}_{count}"));
    numbered.find(|name| !taken(name)).unwrap_or_default()
}

/// The parameter that a computed weight replaces: the largest one that it is computed from.
fn origin(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let parameters = graph.made_of(id)?.into_iter().rev();
    parameters.max_by_key(|id| graph.value(*id).numel_at(1))
}

/// Whether the operation multiplies with a weight, and may add a bias.
fn has_weight(op: &Op) -> bool {
    op.properties().weight == Some(1)
}

/// The weights and biases that are computed from parameters, without duplicates.
fn computed_operands(graph: &Graph) -> Vec<ValueId> {
    let mut found = Vec::new();
    for node in graph.nodes.iter().filter(|node| has_weight(&node.op)) {
        for &id in node.inputs.iter().skip(1) {
            let computed = matches!(graph.value(id).source, Source::Node(_));
            if computed && !found.contains(&id) && graph.made_of(id).is_some() {
                found.push(id);
            }
        }
    }
    found
}

fn used(graph: &Graph) -> impl Iterator<Item = ValueId> {
    let operands = graph.nodes.iter().flat_map(|node| &node.inputs);
    operands.chain(&graph.outputs).copied()
}

/// Removes the nodes whose result is neither used by a node nor an output.
fn without_dead_nodes(graph: &mut Graph) {
    let mut needed: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut alive: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in graph.nodes.iter().rev() {
        let is_needed = needed.contains(&node.output);
        if is_needed {
            needed.extend(&node.inputs);
        }
        alive.push(is_needed);
    }
    alive.reverse();
    let mut kept = alive.iter();
    graph.nodes.retain(|_| kept.next() == Some(&true));
    for (position, node) in graph.nodes.iter().enumerate() {
        graph.values[node.output.0].source = Source::Node(position);
    }
    let made: HashSet<ValueId> = graph.nodes.iter().map(|node| node.output).collect();
    for (index, value) in graph.values.iter_mut().enumerate() {
        // Its node is removed; the value is unused, and is removed with the next unused values.
        if matches!(value.source, Source::Node(_)) && !made.contains(&ValueId(index)) {
            value.source = Source::Constant;
        }
    }
}
