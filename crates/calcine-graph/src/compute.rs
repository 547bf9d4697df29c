use std::collections::HashSet;

use serde::Serialize;

use crate::error::GraphError;
use crate::graph::{Graph, Node, Source, ValueId};
use crate::op::{Convolution, Op, Pool};
use crate::properties::{Products, Windows};

/// The compute of one node for one sample or a batch.
///
/// As is usual, only the multiply-accumulates of convolutions, linear layers and matrix products are counted; biases,
/// normalisation, pooling and element-wise operations are not:
///
/// ```text
/// convolution              numel(output) · in/groups · kernel volume
/// transposed convolution   numel(input) · out/groups · kernel volume
/// linear                   numel(output) · in
/// matmul [.., m, k]·[.., k, n]   numel(output) · k
/// attention                both products: numel(query) · keys + numel(output) · keys
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The name of the node.
    pub name: String,
    /// The common name of the layer's type, such as `Conv2d` or `Linear`; for other nodes, the operation.
    pub kind: String,
    /// The attributes that differ from the defaults: `k=(3, 3), stride=(2, 2), padding=(1, 1)`.
    pub attributes: String,
    /// Whether the node is a convolution or a linear layer. These are the rows of a compute table.
    pub is_layer: bool,
    /// The shape of the first operand; empty if there is none.
    pub input: Vec<usize>,
    /// The shape of the result.
    pub output: Vec<usize>,
    /// The number of elements of the weight of a convolution, a linear layer, an embedding, or a matrix product with a
    /// parameter.
    pub weights: u64,
    /// The number of elements of all trainable operands: weight, bias, scale and shift, without running statistics.
    pub trainable: u64,
    /// The number of multiply-accumulates.
    pub macs: u64,
}

impl Row {
    /// The number of elements of the first operand.
    #[must_use]
    pub fn input_volume(&self) -> u64 {
        volume(&self.input)
    }

    /// The number of elements of the result.
    #[must_use]
    pub fn output_volume(&self) -> u64 {
        volume(&self.output)
    }
}

/// The compute of a network for one sample or a batch: one [`Row`] per node, and totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compute {
    /// One row per node, in execution order.
    pub rows: Vec<Row>,
    /// The multiply-accumulates of all nodes.
    pub macs: u64,
    /// The number of elements of all weights; each parameter is counted once.
    pub weights: u64,
    /// The number of elements of all trainable parameters that a node uses; each is counted once.
    pub trainable: u64,
    /// The number of elements of all results: an upper bound for what training stores.
    pub activations: u64,
    /// The largest number of elements that are alive at the same time, if each tensor is dropped after its last use: a
    /// lower bound for what inference stores. Operations that only change the shape count like any other.
    pub peak: u64,
}

impl Compute {
    /// The rows of convolutions and linear layers.
    pub fn layers(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_layer)
    }
}

impl Graph {
    /// Computes the compute table for one sample.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Self::check).
    pub fn compute(&self) -> Result<Compute, GraphError> {
        self.compute_at(1)
    }

    /// Computes the compute table for a batch of this size.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Self::check), or is too large to count for this batch size.
    pub fn compute_at(&self, batch: usize) -> Result<Compute, GraphError> {
        self.check()?;
        self.check_batch(batch)?;
        let rows: Vec<Row> = self
            .nodes
            .iter()
            .map(|node| self.row(node, batch))
            .collect();
        let distinct = |picks: &dyn Fn(&Node) -> Vec<ValueId>| -> u64 {
            let all: HashSet<ValueId> = self.nodes.iter().flat_map(picks).collect();
            all.into_iter().map(|id| self.volume(id, batch)).sum()
        };
        Ok(Compute {
            macs: rows.iter().map(|row| row.macs).fold(0, u64::saturating_add),
            weights: distinct(&|node| self.weight(node).into_iter().collect()),
            trainable: distinct(&|node| self.trainable(node)),
            activations: rows.iter().map(Row::output_volume).sum(),
            peak: self.peak(batch),
            rows,
        })
    }

