//! Finds values that must not be quantized: operands of divisions, roots, logarithms, powers and exponentials, norms
//! that are written with these operations, and masks before a softmax.

use calcine_graph::{Arithmetic, ElementKind, Graph, Map, Node, Op, Reduction, Source, ValueId};

use crate::uses::has_weights;

/// Why a value has no quantizer, although the settings request one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sensitivity {
    /// It is a divisor, the operand of a root, a logarithm, a power or an exponential, or part of the computation of
    /// one: a division by a code of zero would be possible, or the rounding error would be amplified. Norms that are
    /// recorded as single operations are completely in float for this reason.
    Division,
    /// Only a softmax or a maximum consumes it, and it may contain a mask: −∞, or a very large negative number, which
    /// would leave no precision for the other values.
    Mask,
}

/// For each value, why it stays in float, if it does.
pub(crate) fn sensitivities(graph: &Graph) -> Vec<Option<Sensitivity>> {
    let mut search = Search::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        search.division(index, node);
    }
    search.settle();
    let reads_masks = graph
        .nodes
        .iter()
        .map(|node| masked_operands(node).is_some());
    let region = search.region.iter().zip(reads_masks);
    let computed_in_float = region.map(|(float, masked)| *float || masked).collect();
    // A mask may have several consumers, all of which must be found before it belongs only to them.
    loop {
        let before = search.region.clone();
        for (index, node) in graph.nodes.iter().enumerate() {
            search.mask(index, node);
        }
        if search.region == before {
            break;
        }
    }
    search.fixed_operands(computed_in_float);
    search.reasons
}

/// The state of a walk from an operand to its producers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    /// Whether codes of zero are harmless, because a positive number was added or the value was clamped.
    guarded: bool,
    /// Whether a sum or a mean over many elements is in between, so that the value is an aggregate of the data.
    crossed: bool,
}

