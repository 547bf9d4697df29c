//! What can be removed without a change of what the network computes, and what has to be made up for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use calcine_graph::{Axes, Convolution, Graph, Node, Op, Reduction, Source, UnitId, ValueId};

use crate::Border;
use crate::constants::{Channels, constants};
use crate::host::{Host, Stored, absolute, sum, zero};

/// The units that nothing downstream needs, and what their removal takes from the layers that read them.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) dead: BTreeSet<UnitId>,
    /// By the position of the reading node.
    pub(crate) losses: BTreeMap<usize, Loss>,
}

/// What a layer loses with the constant channels that it reads.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    /// How many channels.
    pub(crate) channels: usize,
    /// What each of its outputs loses where windows lie inside.
    pub(crate) outputs: Vec<f64>,
    /// How far off each output may be at a padded border.
    pub(crate) border: Vec<f64>,
}

/// What one reader has to say of one unit.
enum Verdict {
    /// It does not notice.
    Silent,
    /// Each output loses this, and at borders this may be wrong by as much.
    Constant(Vec<f64>, Vec<f64>),
    /// It needs the unit.
    Needed,
}

pub(crate) fn survey(graph: &Graph, axes: &Axes, host: &Host, border: Border) -> Survey {
    let known = constants(graph, host);
    let mut uses: HashMap<ValueId, usize> = HashMap::new();
    for id in graph.nodes.iter().flat_map(|node| &node.inputs) {
        *uses.entry(*id).or_default() += 1;
    }
    let reading = Reading {
        graph,
        host,
        known: &known,
        border,
        uses,
    };
    let mut needed = BTreeSet::new();
    let mut constant: Vec<(UnitId, usize, Vec<f64>, Vec<f64>)> = Vec::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        for (operand, &id) in node.inputs.iter().enumerate() {
            for axis in ends(graph, node, operand) {
                let length = graph.value(id).shape[axis].at(1);
                for index in 0..length {
                    let Some(unit) = axes.unit_at(id, axis, index) else {
                        continue;
                    };
                    match reading.verdict(node, operand, axis, index) {
                        Verdict::Silent => {}
                        Verdict::Needed => {
                            needed.insert(unit);
                        }
                        Verdict::Constant(outputs, border) => {
                            constant.push((unit, position, outputs, border));
                        }
                    }
                }
            }
        }
    }
    let mut survey = Survey::default();
    for (group, members) in axes.groups().iter().enumerate() {
        let units = (0..members.units.len()).map(|unit| UnitId { group, unit });
        let dead: Vec<UnitId> = units.filter(|unit| !needed.contains(unit)).collect();
        // Something has to stay.
        let spared = usize::from(dead.len() == members.units.len());
        survey.dead.extend(dead.into_iter().skip(spared));
    }
    for (unit, position, outputs, border) in constant {
        if !survey.dead.contains(&unit) {
            continue;
        }
        let loss = survey.losses.entry(position).or_insert_with(|| Loss {
            channels: 0,
            outputs: vec![0.0; outputs.len()],
            border: vec![0.0; border.len()],
        });
        loss.channels += 1;
        for (total, more) in loss.outputs.iter_mut().zip(outputs) {
            *total += more;
        }
        for (total, more) in loss.border.iter_mut().zip(border) {
            *total += more;
        }
    }
    survey
}

/// The axes of an operand along which the operation sums or chooses: where a channel ends.
fn ends(graph: &Graph, node: &Node, operand: usize) -> Vec<usize> {
    let rank = graph.value(node.inputs[operand]).shape.len();
    match (&node.op, operand) {
        (Op::Convolution(_), 0) if channelwise(graph, node) => Vec::new(),
        (Op::Convolution(_) | Op::TransposedConvolution { .. }, 0) => vec![1],
        (Op::Linear | Op::Matmul, 0) => vec![rank - 1],
        (Op::Matmul, 1) => vec![rank - 2],
        (Op::Attention { .. }, 0) => vec![rank - 1],
        (Op::Attention { .. }, 1) => vec![rank - 1, rank - 2],
        (Op::Attention { .. }, 2) => vec![rank - 2],
        (Op::Reduce(_, axis) | Op::Softmax(axis) | Op::LogSoftmax(axis) | Op::ArgMax(axis), _)
        | (Op::CumulativeSum(axis), _) => vec![*axis],
        (Op::LayerNorm { .. }, 0) => vec![rank - 1],
        (Op::ReduceAll(_), _) => (0..rank).collect(),
        _ => Vec::new(),
    }
}

/// Whether each filter of a convolution reads one channel only.
fn channelwise(graph: &Graph, node: &Node) -> bool {
    graph
        .value(node.inputs[1])
        .shape
        .get(1)
        .is_some_and(|depth| depth.at(1) == 1)
        && graph.value(node.inputs[0]).shape[1].at(1) > 1
}

