//! Which channels carry the same number everywhere, whatever goes into the network.

use calcine_graph::{
    Arithmetic, Convolution, Graph, Interpolation, Kind, Map, Node, Op, Padding, Range, Reduction,
    Source, ValueId,
};

use crate::host::{Host, Stored, sum, zero};

/// What the channels along an axis of a tensor carry; `None` for those that depend on the input or differ
/// from place to place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Channels {
    pub(crate) axis: usize,
    pub(crate) values: Vec<Option<f64>>,
}

/// The channels of every tensor of a graph, where any is known to be constant.
///
/// As in inference: batch norms use their running statistics.
pub(crate) fn constants(graph: &Graph, host: &Host) -> Vec<Option<Channels>> {
    let mut known: Vec<Option<Channels>> = vec![None; graph.values.len()];
    for (index, value) in graph.values.iter().enumerate() {
        let stored = host.get(graph, ValueId(index));
        if let (Source::Parameter, Some(stored)) = (value.source, stored)
            && stored.shape.len() == 1
        {
            let values = stored.values.iter().map(|&x| Some(f64::from(x)));
            known[index] = Some(Channels {
                axis: 0,
                values: values.collect(),
            });
        }
    }
    let propagation = Propagation { graph, host };
    for node in &graph.nodes {
        let channels = propagation.node(node, &known);
        known[node.output.0] =
            channels.filter(|channels| channels.values.iter().any(Option::is_some));
    }
    known
}

struct Propagation<'a> {
    graph: &'a Graph,
    host: &'a Host,
}

