//! Pools, resizing, and channels that become places.

use std::rc::Rc;

use calcine_graph::{Comparison, ElementKind, Extent, Interpolation, Op, Padding, Pool, ValueId};

use super::importer::{Attributes, Importer, Operand};
use super::layers::{Read, Windows, fixed, lengths, needs};

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
