//! Reads convolutions, transposed convolutions, and matrix products.

use std::rc::Rc;

use calcine_graph::{Arithmetic, Convolution, ElementKind, Extent, Map, Op, Source, ValueId};

use super::host::Number;
use super::importer::{Attributes, Importer, Known, Operand, Reason, number};
use super::windows::{Windows, fixed, lengths, reach};

pub(super) type Read = Result<ValueId, Reason>;

pub(super) fn needs(operands: &[Option<Operand>], at: usize) -> Result<Operand, Reason> {
    let operand = operands.get(at).cloned().flatten();
    operand.ok_or_else(|| format!("its operand {at} is missing"))
}

impl Importer {
    pub(crate) fn convolution(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        if !(3..=5).contains(&shape.len()) {
            return Err(format!(
                "an operand of {} axes; valid are 3 to 5",
                shape.len()
            ));
        }
        let layer = ["Conv1d", "Conv2d", "Conv3d"][shape.len() - 3];
        let weight = self.weight(&needs(x, 1)?, layer)?;
        let kernel = self.shape(weight);
        if kernel.len() != shape.len() || kernel.iter().any(|extent| !extent.is_fixed()) {
            return Err("a weight whose axes do not fit".to_owned());
        }
        let mut windows = Windows::of(
            a,
            kernel[2..].iter().map(|e| e.fixed).collect(),
            &shape[2..],
        )?;
        let places = windows.places(&shape[2..], false)?;
        let input = self.padded_volume(input, &mut windows.padding);
        let mut inputs = vec![input, weight];
        if let Some(bias) = x.get(2).cloned().flatten() {
            inputs.push(self.vector(&bias, layer, "bias")?);
        }
        let mut output = vec![shape[0], kernel[0]];
        output.extend(places);
        let groups = usize::try_from(a.int("group", 1)?).unwrap_or(0);
        let op = Op::Convolution(Convolution {
            stride: windows.stride,
            padding: windows.padding,
            dilation: windows.dilation,
            groups,
        });
        Ok(self.push(op, inputs, output, ElementKind::Float))
    }

    /// The weight of a layer: a parameter or a computed value.
    fn weight(&mut self, operand: &Operand, layer: &'static str) -> Read {
        match operand {
            Operand::Value(id) => Ok(*id),
            Operand::Host(host) => self.tensor(host, layer, "weight"),
        }
    }

    /// A vector operand of a layer, such as a bias.
    pub(crate) fn vector(&mut self, operand: &Operand, layer: &'static str, role: &str) -> Read {
        match operand {
            Operand::Value(id) => Ok(*id),
            Operand::Host(host) => self.tensor(host, layer, role),
        }
    }

    pub(crate) fn transposed_convolution(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        if !(3..=5).contains(&shape.len()) {
            return Err(format!(
                "an operand of {} axes; valid are 3 to 5",
                shape.len()
            ));
        }
        let layer = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"][shape.len() - 3];
        let weight = self.weight(&needs(x, 1)?, layer)?;
        let kernel = self.shape(weight);
        if kernel.len() != shape.len() || kernel.iter().any(|extent| !extent.is_fixed()) {
            return Err("a weight whose axes do not fit".to_owned());
        }
        let axes = shape.len() - 2;
        let mut windows = Windows::of_gradient(
            a,
            kernel[2..].iter().map(|e| e.fixed).collect(),
            &shape[2..],
        )?;
        let extra = a.ints("output_padding")?.unwrap_or_else(|| vec![0; axes]);
        let mut extra = lengths(&extra, "output_padding")?;
        if extra.len() != axes {
            return Err(format!(
                "output_padding of {extra:?} for {axes} spatial axes"
            ));
        }
        windows.fit_output(a, &shape[2..], &mut extra)?;
        // Negative padding at the end enlarges the output there. If the operation cannot express the difference, the
        // output is cut.
        let mut cuts = vec![0; axes];
        for at in 0..axes {
            let [before, after] = windows.padding[at];
            let least = windows.stride[at].max(windows.dilation[at]);
            let whole = extra[at] + before;
            if whole >= after && whole - after < least {
                extra[at] = whole - after;
            } else if whole < after {
                extra[at] = 0;
                cuts[at] = after - whole;
            } else {
                return Err(format!(
                    "padding of {:?} that adds more than a step of {least} behind",
                    windows.padding[at]
                ));
            }
            windows.padding[at] = [before, before];
        }
        let groups = usize::try_from(a.int("group", 1)?).unwrap_or(0);
        let outputs = kernel[1]
            .fixed
            .checked_mul(groups)
            .ok_or("too many channels")?;
        let mut output = vec![shape[0], Extent::fixed(outputs)];
        for at in 0..axes {
            let size = fixed(shape[at + 2])?;
            let whole = size
                .checked_sub(1)
                .and_then(|steps| steps.checked_mul(windows.stride[at]));
            let whole = whole.and_then(|whole| {
                whole.checked_add(reach(windows.kernel[at], windows.dilation[at]).ok()? + extra[at])
            });
            let left = whole.and_then(|whole| whole.checked_sub(2 * windows.padding[at][0]));
            output.push(Extent::fixed(left.ok_or("padding that leaves nothing")?));
        }
        let mut inputs = vec![input, weight];
        if let Some(bias) = x.get(2).cloned().flatten() {
            inputs.push(self.vector(&bias, layer, "bias")?);
        }
        let op = Op::TransposedConvolution {
            convolution: Convolution {
                stride: windows.stride,
                padding: windows.padding,
                dilation: windows.dilation,
                groups,
            },
            output_padding: extra,
        };
        let mut value = self.push(op, inputs, output, ElementKind::Float);
        for (at, cut) in cuts.into_iter().enumerate().filter(|(_, cut)| *cut > 0) {
            let length = number(self.shape(value)[at + 2]);
            let cut = i64::try_from(cut).unwrap_or(i64::MAX);
            let end = length
                .plus(Number::fixed(-cut))
                .ok_or("padding that leaves nothing")?;
            value = self.part(value, at + 2, Number::fixed(0), end)?;
        }
        Ok(value)
    }

