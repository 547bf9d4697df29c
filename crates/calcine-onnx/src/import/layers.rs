//! Convolutions, products with weights, norms, pools and resizing.

use std::rc::Rc;

use calcine_graph::{
    Arithmetic, Convolution, ElementKind, Extent, Map, Op, Reduction, Source, ValueId,
};

use super::importer::{Attributes, Importer, Operand, Reason, axis_of};

pub(super) type Read = Result<ValueId, Reason>;

pub(super) fn lengths(values: &[i64], what: &str) -> Result<Vec<usize>, Reason> {
    let lengths = values.iter().map(|&value| usize::try_from(value).ok());
    let lengths: Option<Vec<usize>> = lengths.collect();
    lengths.ok_or_else(|| format!("{what} of {values:?}; valid are numbers that are not negative"))
}

pub(super) fn needs(operands: &[Option<Operand>], at: usize) -> Result<Operand, Reason> {
    let operand = operands.get(at).cloned().flatten();
    operand.ok_or_else(|| format!("its operand {at} is missing"))
}

/// Windows along spatial axes, as attributes give them.
pub(super) struct Windows {
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) padding: Vec<[usize; 2]>,
}

impl Windows {
    /// `auto_pad` is spelled out for these spatial lengths.
    pub(super) fn of(
        a: &Attributes<'_, '_>,
        kernel: Vec<usize>,
        sizes: &[Extent],
    ) -> Result<Self, Reason> {
        Self::with(a, kernel, sizes, true)
    }

    fn with(
        a: &Attributes<'_, '_>,
        kernel: Vec<usize>,
        sizes: &[Extent],
        pads_itself: bool,
    ) -> Result<Self, Reason> {
        let axes = kernel.len();
        if sizes.len() != axes || axes == 0 {
            return Err(format!(
                "a kernel of {axes} axes over {} spatial axes",
                sizes.len()
            ));
        }
        let list = |name: &str| -> Result<Vec<usize>, Reason> {
            let values = a.ints(name)?.unwrap_or_else(|| vec![1; axes]);
            let values = lengths(&values, name)?;
            match values.len() == axes && !values.contains(&0) {
                true => Ok(values),
                false => Err(format!("{name} of {values:?} for {axes} spatial axes")),
            }
        };
        let (stride, dilation) = (list("strides")?, list("dilations")?);
        let pads = a.ints("pads")?.unwrap_or_else(|| vec![0; 2 * axes]);
        let pads = lengths(&pads, "pads")?;
        if pads.len() != 2 * axes {
            return Err(format!("pads of {pads:?} for {axes} spatial axes"));
        }
        let mut padding: Vec<[usize; 2]> =
            (0..axes).map(|at| [pads[at], pads[at + axes]]).collect();
        match a.text("auto_pad", "NOTSET")?.as_str() {
            "NOTSET" | "" => {}
            _ if !pads_itself => {}
            "VALID" => padding = vec![[0, 0]; axes],
            auto @ ("SAME_UPPER" | "SAME_LOWER") => {
                for at in 0..axes {
                    let size = fixed(sizes[at])?;
                    let reach = reach(kernel[at], dilation[at])?;
                    let steps = size.div_ceil(stride[at]).saturating_sub(1);
                    let needed = steps.saturating_mul(stride[at]).saturating_add(reach);
                    let total = needed.saturating_sub(size);
                    let (less, more) = (total / 2, total - total / 2);
                    padding[at] = if auto == "SAME_UPPER" {
                        [less, more]
                    } else {
                        [more, less]
                    };
                }
            }
            other => return Err(format!("auto_pad `{other}`")),
        }
        Ok(Self {
            kernel,
            stride,
            dilation,
            padding,
        })
    }

    /// Those of the convolution that a transposed one is the gradient of: `auto_pad` is spelled out for its outputs.
    fn of_gradient(
        a: &Attributes<'_, '_>,
        kernel: Vec<usize>,
        sizes: &[Extent],
    ) -> Result<Self, Reason> {
        match a.text("auto_pad", "NOTSET")?.as_str() {
            "SAME_UPPER" | "SAME_LOWER" => Self::with(a, kernel, sizes, false),
            _ => Self::of(a, kernel, sizes),
        }
    }