impl Propagation<'_> {
    fn node(&self, node: &Node, known: &[Option<Channels>]) -> Option<Channels> {
        let x = known[node.inputs.first()?.0].as_ref();
        let parameter = |operand: usize| self.host.get(self.graph, *node.inputs.get(operand)?);
        // A bias that is computed is unknown.
        let bias = || match node.inputs.get(2) {
            Some(_) => parameter(2).map(Some),
            None => Some(None),
        };
        match &node.op {
            Op::Convolution(options) => {
                let values = convolution(x, parameter(1)?, bias()?, options);
                Some(Channels { axis: 1, values })
            }
            Op::TransposedConvolution { convolution, .. } => {
                let values = transposed(parameter(1)?, bias()?, convolution.groups);
                Some(Channels { axis: 1, values })
            }
            Op::Linear => {
                let axis = self.graph.value(node.output).shape.len() - 1;
                let values = linear(x.filter(|x| x.axis == axis), parameter(1)?, bias()?);
                Some(Channels { axis, values })
            }
            Op::Embedding => {
                let weight = parameter(0)?;
                let (features, axis) = (*weight.shape.get(1)?, self.rank(node.output) - 1);
                let column = |feature: usize| {
                    let mut entries =
                        (0..weight.shape[0]).map(|entry| weight.row(&[entry, feature])[0]);
                    let first = entries.next()?;
                    entries
                        .all(|entry| entry == first)
                        .then_some(f64::from(first))
                };
                let values = (0..features).map(column).collect();
                Some(Channels { axis, values })
            }
            Op::BatchNorm { epsilon, .. } => {
                let [gamma, beta, mean, variance] =
                    [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
                let norm = |channel: usize| {
                    let of = |stored: &Stored| f64::from(stored.values[channel]);
                    if of(gamma) == 0.0 {
                        return Some(of(beta));
                    }
                    let x = x.filter(|x| x.axis == 1)?.values[channel]?;
                    Some((x - of(mean)) / (of(variance) + epsilon).sqrt() * of(gamma) + of(beta))
                };
                let values = (0..gamma.values.len()).map(norm).collect();
                Some(Channels { axis: 1, values })
            }
            Op::Matmul => self.product(node, &[(0, 2), (1, 1)], known),
            Op::Attention { .. } => self.product(node, &[(2, 1)], known),
            Op::Zip(arithmetic) => self.zip(node, *arithmetic, known),
            Op::Concat(axis) => self.concat(node, *axis, known),
            _ => self.alone(node, x?),
        }
    }

    /// What operations of one operand make of its channels.
    fn alone(&self, node: &Node, x: &Channels) -> Option<Channels> {
        let (before, after) = (self.lengths(node.inputs[0]), self.lengths(node.output));
        let each = |change: &dyn Fn(f64) -> Option<f64>| {
            let values = x.values.iter().map(|value| change((*value)?));
            Some(Channels {
                axis: x.axis,
                values: values.collect(),
            })
        };
        match &node.op {
            Op::Map(map) => each(&|value| mapped(*map, value)),
            Op::Scalar(arithmetic, number) => each(&|value| combined(*arithmetic, value, *number)),
            Op::MaxPool(_) | Op::AdaptiveAveragePool => each(&Some),
            Op::AveragePool {
                pool,
                count_padding,
            } => {
                let whole = !count_padding
                    || (!pool.ceil && pool.padding.iter().all(|&padding| padding == 0));
                each(&|value| (whole || value == 0.0).then_some(value))
            }
            Op::Interpolate { mode, .. } => {
                let exact = *mode != Interpolation::Lanczos3;
                each(&|value| (exact || value == 0.0).then_some(value))
            }
            Op::Pad { padding, with } => padded(x, padding, *with),
            Op::Reduce(reduction, axis) if *axis != x.axis => {
                #[allow(clippy::cast_precision_loss, reason = "axes are short")]
                let length = before[*axis] as f64;
                let fixed = self.graph.value(node.inputs[0]).shape[*axis].is_fixed();
                each(&|value| match reduction {
                    Reduction::Mean | Reduction::Max | Reduction::Min => Some(value),
                    Reduction::Sum => fixed.then_some(value * length),
                    Reduction::MaxAbs => Some(value.abs()),
                    _ => None,
                })
            }
            Op::Slice(ranges) => {
                let range = ranges.get(x.axis)?;
                let values = positions(range)?.map(|at| *x.values.get(at)?).collect();
                Some(Channels {
                    axis: x.axis,
                    values,
                })
            }
            Op::Permute(axes) => Some(Channels {
                axis: axes.iter().position(|&axis| axis == x.axis)?,
                values: x.values.clone(),
            }),
            Op::Flip(axes) => {
                let mut values = x.values.clone();
                if axes.contains(&x.axis) {
                    values.reverse();
                }
                Some(Channels {
                    axis: x.axis,
                    values,
                })
            }
            Op::Repeat { axis, times } if *axis == x.axis => Some(Channels {
                axis: x.axis,
                values: x.values.repeat(*times),
            }),
            Op::Repeat { .. } => each(&Some),
            Op::Expand => {
                let axis = x.axis + after.len().checked_sub(before.len())?;
                (after[axis] == x.values.len()).then(|| Channels {
                    axis,
                    values: x.values.clone(),
                })
            }
            Op::Reshape => reshaped(x, &before, &after),
            Op::Cast if self.graph.value(node.output).kind == Kind::Float => each(&Some),
            _ => None,
        }
    }

    fn zip(
        &self,
        node: &Node,
        arithmetic: Arithmetic,
        known: &[Option<Channels>],
    ) -> Option<Channels> {
        let lengths = self.lengths(node.output);
        let operands = [
            known[node.inputs[0].0].as_ref(),
            known[node.inputs[1].0].as_ref(),
        ];
        let axis = operands
            .iter()
            .flatten()
            .map(|x| x.axis)
            .find(|&axis| lengths[axis] > 1)?;
        // A channel that is broadcast is the same number in all places.
        let of = |operand: Option<&Channels>, channel: usize| {
            let operand = operand.filter(|operand| operand.axis == axis)?;
            match operand.values[..] {
                [only] => only,
                _ => operand.values[channel],
            }
        };
        let values = (0..lengths[axis]).map(|channel| {
            let [a, b] = operands.map(|operand| of(operand, channel));
            match (a, b) {
                (Some(a), Some(b)) => combined(arithmetic, a, b),
                (Some(zero), None) | (None, Some(zero))
                    if arithmetic == Arithmetic::Multiply && zero == 0.0 =>
                {
                    Some(0.0)
                }
                _ => None,
            }
        });
        Some(Channels {
            axis,
            values: values.collect(),
        })
    }

    /// The zeros that a product keeps: all of a factor's along the axes that matrices are stacked along, and those
    /// along the axis that the result has of it. The factors come with that axis, counted from behind.
    fn product(
        &self,
        node: &Node,
        factors: &[(usize, usize)],
        known: &[Option<Channels>],
    ) -> Option<Channels> {
        let lengths = self.lengths(node.output);
        let rank = lengths.len();
        let kept = factors.iter().filter_map(|&(operand, own)| {
            let id = *node.inputs.get(operand)?;
            let x = known[id.0].as_ref()?;
            let stays = x.axis + 2 < rank || x.axis + own == rank;
            let whole = self.rank(id) == rank && x.values.len() == lengths[x.axis];
            (stays && whole && x.values.contains(&Some(0.0))).then_some(x)
        });
        let kept: Vec<&Channels> = kept.collect();
        let axis = kept.first()?.axis;
        let zero = |channel: usize| {
            let mut along = kept.iter().filter(|x| x.axis == axis);
            along.any(|x| x.values[channel] == Some(0.0)).then_some(0.0)
        };
        Some(Channels {
            axis,
            values: (0..lengths[axis]).map(zero).collect(),
        })
    }

    fn concat(&self, node: &Node, along: usize, known: &[Option<Channels>]) -> Option<Channels> {
        let operands: Vec<Option<&Channels>> =
            node.inputs.iter().map(|id| known[id.0].as_ref()).collect();
        if operands.iter().flatten().any(|x| x.axis == along) {
            let mut values = Vec::new();
            for (id, operand) in node.inputs.iter().zip(operands) {
                match operand.filter(|x| x.axis == along) {
                    Some(x) => values.extend(&x.values),
                    None => values.extend(vec![None; self.lengths(*id)[along]]),
                }
            }
            return Some(Channels {
                axis: along,
                values,
            });
        }
        let first = operands.first().copied().flatten()?;
        let same = |channel: usize| {
            let value = first.values[channel]?;
            let equal = |x: &Option<&Channels>| {
                x.is_some_and(|x| x.axis == first.axis && x.values[channel] == Some(value))
            };
            operands.iter().all(equal).then_some(value)
        };
        Some(Channels {
            axis: first.axis,
            values: (0..first.values.len()).map(same).collect(),
        })
    }

    fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).shape.len()
    }

    /// The shape for a batch of two: with one, a batch axis would look like any axis of length 1.
    fn lengths(&self, id: ValueId) -> Vec<usize> {
        self.graph.value(id).shape_at(2)
    }
}

