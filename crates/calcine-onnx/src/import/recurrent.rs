//! Recurrent layers, which are unrolled because a graph has no loops.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Operand, Reason, shortest};
use crate::proto::AttributeValue;

/// The maximum number of steps that are unrolled.
const MOST_STEPS: usize = 1024;

/// The weights of one direction.
struct Direction {
    /// The contributions of the inputs to all gates, `[steps, batch, gates · hidden]`.
    inputs: ValueId,
    /// `[hidden, gates · hidden]`.
    recurrent: Rc<Host>,
    recurrent_bias: Option<Rc<Host>>,
    hidden: usize,
    /// Whether the forget gate is one minus the input gate.
    input_forget: bool,
}

/// The activation function of a gate.
struct Activation {
    kind: String,
    alpha: Option<f64>,
    beta: Option<f64>,
    clip: Option<f64>,
}

/// The activation functions of all directions.
struct Cells {
    each: usize,
    all: Vec<Activation>,
}

impl Cells {
    fn of(op: &str, a: &Attributes<'_, '_>, directions: usize) -> Result<Self, Reason> {
        let default: &[&str] = match op {
            "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
            "GRU" => &["Sigmoid", "Tanh"],
            _ => &["Tanh"],
        };
        let names: Vec<String> = match a.0.attribute("activations") {
            None => (0..directions)
                .flat_map(|_| default.iter().map(|name| name.to_lowercase()))
                .collect(),
            Some(AttributeValue::Texts(names)) => names
                .iter()
                .map(|name| String::from_utf8_lossy(name).to_lowercase())
                .collect(),
            Some(_) => return Err("its attribute `activations` is not a list of texts".to_owned()),
        };
        if names.len() != default.len() * directions {
            return Err(format!(
                "{} activations; valid are {}",
                names.len(),
                default.len() * directions
            ));
        }
        let floats = |name: &str| match a.0.attribute(name) {
            None => Ok(Vec::new()),
            Some(AttributeValue::Floats(values)) => {
                Ok(values.iter().map(|x| shortest(*x)).collect())
            }
            Some(_) => Err(format!("its attribute `{name}` is not a list of floats")),
        };
        let (alphas, betas): (Vec<f64>, Vec<f64>) =
            (floats("activation_alpha")?, floats("activation_beta")?);
        let clip = match a.0.attribute("clip") {
            None => None,
            Some(_) => Some(a.float("clip", 0.0)?),
        };
        // Only functions with a parameter take a number from the lists.
        let (mut alphas, mut betas) = (alphas.into_iter(), betas.into_iter());
        let takes_alpha =
            |name: &str| !matches!(name, "sigmoid" | "tanh" | "relu" | "softsign" | "softplus");
        let takes_beta = |name: &str| matches!(name, "affine" | "scaledtanh" | "hardsigmoid");
        let all = names.into_iter().enumerate().map(|(at, kind)| Activation {
            alpha: if takes_alpha(&kind) {
                alphas.next()
            } else {
                None
            },
            beta: if takes_beta(&kind) {
                betas.next()
            } else {
                None
            },
            // The function of the cell for the hidden state is not clipped.
            clip: clip.filter(|_| at % default.len() < 2),
            kind,
        });
        Ok(Self {
            each: default.len(),
            all: all.collect(),
        })
    }

    fn direction(&self, number: usize) -> &[Activation] {
        &self.all[number * self.each..(number + 1) * self.each]
    }
}