    /// Sets the padding so that the output has the length that the file names, or `stride` times the input's.
    fn fit_output(
        &mut self,
        a: &Attributes<'_, '_>,
        sizes: &[Extent],
        extra: &[usize],
    ) -> Result<(), Reason> {
        let auto = a.text("auto_pad", "NOTSET")?;
        let named = match a.ints("output_shape")? {
            // With the batch and the channels, or without.
            Some(named) => lengths(&named, "output_shape")?
                .into_iter()
                .skip(named.len().saturating_sub(sizes.len()))
                .map(Some)
                .collect(),
            None => vec![None; sizes.len()],
        };
        for (at, named) in named.into_iter().enumerate().take(sizes.len()) {
            let size = fixed(sizes[at])?;
            let wanted = match (named, auto.as_str()) {
                (Some(named), _) => named,
                (None, "SAME_UPPER" | "SAME_LOWER") => size.saturating_mul(self.stride[at]),
                _ => continue,
            };
            let whole = size
                .saturating_sub(1)
                .saturating_mul(self.stride[at])
                .saturating_add(reach(self.kernel[at], self.dilation[at])?)
                .saturating_add(extra[at]);
            let total = whole
                .checked_sub(wanted)
                .ok_or_else(|| format!("an output of {wanted} places of {whole}"))?;
            let (less, more) = (total / 2, total - total / 2);
            self.padding[at] = match auto.as_str() {
                "SAME_UPPER" => [less, more],
                _ => [more, less],
            };
        }
        Ok(())
    }

    /// How many windows there are along each axis.
    pub(super) fn places(&self, sizes: &[Extent], ceil: bool) -> Result<Vec<Extent>, Reason> {
        let each = sizes.iter().enumerate().map(|(at, &size)| {
            let size = fixed(size)?;
            let [before, after] = self.padding[at];
            let padded = size.checked_add(before).and_then(|s| s.checked_add(after));
            let room =
                padded.and_then(|p| p.checked_sub(reach(self.kernel[at], self.dilation[at]).ok()?));
            let room = room.ok_or_else(|| {
                format!("a window larger than the {size} places of axis {}", at + 2)
            })?;
            let stride = self.stride[at];
            let mut count = if ceil {
                room.div_ceil(stride)
            } else {
                room / stride
            } + 1;
            if ceil && (count - 1) * stride >= size + before {
                count -= 1;
            }
            Ok(Extent::fixed(count))
        });
        each.collect()
    }
}

pub(super) fn reach(kernel: usize, dilation: usize) -> Result<usize, Reason> {
    let gaps = kernel
        .checked_sub(1)
        .and_then(|gaps| gaps.checked_mul(dilation));
    let reach = gaps.and_then(|gaps| gaps.checked_add(1));
    reach.ok_or_else(|| format!("a kernel of length {kernel}"))
}

pub(super) fn fixed(extent: Extent) -> Result<usize, Reason> {
    match extent.is_fixed() {
        true => Ok(extent.fixed),
        false => Err(format!("a spatial axis of length {extent}")),
    }
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

    /// A layer's weight: a parameter, or what is computed.
    fn weight(&mut self, operand: &Operand, layer: &'static str) -> Read {
        match operand {
            Operand::Value(id) => Ok(*id),
            Operand::Host(host) => self.tensor(host, layer, "weight"),
        }
    }

    /// A vector that belongs to a layer.
    fn vector(&mut self, operand: &Operand, layer: &'static str, role: &str) -> Read {
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
        windows.fit_output(a, &shape[2..], &extra)?;
        // Less padding behind is more output there; what is more than the operation can add or leave out is cut off.
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
            let length = super::importer::number(self.shape(value)[at + 2]);
            let cut = i64::try_from(cut).unwrap_or(i64::MAX);
            let end = length
                .plus(super::host::Number::fixed(-cut))
                .ok_or("padding that leaves nothing")?;
            value = self.part(value, at + 2, super::host::Number::fixed(0), end)?;
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

    /// A product with a matrix: a linear layer if that is known.
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
        // A vector is a row before a matrix, and a column behind one.
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

    /// Adds a bias to a linear layer that has none, if it is a vector of the layer's outputs. Returns false if it is not, or if the file
    /// quantizes the products before the sum: then the sum is a node of its own, as it is computed after the rounding.
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
        self.graph.nodes[at].inputs.push(bias);
        Ok(true)
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
        // A norm behind a quantizer is computed by itself: a layer must not do it before the quantizer.
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

    /// Instance norm, or group norm with so many groups: of each group of channels, over its channels and places.
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
