//! Resizing: by Burn's interpolation if it computes the same, otherwise by a matrix product for each axis.

use std::rc::Rc;

use calcine_graph::{ElementKind, Extent, Interpolation, Op, ValueId};

use super::host::{Elements, Host, Number};
use super::importer::{Attributes, Importer, Operand, Reason, axis_of};
use super::layers::{Read, needs};
use super::windows::fixed;

/// How positions of the output are mapped to positions of the input.
#[derive(Clone, Copy, PartialEq)]
enum Places {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixel,
    TfCrop,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest(Nearest),
    Linear,
    Cubic { a: f64 },
}

#[derive(Clone, Copy, PartialEq)]
enum Nearest {
    Floor,
    Ceil,
    PreferFloor,
    PreferCeil,
}

#[derive(Clone, Copy)]
struct Settings {
    places: Places,
    mode: Mode,
    antialias: bool,
    exclude_outside: bool,
    extrapolation: f64,
}

/// An axis that is resized.
struct Axis {
    axis: usize,
    from: usize,
    to: usize,
    scale: f64,
    crop: [f64; 2],
}

impl Axis {
    #[allow(clippy::cast_precision_loss, reason = "sizes of images")]
    fn place(&self, at: usize, places: Places) -> f64 {
        let (x, from, to) = (at as f64, self.from as f64, self.to as f64);
        match places {
            Places::HalfPixel => (x + 0.5) / self.scale - 0.5,
            Places::HalfPixelSymmetric => {
                let adjustment = to / (self.scale * from);
                from / 2.0 * (1.0 - adjustment) + (x + 0.5) / self.scale - 0.5
            }
            Places::PytorchHalfPixel if self.to > 1 => (x + 0.5) / self.scale - 0.5,
            // The length of the output is the length of the input times the scale, which need not be an integer.
            Places::AlignCorners if self.to > 1 => x * (from - 1.0) / (self.scale * from - 1.0),
            Places::PytorchHalfPixel | Places::AlignCorners => 0.0,
            Places::Asymmetric => x / self.scale,
            Places::TfHalfPixel => (x + 0.5) / self.scale,
            Places::TfCrop => {
                let [start, end] = self.crop;
                match self.to > 1 {
                    true => start * (from - 1.0) + x * (end - start) * (from - 1.0) / (to - 1.0),
                    false => 0.5 * (start + end) * (from - 1.0),
                }
            }
        }
    }

    /// The elements of the input that an element of the output is computed from, with their weights.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "places of an image"
    )]
    fn taps(&self, place: f64, settings: Settings) -> Vec<(usize, f64)> {
        let last = self.from as i64 - 1;
        let inside = |at: i64| at.clamp(0, last) as usize;
        let scale = match settings.antialias {
            true => self.scale.min(1.0),
            false => 1.0,
        };
        let kernel = |x: f64| match settings.mode {
            Mode::Nearest(_) => 0.0,
            Mode::Linear => (1.0 - x).max(0.0),
            Mode::Cubic { a } if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            Mode::Cubic { a } if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            Mode::Cubic { .. } => 0.0,
        };
        let reach = match settings.mode {
            Mode::Nearest(how) => {
                let at = match how {
                    Nearest::Floor => place.floor(),
                    Nearest::Ceil => place.ceil(),
                    Nearest::PreferFloor => (place - 0.5).ceil(),
                    Nearest::PreferCeil => (place + 0.5).floor(),
                };
                return vec![(inside(at as i64), 1.0)];
            }
            Mode::Linear => 1.0,
            Mode::Cubic { .. } => 2.0,
        } / scale;
        let (first, end) = (
            (place - reach).floor() as i64,
            (place + reach).ceil() as i64,
        );
        let mut taps: Vec<(usize, f64)> = Vec::new();
        for at in first..=end {
            let share = kernel((at as f64 - place).abs() * scale);
            let outside = at < 0 || at > last;
            if share != 0.0 && !(outside && settings.exclude_outside) {
                taps.push((inside(at), share));
            }
        }
        if settings.antialias || settings.exclude_outside {
            let sum: f64 = taps.iter().map(|(_, share)| share).sum();
            taps.iter_mut().for_each(|(_, share)| *share /= sum);
        }
        taps
    }
}