    fn row(&self, node: &Node, batch: usize) -> Row {
        let shape = |id: &ValueId| self.value(*id).shape_at(batch);
        Row {
            name: node.name.clone(),
            kind: kind(&node.op),
            attributes: attributes(&node.op, &node.inputs.get(1).map(shape).unwrap_or_default()),
            is_layer: node.op.properties().weight == Some(1),
            input: node.inputs.first().map(shape).unwrap_or_default(),
            output: shape(&node.output),
            weights: self.weight(node).map_or(0, |id| self.volume(id, batch)),
            trainable: self
                .trainable(node)
                .into_iter()
                .map(|id| self.volume(id, batch))
                .sum(),
            macs: self.macs(node, batch),
        }
    }

    fn macs(&self, node: &Node, batch: usize) -> u64 {
        let shape = |position: usize| self.value(node.inputs[position]).shape_at(batch);
        let output = self.volume(node.output, batch);
        match node.op.properties().products {
            Products::Nothing => 0,
            Products::Filter => output.saturating_mul(volume(&shape(1)[1..])),
            Products::TransposedFilter => volume(&shape(0)).saturating_mul(volume(&shape(1)[1..])),
            Products::Line => output.saturating_mul(shape(0).last().map_or(0, |&k| k as u64)),
            Products::Attention => {
                (volume(&shape(0)).saturating_add(output)).saturating_mul(shape(1)[2] as u64)
            }
        }
    }

    /// The parameter that a node multiplies with: the weight of a convolution or linear layer, the parameter in a
    /// matrix product, or the table of an embedding.
    ///
    /// If the weight is first computed from parameters, for example from a matrix that is stored transposed or
    /// multiplied by a scale, it is the largest of these parameters; the first among equals. `None` for other
    /// operations.
    #[must_use]
    pub fn weight(&self, node: &Node) -> Option<ValueId> {
        let operands = match node.op.properties().weight {
            Some(weight) => weight..weight + 1,
            None if node.op == Op::Matmul => 0..2,
            None => 0..0,
        };
        let operands = node.inputs.get(operands).unwrap_or_default();
        let stored = operands.iter().copied().find(|&id| self.is_parameter(id));
        stored.or_else(|| {
            let computed = operands.iter().find_map(|&id| self.made_of(id));
            let largest = computed?.into_iter().rev();
            largest.max_by_key(|id| self.volume(*id, 1))
        })
    }

    /// The parameters that a value is computed from, in the order of [`values`](Self::values); the value itself if it
    /// is a parameter.
    ///
    /// `None` if it depends on an input of the network, or on no parameter.
    #[must_use]
    pub fn made_of(&self, id: ValueId) -> Option<Vec<ValueId>> {
        let mut met = HashSet::new();
        let mut parameters = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !met.insert(id) {
                continue;
            }
            match self.values.get(id.0)?.source {
                Source::Input => return None,
                Source::Parameter => parameters.push(id),
                Source::Constant => {}
                Source::Node(node) => open.extend(&self.nodes.get(node)?.inputs),
            }
        }
        parameters.sort();
        (!parameters.is_empty()).then_some(parameters)
    }

    fn trainable(&self, node: &Node) -> Vec<ValueId> {
        let statistics = if matches!(node.op, Op::BatchNorm { .. }) {
            3
        } else {
            usize::MAX
        };
        let mut ids: Vec<ValueId> = node.inputs.iter().copied().take(statistics).collect();
        ids.retain(|&id| self.is_parameter(id));
        ids.sort();
        ids.dedup();
        ids
    }

    fn is_parameter(&self, id: ValueId) -> bool {
        let value = self.values.get(id.0);
        value.is_some_and(|value| value.source == Source::Parameter)
    }

    fn volume(&self, id: ValueId, batch: usize) -> u64 {
        self.value(id).numel_at(batch) as u64
    }

    /// The largest number of elements that are alive while a node is executed.
    fn peak(&self, batch: usize) -> u64 {
        let mut last = vec![None; self.values.len()];
        for (position, node) in self.nodes.iter().enumerate() {
            node.inputs
                .iter()
                .for_each(|id| last[id.0] = Some(position));
        }
        for id in &self.outputs {
            last[id.0] = Some(self.nodes.len());
        }
        let counts = |id: ValueId| matches!(self.value(id).source, Source::Input | Source::Node(_));
        let mut alive: u64 = self.inputs.iter().map(|&id| self.volume(id, batch)).sum();
        let mut peak = alive;
        for (position, node) in self.nodes.iter().enumerate() {
            alive += self.volume(node.output, batch);
            peak = peak.max(alive);
            let mut done = node.inputs.clone();
            done.push(node.output);
            done.sort();
            done.dedup();
            for id in done {
                if counts(id) && last[id.0].is_none_or(|last| last <= position) {
                    alive = alive.saturating_sub(self.volume(id, batch));
                }
            }
        }
        peak
    }
}

