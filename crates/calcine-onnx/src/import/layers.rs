//! Convolutions, products with weights, norms, pools and resizing.

use std::rc::Rc;

use calcine_graph::{
    Arithmetic, Comparison, Convolution, ElementKind, Extent, Interpolation, Map, Op, Padding,
    Pool, Reduction, Source, ValueId,
};

use super::importer::{Attributes, Importer, Operand, Reason, axis_of};

type Read = Result<ValueId, Reason>;

fn lengths(values: &[i64], what: &str) -> Result<Vec<usize>, Reason> {
    let lengths = values.iter().map(|&value| usize::try_from(value).ok());
    let lengths: Option<Vec<usize>> = lengths.collect();
    lengths.ok_or_else(|| format!("{what} of {values:?}; valid are numbers that are not negative"))
}

fn needs(operands: &[Option<Operand>], at: usize) -> Result<Operand, Reason> {
    let operand = operands.get(at).cloned().flatten();
    operand.ok_or_else(|| format!("its operand {at} is missing"))
}

/// Windows along spatial axes, as attributes give them.
struct Windows {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    padding: Vec<[usize; 2]>,
}

impl Windows {
    /// `auto_pad` is spelled out for these spatial lengths.
    fn of(a: &Attributes<'_, '_>, kernel: Vec<usize>, sizes: &[Extent]) -> Result<Self, Reason> {
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

    /// How many windows there are along each axis.
    fn places(&self, sizes: &[Extent], ceil: bool) -> Result<Vec<Extent>, Reason> {
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

fn reach(kernel: usize, dilation: usize) -> Result<usize, Reason> {
    let gaps = kernel
        .checked_sub(1)
        .and_then(|gaps| gaps.checked_mul(dilation));
    let reach = gaps.and_then(|gaps| gaps.checked_add(1));
    reach.ok_or_else(|| format!("a kernel of length {kernel}"))
}

fn fixed(extent: Extent) -> Result<usize, Reason> {
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
        let windows = Windows::of(
            a,
            kernel[2..].iter().map(|e| e.fixed).collect(),
            &shape[2..],
        )?;
        let mut inputs = vec![input, weight];
        if let Some(bias) = x.get(2).cloned().flatten() {
            inputs.push(self.vector(&bias, layer, "bias")?);
        }
        let mut output = vec![shape[0], kernel[0]];
        output.extend(windows.places(&shape[2..], false)?);
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
        if !["NOTSET", ""].contains(&a.text("auto_pad", "NOTSET")?.as_str())
            || a.ints("output_shape")?.is_some()
        {
            return Err("auto_pad and output_shape; valid are pads and output_padding".to_owned());
        }
        let axes = shape.len() - 2;
        let mut windows = Windows::of(
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
        // Less padding behind is more output there.
        for (padding, extra) in windows.padding.iter_mut().zip(&mut extra) {
            let [before, after] = *padding;
            if after > before {
                return Err(format!(
                    "padding {padding:?}; valid is no more behind than before"
                ));
            }
            *extra += before - after;
            *padding = [before, before];
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
        Ok(self.push(op, inputs, output, ElementKind::Float))
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
        if self.rank(a) < 2 || self.rank(b) < 2 {
            return Err("a product with a vector; valid are two axes or more".to_owned());
        }
        if self.kind(a) != ElementKind::Float || self.kind(b) != ElementKind::Float {
            return Err("a product of integers; valid are floats".to_owned());
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

    /// Gives a linear layer without one a bias, if it is a vector of its outputs; false if not.
    pub(crate) fn add_bias(&mut self, product: ValueId, bias: &Operand) -> Result<bool, Reason> {
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
            inputs.push(self.vector(&operand, "LayerNorm", role)?);
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

    pub(crate) fn global_average(&mut self, x: ValueId) -> Read {
        let mut shape = self.shape(x);
        if !(3..=5).contains(&shape.len()) {
            return Err(format!(
                "an operand of {} axes; valid are 3 to 5",
                shape.len()
            ));
        }
        shape[2..].fill(Extent::fixed(1));
        Ok(self.push(Op::AdaptiveAveragePool, vec![x], shape, ElementKind::Float))
    }

    pub(crate) fn pool(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        largest: bool,
    ) -> Read {
        let mut input = self.value(&needs(x, 0)?)?;
        let kernel = a
            .ints("kernel_shape")?
            .ok_or("its attribute `kernel_shape` is missing")?;
        let kernel = lengths(&kernel, "kernel_shape")?;
        let shape = self.shape(input);
        let sizes = shape.get(2..).unwrap_or_default().to_vec();
        let mut windows = Windows::of(a, kernel, &sizes)?;
        let ceil = a.int("ceil_mode", 0)? != 0;
        let counts = a.int("count_include_pad", 0)? != 0;
        let uneven = windows
            .padding
            .iter()
            .any(|[before, after]| before != after)
            || windows
                .padding
                .iter()
                .zip(&windows.kernel)
                .any(|([before, _], kernel)| 2 * before > *kernel);
        let places = windows.places(&sizes, ceil)?;
        if uneven {
            if !largest && !counts {
                return Err(
                    "an average of unevenly padded windows; valid is count_include_pad".to_owned(),
                );
            }
            let with = if largest { f64::NEG_INFINITY } else { 0.0 };
            let padding = [[0, 0], [0, 0]]
                .into_iter()
                .chain(windows.padding.iter().copied());
            let padding: Vec<[usize; 2]> = padding.collect();
            let grown: Vec<Extent> = shape
                .iter()
                .zip(&padding)
                .map(|(extent, [before, after])| Extent {
                    fixed: extent.fixed + before + after,
                    ..*extent
                })
                .collect();
            let op = Op::Pad {
                padding,
                with: Padding::Constant(with),
            };
            input = self.push(op, vec![input], grown, ElementKind::Float);
            windows.padding.fill([0, 0]);
        }
        if windows.kernel.len() == 3 {
            return self.pool_of_volumes(input, &windows, (largest, counts, ceil), &places);
        }
        let pool = Pool {
            kernel: windows.kernel,
            stride: windows.stride,
            padding: windows.padding.iter().map(|[before, _]| *before).collect(),
            dilation: windows.dilation,
            ceil,
        };
        let mut output = shape[..2].to_vec();
        output.extend(places);
        let op = match largest {
            true => Op::MaxPool(pool),
            false => Op::AveragePool {
                pool,
                count_padding: counts,
            },
        };
        Ok(self.push(op, vec![input], output, ElementKind::Float))
    }

    /// Windows of three axes as windows of two, of the last two axes and then of the first.
    fn pool_of_volumes(
        &mut self,
        input: ValueId,
        w: &Windows,
        (largest, counts, ceil): (bool, bool, bool),
        places: &[Extent],
    ) -> Read {
        let padded = w.padding.iter().any(|padding| *padding != [0, 0]);
        if !largest && (ceil || (padded && !counts)) {
            return Err("an average over volumes whose windows differ in size".to_owned());
        }
        let shape = self.shape(input);
        let [channels, depth, height, width] = [
            fixed(shape[1])?,
            fixed(shape[2])?,
            fixed(shape[3])?,
            fixed(shape[4])?,
        ];
        let product = |a: usize, b: usize| {
            a.checked_mul(b)
                .map(Extent::fixed)
                .ok_or("an axis that is too long")
        };
        let pool = |axes: [Option<usize>; 2]| {
            let of = |list: &[usize], default: usize| {
                axes.map(|axis| axis.map_or(default, |axis| list[axis]))
                    .to_vec()
            };
            let padding: Vec<usize> = w.padding.iter().map(|[before, _]| *before).collect();
            let pool = Pool {
                kernel: of(&w.kernel, 1),
                stride: of(&w.stride, 1),
                padding: of(&padding, 0),
                dilation: of(&w.dilation, 1),
                ceil,
            };
            match largest {
                true => Op::MaxPool(pool),
                false => Op::AveragePool {
                    pool,
                    count_padding: counts,
                },
            }
        };
        let flat = self.reshaped(
            input,
            vec![
                shape[0],
                product(channels, depth)?,
                height.into(),
                width.into(),
            ],
        );
        let planes = vec![shape[0], product(channels, depth)?, places[1], places[2]];
        let planes = self.push(
            pool([Some(1), Some(2)]),
            vec![flat],
            planes,
            ElementKind::Float,
        );
        let area = product(places[1].fixed, places[2].fixed)?;
        let columns = self.reshaped(planes, vec![shape[0], shape[1], depth.into(), area]);
        let output = vec![shape[0], shape[1], places[0], area];
        let output = self.push(
            pool([Some(0), None]),
            vec![columns],
            output,
            ElementKind::Float,
        );
        Ok(self.reshaped(
            output,
            vec![shape[0], shape[1], places[0], places[1], places[2]],
        ))
    }

    pub(crate) fn resize(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        upsample: bool,
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        let [batch, channels, height, width] = shape[..] else {
            return Err(format!("an operand of {} axes; valid are 4", shape.len()));
        };
        let (sizes_at, scales_at) = if upsample || self.opset < 11 {
            (9, 1)
        } else {
            (3, 2)
        };
        let host = |at: usize| match x.get(at) {
            Some(Some(Operand::Host(host))) if host.len() > 0 => Some(Rc::clone(host)),
            _ => None,
        };
        let axes = a.ints("axes")?;
        let last_two = |list: Vec<f64>| match (list.len(), &axes) {
            (4, _) => Ok([list[2], list[3]]),
            (2, _) => Ok([list[0], list[1]]),
            (count, _) => Err(format!("{count} numbers for the 2 spatial axes")),
        };
        #[allow(clippy::cast_precision_loss, reason = "sizes of images")]
        let (output, scales) = if let Some(sizes) = host(sizes_at) {
            let numbers = sizes.numbers().ok_or("sizes that are not integers")?;
            let from = numbers
                .len()
                .checked_sub(2)
                .ok_or("sizes of fewer than 2 axes")?;
            let known = numbers[from..]
                .iter()
                .map(|number| number.known().and_then(|n| usize::try_from(n).ok()));
            let known: Option<Vec<usize>> = known.collect();
            let known = known.ok_or("sizes that change with the batch")?;
            let scales = [(known[0], height), (known[1], width)]
                .map(|(to, from)| to as f64 / from.fixed.max(1) as f64);
            ([known[0], known[1]], scales)
        } else {
            let scales = match (host(scales_at), a.0.attribute("scales")) {
                (Some(scales), _) => match &scales.elements {
                    super::host::Elements::Floats(values) => {
                        values.iter().map(|x| f64::from(*x)).collect()
                    }
                    _ => return Err("scales that are not floats".to_owned()),
                },
                (None, Some(crate::proto::AttributeValue::Floats(values))) => {
                    values.iter().map(|x| f64::from(*x)).collect()
                }
                _ => return Err("sizes and scales that are computed, or missing".to_owned()),
            };
            let scales = last_two(scales)?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast saturates"
            )]
            let size = |from: Extent, scale: f64| (from.fixed as f64 * scale).floor() as usize;
            ([size(height, scales[0]), size(width, scales[1])], scales)
        };
        let whole = scales
            .iter()
            .all(|scale| scale.fract() == 0.0 && *scale >= 1.0);
        let default = if upsample || self.opset < 11 {
            "asymmetric"
        } else {
            "half_pixel"
        };
        let places = a.text("coordinate_transformation_mode", default)?;
        let rounding = a.text(
            "nearest_mode",
            if upsample || self.opset < 11 {
                "floor"
            } else {
                "round_prefer_floor"
            },
        )?;
        let same = output == [height.fixed, width.fixed];
        let half = matches!(places.as_str(), "half_pixel" | "pytorch_half_pixel");
        let (mode, align_corners) = match a.text("mode", "nearest")?.as_str() {
            _ if same => return Ok(input),
            "nearest" if places == "asymmetric" && rounding == "floor" => {
                (Interpolation::Nearest, false)
            }
            "nearest" if half && whole => (Interpolation::Nearest, false),
            "linear" | "bilinear" if half && output.iter().all(|&size| size > 1) => {
                (Interpolation::Bilinear, false)
            }
            "linear" | "bilinear" if places == "align_corners" => (Interpolation::Bilinear, true),
            "cubic"
                if a.int("exclude_outside", 0)? == 0
                    && (a.float("cubic_coeff_a", -0.75)? + 0.75).abs() < 1e-6 =>
            {
                match places.as_str() {
                    _ if half => (Interpolation::Bicubic, false),
                    "align_corners" => (Interpolation::Bicubic, true),
                    _ => return Err(format!("cubic interpolation with `{places}`")),
                }
            }
            mode => {
                return Err(format!(
                    "mode `{mode}` with `{places}` and `{rounding}`; valid are nearest (asymmetric, floor), linear and cubic (half_pixel, align_corners)"
                ));
            }
        };
        if a.int("antialias", 0)? != 0
            || a.text("keep_aspect_ratio_policy", "stretch")? != "stretch"
        {
            return Err("antialias, or another aspect ratio policy than stretch".to_owned());
        }
        if output.contains(&0) {
            return Err("a size of 0".to_owned());
        }
        let output = vec![batch, channels, output[0].into(), output[1].into()];
        let op = Op::Interpolate {
            mode,
            align_corners,
        };
        Ok(self.push(op, vec![input], output, ElementKind::Float))
    }

    /// Channels to places, or back: reshapes around a permutation.
    pub(crate) fn depth_to_space(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        back: bool,
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        let [batch, channels, height, width] = shape[..] else {
            return Err(format!("an operand of {} axes; valid are 4", shape.len()));
        };
        let [channels, height, width] = [fixed(channels)?, fixed(height)?, fixed(width)?];
        let block = usize::try_from(a.int("blocksize", 0)?)
            .ok()
            .filter(|&block| (1..=1 << 16).contains(&block));
        let block = block.ok_or("a block size below 1")?;
        let extents = |lengths: [usize; 5]| {
            let lengths = lengths.map(Extent::fixed);
            std::iter::once(batch).chain(lengths).collect::<Vec<_>>()
        };
        if back {
            if height % block != 0 || width % block != 0 {
                return Err(format!("{height} × {width} places in blocks of {block}"));
            }
            let (rows, columns) = (height / block, width / block);
            let split = self.reshaped(input, extents([channels, rows, block, columns, block]));
            let turned = self.permuted(split, &[0, 3, 5, 1, 2, 4]);
            let output = vec![
                batch,
                (channels * block * block).into(),
                rows.into(),
                columns.into(),
            ];
            return Ok(self.reshaped(turned, output));
        }
        if channels % (block * block) != 0 {
            return Err(format!(
                "{channels} channels in blocks of {block} × {block}"
            ));
        }
        let left = channels / (block * block);
        let (split, axes) = match a.text("mode", "DCR")?.as_str() {
            "CRD" => ([left, block, block, height, width], [0, 1, 4, 2, 5, 3]),
            _ => ([block, block, left, height, width], [0, 3, 4, 1, 5, 2]),
        };
        let split = self.reshaped(input, extents(split));
        let turned = self.permuted(split, &axes);
        Ok(self.reshaped(
            turned,
            vec![
                batch,
                left.into(),
                (height * block).into(),
                (width * block).into(),
            ],
        ))
    }

    /// `a` where it is larger (or smaller), else `b`.
    pub(crate) fn larger(&mut self, a: ValueId, b: ValueId, largest: bool) -> Read {
        let operands = self.aligned(&[a, b])?;
        let shape = self.broadcast(&operands)?;
        let comparison = if largest {
            Comparison::Greater
        } else {
            Comparison::Less
        };
        let kind = self.kind(a);
        let mask = self.push(
            Op::Compare(comparison),
            operands.clone(),
            shape.clone(),
            ElementKind::Bool,
        );
        let spread = |it: &mut Self, id: ValueId| match it.shape(id) == shape {
            true => id,
            false => it.push(Op::Expand, vec![id], shape.clone(), kind),
        };
        let (a, b) = (spread(self, operands[0]), spread(self, operands[1]));
        Ok(self.push(Op::Where, vec![b, mask, a], shape.clone(), kind))
    }
}