impl Importer {
    pub(crate) fn resize(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        upsample: bool,
    ) -> Read {
        let input = self.value(&needs(x, 0)?)?;
        let shape = self.shape(input);
        let old = upsample || self.opset < 11;
        let settings = self.resize_settings(a, old)?;
        let axes = self.resized_axes(a, x, &shape, old)?;
        let changed: Vec<&Axis> = axes
            .iter()
            .filter(|axis| axis.from != axis.to || settings.places == Places::TfCrop)
            .collect();
        if changed.iter().any(|axis| axis.to == 0 || axis.from == 0) {
            return Err("a size of 0".to_owned());
        }
        if changed.is_empty() {
            return Ok(input);
        }
        if self.kind(input) != ElementKind::Float && !matches!(settings.mode, Mode::Nearest(_)) {
            return Err("interpolation between integers; valid is the mode nearest".to_owned());
        }
        if let Some((mode, align_corners)) = usual(&shape, &changed, settings)
            && self.kind(input) == ElementKind::Float
        {
            let mut output = shape;
            for axis in &changed {
                output[axis.axis] = axis.to.into();
            }
            let op = Op::Interpolate {
                mode,
                align_corners,
            };
            return Ok(self.push(op, vec![input], output, ElementKind::Float));
        }
        let mut value = input;
        for axis in &changed {
            value = self.resized(value, axis, settings)?;
        }
        if settings.places == Places::TfCrop {
            for axis in &changed {
                #[allow(clippy::cast_precision_loss, reason = "sizes of images")]
                let outside = (0..axis.to).map(|at| {
                    let place = axis.place(at, settings.places);
                    place < 0.0 || place > axis.from as f64 - 1.0
                });
                let outside: Vec<bool> = outside.collect();
                if outside.contains(&true) {
                    let mut lengths = vec![1; shape.len()];
                    lengths[axis.axis] = axis.to;
                    let mask = self.made(Host::bools(lengths, outside))?;
                    value = self.with_number_where(value, mask, settings.extrapolation)?;
                }
            }
        }
        Ok(value)
    }

