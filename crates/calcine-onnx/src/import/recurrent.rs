//! Recurrent layers, step by step: a graph has no loops.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Operand, Reason};

/// The most steps that are written out.
const MOST_STEPS: usize = 1024;

/// The weights of one direction.
struct Direction {
    /// What the inputs give to all gates, `[steps, batch, gates · hidden]`.
    inputs: ValueId,
    /// `[hidden, gates · hidden]`.
    recurrent: Rc<Host>,
    recurrent_bias: Option<Rc<Host>>,
    hidden: usize,
}

impl Importer {
    /// `LSTM`, `GRU` or `RNN`: all states, the last ones, and the last cells.
    pub(crate) fn recurrent(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Vec<ValueId>, Reason> {
        for attribute in [
            "activations",
            "activation_alpha",
            "activation_beta",
            "clip",
            "input_forget",
        ] {
            if a.0
                .attribute(attribute)
                .is_some_and(|value| !matches!(value, crate::proto::AttributeValue::Int(0)))
            {
                return Err(format!("its attribute `{attribute}`; valid is none"));
            }
        }
        if a.int("layout", 0)? != 0 {
            return Err("batches before steps; valid is layout 0".to_owned());
        }
        for (at, what) in [(4, "sequences of different lengths"), (7, "peepholes")] {
            if x.get(at).is_some_and(Option::is_some) {
                return Err(format!("{what}; valid are none"));
            }
        }
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let [steps, batch, features] = self.shape(input)[..] else {
            return Err(format!(
                "an operand of {} axes; valid are 3",
                self.rank(input)
            ));
        };
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
        let gates = match op {
            "LSTM" => 4,
            "GRU" => 3,
            _ => 1,
        };
        let mut all = Vec::new();
        let mut last = Vec::new();
        let mut cells = Vec::new();
        for (number, &backwards) in directions.iter().enumerate() {
            let direction =
                self.direction(x, input, number, (directions.len(), gates, features.fixed))?;
            let initial = |it: &mut Self, at: usize| -> Result<ValueId, Reason> {
                match x.get(at).cloned().flatten() {
                    None => it.filled(
                        0.0,
                        ElementKind::Float,
                        &[Number::of(batch), Number::of(direction.hidden.into())],
                    ),
                    Some(state) => {
                        let state = it.value(&state)?;
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
                        let (state, after) = self.lstm_step(&direction, given, hidden, before)?;
                        cell = Some(after);
                        state
                    }
                    "GRU" => self.gru_step(
                        &direction,
                        given,
                        hidden,
                        a.int("linear_before_reset", 0)? != 0,
                    )?,
                    _ => {
                        let again = self.through(&direction, hidden, 0..1)?;
                        let sum =
                            self.zip(Op::Zip(Arithmetic::Add), given, again, ElementKind::Float)?;
                        self.same(Op::Map(Map::Tanh), sum)
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
                cells.push(self.reshaped(cell, vec![1.into(), batch, direction.hidden.into()]));
            }
        }
        let mut results = Vec::new();
        for (parts, axis) in [(all, 1), (last, 0), (cells, 0)] {
            let Some(&first) = parts.first() else {
                continue;
            };
            let mut shape = self.shape(first);
            shape[axis] = Extent::fixed(directions.len());
            results.push(self.joined_along(parts, axis, shape));
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
        // One direction's, with the name of all if there is but one.
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
        })
    }

    /// What a state gives to these gates.
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

    /// A weight that every step reads, as one parameter.
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

    /// Gates input, output, forget, cell.
    fn lstm_step(
        &mut self,
        d: &Direction,
        given: ValueId,
        hidden: ValueId,
        cell: ValueId,
    ) -> Result<(ValueId, ValueId), Reason> {
        let (add, times) = (Op::Zip(Arithmetic::Add), Op::Zip(Arithmetic::Multiply));
        let again = self.through(d, hidden, 0..4)?;
        let sums = self.zip(add.clone(), given, again, ElementKind::Float)?;
        let mut gates = Vec::with_capacity(4);
        for (number, map) in [Map::Sigmoid, Map::Sigmoid, Map::Sigmoid, Map::Tanh]
            .into_iter()
            .enumerate()
        {
            let gate = self.gate(sums, number, d.hidden)?;
            gates.push(self.same(Op::Map(map), gate));
        }
        let kept = self.zip(times.clone(), gates[2], cell, ElementKind::Float)?;
        let new = self.zip(times.clone(), gates[0], gates[3], ElementKind::Float)?;
        let cell = self.zip(add, kept, new, ElementKind::Float)?;
        let shown = self.same(Op::Map(Map::Tanh), cell);
        Ok((self.zip(times, gates[1], shown, ElementKind::Float)?, cell))
    }

    /// Gates update, reset, hidden.
    fn gru_step(
        &mut self,
        d: &Direction,
        given: ValueId,
        hidden: ValueId,
        linear_first: bool,
    ) -> Result<ValueId, Reason> {
        let (add, times) = (Op::Zip(Arithmetic::Add), Op::Zip(Arithmetic::Multiply));
        let again = self.through(d, hidden, if linear_first { 0..3 } else { 0..2 })?;
        let mut gates = Vec::with_capacity(2);
        for number in 0..2 {
            let (a, b) = (
                self.gate(given, number, d.hidden)?,
                self.gate(again, number, d.hidden)?,
            );
            let sum = self.zip(add.clone(), a, b, ElementKind::Float)?;
            gates.push(self.same(Op::Map(Map::Sigmoid), sum));
        }
        let own = self.gate(given, 2, d.hidden)?;
        let other = if linear_first {
            let other = self.gate(again, 2, d.hidden)?;
            self.zip(times.clone(), gates[1], other, ElementKind::Float)?
        } else {
            let reset = self.zip(times.clone(), gates[1], hidden, ElementKind::Float)?;
            self.through(d, reset, 2..3)?
        };
        let sum = self.zip(add.clone(), own, other, ElementKind::Float)?;
        let new = self.same(Op::Map(Map::Tanh), sum);
        let difference = self.zip(
            Op::Zip(Arithmetic::Subtract),
            hidden,
            new,
            ElementKind::Float,
        )?;
        let moved = self.zip(times, gates[0], difference, ElementKind::Float)?;
        self.zip(add, new, moved, ElementKind::Float)
    }
}
