//! Pools, and operators that exchange channels and positions (`DepthToSpace`).

use calcine_graph::{Comparison, Convolution, ElementKind, Extent, Op, Padding, Pool, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Operand, number};
use super::layers::{Read, needs};
use super::windows::{Windows, fixed, lengths, reach};

impl Importer {
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
        let kind = self.kind(input);
        if largest && kind == ElementKind::Int {
            // Integers that are exact in `f32`, such as those of quantizers.
            let floats = Operand::Value(self.cast(input, ElementKind::Float));
            let pooled = self.pool(a, &[Some(floats)], largest)?;
            return Ok(self.cast(pooled, ElementKind::Int));
        }
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
        let padded = windows.padding.iter().any(|padding| *padding != [0, 0]);
        let usual = windows.kernel.len() < 3 && !(uneven && (!counts || ceil));
        let usual = usual || windows.kernel.len() == 3 && !ceil && (!padded || counts);
        if !largest
            && (!usual
                || windows.dilation.iter().any(|&dilation| dilation != 1)
                || ceil && counts && padded)
        {
            let sums = self.window_sums(input, &windows, &places)?;
            let shares = self.shares(&windows, &sizes, &places, counts)?;
            return self.both(calcine_graph::Arithmetic::Multiply, sums, shares);
        }
        if uneven {
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

    /// The sums over windows that pools cannot compute, as a depthwise convolution with ones.
    pub(crate) fn window_sums(&mut self, input: ValueId, w: &Windows, places: &[Extent]) -> Read {
        let shape = self.shape(input);
        let rows = number(shape[0])
            .times(number(shape[1]))
            .and_then(Number::extent);
        let rows = rows.ok_or("channels that change with the batch")?;
        let single = [&[rows, Extent::fixed(1)], &shape[2..]].concat();
        let single = self.reshaped(input, single);
        let mut padding = w.padding.clone();
        for (axis, [before, after]) in padding.iter_mut().enumerate() {
            // Zeros are added behind, as far as the last window extends.
            let last = fixed(places[axis])?
                .saturating_sub(1)
                .saturating_mul(w.stride[axis]);
            let end = last.saturating_add(reach(w.kernel[axis], w.dilation[axis])?);
            *after = end.saturating_sub(fixed(shape[axis + 2])?.saturating_add(*before));
        }
        let single = self.padded_volume(single, &mut padding);
        let kernel = [&[1, 1], &w.kernel[..]].concat();
        let ones = Host::floats(kernel.clone(), vec![1.0; kernel.iter().product()]);
        let ones = self.made(ones)?;
        let op = Op::Convolution(Convolution {
            stride: w.stride.clone(),
            padding,
            dilation: w.dilation.clone(),
            groups: 1,
        });
        let output = [&[rows, Extent::fixed(1)], places].concat();
        let sums = self.push(op, vec![single, ones], output, ElementKind::Float);
        Ok(self.reshaped(sums, [&shape[..2], places].concat()))
    }

    /// A volume that is padded by an operation of its own if the padding before and after differs, which Burn's
    /// convolution over three axes does not support.
    pub(crate) fn padded_volume(&mut self, x: ValueId, padding: &mut [[usize; 2]]) -> ValueId {
        let mut x = x;
        if padding.len() == 3 && padding.iter().any(|[before, after]| before != after) {
            for (axis, ends) in padding.iter_mut().enumerate() {
                x = self.padded(x, axis + 2, std::mem::take(ends), 0.0);
            }
        }
        x
    }

    /// The reciprocal of the number of elements of each window, either those inside of the tensor or also those of the
    /// padding.
    fn shares(&mut self, w: &Windows, sizes: &[Extent], places: &[Extent], counts: bool) -> Read {
        let mut shape = vec![1, 1];
        let mut shares = vec![1.0_f32];
        for axis in 0..w.kernel.len() {
            let size = fixed(sizes[axis])?;
            let [before, after] = w.padding[axis];
            let (from, to) = match counts {
                true => (0, size + before + after),
                false => (before, size + before),
            };
            let count = |place: usize| {
                let taps =
                    (0..w.kernel[axis]).map(|tap| place * w.stride[axis] + tap * w.dilation[axis]);
                taps.filter(|at| (from..to).contains(at)).count().max(1)
            };
            let places = fixed(places[axis])?;
            self.spend(shares.len() as u128 * places as u128)?;
            let axis_counts: Vec<usize> = (0..places).map(count).collect();
            #[allow(clippy::cast_precision_loss, reason = "the size of a window")]
            let each = shares
                .iter()
                .flat_map(|share| axis_counts.iter().map(move |&count| share / count as f32));
            shares = each.collect();
            shape.push(places);
        }
        self.made(Host::floats(shape, shares))
    }

    /// `LpPool`: `(Σ |x|ᵖ)^(1/p)` of each window.
    pub(crate) fn lp_pool(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let kernel = a
            .ints("kernel_shape")?
            .ok_or("its attribute `kernel_shape` is missing")?;
        let sizes = self.shape(input).get(2..).unwrap_or_default().to_vec();
        let windows = Windows::of(a, lengths(&kernel, "kernel_shape")?, &sizes)?;
        let places = windows.places(&sizes, a.int("ceil_mode", 0)? != 0)?;
        let powers = self.power_of_size(input, a.int("p", 2)?)?;
        let sums = self.window_sums(powers, &windows, &places)?;
        self.root(sums, a.int("p", 2)?)
    }

    /// `GlobalLpPool`: `(Σ |x|ᵖ)^(1/p)` over all positions.
    pub(crate) fn global_lp_pool(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let mut sums = self.power_of_size(input, a.int("p", 2)?)?;
        for axis in 2..self.rank(sums) {
            sums = self.reduced(sums, calcine_graph::Reduction::Sum, axis);
        }
        self.root(sums, a.int("p", 2)?)
    }

    fn power_of_size(&mut self, x: ValueId, p: i64) -> Read {
        match p {
            1 => Ok(self.map(calcine_graph::Map::Abs, x)),
            2 => self.both(calcine_graph::Arithmetic::Multiply, x, x),
            p if p > 0 => {
                let sizes = self.map(calcine_graph::Map::Abs, x);
                #[allow(clippy::cast_precision_loss, reason = "a small exponent")]
                Ok(self.scalar(calcine_graph::Arithmetic::Power, sizes, p as f64))
            }
            p => Err(format!("p of {p}; valid are numbers above 0")),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as what is done before it")]
    fn root(&mut self, x: ValueId, p: i64) -> Read {
        Ok(match p {
            1 => x,
            2 => self.map(calcine_graph::Map::Sqrt, x),
            #[allow(clippy::cast_precision_loss, reason = "a small exponent")]
            p => self.scalar(calcine_graph::Arithmetic::Power, x, 1.0 / p as f64),
        })
    }

    /// Pools windows over three axes in two steps: over the last two axes, and then over the first.
    fn pool_of_volumes(
        &mut self,
        input: ValueId,
        w: &Windows,
        (largest, counts, ceil): (bool, bool, bool),
        places: &[Extent],
    ) -> Read {
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

    /// `DepthToSpace` and `SpaceToDepth`, as a permutation between two reshapes.
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
            let axes = match a.text("mode", "DCR")?.as_str() {
                "CRD" => [0, 1, 3, 5, 2, 4],
                _ => [0, 3, 5, 1, 2, 4],
            };
            let turned = self.permuted(split, &axes);
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

    /// The larger (or the smaller) of `a` and `b`, element by element.
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
