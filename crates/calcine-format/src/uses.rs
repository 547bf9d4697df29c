//! Which nodes read which values, which operations are layers, and which nodes do nothing of their own.

use calcine_graph::{Graph, Map, Node, Op, Reduction, Source, ValueId};

/// The uses of each value, and the batch norms that a layer takes over.
#[derive(Debug)]
pub struct Uses {
    consumers: Vec<Vec<usize>>,
    /// How often each value is used: by nodes, and as an output.
    pub counts: Vec<usize>,
    /// Batch norms whose work is done by the layer before them.
    pub folded: Vec<bool>,
    /// Clamps from zero whose upper end is that of the quantizer before them.
    pub clamps: Vec<bool>,
}

impl Uses {
    /// The uses of the values of a graph.
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
            if passes(&node.op) {
                continue;
            }
            for user in uses.chain(graph, node.output) {
                uses.clamps[user] |= clamps_from_zero(&graph.nodes[user].op);
            }
        }
        uses
    }

    /// The only node that uses a value which is no output.
    fn only_user(&self, id: ValueId) -> Option<usize> {
        match self.consumers[id.0][..] {
            [user] if !self.is_output(id) => Some(user),
            _ => None,
        }
    }

    /// How many nodes read the value.
    #[must_use]
    pub fn readers(&self, id: ValueId) -> usize {
        self.consumers[id.0].chunk_by(|a, b| a == b).count()
    }

    /// The positions of the nodes that read a value, once for each operand that it is.
    #[must_use]
    pub fn consumers(&self, id: ValueId) -> &[usize] {
        &self.consumers[id.0]
    }

    /// Whether the network gives it.
    #[must_use]
    pub fn is_output(&self, id: ValueId) -> bool {
        self.counts[id.0] > self.consumers[id.0].len()
    }

    /// The batch norm that a layer with weights of its own can take over: it alone reads what the layer gives.
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
            // Of what a linear layer gives, the norm's channels must be its outputs.
            && (node.op != Op::Linear || graph.value(node.output).shape.len() == 2);
        takes.then_some(user)
    }

    /// The norm and the functions that take no negative number through which a value goes before anything else
    /// sees it.
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

    /// What a node's result has become then.
    #[must_use]
    pub fn settled(&self, graph: &Graph, id: ValueId) -> ValueId {
        let last = self.chain(graph, id).pop();
        last.map_or(id, |user| graph.nodes[user].output)
    }

    /// Whether the node does nothing to a quantizer but drop negative numbers.
    #[must_use]
    pub fn keeps_quantizer(&self, index: usize, op: &Op) -> bool {
        self.folded[index] || self.clamps[index] || passes(op)
    }
}

/// Whether it is `min(max(x, 0), high)`, as ReLU6 is.
fn clamps_from_zero(op: &Op) -> bool {
    match op {
        Op::Map(Map::Clamp { low, .. } | Map::ClampMin(low)) => *low == 0.0,
        _ => false,
    }
}

/// Whether it is a convolution, transposed or not, or a linear layer, whose weights are parameters.
#[must_use]
pub fn has_weights(graph: &Graph, node: &Node) -> bool {
    let sums = match &node.op {
        Op::Convolution(_) | Op::Linear => true,
        Op::TransposedConvolution { convolution, .. } => convolution.groups == 1,
        _ => false,
    };
    sums && is_parameter(graph, node, 1) && is_parameter(graph, node, 2)
}

/// Whether it is a layer of integers after training: such a one, or an embedding.
#[must_use]
pub fn has_integers(graph: &Graph, node: &Node) -> bool {
    has_weights(graph, node) || node.op == Op::Embedding && is_parameter(graph, node, 0)
}

/// Whether what a node needs there is a parameter, or nothing.
fn is_parameter(graph: &Graph, node: &Node, at: usize) -> bool {
    let id = node.inputs.get(at);
    id.is_none_or(|id| graph.value(*id).source == Source::Parameter)
}

/// Which operand of a layer is its weight.
#[must_use]
pub fn weight_at(op: &Op) -> usize {
    usize::from(*op != Op::Embedding)
}

/// The axis of a layer's weight along which its outputs lie; of an embedding, its rows.
#[must_use]
pub fn output_axis(op: &Op) -> usize {
    match op {
        Op::Linear | Op::TransposedConvolution { .. } => 1,
        _ => 0,
    }
}

/// Whether the node only moves numbers, or drops negative ones: its result has its operand's quantizer.
#[must_use]
pub fn passes(op: &Op) -> bool {
    op.properties().keeps_range
}

/// The number of values that each result of an operation averages, if it computes means of equally many values. `input` and
/// `output` are the shapes of its first operand and of its result.
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

/// Whether a node is a batch norm that a layer computes, where `is_layer` says which nodes have integer weights.
#[must_use]
pub fn taken_over(
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