impl Importer {
    /// `LSTM`, `GRU` or `RNN`. The results are all hidden states, the last hidden states, and the last cell states.
    pub(crate) fn recurrent(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Vec<ValueId>, Reason> {
        let batch_first = a.int("layout", 0)? != 0;
        let input = self.operand(x, 0)?;
        let mut input = self.value(&input)?;
        if self.rank(input) != 3 {
            return Err(format!(
                "an operand of {} axes; valid are 3",
                self.rank(input)
            ));
        }
        if batch_first {
            input = self.permuted(input, &[1, 0, 2]);
        }
        let shape = self.shape(input);
        let (steps, batch, features) = (shape[0], shape[1], shape[2]);
        if !steps.is_fixed() || steps.fixed == 0 || steps.fixed > MOST_STEPS {
            return Err(format!(
                "{steps} steps; valid are 1 to {MOST_STEPS}, whatever the batch"
            ));
        }
        let directions: &[bool] = match a.text("direction", "forward")?.as_str() {
            "forward" => &[false],
            "reverse" => &[true],
            "bidirectional" => &[false, true],
            other => return Err(format!("direction `{other}`")),
        };
        match x.get(4) {
            None | Some(None) => {}
            Some(Some(Operand::Host(lengths)))
                if lengths
                    .known()
                    .is_some_and(|all| all.iter().all(|&length| length == steps.fixed as i64)) => {}
            Some(Some(_)) => {
                return Err(
                    "sequences of different lengths; valid are those of all steps".to_owned(),
                );
            }
        }
        let cells = Cells::of(op, a, directions.len())?;
        let gates = match op {
            "LSTM" => 4,
            "GRU" => 3,
            _ => 1,
        };
        let mut all = Vec::new();
        let mut last = Vec::new();
        let mut last_cells = Vec::new();
        for (number, &backwards) in directions.iter().enumerate() {
            let sizes = (directions.len(), gates, features.fixed);
            let input_forget = a.int("input_forget", 0)? != 0;
            let direction = self.direction(x, input, number, sizes, input_forget)?;
            let initial = |it: &mut Self, at: usize| -> Result<ValueId, Reason> {
                match x.get(at).cloned().flatten() {
                    None => it.filled(
                        0.0,
                        ElementKind::Float,
                        &[Number::of(batch), Number::of(direction.hidden.into())],
                    ),
                    Some(state) => {
                        let mut state = it.value(&state)?;
                        if batch_first && it.rank(state) == 3 {
                            state = it.permuted(state, &[1, 0, 2]);
                        }
                        let one = it.part(
                            state,
                            0,
                            Number::fixed(number as i64),
                            Number::fixed(number as i64 + 1),
                        )?;
                        Ok(it.reshaped(one, vec![batch, direction.hidden.into()]))
                    }
                }
            };
            let own = cells.direction(number);
            let peepholes = self.peepholes(x, number, directions.len(), direction.hidden)?;
            let mut hidden = initial(self, 5)?;
            let mut cell = if op == "LSTM" {
                Some(initial(self, 6)?)
            } else {
                None
            };
            let mut states = Vec::with_capacity(steps.fixed);
            for step in 0..steps.fixed {
                let at = if backwards {
                    steps.fixed - 1 - step
                } else {
                    step
                };
                let part = self.part(
                    direction.inputs,
                    0,
                    Number::fixed(at as i64),
                    Number::fixed(at as i64 + 1),
                )?;
                let width = gates * direction.hidden;
                let given = self.reshaped(part, vec![batch, width.into()]);
                hidden = match op {
                    "LSTM" => {
                        let before = cell.ok_or("its cell is missing")?;
                        let (state, after) =
                            self.lstm_step(&direction, own, peepholes, [given, hidden, before])?;
                        cell = Some(after);
                        state
                    }
                    "GRU" => self.gru_step(
                        &direction,
                        own,
                        [given, hidden],
                        a.int("linear_before_reset", 0)? != 0,
                    )?,
                    _ => {
                        let again = self.through(&direction, hidden, 0..1)?;
                        let sum = self.both(Arithmetic::Add, given, again)?;
                        self.activated(own, 0, sum)?
                    }
                };
                states.push(self.reshaped(
                    hidden,
                    vec![1.into(), 1.into(), batch, direction.hidden.into()],
                ));
            }
            if backwards {
                states.reverse();
            }
            let joined = vec![steps, 1.into(), batch, direction.hidden.into()];
            all.push(self.joined_along(states, 0, joined));
            last.push(self.reshaped(hidden, vec![1.into(), batch, direction.hidden.into()]));
            if let Some(cell) = cell {
                last_cells
                    .push(self.reshaped(cell, vec![1.into(), batch, direction.hidden.into()]));
            }
        }
        let mut results = Vec::new();
        for (parts, axis) in [(all, 1), (last, 0), (last_cells, 0)] {
            let Some(&first) = parts.first() else {
                continue;
            };
            let mut shape = self.shape(first);
            shape[axis] = Extent::fixed(directions.len());
            let joined = self.joined_along(parts, axis, shape);
            results.push(match (batch_first, axis) {
                (false, _) => joined,
                (true, 1) => self.permuted(joined, &[2, 0, 1, 3]),
                (true, _) => self.permuted(joined, &[1, 0, 2]),
            });
        }
        Ok(results)
    }

    fn joined_along(&mut self, parts: Vec<ValueId>, axis: usize, shape: Vec<Extent>) -> ValueId {
        match parts[..] {
            [only] => only,
            _ => self.push(Op::Concat(axis), parts, shape, ElementKind::Float),
        }
    }

    fn direction(
        &mut self,
        x: &[Option<Operand>],
        input: ValueId,
        number: usize,
        (count, gates, features): (usize, usize, usize),
        input_forget: bool,
    ) -> Result<Direction, Reason> {
        let host = |at: usize| match x.get(at) {
            Some(Some(Operand::Host(host))) => Ok(Rc::clone(host)),
            _ => Err(format!("its operand {at}, which is not known")),
        };
        let (weight, recurrent) = (host(1)?, host(2)?);
        let hidden = recurrent.shape.get(2).copied().unwrap_or(0);
        let width = gates * hidden;
        if weight.shape != [count, width, features]
            || recurrent.shape != [count, width, hidden]
            || hidden == 0
        {
            return Err(format!(
                "weights of shapes {:?} and {:?}",
                weight.shape, recurrent.shape
            ));
        }
        // The weight of one direction, which keeps its name if there is only one direction.
        let own = |host: &Host, shape: Vec<usize>| {
            let each = shape.iter().product::<usize>();
            match count {
                1 => host.reshaped(shape),
                _ => host.picked(shape, number * each..(number + 1) * each),
            }
        };
        let matrix = own(&weight, vec![width, features]).permuted(&[1, 0]);
        let recurrent = own(&recurrent, vec![width, hidden]).permuted(&[1, 0]);
        let bias = match x.get(3) {
            Some(Some(Operand::Host(host))) if host.shape == [count, 2 * width] => {
                let bias = own(host, vec![2 * width]);
                let half = |from: usize| Rc::new(bias.picked(vec![width], from..from + width));
                Some((half(0), half(width)))
            }
            Some(Some(_)) => return Err("a bias whose shape does not fit".to_owned()),
            _ => None,
        };
        let weight = self.tensor(&Rc::new(matrix), "Linear", "weight_ih")?;
        let mut operands = vec![input, weight];
        let (bias, recurrent_bias) = bias.unzip();
        if let Some(bias) = bias {
            operands.push(self.tensor(&bias, "Linear", "bias_ih")?);
        }
        let mut shape = self.shape(input);
        shape[2] = width.into();
        Ok(Direction {
            inputs: self.push(Op::Linear, operands, shape, ElementKind::Float),
            recurrent: Rc::new(recurrent),
            recurrent_bias,
            hidden,
            input_forget,
        })
    }

    /// The contribution of the hidden state to these gates.
    fn through(
        &mut self,
        d: &Direction,
        state: ValueId,
        gates: std::ops::Range<usize>,
    ) -> Result<ValueId, Reason> {
        let all = d.recurrent.shape[1] / d.hidden;
        let width = gates.len() * d.hidden;
        let (recurrent, bias) = if gates.len() == all {
            (Rc::clone(&d.recurrent), d.recurrent_bias.clone())
        } else {
            let from = gates.start * d.hidden;
            let row = d.recurrent.shape[1];
            let places =
                (0..d.hidden).flat_map(|input| (0..width).map(move |at| input * row + from + at));
            let part = d.recurrent.picked(vec![d.hidden, width], places);
            let bias = d
                .recurrent_bias
                .as_ref()
                .map(|bias| Rc::new(bias.picked(vec![width], from..from + width)));
            (Rc::new(part), bias)
        };
        let mut operands = vec![state, self.shared(&recurrent, "weight_hh")?];
        if let Some(bias) = bias {
            operands.push(self.shared(&bias, "bias_hh")?);
        }
        let mut shape = self.shape(state);
        shape[1] = width.into();
        Ok(self.push(Op::Linear, operands, shape, ElementKind::Float))
    }

    /// A weight that every step reads, as a single parameter.
    fn shared(&mut self, host: &Rc<Host>, role: &str) -> Result<ValueId, Reason> {
        let same = self.parameters.iter().find(|parameter| {
            parameter.host.elements == host.elements && parameter.host.shape == host.shape
        });
        match same {
            Some(parameter) => Ok(parameter.value),
            None => self.tensor(host, "Linear", role),
        }
    }

    fn gate(&mut self, sums: ValueId, number: usize, hidden: usize) -> Result<ValueId, Reason> {
        let from = (number * hidden) as i64;
        self.part(
            sums,
            1,
            Number::fixed(from),
            Number::fixed(from + hidden as i64),
        )
    }

    /// The peephole weights of the input, output and forget gate.
    fn peepholes(
        &mut self,
        x: &[Option<Operand>],
        number: usize,
        count: usize,
        hidden: usize,
    ) -> Result<Option<[ValueId; 3]>, Reason> {
        let host = match x.get(7) {
            None | Some(None) => return Ok(None),
            Some(Some(Operand::Host(host))) if host.shape == [count, 3 * hidden] => host,
            Some(Some(_)) => return Err("peepholes whose shape does not fit".to_owned()),
        };
        let mut parts = Vec::new();
        for gate in 0..3 {
            let from = (3 * number + gate) * hidden;
            let part = Rc::new(host.picked(vec![1, hidden], from..from + hidden));
            parts.push(self.tensor(&part, "Peephole", "weight_peephole")?);
        }
        Ok(Some([parts[0], parts[1], parts[2]]))
    }

    /// Clips a sum and applies an activation function of a direction.
    fn activated(
        &mut self,
        cells: &[Activation],
        at: usize,
        x: ValueId,
    ) -> Result<ValueId, Reason> {
        let Activation {
            kind,
            alpha,
            beta,
            clip,
        } = cells.get(at).ok_or("an activation that is missing")?;
        let (alpha, beta) = (*alpha, *beta);
        let x = match clip {
            Some(clip) => self.map(
                Map::Clamp {
                    low: -clip,
                    high: *clip,
                },
                x,
            ),
            None => x,
        };
        Ok(match kind.as_str() {
            "sigmoid" => self.map(Map::Sigmoid, x),
            "tanh" => self.map(Map::Tanh, x),
            "relu" => self.map(Map::Relu, x),
            "affine" => {
                let scaled = self.scalar(Arithmetic::Multiply, x, alpha.unwrap_or(1.0));
                self.scalar(Arithmetic::Add, scaled, beta.unwrap_or(0.0))
            }
            "leakyrelu" => self.map(Map::LeakyRelu(alpha.unwrap_or(0.01)), x),
            "thresholdedrelu" => {
                let low =
                    self.compared_with(calcine_graph::Comparison::Less, x, alpha.unwrap_or(1.0));
                self.with_number_where(x, low, 0.0)?
            }
            "scaledtanh" => {
                let scaled = self.scalar(Arithmetic::Multiply, x, beta.unwrap_or(1.0));
                let bent = self.map(Map::Tanh, scaled);
                self.scalar(Arithmetic::Multiply, bent, alpha.unwrap_or(1.0))
            }
            "hardsigmoid" => self.map(
                Map::HardSigmoid {
                    alpha: alpha.unwrap_or(0.2),
                    beta: beta.unwrap_or(0.5),
                },
                x,
            ),
            "elu" => self.elu(x, alpha.unwrap_or(1.0), 1.0)?,
            "softsign" => self.softsign(x)?,
            "softplus" => self.softplus(x),
            other => return Err(format!("activation `{other}`")),
        })
    }

    /// LSTM. The order of the gates is input, output, forget, cell.
    fn lstm_step(
        &mut self,
        d: &Direction,
        cells: &[Activation],
        peepholes: Option<[ValueId; 3]>,
        [given, hidden, cell]: [ValueId; 3],
    ) -> Result<(ValueId, ValueId), Reason> {
        let again = self.through(d, hidden, 0..4)?;
        let sums = self.both(Arithmetic::Add, given, again)?;
        let sees = |it: &mut Self, sum: ValueId, gate: usize, cell: ValueId| match peepholes {
            None => Ok(sum),
            Some(weights) => {
                let seen = it.both(Arithmetic::Multiply, cell, weights[gate])?;
                it.both(Arithmetic::Add, sum, seen)
            }
        };
        let [input, output, forget, new] = [0, 1, 2, 3].map(|at| self.gate(sums, at, d.hidden));
        let input = sees(self, input?, 0, cell)?;
        let input = self.activated(cells, 0, input)?;
        let kept = match d.input_forget {
            true => {
                let negative = self.map(Map::Negate, input);
                self.scalar(Arithmetic::Add, negative, 1.0)
            }
            false => {
                let forget = sees(self, forget?, 2, cell)?;
                self.activated(cells, 0, forget)?
            }
        };
        let new = self.activated(cells, 1, new?)?;
        let kept = self.both(Arithmetic::Multiply, kept, cell)?;
        let new = self.both(Arithmetic::Multiply, input, new)?;
        let cell = self.both(Arithmetic::Add, kept, new)?;
        let output = sees(self, output?, 1, cell)?;
        let output = self.activated(cells, 0, output)?;
        let shown = self.activated(cells, 2, cell)?;
        Ok((self.both(Arithmetic::Multiply, output, shown)?, cell))
    }

    /// GRU. The order of the gates is update, reset, hidden.
    fn gru_step(
        &mut self,
        d: &Direction,
        cells: &[Activation],
        [given, hidden]: [ValueId; 2],
        linear_first: bool,
    ) -> Result<ValueId, Reason> {
        let again = self.through(d, hidden, if linear_first { 0..3 } else { 0..2 })?;
        let mut gates = Vec::with_capacity(2);
        for number in 0..2 {
            let (a, b) = (
                self.gate(given, number, d.hidden)?,
                self.gate(again, number, d.hidden)?,
            );
            let sum = self.both(Arithmetic::Add, a, b)?;
            gates.push(self.activated(cells, 0, sum)?);
        }
        let own = self.gate(given, 2, d.hidden)?;
        let other = if linear_first {
            let other = self.gate(again, 2, d.hidden)?;
            self.both(Arithmetic::Multiply, gates[1], other)?
        } else {
            let reset = self.both(Arithmetic::Multiply, gates[1], hidden)?;
            self.through(d, reset, 2..3)?
        };
        let sum = self.both(Arithmetic::Add, own, other)?;
        let new = self.activated(cells, 1, sum)?;
        let difference = self.both(Arithmetic::Subtract, hidden, new)?;
        let moved = self.both(Arithmetic::Multiply, gates[0], difference)?;
        self.both(Arithmetic::Add, new, moved)
    }
}
