//! Determines which units can be removed without changing the outputs, and which constants have to be compensated.

use std::collections::{BTreeMap, BTreeSet};

use calcine_graph::{
    Axes, ConstantSlices, Convolution, Graph, Node, NormFeatures, Op, Stored, Summation, UnitId,
    ValueId, constant_slices,
};

use crate::host::Host;
use crate::options::{PaddingEffect, ThinOptions};

/// The units that no later node needs, and what the layers that read them lose.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) dead: BTreeSet<UnitId>,
    /// The first node that needs a unit: its position and the reason.
    pub(crate) needed: BTreeMap<UnitId, (usize, &'static str)>,
    /// The losses, by the position of the reading node.
    pub(crate) losses: BTreeMap<usize, Loss>,
}

/// What a layer loses with the constant channels that it reads.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    /// The number of channels.
    pub(crate) channels: usize,
    /// The loss of each output where windows do not touch the border.
    pub(crate) outputs: Vec<f64>,
    /// The largest error of each output at a padded border.
    pub(crate) border: Vec<f64>,
}

/// The result for one unit and one node that reads it.
enum Verdict {
    /// The node does not depend on the unit.
    Silent,
    /// Each output loses this constant; at borders the error can be as large as the second value.
    Constant(Vec<f64>, Vec<f64>),
    /// The node needs the unit, for this reason.
    Needed(&'static str),
}

const LIVE: &str = "reads it, and the channel is not a constant there";
const BORDER: &str = "reads it as a constant that is not zero, through zero padding";
const SHARED: &str = "reads it as a constant, which its bias cannot make up for";
const COUNTS: &str = "reads it as a constant that counts";

pub(crate) fn survey(graph: &Graph, axes: &Axes, host: &Host, options: ThinOptions) -> Survey {
    let known = constant_slices(graph, &|id| host.slices(graph, id), &|id| host.get(id));
    let reading = Reading {
        graph,
        host,
        known: &known,
        options,
    };
    let mut survey = Survey::default();
    let mut constant: Vec<(UnitId, usize, Vec<f64>, Vec<f64>)> = Vec::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        let can_make_up =
            matches!(node.op, Op::Convolution(_) | Op::Linear) && graph.can_shift_bias(node);
        for (operand, &id) in node.inputs.iter().enumerate() {
            for axis in graph.read_axes(node, operand) {
                let length = graph.value(id).shape[axis].length_for(1);
                for index in 0..length {
                    let Some(unit) = axes.unit_at(id, axis, index) else {
                        continue;
                    };
                    if survey.needed.contains_key(&unit) {
                        continue;
                    }
                    match reading.verdict(node, operand, axis, index, can_make_up) {
                        Verdict::Silent => {}
                        Verdict::Needed(why) => {
                            survey.needed.insert(unit, (position, why));
                        }
                        Verdict::Constant(outputs, border) => {
                            constant.push((unit, position, outputs, border));
                        }
                    }
                }
            }
        }
    }
    for (group, members) in axes.groups().iter().enumerate() {
        let units = (0..members.units.len()).map(|unit| UnitId { group, unit });
        let dead: Vec<UnitId> = units
            .filter(|unit| !survey.needed.contains_key(unit))
            .collect();
        // At least one unit remains.
        let spared = usize::from(dead.len() == members.units.len());
        survey.dead.extend(dead.into_iter().skip(spared));
    }
    spare_whole_axes(graph, axes, &mut survey.dead);
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

/// A slice may read only units that are removed, although its group keeps others: the first unit of such an axis
/// remains.
fn spare_whole_axes(graph: &Graph, axes: &Axes, dead: &mut BTreeSet<UnitId>) {
    for (id, value) in graph.values.iter().enumerate() {
        for (axis, extent) in value.shape.iter().enumerate() {
            let mut units =
                (0..extent.length_for(1)).map(|index| axes.unit_at(ValueId(id), axis, index));
            let first = units.next().flatten();
            if let Some(first) = first.filter(|first| dead.contains(first))
                && units.all(|unit| unit.is_some_and(|unit| dead.contains(&unit)))
            {
                dead.remove(&first);
            }
        }
    }
}

struct Reading<'a> {
    graph: &'a Graph,
    host: &'a Host,
    known: &'a [ConstantSlices],
    options: ThinOptions,
}

