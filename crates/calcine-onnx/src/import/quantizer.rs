//! Quantizers of a file: scales and zero points, and the integers and floats of known tensors.

use std::rc::Rc;

use super::host::{Elements, Host, Number, strides};
use super::importer::{Importer, Operand, Reason, axis_of};
use crate::proto::data_type;

/// A quantizer of an ONNX file: `q = clamp(round(x / scale) + zero_point)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileQuantizer {
    /// One scale, one for each index of an axis, or one for each block along it.
    pub(crate) scales: Vec<f32>,
    /// The zero point of each scale.
    pub(crate) zeros: Vec<i64>,
    /// The shape of the scales.
    pub(crate) shape: Vec<usize>,
    /// The type of the integers, as ONNX's type number.
    pub(crate) data_type: i64,
    /// The axis of the scales, if there is more than one.
    pub(crate) axis: Option<usize>,
    /// The number of indices of the axis that share a scale; 0 if each index has its own.
    pub(crate) block: usize,
    /// The smallest and the largest integer, if a `Clip` narrows the range of the type.
    pub(crate) clip: Option<[i64; 2]>,
}

/// The smallest and the largest integer of an ONNX type.
pub(crate) fn bounds(kind: i64) -> Result<[i64; 2], Reason> {
    Ok(match kind {
        data_type::UINT2 => [0, 3],
        data_type::INT2 => [-2, 1],
        data_type::UINT4 => [0, 15],
        data_type::INT4 => [-8, 7],
        data_type::UINT8 => [0, 255],
        data_type::INT8 => [-128, 127],
        data_type::UINT16 => [0, 65_535],
        data_type::INT16 => [-32_768, 32_767],
        data_type::INT32 => [i32::MIN.into(), i32::MAX.into()],
        other => {
            return Err(format!(
                "codes of ONNX's type {other}; valid are integers of 2, 4, 8, 16 and 32 bits"
            ));
        }
    })
}

impl FileQuantizer {
    /// The smallest and the largest integer.
    pub(crate) fn bounds(&self) -> Result<[i64; 2], Reason> {
        match self.clip {
            Some(clip) => Ok(clip),
            None => bounds(self.data_type),
        }
    }

    /// A function from the position of an element in a tensor of this shape to the index of its scale.
    fn scale_at(&self, shape: &[usize]) -> Result<Box<dyn Fn(usize) -> usize>, Reason> {
        let Some(axis) = self.axis else {
            return Ok(Box::new(|_| 0));
        };
        let steps = strides(shape);
        let (step, length) = match (steps.get(axis), shape.get(axis)) {
            (Some(step), Some(length)) => (*step, *length),
            _ => return Err(format!("axis {axis} of a tensor of {} axes", shape.len())),
        };
        if self.block == 0 {
            return match self.scales.len() == length {
                true => Ok(Box::new(move |at| at / step % length)),
                false => Err(format!(
                    "{} scales for {length} positions",
                    self.scales.len()
                )),
            };
        }
        let blocks = length.div_ceil(self.block);
        let fits = self.shape.len() == shape.len()
            && (0..shape.len())
                .all(|at| self.shape[at] == if at == axis { blocks } else { shape[at] });
        if !fits {
            return Err(format!(
                "scales of shape {:?} for blocks of {} in {shape:?}",
                self.shape, self.block
            ));
        }
        let (own, shape, block) = (strides(&self.shape), shape.to_vec(), self.block);
        Ok(Box::new(move |at| {
            let place = |axis_at: usize| {
                let index = at / steps[axis_at] % shape[axis_at];
                if axis_at == axis {
                    index / block
                } else {
                    index
                }
            };
            (0..shape.len()).map(|at| place(at) * own[at]).sum()
        }))
    }

    /// Quantizes a known tensor.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "clamped to the type's integers"
    )]
    pub(super) fn encoded(&self, host: &Host) -> Result<Host, Reason> {
        let Elements::Floats(values) = &host.elements else {
            return Err("elements that are not floats".to_owned());
        };
        let [low, high] = self.bounds()?;
        let of = self.scale_at(&host.shape)?;
        let codes = values.iter().enumerate().map(|(at, value)| {
            let scale = of(at);
            let whole = f64::from((value / self.scales[scale]).round_ties_even());
            let code = (whole + self.zeros[scale] as f64).clamp(low as f64, high as f64);
            Number::fixed(code as i64)
        });
        Ok(Host {
            elements: Elements::Ints(codes.collect()),
            data_type: self.data_type,
            ..host.clone()
        })
    }

    /// Dequantizes a known tensor.
    pub(crate) fn decoded(&self, host: &Host) -> Result<Host, Reason> {
        let values = host.known().ok_or("elements that are not integers")?;
        let of = self.scale_at(&host.shape)?;
        let floats = values.iter().enumerate().map(|(at, value)| {
            let scale = of(at);
            #[allow(clippy::cast_precision_loss, reason = "integers of a weight")]
            let centred = value.saturating_sub(self.zeros[scale]) as f32;
            centred * self.scales[scale]
        });
        Ok(Host {
            elements: Elements::Floats(floats.collect()),
            data_type: data_type::FLOAT,
            ..host.clone()
        })
    }
}

/// The zero points of a known operand, or `count` zeros if the operand is missing.
pub(super) fn zeros_of(host: Option<&Rc<Host>>, count: usize) -> Result<Vec<i64>, Reason> {
    let zeros = match host {
        Some(host) => host.known().ok_or("a zero point that is not an integer")?,
        None => vec![0; count],
    };
    match zeros.len() {
        len if len == count => Ok(zeros),
        1 => Ok(vec![zeros[0]; count]),
        len => Err(format!("{len} zero points for {count} scales")),
    }
}

pub(super) fn known(x: &[Option<Operand>], at: usize) -> Option<Rc<Host>> {
    match x.get(at) {
        Some(Some(Operand::Host(host))) => Some(Rc::clone(host)),
        _ => None,
    }
}

impl Importer {
    /// The quantizer with the scales and zero points at these operands; `None` if they are not constant.
    pub(super) fn quantizer(
        &self,
        x: &[Option<Operand>],
        [scale, zero]: [usize; 2],
        rank: usize,
        (axis, block): (i64, i64),
        default: i64,
    ) -> Result<Option<FileQuantizer>, Reason> {
        if matches!(x.get(zero), Some(Some(Operand::Value(_)))) {
            return Ok(None);
        }
        let host = match x.get(scale) {
            Some(Some(Operand::Host(host))) => host,
            Some(Some(Operand::Value(_))) => return Ok(None),
            _ => return Err("its scale is missing".to_owned()),
        };
        let Elements::Floats(scales) = &host.elements else {
            return Err("a scale that is not of floats".to_owned());
        };
        if scales.is_empty() {
            return Err("a scale without elements".to_owned());
        }
        let zero = known(x, zero);
        let one = scales.len() == 1 && block == 0;
        Ok(Some(FileQuantizer {
            zeros: zeros_of(zero.as_ref(), scales.len())?,
            scales: scales.clone(),
            shape: host.shape.clone(),
            data_type: zero.as_ref().map_or(default, |zero| zero.data_type),
            axis: if one {
                None
            } else {
                Some(axis_of(axis, rank)?)
            },
            block: usize::try_from(block).unwrap_or(0),
            clip: None,
        }))
    }
}
