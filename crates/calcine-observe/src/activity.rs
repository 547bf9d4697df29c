//! Finds the activations that belong to the filters and inputs of a weight.

use std::collections::HashSet;

use calcine_graph::{Action, Arithmetic, Graph, Map, Node, Op, Source, ValueId};

use crate::error::ObserveError;

/// Whether the search for the activation function of a filter continues past an addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtAddition {
    /// The search fails, because after an addition a channel depends on several filters.
    #[default]
    Stop,
    /// The search continues to the activation function that all added filters share. The last convolution of a residual
    /// block has no other one.
    Continue,
}

/// The nodes whose channels are the filters of a layer after their activation function, one for each use of the weight.
///
/// The search starts at the layer, passes through batch and layer norms, pooling, padding and scaling, and ends with
/// the element-wise operations of the activation function: the ReLU of `conv, batch-norm, relu`, the product of `x ·
/// sigmoid(x)`. It fails at an addition (unless it may continue there), at a concatenation, at the next layer, where a
/// result is used twice before an activation function, and at the end of the network.
///
/// Distiller instead searches for the module whose name has `relu` in place of `conv`.
///
/// # Errors
///
/// If there is no such weight or no such node; the error says where the search failed.
pub fn activations_of<'a>(
    graph: &'a Graph,
    weight: &str,
    at_addition: AtAddition,
) -> Result<Vec<&'a Node>, ObserveError> {
    let layers = layers_of(graph, weight)?;
    let after = layers.into_iter().map(|layer| {
        after(graph, layer.output, at_addition).map_err(|why| ObserveError::NoActivation {
            weight: weight.to_owned(),
            why,
        })
    });
    after.collect()
}

/// The input activations of the layers with this weight, one for each use of the weight. The channels of each tensor
/// are the inputs of the layer. They may be inputs of the network.
///
/// # Errors
///
/// If there is no such weight.
pub fn inputs_of(graph: &Graph, weight: &str) -> Result<Vec<ValueId>, ObserveError> {
    let layers = layers_of(graph, weight)?.into_iter();
    Ok(layers.map(|layer| layer.inputs[0]).collect())
}

/// The convolutions and linear layers that use this weight.
pub(crate) fn layers_of<'a>(graph: &'a Graph, weight: &str) -> Result<Vec<&'a Node>, ObserveError> {
    let is_layer = |node: &&Node| node.op.properties().weight == Some(1);
    let weight_of = |node: &Node| {
        let value = graph.value(*node.inputs.get(1)?);
        (value.source == Source::Parameter).then_some(value.name.as_str())
    };
    let layers = || graph.nodes.iter().filter(is_layer);
    let found: Vec<&Node> = layers()
        .filter(|node| weight_of(node) == Some(weight))
        .collect();
    if found.is_empty() {
        return Err(ObserveError::NoWeight {
            weight: weight.to_owned(),
            nearest: calcine_names::nearest(weight, layers().filter_map(weight_of)),
        });
    }
    Ok(found)
}

/// The results of all activation functions, without duplicates.
pub(crate) fn activation_nodes(graph: &Graph) -> HashSet<ValueId> {
    let functions = graph.nodes.iter().filter(|node| is_nonlinear(&node.op));
    let result = |node: &Node| match Elementwise::new(graph, root(graph, node.output)).exit() {
        Some(exit) => exit,
        None => node.output,
    };
    functions.map(result).collect()
}