    fn resize_settings(&self, a: &Attributes<'_, '_>, old: bool) -> Result<Settings, Reason> {
        let default = if old { "asymmetric" } else { "half_pixel" };
        let places = match a.text("coordinate_transformation_mode", default)?.as_str() {
            "half_pixel" => Places::HalfPixel,
            "half_pixel_symmetric" => Places::HalfPixelSymmetric,
            "pytorch_half_pixel" => Places::PytorchHalfPixel,
            "align_corners" => Places::AlignCorners,
            "asymmetric" => Places::Asymmetric,
            "tf_half_pixel_for_nn" => Places::TfHalfPixel,
            "tf_crop_and_resize" => Places::TfCrop,
            other => return Err(format!("coordinate_transformation_mode `{other}`")),
        };
        let rounding = a.text(
            "nearest_mode",
            if old { "floor" } else { "round_prefer_floor" },
        )?;
        let mode = match a.text("mode", "nearest")?.as_str() {
            "nearest" => Mode::Nearest(match rounding.as_str() {
                "floor" => Nearest::Floor,
                "ceil" => Nearest::Ceil,
                "round_prefer_floor" => Nearest::PreferFloor,
                "round_prefer_ceil" => Nearest::PreferCeil,
                other => return Err(format!("nearest_mode `{other}`")),
            }),
            "linear" | "bilinear" => Mode::Linear,
            "cubic" => Mode::Cubic {
                a: a.float("cubic_coeff_a", -0.75)?,
            },
            other => {
                return Err(format!(
                    "mode `{other}`; valid are nearest, linear and cubic"
                ));
            }
        };
        Ok(Settings {
            places,
            mode,
            antialias: a.int("antialias", 0)? != 0,
            exclude_outside: a.int("exclude_outside", 0)? != 0,
            extrapolation: a.float("extrapolation_value", 0.0)?,
        })
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "sizes of images, and casts saturate"
    )]
    fn resized_axes(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        shape: &[Extent],
        old: bool,
    ) -> Result<Vec<Axis>, Reason> {
        let (crop_at, scales_at, sizes_at) = if old { (9, 1, 9) } else { (1, 2, 3) };
        let host = |at: usize| match x.get(at) {
            Some(Some(Operand::Host(host))) if host.len() > 0 => Ok(Some(Rc::clone(host))),
            Some(Some(Operand::Value(_))) => Err("sizes or scales that are computed".to_owned()),
            _ => Ok(None),
        };
        let own = a.ints("axes")?;
        let floats = |host: &Host| match &host.elements {
            Elements::Floats(values) => Ok(values.iter().map(|x| f64::from(*x)).collect()),
            _ => Err("scales that are not floats".to_owned()),
        };
        let mut sizes = host(sizes_at)?
            .map(|host| {
                host.numbers()
                    .map(<[Number]>::to_vec)
                    .ok_or("sizes that are not integers")
            })
            .transpose()?;
        let scales: Option<Vec<f64>> = match (host(scales_at), a.0.attribute("scales")) {
            _ if sizes.is_some() => None,
            (Ok(Some(scales)), _) => Some(floats(&scales)?),
            (_, Some(crate::proto::AttributeValue::Floats(values))) => {
                Some(values.iter().map(|x| f64::from(*x)).collect())
            }
            (Err(reason), _) => return Err(reason),
            _ => return Err("no sizes and no scales".to_owned()),
        };
        let count = sizes
            .as_ref()
            .map(Vec::len)
            .or(scales.as_ref().map(Vec::len));
        let count = count.unwrap_or(0);
        let axes: Vec<usize> = match own {
            Some(axes) => axes
                .iter()
                .map(|&axis| axis_of(axis, shape.len()))
                .collect::<Result<_, _>>()?,
            None => (0..shape.len()).collect(),
        };
        if axes.len() != count {
            return Err(format!("{count} sizes or scales for {} axes", axes.len()));
        }
        let crop = match host(crop_at)? {
            Some(crop) if crop.len() == 2 * count => Some(floats(&crop)?),
            _ => None,
        };
        let mut found = Vec::new();
        for (at, &axis) in axes.iter().enumerate() {
            let crop = match &crop {
                Some(crop) => [crop[at], crop[at + count]],
                None => [0.0, 1.0],
            };
            let unchanged = match (&sizes, &scales) {
                (Some(sizes), _) => {
                    let own = super::importer::number(shape[axis]);
                    sizes[at] == own
                        || axis == 0 && sizes[at].known() == self.fixed_batch.map(|b| b as i64)
                }
                (_, Some(scales)) => scales[at] == 1.0,
                _ => true,
            };
            if unchanged && (crop == [0.0, 1.0] || !shape[axis].is_fixed()) {
                continue;
            }
            let from = fixed(shape[axis])?;
            let (to, scale) = match (&mut sizes, &scales) {
                (Some(sizes), _) => {
                    let to = sizes[at].known().and_then(|to| usize::try_from(to).ok());
                    let to = to.ok_or("sizes that change with the batch")?;
                    (to, to as f64 / from.max(1) as f64)
                }
                (_, Some(scales)) => ((from as f64 * scales[at]).floor() as usize, scales[at]),
                _ => (from, 1.0),
            };
            found.push(Axis {
                axis,
                from,
                to,
                scale,
                crop,
            });
        }
        let policy = a.text("keep_aspect_ratio_policy", "stretch")?;
        if policy != "stretch" && sizes.is_some() {
            let scales = found.iter().map(|axis| axis.scale);
            let scale = match policy.as_str() {
                "not_larger" => scales.fold(f64::INFINITY, f64::min),
                "not_smaller" => scales.fold(0.0, f64::max),
                other => return Err(format!("keep_aspect_ratio_policy `{other}`")),
            };
            for axis in &mut found {
                axis.scale = scale;
                axis.to = (scale * axis.from as f64 + 0.5).floor() as usize;
            }
        }
        Ok(found)
    }

    fn resized(&mut self, x: ValueId, axis: &Axis, settings: Settings) -> Read {
        let mut shape = self.shape(x);
        let kind = self.kind(x);
        let rank = shape.len();
        let at = axis.axis;
        shape[at] = axis.to.into();
        let each = (0..axis.to).map(|to| axis.taps(axis.place(to, settings.places), settings));
        if let Mode::Nearest(_) = settings.mode {
            let rows = each.map(|taps| Number::fixed(i64::try_from(taps[0].0).unwrap_or(i64::MAX)));
            let rows = Host::ints(vec![axis.to], rows.collect());
            let rows = self.made(rows)?;
            return Ok(self.push(Op::Select(at), vec![x, rows], shape, kind));
        }
        let count = axis.from as u128 * axis.to as u128;
        self.spend(count)?;
        // `[from, to]`, or `[to, from]` where the product is from the left.
        let left = rank >= 2 && at + 2 == rank;
        let mut matrix = vec![0.0_f32; axis.from * axis.to];
        for (to, taps) in each.enumerate() {
            for (from, share) in taps {
                let place = match left {
                    true => to * axis.from + from,
                    false => from * axis.to + to,
                };
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "networks are of 32-bit floats"
                )]
                let share = share as f32;
                matrix[place] += share;
            }
        }
        let mut lengths = vec![1; rank.max(2)];
        let last = lengths.len() - 1;
        (lengths[last - 1], lengths[last]) = match left {
            true => (axis.to, axis.from),
            false => (axis.from, axis.to),
        };
        let matrix = self.made(Host::floats(lengths, matrix))?;
        if rank == 1 {
            let row = self.reshaped(x, vec![1.into(), axis.from.into()]);
            let product = vec![1.into(), axis.to.into()];
            let product = self.push(Op::Matmul, vec![row, matrix], product, kind);
            return Ok(self.reshaped(product, shape));
        }
        if left {
            return Ok(self.push(Op::Matmul, vec![matrix, x], shape, kind));
        }
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(at, rank - 1);
        let turned = self.permuted(x, &order);
        let mut product = self.shape(turned);
        product[rank - 1] = axis.to.into();
        let product = self.push(Op::Matmul, vec![turned, matrix], product, kind);
        Ok(self.permuted(product, &order))
    }
}