/// Each filter's sum over inputs that are constant, if none of the others has a weight.
fn convolution(
    x: Option<&Channels>,
    weight: &Stored,
    bias: Option<&Stored>,
    options: &Convolution,
) -> Vec<Option<f64>> {
    let (filters, depth) = (weight.shape[0], weight.shape[1]);
    let x = x.filter(|x| x.axis == 1);
    let padded = options.padding.iter().flatten().any(|&padding| padding > 0);
    let part = (filters / options.groups.max(1)).max(1);
    let filter = |filter: usize| {
        let mut total = bias.map_or(0.0, |bias| f64::from(bias.values[filter]));
        for input in 0..depth {
            let row = weight.row(&[filter, input]);
            if zero(row) {
                continue;
            }
            let value = x.and_then(|x| x.values[filter / part * depth + input])?;
            // A padded border sees fewer of the weights than the middle.
            if value != 0.0 && padded {
                return None;
            }
            total += value * sum(row);
        }
        Some(total)
    };
    (0..filters).map(filter).collect()
}

/// The bias of filters without weights.
fn transposed(weight: &Stored, bias: Option<&Stored>, groups: usize) -> Vec<Option<f64>> {
    let (inputs, part) = (weight.shape[0], weight.shape[1]);
    let filter = |filter: usize| {
        let group = inputs / groups.max(1);
        let mut inputs = filter / part * group..(filter / part + 1) * group;
        let silent = inputs.all(|input| zero(weight.row(&[input, filter % part])));
        silent.then(|| bias.map_or(0.0, |bias| f64::from(bias.values[filter])))
    };
    (0..part * groups).map(filter).collect()
}

fn linear(x: Option<&Channels>, weight: &Stored, bias: Option<&Stored>) -> Vec<Option<f64>> {
    let (inputs, outputs) = (weight.shape[0], weight.shape[1]);
    let output = |output: usize| {
        let mut total = bias.map_or(0.0, |bias| f64::from(bias.values[output]));
        for input in 0..inputs {
            let weight = f64::from(weight.row(&[input, output])[0]);
            if weight != 0.0 {
                total += x.and_then(|x| x.values[input])? * weight;
            }
        }
        Some(total)
    };
    (0..outputs).map(output).collect()
}