impl Reading<'_> {
    fn verdict(
        &self,
        node: &Node,
        operand: usize,
        axis: usize,
        index: usize,
        can_make_up: bool,
    ) -> Verdict {
        let value = self.value_at(node.inputs[operand], axis, index);
        let weight = node.inputs.get(1).and_then(|&id| self.host.get(id));
        let verdict = match (&node.op, weight) {
            (Op::Convolution(options), Some(weight)) => convolution(weight, options, index, value),
            (Op::Linear, Some(weight)) => linear(weight, index, value),
            (Op::TransposedConvolution { .. }, Some(weight)) if weight.is_zero(&[index]) => {
                Verdict::Silent
            }
            (Op::Matmul, _) if self.multiplies_nothing(node, [1, 2], index) => Verdict::Silent,
            (Op::Attention { .. }, _)
                if axis == 3 && self.multiplies_nothing(node, [1, 1], index) =>
            {
                Verdict::Silent
            }
            // A softmax counts every position, whatever its value is.
            (Op::Attention { .. }, _) if value.is_some() => Verdict::Needed(COUNTS),
            (op, _) if value == Some(0.0) && self.gives_the_same_without_zeros(op) => {
                Verdict::Silent
            }
            _ if value.is_some() => Verdict::Needed(COUNTS),
            _ => Verdict::Needed(LIVE),
        };
        match verdict {
            Verdict::Constant(..) if !can_make_up => Verdict::Needed(SHARED),
            Verdict::Constant(_, border)
                if self.options.padding_effect == PaddingEffect::KeepBorder
                    && border.iter().any(|&off| off > 0.0) =>
            {
                Verdict::Needed(BORDER)
            }
            other => other,
        }
    }

    fn gives_the_same_without_zeros(&self, op: &Op) -> bool {
        match op.properties().summation {
            Summation::Sum => true,
            // The norm of the remaining features is different.
            Summation::Mean => self.options.norm_features == NormFeatures::Removable,
            Summation::Other => false,
        }
    }

    /// The constant value of a channel, if it is known.
    fn value_at(&self, id: ValueId, axis: usize, channel: usize) -> Option<f64> {
        self.known[id.0].value_at(axis, channel)
    }

    /// Whether one of the first two operands is zero wherever the product sums over this channel, along these axes,
    /// counted from the last one.
    fn multiplies_nothing(&self, node: &Node, behind: [usize; 2], channel: usize) -> bool {
        behind.into_iter().zip(&node.inputs).any(|(behind, &id)| {
            let axis = self.graph.value(id).shape.len() - behind;
            self.value_at(id, axis, channel) == Some(0.0)
        })
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
        .all(|filter| weight.is_zero(&[filter, input]))
    {
        return Verdict::Silent;
    }
    let value = match value {
        None => return Verdict::Needed(LIVE),
        Some(0.0) => return Verdict::Silent,
        Some(value) => value,
    };
    let padded = options.padding.iter().flatten().any(|&padding| padding > 0);
    let mut outputs = vec![0.0; filters];
    let mut border = vec![0.0; filters];
    for filter in readers {
        let row = weight.row(&[filter, input]);
        outputs[filter] = value * weight.sum(&[filter, input]);
        if padded {
            let absolute: f64 = row.iter().map(|&weight| f64::from(weight).abs()).sum();
            border[filter] = value.abs() * absolute;
        }
    }
    Verdict::Constant(outputs, border)
}

fn linear(weight: &Stored, index: usize, value: Option<f64>) -> Verdict {
    let row = weight.row(&[index]);
    match value {
        _ if weight.is_zero(&[index]) => Verdict::Silent,
        None => Verdict::Needed(LIVE),
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