/// The mode of Burn that computes the same, if there is one. Burn interpolates the last two of four axes.
fn usual(shape: &[Extent], changed: &[&Axis], s: Settings) -> Option<(Interpolation, bool)> {
    let spatial = shape.len() == 4 && changed.iter().all(|axis| axis.axis >= 2);
    if !spatial || s.antialias || s.exclude_outside {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "sizes of images")]
    let exact = changed
        .iter()
        .all(|axis| (axis.scale * axis.from as f64 - axis.to as f64).abs() < 1e-6);
    let whole = changed.iter().all(|axis| axis.to.is_multiple_of(axis.from));
    let half = s.places == Places::HalfPixel
        || s.places == Places::PytorchHalfPixel && changed.iter().all(|axis| axis.to > 1);
    match s.mode {
        Mode::Nearest(Nearest::Floor) if exact && s.places == Places::Asymmetric => {
            Some((Interpolation::Nearest, false))
        }
        Mode::Nearest(Nearest::PreferFloor | Nearest::PreferCeil) if exact && half && whole => {
            Some((Interpolation::Nearest, false))
        }
        Mode::Linear if exact && half && changed.iter().all(|axis| axis.to > 1) => {
            Some((Interpolation::Bilinear, false))
        }
        Mode::Linear if exact && s.places == Places::AlignCorners => {
            Some((Interpolation::Bilinear, true))
        }
        Mode::Cubic { a } if (a + 0.75).abs() < 1e-6 && exact && half => {
            Some((Interpolation::Bicubic, false))
        }
        Mode::Cubic { a }
            if (a + 0.75).abs() < 1e-6 && exact && s.places == Places::AlignCorners =>
        {
            Some((Interpolation::Bicubic, true))
        }
        _ => None,
    }
}