    pub(crate) fn gemm(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let mut left = self.value(&needs(x, 0)?)?;
        if self.rank(left) != 2 {
            return Err(format!(
                "an operand of {} axes; valid are 2",
                self.rank(left)
            ));
        }
        if a.int("transA", 0)? != 0 {
            left = self.permuted(left, &[1, 0]);
        }
        let (alpha, beta) = (a.float("alpha", 1.0)?, a.float("beta", 1.0)?);
        let turned = a.int("transB", 0)? != 0;
        let right = match needs(x, 1)? {
            Operand::Host(host) if turned && host.shape.len() == 2 => {
                Operand::Host(Rc::new(host.permuted(&[1, 0])))
            }
            Operand::Value(id) if turned && self.rank(id) == 2 => {
                Operand::Value(self.permuted(id, &[1, 0]))
            }
            right => right,
        };
        let product = self.linear(left, &right)?;
        let product = self.scalar(Arithmetic::Multiply, product, alpha);
        let Some(bias) = x.get(2).cloned().flatten().filter(|_| beta != 0.0) else {
            return Ok(product);
        };
        if alpha == 1.0 && beta == 1.0 && self.add_bias(product, &bias)? {
            return Ok(product);
        }
        let bias = self.value(&bias)?;
        let bias = self.scalar(Arithmetic::Multiply, bias, beta);
        self.zip(Op::Zip(Arithmetic::Add), product, bias, ElementKind::Float)
    }

    /// A product with a matrix: a linear layer if the matrix is known.
    fn linear(&mut self, x: ValueId, weight: &Operand) -> Read {
        match weight {
            Operand::Host(host)
                if host.shape.len() == 2
                    && host.kind() == ElementKind::Float
                    && self.rank(x) >= 1 =>
            {
                let mut shape = self.shape(x);
                let last = shape.len() - 1;
                if shape[last] != Extent::fixed(host.shape[0]) {
                    return Err(format!(
                        "{} numbers times a matrix of shape {:?}",
                        shape[last], host.shape
                    ));
                }
                shape[last] = Extent::fixed(host.shape[1]);
                let weight = self.tensor(host, "Linear", "weight")?;
                Ok(self.push(Op::Linear, vec![x, weight], shape, ElementKind::Float))
            }
            other => {
                let other = self.value(other)?;
                self.product(x, other)
            }
        }
    }

    /// A product of two values.
    fn product(&mut self, a: ValueId, b: ValueId) -> Read {
        if self.kind(a) != ElementKind::Float || self.kind(b) != ElementKind::Float {
            return Err("a product of integers; valid are floats".to_owned());
        }
        // A vector on the left of a matrix is a row, and on the right a column.
        if self.rank(a) == 1 || self.rank(b) == 1 {
            let vectors = [self.rank(a) == 1, self.rank(b) == 1];
            let mut row = self.shape(a);
            if vectors[0] {
                row.insert(0, 1.into());
            }
            let mut column = self.shape(b);
            if vectors[1] {
                column.push(1.into());
            }
            let (a, b) = (self.reshaped(a, row), self.reshaped(b, column));
            let product = self.product(a, b)?;
            let mut shape = self.shape(product);
            if vectors[1] {
                shape.pop();
            }
            if vectors[0] {
                shape.remove(shape.len() - 1 - usize::from(!vectors[1]));
            }
            return Ok(self.in_file_shape(product, shape));
        }
        let operands = self.aligned(&[a, b])?;
        let (left, right) = (self.shape(operands[0]), self.shape(operands[1]));
        let rank = left.len();
        let mut shape = Vec::with_capacity(rank);
        for axis in 0..rank - 2 {
            shape.push(match (left[axis], right[axis]) {
                (one, other) if one == other || other == Extent::fixed(1) => one,
                (one, other) if one == Extent::fixed(1) => other,
                (one, other) => {
                    return Err(format!(
                        "lengths {one} and {other} of axis {axis} do not broadcast"
                    ));
                }
            });
        }
        shape.extend([left[rank - 2], right[rank - 1]]);
        Ok(self.push(Op::Matmul, operands, shape, ElementKind::Float))
    }

