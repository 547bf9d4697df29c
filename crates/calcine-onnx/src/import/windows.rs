//! Windows along spatial axes: kernels, strides, dilations and padding of convolutions and pools.

use calcine_graph::Extent;

use super::importer::{Attributes, Reason};

pub(super) fn lengths(values: &[i64], what: &str) -> Result<Vec<usize>, Reason> {
    let lengths = values.iter().map(|&value| usize::try_from(value).ok());
    let lengths: Option<Vec<usize>> = lengths.collect();
    lengths.ok_or_else(|| format!("{what} of {values:?}; valid are numbers that are not negative"))
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
    pub(super) fn of_gradient(
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
    pub(super) fn fit_output(
        &mut self,
        a: &Attributes<'_, '_>,
        sizes: &[Extent],
        extra: &mut [usize],
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
            // Places beyond the last window have none of its products.
            extra[at] = extra[at].saturating_add(wanted.saturating_sub(whole));
            let total = whole.saturating_sub(wanted);
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
