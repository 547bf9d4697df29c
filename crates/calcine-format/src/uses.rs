//! Which nodes read which values, which operations are layers, and which nodes are part of another one in a quantized
//! network.

use calcine_graph::{Graph, Map, Node, Op, Reduction, Source, ValueId};

/// The uses of each value, and the batch norms that are folded into the layer before them.
#[derive(Debug)]
pub struct Uses {
    consumers: Vec<Vec<usize>>,
    /// How often each value is used: as an operand of nodes, and as an output of the network.
    pub counts: Vec<usize>,
    /// Whether each node is a batch norm that is folded into the layer before it.
    pub folded: Vec<bool>,
    /// Whether each node is a clamp with the lower bound 0 that uses the quantizer of its operand.
    pub clamps: Vec<bool>,
}

impl Uses {
    /// Finds the uses of all values of a graph.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        let mut consumers = vec![Vec::new(); graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for id in &node.inputs {
                consumers[id.0].push(index);
            }
        }
        let mut counts: Vec<usize> = consumers.iter().map(Vec::len).collect();
        for id in &graph.outputs {
            counts[id.0] += 1;
        }
        let mut uses = Self {
            consumers,
            counts,
            folded: vec![false; graph.nodes.len()],
            clamps: vec![false; graph.nodes.len()],
        };
        for node in &graph.nodes {
            if let Some(norm) = uses.norm_after(graph, node) {
                uses.folded[norm] = true;
            }
        }
        for node in &graph.nodes {
            if keeps_range(&node.op) {
                continue;
            }
            for user in uses.chain(graph, node.output) {
                uses.clamps[user] |= clamps_from_zero(&graph.nodes[user].op);
            }
        }
        uses
    }

    /// The node that reads a value, if it is the only use of the value.
    fn only_user(&self, id: ValueId) -> Option<usize> {
        match self.consumers[id.0][..] {
            [user] if !self.is_output(id) => Some(user),
            _ => None,
        }
    }

    /// The number of nodes that read the value.
    #[must_use]
    pub fn readers(&self, id: ValueId) -> usize {
        self.consumers[id.0].chunk_by(|a, b| a == b).count()
    }

    /// The positions of the nodes that read a value; a node occurs once for each operand that is the value.
    #[must_use]
    pub fn consumers(&self, id: ValueId) -> &[usize] {
        &self.consumers[id.0]
    }

    /// Whether the value is an output of the network.
    #[must_use]
    pub fn is_output(&self, id: ValueId) -> bool {
        self.counts[id.0] > self.consumers[id.0].len()
    }

    /// The position of the batch norm that can be folded into a layer: it is the only node that reads the output of the
    /// layer.
    #[must_use]
    pub fn norm_after(&self, graph: &Graph, node: &Node) -> Option<usize> {
        if !has_weights(graph, node) {
            return None;
        }
        let user = self.only_user(node.output)?;
        let norm = &graph.nodes[user];
        let own = |id: &ValueId| graph.value(*id).source == Source::Parameter;
        let takes = matches!(norm.op, Op::BatchNorm { .. })
            && norm.inputs[0] == node.output
            && norm.inputs[1..].iter().all(own)
            // Behind a linear layer, the channels of the norm must be the outputs of the layer.
            && (node.op != Op::Linear || graph.value(node.output).shape.len() == 2);
        takes.then_some(user)
    }

    /// The folded batch norm, relus and clamps from zero that follow a value one after the other, each as the only use
    /// of the one before.
    fn chain(&self, graph: &Graph, mut id: ValueId) -> Vec<usize> {
        let mut chain = Vec::new();
        while let Some(user) = self.only_user(id) {
            let node = &graph.nodes[user];
            let cuts = node.op == Op::Map(Map::Relu) || clamps_from_zero(&node.op);
            if node.inputs[0] != id || !(self.folded[user] || cuts) {
                break;
            }
            chain.push(user);
            id = node.output;
        }
        chain
    }

    /// The value behind the folded batch norm, relus and clamps that follow a value: the first one that is rounded.
    #[must_use]
    pub fn final_value(&self, graph: &Graph, id: ValueId) -> ValueId {
        let last = self.chain(graph, id).pop();
        last.map_or(id, |user| graph.nodes[user].output)
    }

    /// Whether the result of a node has the quantizer of its first operand.
    #[must_use]
    pub fn keeps_quantizer(&self, index: usize, op: &Op) -> bool {
        self.folded[index] || self.clamps[index] || keeps_range(op)
    }
}

