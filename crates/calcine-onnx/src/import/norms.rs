//! Norms: as layers, or by arithmetic where a graph has no such layer.

use std::rc::Rc;

use calcine_graph::{
    Arithmetic, Comparison, ElementKind, Extent, Map, Op, Pool, Reduction, ValueId,
};

use super::host::Number;
use super::importer::{Attributes, Importer, Operand, Reason, axis_of, number};
use super::layers::{Read, needs};
use super::windows::fixed;

impl Importer {
    /// RMS norm: `x / √(mean(x²) + ε) · scale`, with the mean over an axis and all axes after it.
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

    /// The mean and `1 / √(variance + ε)` over an axis and all axes after it: the optional results of a layer norm.
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

    /// Mean-variance norm: `(x − mean) / (deviation + 1e-9)` over some axes.
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

    /// Lp norm: `x / (Σ |x|ᵖ)^(1/p)` along an axis; 0 where the sum is 0.
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

    /// Local response norm: `x / (bias + α / size · Σ x²)^β`, with the sum over neighbouring channels.
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

    pub(crate) fn batch_norm(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        if a.int("training_mode", 0)? != 0 || a.int("spatial", 1)? != 1 {
            return Err(
                "a batch norm in training, or over places; valid is inference over channels"
                    .to_owned(),
            );
        }
        let input = self.value(&needs(x, 0)?)?;
        if self.rank(input) < 2 {
            return Err("an operand of fewer than 2 axes".to_owned());
        }
        // A norm after a quantizer must not be folded into the layer before the quantizer.
        let input = match self.quantizers.contains_key(&input) {
            true => {
                let (shape, kind) = (self.shape(input), self.kind(input));
                self.push(Op::Reshape, vec![input], shape, kind)
            }
            false => input,
        };
        let mut inputs = vec![input];
        for (at, role) in ["gamma", "beta", "running_mean", "running_var"]
            .into_iter()
            .enumerate()
        {
            inputs.push(self.vector(&needs(x, at + 1)?, "BatchNorm", role)?);
        }
        let op = Op::BatchNorm {
            epsilon: a.float("epsilon", 1e-5)?,
            momentum: 1.0 - a.float("momentum", 0.9)?,
        };
        let shape = self.shape(input);
        Ok(self.push(op, inputs, shape, ElementKind::Float))
    }

    pub(crate) fn layer_norm(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let axis = axis_of(a.int("axis", -1)?, self.rank(input))?;
        let shape = self.shape(input);
        let features: Option<Vec<usize>> = shape[axis..]
            .iter()
            .map(|extent| extent.is_fixed().then_some(extent.fixed))
            .collect();
        let features: usize = features
            .ok_or("features that change with the batch")?
            .into_iter()
            .product();
        let epsilon = a.float("epsilon", 1e-5)?;
        let mut flat = shape[..axis].to_vec();
        flat.push(Extent::fixed(features));
        let rows = self.reshaped(input, flat.clone());
        let mut inputs = vec![rows];
        for (at, role) in [(1, "gamma"), (2, "beta")] {
            let Some(operand) = x.get(at).cloned().flatten() else {
                break;
            };
            let operand = match operand {
                Operand::Host(host) if host.shape.len() != 1 && host.len() == features => {
                    Operand::Host(Rc::new(host.reshaped(vec![features])))
                }
                operand => operand,
            };
            let vector = self.vector(&operand, "LayerNorm", role)?;
            inputs.push(self.reshaped(vector, vec![features.into()]));
        }
        let normed = self.push(Op::LayerNorm { epsilon }, inputs, flat, ElementKind::Float);
        Ok(self.reshaped(normed, shape))
    }

    /// Group norm, over the channels and positions of each group of channels. Without `groups`, each channel is a group
    /// (instance norm).
    pub(crate) fn group_norm(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        groups: Option<i64>,
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        let fixed: Option<Vec<usize>> = shape
            .iter()
            .skip(1)
            .map(|extent| extent.is_fixed().then_some(extent.fixed))
            .collect();
        let fixed = fixed
            .filter(|lengths| !lengths.is_empty())
            .ok_or("an operand without fixed channels")?;
        let channels = fixed[0];
        let groups = match groups {
            None => channels,
            Some(groups) => usize::try_from(groups)
                .ok()
                .filter(|&g| g > 0 && channels.is_multiple_of(g))
                .ok_or_else(|| format!("{channels} channels do not split into {groups} groups"))?,
        };
        let each = fixed.iter().product::<usize>() / groups.max(1);
        let rows = self.reshaped(input, vec![shape[0], groups.into(), each.into()]);
        let mean = self.reduced(rows, Reduction::Mean, 2);
        let centred = self.zip(
            Op::Zip(Arithmetic::Subtract),
            rows,
            mean,
            ElementKind::Float,
        )?;
        let squares = self.zip(
            Op::Zip(Arithmetic::Multiply),
            centred,
            centred,
            ElementKind::Float,
        )?;
        let variance = self.reduced(squares, Reduction::Mean, 2);
        let bounded = self.same(
            Op::Scalar(Arithmetic::Add, a.float("epsilon", 1e-5)?),
            variance,
        );
        let deviation = self.same(Op::Map(Map::Sqrt), bounded);
        let normed = self.zip(
            Op::Zip(Arithmetic::Divide),
            centred,
            deviation,
            ElementKind::Float,
        )?;
        let mut normed = self.reshaped(normed, shape.clone());
        for (at, role, arithmetic) in [
            (1, "weight", Arithmetic::Multiply),
            (2, "bias", Arithmetic::Add),
        ] {
            let mut vector = needs(x, at)?;
            // One scale for each group, before opset 21.
            if let Operand::Host(host) = &vector
                && host.len() == groups
                && groups != channels
            {
                let positions = (0..channels).map(|channel| channel / (channels / groups));
                vector = Operand::Host(Rc::new(host.picked(vec![channels], positions)));
            }
            let vector = self.vector(&vector, "GroupNorm", role)?;
            let mut spread = vec![Extent::fixed(1); shape.len()];
            spread[1] = Extent::fixed(channels);
            if self.shape(vector) != [Extent::fixed(channels)] {
                return Err(format!("scales that are not {channels}, one a channel"));
            }
            let vector = self.reshaped(vector, spread);
            normed = self.zip(Op::Zip(arithmetic), normed, vector, ElementKind::Float)?;
        }
        Ok(normed)
    }

    pub(crate) fn reduced(&mut self, x: ValueId, reduction: Reduction, axis: usize) -> ValueId {
        let mut shape = self.shape(x);
        shape[axis] = Extent::fixed(1);
        let kind = self.kind(x);
        self.push(Op::Reduce(reduction, axis), vec![x], shape, kind)
    }
}