struct Reading<'a> {
    graph: &'a Graph,
    host: &'a Host,
    known: &'a [Option<Channels>],
    border: Border,
    /// How often each tensor is used.
    uses: HashMap<ValueId, usize>,
}

impl Reading<'_> {
    fn verdict(&self, node: &Node, operand: usize, axis: usize, index: usize) -> Verdict {
        let value = self.value(node.inputs[operand], axis, index);
        let weight = node
            .inputs
            .get(1)
            .and_then(|&id| self.host.get(self.graph, id));
        let verdict = match (&node.op, weight) {
            (Op::Convolution(options), Some(weight)) => convolution(weight, options, index, value),
            (Op::TransposedConvolution { .. }, Some(weight)) => {
                let silent = zero(weight.row(&[index])) || value == Some(0.0);
                if silent {
                    Verdict::Silent
                } else {
                    Verdict::Needed
                }
            }
            (Op::Linear, Some(weight)) => linear(weight, index, value),
            (Op::Reduce(Reduction::Sum, _) | Op::ReduceAll(Reduction::Sum), _)
                if value == Some(0.0) =>
            {
                Verdict::Silent
            }
            (Op::Matmul, _) if self.multiplies_nothing(node, index) => Verdict::Silent,
            _ => Verdict::Needed,
        };
        match verdict {
            Verdict::Constant(..) if !self.can_make_up(node) => Verdict::Needed,
            Verdict::Constant(_, border)
                if self.border == Border::Exact && border.iter().any(|&off| off > 0.0) =>
            {
                Verdict::Needed
            }
            other => other,
        }
    }
}

impl Reading<'_> {
    /// What a channel carries, if that is known.
    fn value(&self, id: ValueId, axis: usize, channel: usize) -> Option<f64> {
        let channels = self.known[id.0].as_ref()?;
        *channels
            .values
            .get(channel)
            .filter(|_| channels.axis == axis)?
    }

    /// Whether one of two matrices has nothing but zeros where the product sums over this channel.
    fn multiplies_nothing(&self, node: &Node, channel: usize) -> bool {
        [1, 2].into_iter().zip(&node.inputs).any(|(behind, &id)| {
            let axis = self.graph.value(id).shape.len() - behind;
            self.value(id, axis, channel) == Some(0.0)
        })
    }

    /// Whether what a layer loses can be added to it: two passes through one layer lose different things, and it
    /// has one bias; two layers with one bias too; and a bias that is computed cannot be changed. A layer whose weight is
    /// computed has to have a bias already.
    fn can_make_up(&self, node: &Node) -> bool {
        let once = |id: &ValueId| self.uses[id] == 1;
        let stored = |id: &ValueId| self.graph.value(*id).source == Source::Parameter;
        match node.inputs.get(2) {
            Some(bias) => node.inputs[1..].iter().all(once) && stored(bias),
            None => node
                .inputs
                .get(1)
                .is_some_and(|weight| once(weight) && stored(weight)),
        }
    }
}

/// `index` is the channel of the operand.
fn convolution(
    weight: &Stored,
    options: &Convolution,
    index: usize,
    value: Option<f64>,
) -> Verdict {
    let (filters, depth) = (weight.shape[0], weight.shape[1]);
    let part = filters / options.groups.max(1);
    let (group, input) = (index / depth, index % depth);
    let readers = group * part..(group + 1) * part;
    if readers
        .clone()
        .all(|filter| zero(weight.row(&[filter, input])))
    {
        return Verdict::Silent;
    }
    let value = match value {
        None => return Verdict::Needed,
        Some(0.0) => return Verdict::Silent,
        Some(value) => value,
    };
    let padded = options.padding.iter().flatten().any(|&padding| padding > 0);
    let mut outputs = vec![0.0; filters];
    let mut border = vec![0.0; filters];
    for filter in readers {
        let row = weight.row(&[filter, input]);
        outputs[filter] = value * sum(row);
        if padded {
            border[filter] = value.abs() * absolute(row);
        }
    }
    Verdict::Constant(outputs, border)
}

fn linear(weight: &Stored, index: usize, value: Option<f64>) -> Verdict {
    let row = weight.row(&[index]);
    match value {
        _ if zero(row) => Verdict::Silent,
        None => Verdict::Needed,
        Some(0.0) => Verdict::Silent,
        Some(value) => {
            let outputs = row
                .iter()
                .map(|&weight| f64::from(weight) * value)
                .collect();
            Verdict::Constant(outputs, vec![0.0; row.len()])
        }
    }
}