/// Whether an operation is `min(max(x, 0), high)`, such as ReLU6.
fn clamps_from_zero(op: &Op) -> bool {
    match op {
        Op::Map(Map::Clamp { low, .. } | Map::ClampMin(low)) => *low == 0.0,
        _ => false,
    }
}

/// Whether a node is a convolution, a transposed convolution with one group, or a linear layer, and its weight and bias
/// are parameters.
#[must_use]
pub fn has_weights(graph: &Graph, node: &Node) -> bool {
    let sums = match &node.op {
        Op::Convolution(_) | Op::Linear => true,
        Op::TransposedConvolution { convolution, .. } => convolution.groups == 1,
        _ => false,
    };
    sums && is_parameter(graph, node, 1) && is_parameter(graph, node, 2)
}

/// Whether a node is a layer whose weights can be quantized: one that [`has_weights`], or an embedding.
#[must_use]
pub fn has_integers(graph: &Graph, node: &Node) -> bool {
    has_weights(graph, node) || node.op == Op::Embedding && is_parameter(graph, node, 0)
}

/// Whether an operand of a node is a parameter or missing.
fn is_parameter(graph: &Graph, node: &Node, at: usize) -> bool {
    let id = node.inputs.get(at);
    id.is_none_or(|id| graph.value(*id).source == Source::Parameter)
}

/// The position of the weight among the operands of a layer.
#[must_use]
pub fn weight_operand(op: &Op) -> usize {
    usize::from(*op != Op::Embedding)
}

/// The axis of a layer's weight tensor that belongs to the outputs; for an embedding, the axis of its rows.
#[must_use]
pub fn output_axis(op: &Op) -> usize {
    match op {
        Op::Linear | Op::TransposedConvolution { .. } => 1,
        _ => 0,
    }
}

/// Whether an operation only moves numbers or replaces negative ones by 0, so that its result has the quantizer of its
/// operand.
fn keeps_range(op: &Op) -> bool {
    op.properties().keeps_range
}

/// The number of values of which each result of an operation is the mean, if that number is the same for all results.
/// `input` and `output` are the shapes of the first operand and of the result.
#[must_use]
pub fn averaged_values(op: &Op, input: &[usize], output: &[usize]) -> Option<usize> {
    match op {
        Op::Reduce(Reduction::Mean, axis) => input.get(*axis).copied(),
        Op::AveragePool {
            pool,
            count_padding,
        } => {
            let whole = *count_padding || pool.padding.iter().all(|padding| *padding == 0);
            (whole && !pool.ceil).then(|| pool.kernel.iter().product())
        }
        Op::AdaptiveAveragePool => {
            let windows = input[2..].iter().zip(&output[2..]);
            let equal = windows.clone().all(|(input, output)| input % output == 0);
            equal.then(|| windows.map(|(input, output)| input / output).product())
        }
        _ => None,
    }
}

/// Whether a node is a batch norm that is folded into a layer with integer weights. `is_layer` says which nodes have
/// integer weights.
#[must_use]
pub fn is_folded_norm(
    graph: &Graph,
    uses: &Uses,
    index: usize,
    is_layer: impl Fn(usize) -> bool,
) -> bool {
    let of = graph.nodes[index].inputs.first();
    match of.map(|id| graph.value(*id).source) {
        Some(Source::Node(layer)) => uses.folded[index] && is_layer(layer),
        _ => false,
    }
}