fn after(graph: &Graph, start: ValueId, at_addition: AtAddition) -> Result<&Node, String> {
    let mut value = start;
    loop {
        let elementwise = Elementwise::new(graph, value);
        if let Some(node) = elementwise.activation() {
            return Ok(node);
        }
        let Some(exit) = elementwise.exit() else {
            return Err("its result is used twice before an activation function".to_owned());
        };
        if graph.outputs.contains(&exit) {
            return Err("the output of the network comes first".to_owned());
        }
        let mut consumers = graph.consumers(exit);
        let (Some(next), None) = (consumers.next(), consumers.next()) else {
            return Err(format!(
                "`{}` is used twice before an activation function",
                graph.value(exit).name
            ));
        };
        let properties = next.op.properties();
        let passes = match properties.action {
            // A norm with parameters, whose first operand is what it normalises; no softmax.
            Action::Normalize => properties.layer.is_some() && next.inputs[0] == exit,
            Action::Window => true,
            Action::Move => matches!(next.op, Op::Pad { .. }),
            Action::Elementwise => {
                next.op == Op::Zip(Arithmetic::Add) && at_addition == AtAddition::Continue
            }
            Action::Product | Action::Reduce | Action::Update | Action::Create => false,
        };
        if !passes {
            return Err(format!("`{}` comes first", next.name));
        }
        value = next.output;
    }
}

/// A tensor and everything that is computed element-wise from it alone.
struct Elementwise<'a> {
    graph: &'a Graph,
    /// The nodes, in graph order.
    nodes: Vec<&'a Node>,
    /// The values that other nodes use.
    exits: Vec<ValueId>,
}

impl<'a> Elementwise<'a> {
    fn new(graph: &'a Graph, start: ValueId) -> Self {
        let mut values = vec![start];
        let mut nodes = Vec::new();
        for node in &graph.nodes {
            let data = node
                .inputs
                .iter()
                .filter(|id| matches!(graph.value(**id).source, Source::Node(_) | Source::Input));
            let mut data = data.peekable();
            let own = data.peek().is_some() && data.all(|id| values.contains(id));
            let same_shape = graph.value(node.output).shape == graph.value(start).shape;
            if own && same_shape && node.op.properties().is_elementwise() {
                values.push(node.output);
                nodes.push(node);
            }
        }
        let inside: HashSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        let leaves = |id: &ValueId| {
            let outside = |node: &Node| !inside.contains(node.name.as_str());
            graph.outputs.contains(id) || graph.consumers(*id).any(outside)
        };
        let exits = values.iter().copied().filter(leaves).collect();
        Self {
            graph,
            nodes,
            exits,
        }
    }

    /// The result, if there is only one.
    fn exit(&self) -> Option<ValueId> {
        match self.exits[..] {
            [exit] => Some(exit),
            _ => None,
        }
    }

    /// The last node of the activation function: the node of the only result, or the only nonlinear function.
    fn activation(&self) -> Option<&'a Node> {
        let mut functions = self.nodes.iter().filter(|node| is_nonlinear(&node.op));
        let first = functions.next()?;
        match (self.exit(), functions.next()) {
            (Some(exit), _) => self.graph.producer(exit),
            (None, None) => Some(first),
            (None, Some(_)) => None,
        }
    }
}

/// Goes back through element-wise operations of one tensor to their input.
fn root(graph: &Graph, value: ValueId) -> ValueId {
    let mut value = value;
    while let Some(node) = graph.producer(value) {
        let data = node
            .inputs
            .iter()
            .copied()
            .filter(|id| matches!(graph.value(*id).source, Source::Node(_) | Source::Input));
        let data: Vec<ValueId> = data.collect();
        let same_shape = |id: ValueId| graph.value(id).shape == graph.value(node.output).shape;
        match data[..] {
            [only] if node.op.properties().is_elementwise() && same_shape(only) => value = only,
            _ => break,
        }
    }
    value
}

/// Whether the operation is an activation function.
fn is_nonlinear(op: &Op) -> bool {
    matches!(
        op,
        Op::Map(
            Map::Relu
                | Map::LeakyRelu(_)
                | Map::Gelu
                | Map::Sigmoid
                | Map::LogSigmoid
                | Map::HardSigmoid { .. }
                | Map::Tanh
                | Map::Clamp { .. }
                | Map::ClampMin(_)
                | Map::ClampMax(_)
        ) | Op::Zip(Arithmetic::PRelu)
    )
}