    pub(crate) fn matmul(&mut self, x: &[Option<Operand>]) -> Read {
        let left = self.value(&needs(x, 0)?)?;
        self.linear(left, &needs(x, 1)?)
    }

    /// Adds a bias to a linear layer without one, if it is a vector with one element per output. Returns false if it is
    /// not, or if the file quantizes the product before the addition: then the addition is a separate node, because it
    /// is computed after rounding.
    pub(crate) fn add_bias(&mut self, product: ValueId, bias: &Operand) -> Result<bool, Reason> {
        if self.quantizers.contains_key(&product) {
            return Ok(false);
        }
        let Source::Node(at) = self.graph.value(product).source else {
            return Ok(false);
        };
        let node = &self.graph.nodes[at];
        let Operand::Host(host) = bias else {
            return Ok(false);
        };
        if node.op != Op::Linear || node.inputs.len() != 2 || host.kind() != ElementKind::Float {
            return Ok(false);
        }
        let outputs = self
            .graph
            .value(product)
            .shape
            .last()
            .map_or(0, |extent| extent.fixed);
        let leading = host.shape.len().saturating_sub(1);
        let vector = host.shape[..leading].iter().all(|&length| length == 1)
            && host.len() == outputs
            && outputs > 0;
        if !vector || host.shape.len() > self.rank(product) {
            return Ok(false);
        }
        let host = match host.shape.len() {
            1 => Rc::clone(host),
            _ => Rc::new(host.reshaped(vec![outputs])),
        };
        let bias = self.tensor(&host, "Linear", "bias")?;
        self.name_as_bias(self.graph.nodes[at].inputs[1], bias);
        self.graph.nodes[at].inputs.push(bias);
        Ok(true)
    }

    /// `CausalConvWithState`: a convolution along the last axis in which no output depends on later positions. The
    /// second result is the positions that the next call needs.
    pub(crate) fn causal_convolution(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Vec<Known>, Reason> {
        let input = self.value(&needs(x, 0)?)?;
        let weight = self.value(&needs(x, 1)?)?;
        let (shape, kernel) = (self.shape(input), self.shape(weight));
        let ([batch, channels, length], [outputs, _, taps]) = (&shape[..], &kernel[..]) else {
            return Err("operands of another number of axes than 3".to_owned());
        };
        let (batch, channels, length, taps) =
            (*batch, fixed(*channels)?, fixed(*length)?, fixed(*taps)?);
        let before = taps.saturating_sub(1);
        let past = match x.get(3).cloned().flatten() {
            Some(state) => self.value(&state)?,
            None => {
                let state = vec![batch, channels.into(), before.into()];
                self.push(Op::Constant(0.0), Vec::new(), state, ElementKind::Float)
            }
        };
        let whole = match before {
            0 => input,
            _ => self.after(past, input, 2)?,
        };
        let mut operands = vec![whole, weight];
        if let Some(bias) = x.get(2).cloned().flatten() {
            operands.push(self.value(&bias)?);
        }
        let op = Op::Convolution(Convolution {
            stride: vec![1],
            padding: vec![[0, 0]],
            dilation: vec![1],
            groups: channels,
        });
        let output = vec![batch, *outputs, length.into()];
        let mut result = self.push(op, operands, output, ElementKind::Float);
        if a.text("activation", "none")? != "none" {
            let gate = self.map(Map::Sigmoid, result);
            result = match a.text("activation", "none")?.as_str() {
                "silu" | "swish" => self.both(Arithmetic::Multiply, result, gate)?,
                other => {
                    return Err(format!(
                        "activation `{other}`; valid are none, silu and swish"
                    ));
                }
            };
        }
        let total = before + length;
        let signed = |at: usize| Number::fixed(i64::try_from(at).unwrap_or(i64::MAX));
        let kept = match before {
            0 => past,
            _ => self.part(whole, 2, signed(total - before), signed(total))?,
        };
        Ok(vec![Known::Value(result), Known::Value(kept)])
    }
}