fn padded(x: &Channels, padding: &[[usize; 2]], with: Padding) -> Option<Channels> {
    let elsewhere = padding
        .iter()
        .enumerate()
        .any(|(axis, sides)| axis != x.axis && *sides != [0, 0]);
    let [before, after] = *padding.get(x.axis)?;
    let number = match with {
        Padding::Constant(number) => Some(number),
        Padding::Reflect | Padding::Edge => None,
    };
    if number.is_none() && before + after > 0 {
        return None;
    }
    let kept = x.values.iter().map(|&value| match number {
        Some(number) if elsewhere => value.filter(|&value| value == number),
        _ => value,
    });
    let border = |length: usize| std::iter::repeat_n(number, length);
    Some(Channels {
        axis: x.axis,
        values: border(before).chain(kept).chain(border(after)).collect(),
    })
}

fn positions(range: &Range) -> Option<impl Iterator<Item = usize>> {
    let fixed = range.start.is_fixed() && range.end.is_fixed();
    let step = usize::try_from(range.step)
        .ok()
        .filter(|&step| step > 0 && fixed)?;
    Some((range.start.fixed..range.end.fixed).step_by(step))
}

/// Channels that a reshape keeps, or spreads over the places of a merged axis, or parts of a split axis that
/// are the same number throughout.
fn reshaped(x: &Channels, before: &[usize], after: &[usize]) -> Option<Channels> {
    let outer: usize = before[..x.axis].iter().product();
    let inner: usize = before[x.axis + 1..].iter().product();
    let mut product = 1;
    for (axis, &length) in after.iter().enumerate() {
        let rest: usize = after[axis + 1..].iter().product();
        // The first axis at this place that is long enough; axes of length 1 before it are no channels.
        if product == outer && length >= x.values.len() && length * rest == x.values.len() * inner {
            let times = length / x.values.len();
            if length % x.values.len() != 0 {
                return None;
            }
            let values = x
                .values
                .iter()
                .flat_map(|&value| std::iter::repeat_n(value, times));
            return Some(Channels {
                axis,
                values: values.collect(),
            });
        }
        if product == outer && length > 1 && x.values.len().is_multiple_of(length) {
            let parts = x.values.chunks(x.values.len() / length);
            let values = parts.map(|part| part[0].filter(|_| part.iter().all(|x| *x == part[0])));
            return Some(Channels {
                axis,
                values: values.collect(),
            });
        }
        product *= length;
    }
    None
}

fn combined(arithmetic: Arithmetic, a: f64, b: f64) -> Option<f64> {
    Some(match arithmetic {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Power => a.powf(b),
        Arithmetic::PRelu if a < 0.0 => a * b,
        Arithmetic::PRelu => a,
        _ => return None,
    })
    .filter(|value| value.is_finite())
}

fn mapped(map: Map, x: f64) -> Option<f64> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    Some(match map {
        Map::Relu => x.max(0.0),
        Map::LeakyRelu(slope) if x < 0.0 => x * slope,
        Map::LeakyRelu(_) => x,
        Map::Gelu => x * 0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Map::Sigmoid => sigmoid(x),
        Map::LogSigmoid => sigmoid(x).ln(),
        Map::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
        Map::Tanh => x.tanh(),
        Map::Abs => x.abs(),
        Map::Negate => -x,
        Map::Exp => x.exp(),
        Map::Log => x.ln(),
        Map::Log1p => x.ln_1p(),
        Map::Sqrt => x.sqrt(),
        Map::Reciprocal => 1.0 / x,
        Map::Erf => libm::erf(x),
        Map::Sin => x.sin(),
        Map::Cos => x.cos(),
        Map::Floor => x.floor(),
        Map::Ceil => x.ceil(),
        Map::Round => x.round_ties_even(),
        Map::Clamp { low, high } => x.max(low).min(high),
        Map::ClampMin(low) => x.max(low),
        Map::ClampMax(high) => x.min(high),
        _ => return None,
    })
    .filter(|value| value.is_finite())
}
