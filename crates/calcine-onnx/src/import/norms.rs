//! Norms that the graph spells with other operations.

use calcine_graph::{
    Arithmetic, Comparison, ElementKind, Extent, Map, Op, Pool, Reduction, ValueId,
};

use super::host::Number;
use super::importer::{Attributes, Importer, Operand, Reason, axis_of, number};
use super::layers::{Read, fixed, needs};

impl Importer {
    /// `x / √(mean(x²) + ε) · scale` over the axes from one on.
    pub(crate) fn rms_norm(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        let from = axis_of(a.int("axis", -1)?, shape.len())?;
        let scale = self.value(&needs(x, 1)?)?;
        let normed = self.rms(input, from, a.float("epsilon", 1e-5)?)?;
        self.both(Arithmetic::Multiply, normed, scale)
    }

    fn rms(&mut self, x: ValueId, from: usize, epsilon: f64) -> Read {
        let mut mean = self.both(Arithmetic::Multiply, x, x)?;
        for axis in from..self.rank(x) {
            mean = self.reduced(mean, Reduction::Mean, axis);
        }
        let bounded = self.scalar(Arithmetic::Add, mean, epsilon);
        let root = self.map(Map::Sqrt, bounded);
        self.both(Arithmetic::Divide, x, root)
    }

    /// Mean and `1 / √(variance + ε)` over the axes from one on, as the layer norm reports them.
    pub(crate) fn statistics(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<[ValueId; 2], Reason> {
        let input = self.value(&needs(x, 0)?)?;
        let axes = axis_of(a.int("axis", -1)?, self.rank(input))?..self.rank(input);
        let mut mean = input;
        for axis in axes.clone() {
            mean = self.reduced(mean, Reduction::Mean, axis);
        }
        let centred = self.both(Arithmetic::Subtract, input, mean)?;
        let mut variance = self.both(Arithmetic::Multiply, centred, centred)?;
        for axis in axes {
            variance = self.reduced(variance, Reduction::Mean, axis);
        }
        let bounded = self.scalar(Arithmetic::Add, variance, a.float("epsilon", 1e-5)?);
        let root = self.map(Map::Sqrt, bounded);
        Ok([mean, self.map(Map::Reciprocal, root)])
    }

    /// `(x − mean) / (deviation + 1e-9)` over some axes.
    pub(crate) fn mean_variance_norm(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let axes = a.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
        let axes = axes.iter().map(|&axis| axis_of(axis, self.rank(input)));
        let axes = axes.collect::<Result<Vec<_>, _>>()?;
        let mut mean = input;
        for &axis in &axes {
            mean = self.reduced(mean, Reduction::Mean, axis);
        }
        let centred = self.both(Arithmetic::Subtract, input, mean)?;
        let mut variance = self.both(Arithmetic::Multiply, centred, centred)?;
        for &axis in &axes {
            variance = self.reduced(variance, Reduction::Mean, axis);
        }
        let deviation = self.map(Map::Sqrt, variance);
        let deviation = self.scalar(Arithmetic::Add, deviation, 1e-9);
        self.both(Arithmetic::Divide, centred, deviation)
    }

    /// `x / (Σ |x|ᵖ)^(1/p)` along an axis; 0 where the sum is 0.
    pub(crate) fn lp_norm(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let axis = axis_of(a.int("axis", -1)?, self.rank(input))?;
        let norm = match a.int("p", 2)? {
            1 => {
                let sizes = self.map(Map::Abs, input);
                self.reduced(sizes, Reduction::Sum, axis)
            }
            2 => {
                let squares = self.both(Arithmetic::Multiply, input, input)?;
                let sum = self.reduced(squares, Reduction::Sum, axis);
                self.map(Map::Sqrt, sum)
            }
            p => return Err(format!("p of {p}; valid are 1 and 2")),
        };
        // 0 / 1 where all are zero.
        let zero = self.compared_with(Comparison::Equal, norm, 0.0);
        let norm = self.with_number_where(norm, zero, 1.0)?;
        self.both(Arithmetic::Divide, input, norm)
    }

    /// `x / (bias + α / size · Σ x²)^β` over neighbouring channels.
    pub(crate) fn local_response_norm(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        if shape.len() < 2 {
            return Err("an operand of fewer than 2 axes".to_owned());
        }
        let channels = fixed(shape[1])?;
        let size = usize::try_from(a.int("size", 0)?).ok();
        let size = size.filter(|&size| size > 0 && size <= 4 * channels.max(1));
        let size = size.ok_or("a size that is not 1 to 4 times the channels")?;
        let places = shape[2..].iter().map(|&extent| number(extent));
        let places = { places }.try_fold(Number::fixed(1), Number::times);
        let places = places
            .and_then(Number::extent)
            .ok_or("places that change with the batch")?;
        let squares = self.both(Arithmetic::Multiply, input, input)?;
        let rows = vec![shape[0], Extent::fixed(1), Extent::fixed(channels), places];
        let rows = self.reshaped(squares, rows);
        let before = (size - 1) / 2;
        let padded = self.padded(rows, 2, [before, size - 1 - before], 0.0);
        let pool = Pool {
            kernel: vec![size, 1],
            stride: vec![1, 1],
            padding: vec![0, 0],
            dilation: vec![1, 1],
            ceil: false,
        };
        let op = Op::AveragePool {
            pool,
            count_padding: true,
        };
        let rows = vec![shape[0], Extent::fixed(1), Extent::fixed(channels), places];
        // The mean over the window is the sum over its size.
        let means = self.push(op, vec![padded], rows, ElementKind::Float);
        let means = self.reshaped(means, shape);
        let scaled = self.scalar(Arithmetic::Multiply, means, a.float("alpha", 1e-4)?);
        let bounded = self.scalar(Arithmetic::Add, scaled, a.float("bias", 1.0)?);
        let power = self.scalar(Arithmetic::Power, bounded, a.float("beta", 0.75)?);
        self.both(Arithmetic::Divide, input, power)
    }
}