fn volume(shape: &[usize]) -> u64 {
    shape.iter().map(|&length| length as u64).product()
}

fn kind(op: &Op) -> String {
    let properties = op.properties();
    match (properties.layer, properties.windows) {
        (None, _) => properties.name.into(),
        (Some(layer), None | Some(Windows::Pool(_))) => layer.into(),
        (Some(layer), Some(Windows::Convolution(of) | Windows::Transposed(of, _))) => {
            format!("{layer}{}d", of.stride.len())
        }
    }
}

fn attributes(op: &Op, weight: &[usize]) -> String {
    let parts = match op.properties().windows {
        None => Vec::new(),
        Some(Windows::Convolution(convolution)) => windows(convolution, weight),
        Some(Windows::Transposed(convolution, output_padding)) => {
            let mut parts = windows(convolution, weight);
            push_unless(&mut parts, "output_padding", output_padding, 0);
            parts
        }
        Some(Windows::Pool(pool)) => pooling(pool),
    };
    parts.join(", ")
}

fn windows(convolution: &Convolution, weight: &[usize]) -> Vec<String> {
    let kernel = weight.get(2..).unwrap_or_default();
    let mut parts = vec![format!("k={}", tuple(kernel))];
    push_unless(&mut parts, "stride", &convolution.stride, 1);
    if convolution
        .padding
        .iter()
        .all(|[before, after]| before == after)
    {
        let padding: Vec<usize> = convolution
            .padding
            .iter()
            .map(|[before, _]| *before)
            .collect();
        push_unless(&mut parts, "padding", &padding, 0);
    } else {
        parts.push(format!("padding={:?}", convolution.padding));
    }
    push_unless(&mut parts, "dilation", &convolution.dilation, 1);
    if convolution.groups != 1 {
        parts.push(format!("groups={}", convolution.groups));
    }
    parts
}

fn pooling(pool: &Pool) -> Vec<String> {
    let mut parts = vec![format!("k={}", tuple(&pool.kernel))];
    push_unless(&mut parts, "stride", &pool.stride, 1);
    push_unless(&mut parts, "padding", &pool.padding, 0);
    push_unless(&mut parts, "dilation", &pool.dilation, 1);
    parts
}

fn push_unless(parts: &mut Vec<String>, name: &str, numbers: &[usize], plain: usize) {
    if numbers.iter().any(|&number| number != plain) {
        parts.push(format!("{name}={}", tuple(numbers)));
    }
}

/// A tuple in the notation of Python, which tables of networks use.
fn tuple(numbers: &[usize]) -> String {
    let text: Vec<String> = numbers.iter().map(usize::to_string).collect();
    match text.as_slice() {
        [one] => format!("({one},)"),
        _ => format!("({})", text.join(", ")),
    }
}
