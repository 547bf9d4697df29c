//! How a step is computed.

use calcine_kernels::{AddCodes, AddFloats, Buffer, Isa, Plane};

use super::{Border, Memory, Shape, Step, Work};
use crate::form::nearest;
use crate::plain::{self, Operand};

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers of 8 bits"
)]
pub(super) fn code(nearest: f32, zero: i32) -> u8 {
    (nearest as i32 + zero) as u8
}

impl Step {
    /// Computes the step.
    #[allow(clippy::too_many_lines, reason = "a kind of work each")]
    pub(crate) fn run(&self, isa: Isa, memory: &Memory<'_>, out: &mut Buffer) {
        let samples = self.samples;
        let codes = |at: usize| memory.codes(self.reads[at]);
        let floats = |at: usize| memory.floats(self.reads[at]);
        match &self.work {
            Work::CodeLayer {
                layer,
                rescale,
                sum,
            } => {
                let add = sum.as_ref().map(|sum| AddCodes {
                    other: codes(1),
                    plane: &sum.plane,
                    other_zero: sum.other_zero,
                    factors: sum.factors,
                    ends: sum.ends,
                    zero: sum.zero,
                });
                layer.run_codes(isa, samples, codes(0), rescale, add, out.bytes_mut());
            }
            Work::CodeLayerToFloats { layer, rescale } => {
                layer.run_floats(isa, samples, codes(0), rescale, out.floats_mut());
            }
            Work::FloatLayer { layer, ends, sum } => {
                let add = sum.as_ref().map(|plane| AddFloats {
                    other: floats(1),
                    plane,
                });
                layer.run(isa, samples, floats(0), *ends, add, out.floats_mut());
            }
            Work::ToCodes {
                image,
                scale,
                ends,
                zero,
            } => {
                let (x, y) = (floats(0), out.bytes_mut());
                image.each_line(samples, |line| {
                    let [from, to] = line.steps;
                    for at in 0..line.length {
                        let x = x[line.plain + at * from];
                        let x = scale.map_or(x, |scale| x / scale);
                        y[line.image + at * to] = code(nearest(x, *ends), *zero);
                    }
                });
            }
            Work::ToFloats(image) => {
                let (x, y) = (floats(0), out.floats_mut());
                image.each_line(samples, |line| {
                    let [from, to] = line.steps;
                    for at in 0..line.length {
                        y[line.image + at * to] = x[line.plain + at * from];
                    }
                });
            }
            Work::CodesToPlain { image, zero } => {
                let (x, y) = (codes(0), out.floats_mut());
                image.each_line(samples, |line| {
                    let [to, from] = line.steps;
                    for at in 0..line.length {
                        #[allow(clippy::cast_precision_loss, reason = "of 9 bits")]
                        let whole = (i32::from(x[line.image + at * from]) - zero) as f32;
                        y[line.plain + at * to] = whole;
                    }
                });
            }
            Work::FloatsToPlain(image) => {
                let (x, y) = (floats(0), out.floats_mut());
                image.each_line(samples, |line| {
                    let [to, from] = line.steps;
                    for at in 0..line.length {
                        y[line.plain + at * to] = x[line.image + at * from];
                    }
                });
            }
            Work::Scale(scale) => {
                for (y, x) in out.floats_mut().iter_mut().zip(floats(0)) {
                    *y = x * scale;
                }
            }
            Work::Quantize { scale, ends } => {
                for (y, x) in out.floats_mut().iter_mut().zip(floats(0)) {
                    *y = nearest(x / scale, *ends);
                }
            }
            Work::QuantizeImage {
                from,
                to,
                scale,
                ends,
                zero,
            } => {
                let (x, y) = (floats(0), out.bytes_mut());
                each_position(samples, &[&from.plane, &to.plane], |at| {
                    for channel in 0..to.plane.channels {
                        let whole = nearest(x[at[0] + channel] / scale, *ends);
                        y[at[1] + channel] = code(whole, *zero);
                    }
                });
            }
            Work::Table { table, from, to } => {
                let (x, y) = (codes(0), out.bytes_mut());
                each_position(samples, &[&from.plane, &to.plane], |at| {
                    let pitch = to.plane.channels;
                    for (y, x) in y[at[1]..][..pitch].iter_mut().zip(&x[at[0]..][..pitch]) {
                        *y = table[usize::from(*x)];
                    }
                });
            }
            Work::AddCodes {
                from,
                to,
                zeros,
                factors,
                ends,
                zero,
            } => {
                let (a, b, y) = (codes(0), codes(1), out.bytes_mut());
                let planes = [&from[0].plane, &from[1].plane, &to.plane];
                each_position(samples, &planes, |at| {
                    let channels = to.plane.channels;
                    let (a, b) = (&a[at[0]..][..channels], &b[at[1]..][..channels]);
                    let y = &mut y[at[2]..][..channels];
                    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                        #[allow(clippy::cast_precision_loss, reason = "of 9 bits")]
                        let [a, b] = [
                            (i32::from(*a) - zeros[0]) as f32,
                            (i32::from(*b) - zeros[1]) as f32,
                        ];
                        *y = code(nearest(a * factors[0] + b * factors[1], *ends), *zero);
                    }
                });
            }
            Work::MapFloats { op, from, to } => {
                let (x, y) = (floats(0), out.floats_mut());
                let channels = to.plane.channels;
                each_position(samples, &[&from.plane, &to.plane], |at| {
                    let own = [channels];
                    let x = Operand {
                        numbers: &x[at[0]..][..channels],
                        shape: &own,
                    };
                    plain::evaluate(op, &[x], &mut y[at[1]..][..channels], &own, samples);
                });
            }
            Work::AddFloats { from, to, ends } => {
                let (a, b, y) = (floats(0), floats(1), out.floats_mut());
                let planes = [&from[0].plane, &from[1].plane, &to.plane];
                each_position(samples, &planes, |at| {
                    let channels = to.plane.channels;
                    let (a, b) = (&a[at[0]..][..channels], &b[at[1]..][..channels]);
                    let y = &mut y[at[2]..][..channels];
                    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                        *y = (a + b).max(ends[0]).min(ends[1]);
                    }
                });
            }
            Work::Pool { pool, from, to, of } => {
                self.pool(samples, pool, [from, to], *of, memory, out);
            }
            Work::ConcatCodes { from, to } => {
                let y = out.bytes_mut();
                let mut first = 0;
                for (at, (image, table)) in from.iter().enumerate() {
                    let x = codes(at);
                    let channels = image.plane.channels;
                    each_position(samples, &[&image.plane, &to.plane], |at| {
                        let y = &mut y[at[1] + first..][..channels];
                        for (y, x) in y.iter_mut().zip(&x[at[0]..][..channels]) {
                            *y = table[usize::from(*x)];
                        }
                    });
                    first += channels;
                }
            }
            Work::ConcatFloats { from, to } => {
                let y = out.floats_mut();
                let mut first = 0;
                for (at, image) in from.iter().enumerate() {
                    let x = floats(at);
                    let channels = image.plane.channels;
                    each_position(samples, &[&image.plane, &to.plane], |at| {
                        let x = &x[at[0]..][..channels];
                        y[at[1] + first..][..channels].copy_from_slice(x);
                    });
                    first += channels;
                }
            }
            Work::Plain {
                op,
                shapes,
                shape,
                batch,
            } => {
                let operands = self.operands(shapes, memory);
                let count = shape.iter().product();
                let y = &mut out.floats_mut()[..count];
                plain::evaluate(op, &operands, y, shape, *batch);
            }
            Work::Whole {
                whole,
                shapes,
                shape,
            } => {
                let operands = self.operands(shapes, memory);
                let count = shape.iter().product();
                let y = &mut out.floats_mut()[..count];
                crate::whole::evaluate(whole, &operands, y, shape);
            }
        }
        match self.border {
            Some(Border::Codes(plane, zero)) => plane.fill_border(samples, zero, out.bytes_mut()),
            Some(Border::Floats(plane)) => plane.fill_border(samples, 0.0, out.floats_mut()),
            None => {}
        }
    }

    fn operands<'a>(&self, shapes: &'a [Shape], memory: &Memory<'a>) -> Vec<Operand<'a>> {
        let reads = self.reads.iter().zip(shapes);
        let operands = reads.map(|(place, shape)| Operand {
            numbers: &memory.floats(*place)[..shape.iter().product()],
            shape,
        });
        operands.collect()
    }
}

/// Calls a function with where each position is in planes of the same height and width.
fn each_position<const N: usize>(
    samples: usize,
    planes: &[&Plane; N],
    mut visit: impl FnMut([usize; N]),
) {
    let Some(first) = planes.first() else { return };
    for sample in 0..samples {
        for row in 0..first.height {
            let mut at = planes.map(|plane| plane.at(sample, row, 0));
            for _ in 0..first.width {
                visit(at);
                for (at, plane) in at.iter_mut().zip(planes) {
                    *at += plane.pitch;
                }
            }
        }
    }
}