struct Search<'a> {
    graph: &'a Graph,
    users: Vec<Vec<usize>>,
    /// Whether a value is computed only from parameters and constants.
    fixed: Vec<bool>,
    reasons: Vec<Option<Sensitivity>>,
    /// Nodes that compute in float whatever their operands are.
    region: Vec<bool>,
    /// The walks that have visited each value.
    visited: Vec<Vec<Walk>>,
    /// The inputs of a region, which are in float if nothing else consumes them.
    fed: Vec<ValueId>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut users = vec![Vec::new(); graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for id in &node.inputs {
                users[id.0].push(index);
            }
        }
        let own = |value: &calcine_graph::Value| {
            matches!(value.source, Source::Parameter | Source::Constant)
        };
        let mut fixed: Vec<bool> = graph.values.iter().map(own).collect();
        for node in &graph.nodes {
            fixed[node.output.0] = node.inputs.iter().all(|id| fixed[id.0]);
        }
        Self {
            graph,
            users,
            fixed,
            reasons: vec![None; graph.values.len()],
            region: vec![false; graph.nodes.len()],
            visited: vec![Vec::new(); graph.values.len()],
            fed: Vec::new(),
        }
    }

    /// Whether a layer or a matrix product that is otherwise in integers consumes the value.
    fn feeds_integers(&self, id: ValueId) -> bool {
        let reads = |node: &Node| match node.op {
            Op::Matmul => true,
            Op::Attention { .. } => node.inputs[..3].contains(&id),
            _ => has_weights(self.graph, node) && node.inputs[0] == id,
        };
        self.users[id.0]
            .iter()
            .any(|user| reads(&self.graph.nodes[*user]))
    }

    fn is_float(&self, id: ValueId) -> bool {
        self.graph.value(id).kind == ElementKind::Float && !self.fixed[id.0]
    }

    /// Handles divisors, and operands whose errors are amplified.
    fn division(&mut self, index: usize, node: &Node) {
        // The value may be zero and is a divisor.
        const OPEN: Walk = Walk {
            guarded: false,
            crossed: false,
        };
        // There is no division by zero, but rounding errors would be amplified.
        const NEAR: Walk = Walk {
            guarded: true,
            crossed: true,
        };
        let mut operands: Vec<(usize, Walk)> = Vec::new();
        match &node.op {
            Op::Zip(Arithmetic::Divide | Arithmetic::Remainder) => operands.push((1, OPEN)),
            Op::Zip(Arithmetic::Power) => operands.extend([(0, OPEN), (1, NEAR)]),
            Op::Scalar(Arithmetic::Power, power) if *power < 0.0 => operands.push((0, OPEN)),
            Op::Scalar(Arithmetic::Power, power) if power.fract() != 0.0 => {
                operands.push((0, NEAR));
            }
            Op::Map(Map::Reciprocal | Map::Log | Map::Log1p) => operands.push((0, OPEN)),
            // Functions with poles or limited domains.
            Op::Map(Map::Tan | Map::ArcSin | Map::ArcCos | Map::ArcCosh | Map::ArcTanh) => {
                operands.push((0, OPEN));
            }
            Op::Map(Map::Sqrt | Map::Exp | Map::Sinh | Map::Cosh) => operands.push((0, NEAR)),
            Op::Zip(Arithmetic::ArcTan2) => operands.extend([(0, NEAR), (1, NEAR)]),
            _ => return,
        }
        operands.retain(|(at, _)| self.is_float(node.inputs[*at]));
        if operands.is_empty() {
            return;
        }
        self.region[index] = true;
        for (at, walk) in operands {
            self.walk(node.inputs[at], walk);
        }
        let negative = match &node.op {
            Op::Scalar(Arithmetic::Power, power) => *power < 0.0,
            op => *op == Op::Map(Map::Reciprocal),
        };
        if negative {
            self.factor(node.output);
        }
        if node.op == Op::Zip(Arithmetic::Divide) {
            self.quotient(node.inputs[0], node.output);
        }
    }

    /// Follows the producers of a value, and keeps it in float.
    fn walk(&mut self, id: ValueId, walk: Walk) {
        let before = |visited: &Walk| {
            (!visited.guarded || walk.guarded) && (!visited.crossed || walk.crossed)
        };
        if !self.is_float(id) || self.visited[id.0].iter().any(before) {
            return;
        }
        self.visited[id.0].push(walk);
        let graph = self.graph;
        let open = !(walk.guarded && walk.crossed);
        let Some((index, operands)) = self.passes(id, walk) else {
            match open {
                true => self.reasons[id.0] = Some(Sensitivity::Division),
                false => self.fed.push(id),
            }
            return;
        };
        if self.feeds_integers(id) && !open {
            return;
        }
        self.reasons[id.0] = Some(Sensitivity::Division);
        self.region[index] = true;
        let node = &graph.nodes[index];
        let next = match &node.op {
            // A value with a lower bound has a smaller error than the number that is added to it.
            Op::Scalar(Arithmetic::Add, least)
            | Op::Map(Map::ClampMin(least) | Map::Clamp { low: least, .. })
                if *least > 0.0 =>
            {
                Walk {
                    guarded: true,
                    crossed: walk.crossed || *least >= 0.1,
                }
            }
            Op::Map(Map::Exp) => Walk {
                guarded: true,
                crossed: true,
            },
            Op::Reduce(..)
            | Op::ReduceAll(_)
            | Op::CumulativeSum(_)
            | Op::AveragePool { .. }
            | Op::AdaptiveAveragePool => Walk {
                crossed: true,
                ..walk
            },
            _ => walk,
        };
        for at in operands {
            self.walk(node.inputs[at], next);
        }
    }

    /// The node that produces a value, and the operands with which the walk continues; `None` where it ends.
    fn passes(&self, id: ValueId, walk: Walk) -> Option<(usize, Vec<usize>)> {
        let Source::Node(index) = self.graph.value(id).source else {
            return None;
        };
        let node = &self.graph.nodes[index];
        let all = || Some((index, (0..node.inputs.len()).collect()));
        let first = || Some((index, vec![0]));
        match &node.op {
            Op::Convolution(_)
            | Op::TransposedConvolution { .. }
            | Op::Linear
            | Op::Matmul
            | Op::Embedding
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::Attention { .. }
            | Op::Softmax(_)
            | Op::LogSoftmax(_) => None,
            Op::Select(_) | Op::Gather(_) => first(),
            _ if !walk.crossed => all(),
            // Before a sum, its operands are arithmetic of the data: squares and differences from a mean.
            Op::Scalar(..) | Op::Cast => first(),
            Op::Map(map) => match map {
                Map::Abs | Map::Negate | Map::Exp | Map::Log | Map::Log1p | Map::Sqrt => first(),
                Map::Reciprocal | Map::Clamp { .. } | Map::ClampMin(_) => first(),
                _ => None,
            },
            Op::Zip(arithmetic) => {
                let (a, b) = (node.inputs[0], node.inputs[1]);
                let own = a == b || self.fixed[a.0] || self.fixed[b.0];
                let centred = *arithmetic == Arithmetic::Subtract && self.is_reduced(b);
                (own || centred).then(all).flatten()
            }
            Op::Reduce(..)
            | Op::ReduceAll(_)
            | Op::CumulativeSum(_)
            | Op::AveragePool { .. }
            | Op::AdaptiveAveragePool => first(),
            op if moves(op) => first(),
            _ => None,
        }
    }

    /// Whether a value is a mean, a sum or a maximum, possibly moved.
    fn is_reduced(&self, mut id: ValueId) -> bool {
        while let Some(node) = self.graph.producer(id) {
            match &node.op {
                Op::Reduce(..) | Op::ReduceAll(_) => return true,
                op if moves(op) || matches!(op, Op::Scalar(..)) => id = node.inputs[0],
                _ => return false,
            }
        }
        false
    }

    /// Keeps a reciprocal in float up to the products in which it is a factor.
    fn factor(&mut self, id: ValueId) {
        if self.reasons[id.0].is_some() || self.feeds_integers(id) {
            return;
        }
        self.reasons[id.0] = Some(Sensitivity::Division);
        for user in self.users[id.0].clone() {
            let node = &self.graph.nodes[user];
            match &node.op {
                Op::Scalar(..) => self.factor_of(user),
                op if moves(op) => self.factor_of(user),
                Op::Zip(Arithmetic::Multiply) => {
                    let other = usize::from(node.inputs[0] == id);
                    self.region[user] = true;
                    self.quotient(node.inputs[other], node.output);
                }
                _ => {}
            }
        }
    }

    fn factor_of(&mut self, user: usize) {
        self.region[user] = true;
        self.factor(self.graph.nodes[user].output);
    }

    /// Keeps a dividend in float, and the quotient as long as it is only scaled and shifted by fixed values.
    fn quotient(&mut self, numerator: ValueId, mut id: ValueId) {
        let data = Walk {
            guarded: true,
            crossed: true,
        };
        self.walk(numerator, data);
        while let [user] = self.users[id.0][..] {
            let node = &self.graph.nodes[user];
            let scaled = match &node.op {
                Op::Scalar(..) | Op::Cast => true,
                Op::Zip(
                    Arithmetic::Add
                    | Arithmetic::Subtract
                    | Arithmetic::Multiply
                    | Arithmetic::Divide,
                ) => node
                    .inputs
                    .iter()
                    .all(|other| *other == id || self.fixed[other.0]),
                op => moves(op),
            };
            if !scaled || self.graph.outputs.contains(&id) {
                break;
            }
            self.reasons[id.0] = Some(Sensitivity::Division);
            self.region[user] = true;
            id = node.output;
        }
    }

    /// Values that only a region consumes are in float, too: they are passed as exact sums.
    fn settle(&mut self) {
        for id in std::mem::take(&mut self.fed) {
            let read = &self.users[id.0];
            if read.iter().all(|user| self.region[*user]) && !self.graph.outputs.contains(&id) {
                self.reasons[id.0] = Some(Sensitivity::Division);
            }
        }
    }

    /// Handles a value that a softmax or a maximum consumes after a mask.
    fn mask(&mut self, index: usize, node: &Node) {
        let Some((operands, reader)) = masked_operands(node) else {
            return;
        };
        self.region[index] = true;
        for id in operands {
            self.masked(*id, reader);
        }
    }

    /// Keeps a mask and the value to which it is added in float; returns whether there is a mask.
    fn masked(&mut self, id: ValueId, reader: Reader) -> bool {
        let alone = self.users[id.0].iter().all(|user| self.region[*user]);
        if !self.is_float(id) || !alone || self.graph.outputs.contains(&id) {
            return false;
        }
        let Source::Node(index) = self.graph.value(id).source else {
            let given = reader == Reader::Mask;
            if given {
                self.keep(id);
            }
            return given;
        };
        let node = &self.graph.nodes[index];
        let (masks, next) = match &node.op {
            Op::Where | Op::Fill(_) => (true, reader),
            _ if moves(&node.op) => (false, reader),
            _ if reader == Reader::Maximum => return false,
            Op::Zip(Arithmetic::Add | Arithmetic::Subtract) => (true, Reader::Mask),
            Op::Zip(Arithmetic::Multiply | Arithmetic::Divide) | Op::Scalar(..) | Op::Cast => {
                (false, reader)
            }
            _ => return false,
        };
        self.region[index] = true;
        let mut masked = masks;
        for id in &node.inputs {
            masked |= self.masked(*id, next);
        }
        if masked {
            self.keep(id);
        }
        masked
    }

    /// Values that are computed only from parameters and constants, and consumed only in float, are in float, too: a
    /// mask of the model, the scale of a norm.
    fn fixed_operands(&mut self, mut in_float: Vec<bool>) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            in_float[index] |= self.reasons[node.output.0].is_some();
        }
        for (index, node) in self.graph.nodes.iter().enumerate().rev() {
            let id = node.output;
            let users = &self.users[id.0];
            let read = !users.is_empty() && users.iter().all(|user| in_float[*user]);
            if !read || !self.fixed[id.0] || self.graph.value(id).kind != ElementKind::Float {
                continue;
            }
            let mut results = users.iter().map(|user| self.graph.nodes[*user].output);
            let reason = results.find_map(|result| self.reasons[result.0]);
            self.reasons[id.0] = reason.or(Some(Sensitivity::Division));
            in_float[index] = true;
        }
    }

    fn keep(&mut self, id: ValueId) {
        let reason = &mut self.reasons[id.0];
        *reason = reason.or(Some(Sensitivity::Mask));
    }
}

/// The operands of a softmax or a maximum, which may be masked.
fn masked_operands(node: &Node) -> Option<(&[ValueId], Reader)> {
    match &node.op {
        // A softmax that is written out begins with an exponential.
        Op::Softmax(_) | Op::LogSoftmax(_) | Op::Map(Map::Exp) => {
            Some((&node.inputs[..1], Reader::Softmax))
        }
        Op::Attention { .. } => Some((&node.inputs[3..], Reader::Mask)),
        Op::Reduce(Reduction::Max | Reduction::Min, _)
        | Op::ReduceAll(Reduction::Max | Reduction::Min)
        | Op::ArgMax(_) => Some((&node.inputs[..1], Reader::Maximum)),
        _ => None,
    }
}

/// The consumer of a value that may be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Softmax,
    Maximum,
    /// A sum before a softmax, one operand of which may be the mask.
    Mask,
}

/// Whether an operation moves numbers of its first operand and does not change them.
fn moves(op: &Op) -> bool {
    let properties = op.properties();
    properties.only_moves() && properties.keeps_range
}
