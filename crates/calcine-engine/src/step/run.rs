//! How a step is computed.

use calcine_kernels::{AddCodes, AddFloats, Buffer, Isa, Plane};

use super::{Border, Memory, Shape, Step, Work};
use crate::form::{Image, decode, nearest};
use crate::plain::{self, Operand};
use crate::whole;

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
                    ends: sum.range.ends,
                    zero: sum.range.zero,
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
                range,
            } => {
                let (x, y) = (floats(0), out.bytes_mut());
                match *scale {
                    Some(scale) => {
                        image.copy_from_plain(isa, samples, x, y, |x| range.encode(x / scale));
                    }
                    None => image.copy_from_plain(isa, samples, x, y, |x| range.encode(x)),
                }
            }
            Work::ToFloats(image) => {
                image.copy_from_plain(isa, samples, floats(0), out.floats_mut(), |x| x);
            }
            Work::CodesToPlain { image, zero } => {
                let decode = |code| decode(code, *zero);
                image.copy_to_plain(isa, samples, codes(0), out.floats_mut(), decode);
            }
            Work::FloatsToPlain(image) => {
                image.copy_to_plain(isa, samples, floats(0), out.floats_mut(), |x| x);
            }
            Work::Scale(scale) => {
                let (x, y) = (floats(0), &mut out.floats_mut()[..self.bytes / 4]);
                each_float(isa, x, y, |x| x * scale);
            }
            Work::Quantize { scale, ends } => {
                let (x, y) = (floats(0), &mut out.floats_mut()[..self.bytes / 4]);
                each_float(isa, x, y, |x| nearest(x / scale, *ends));
            }
            Work::QuantizeImage {
                from,
                to,
                scale,
                range,
            } => each_pair([from, to], samples, floats(0), out.bytes_mut(), |x, y| {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = range.encode(x / scale);
                }
            }),
            Work::Table { table, from, to } => {
                each_pair([from, to], samples, codes(0), out.bytes_mut(), |x, y| {
                    look_up(table, x, y);
                });
            }
            Work::AddCodes {
                from,
                to,
                zeros,
                factors,
                range,
            } => {
                let images = [&from[0], &from[1], to];
                combine(
                    images,
                    samples,
                    [codes(0), codes(1)],
                    out.bytes_mut(),
                    |a, b| {
                        let [a, b] = [decode(a, zeros[0]), decode(b, zeros[1])];
                        range.encode(a * factors[0] + b * factors[1])
                    },
                );
            }
            Work::MapFloats { op, from, to } => {
                each_pair([from, to], samples, floats(0), out.floats_mut(), |x, y| {
                    let shape = [x.len()];
                    let x = Operand {
                        numbers: x,
                        shape: &shape,
                    };
                    plain::evaluate(isa, op, &[x], y, &shape, samples);
                });
            }
            Work::AddFloats { from, to, ends } => {
                let images = [&from[0], &from[1], to];
                combine(
                    images,
                    samples,
                    [floats(0), floats(1)],
                    out.floats_mut(),
                    |a, b| (a + b).max(ends[0]).min(ends[1]),
                );
            }
            Work::Pool { pool, from, to, of } => {
                self.pool(samples, pool, [from, to], *of, memory, out);
            }
            Work::ConcatCodes { from, to } => {
                let mut first = 0;
                for (at, (image, table)) in from.iter().enumerate() {
                    let y = &mut out.bytes_mut()[first..];
                    each_pair([image, to], samples, codes(at), y, |x, y| {
                        look_up(table, x, y);
                    });
                    first += image.plane.channels;
                }
            }
            Work::ConcatFloats { from, to } => {
                let mut first = 0;
                for (at, image) in from.iter().enumerate() {
                    let y = &mut out.floats_mut()[first..];
                    each_pair([image, to], samples, floats(at), y, |x, y| {
                        y.copy_from_slice(x);
                    });
                    first += image.plane.channels;
                }
            }
            Work::Plain {
                op,
                shapes,
                shape,
                batch,
            } => {
                let operands = self.operands(shapes, memory);
                let y = &mut out.floats_mut()[..shape.iter().product()];
                plain::evaluate(isa, op, &operands, y, shape, *batch);
            }
            Work::PackMatrices(sizes) => {
                let count: usize = self.bytes / 4;
                whole::pack(*sizes, floats(0), &mut out.floats_mut()[..count]);
            }
            Work::Matmul(matmul) => {
                let y = &mut out.floats_mut()[..self.bytes / 4];
                whole::multiply(isa, matmul, [floats(0), floats(1)], y);
            }
            Work::Whole {
                whole,
                shapes,
                shape,
            } => {
                let operands = self.operands(shapes, memory);
                let y = &mut out.floats_mut()[..shape.iter().product()];
                whole::evaluate(isa, whole, &operands, y, shape);
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

/// Computes a function of each of the first numbers.
#[inline(always)]
fn each_float(isa: Isa, x: &[f32], y: &mut [f32], function: impl Fn(f32) -> f32) {
    isa.vectorize(
        #[inline(always)]
        || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = function(*x);
            }
        },
    );
}

fn look_up(table: &[u8; 256], x: &[u8], y: &mut [u8]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = table[usize::from(*x)];
    }
}

/// Calls a function with the channels of each position of the first images, and as many of the second ones.
fn each_pair<X, Y>(
    [from, to]: [&Image; 2],
    samples: usize,
    x: &[X],
    y: &mut [Y],
    mut visit: impl FnMut(&[X], &mut [Y]),
) {
    let channels = from.plane.channels;
    each_position(samples, &[&from.plane, &to.plane], |[x_at, y_at]| {
        visit(&x[x_at..][..channels], &mut y[y_at..][..channels]);
    });
}

/// Computes each number of the third images from the numbers of the first two at the same position.
fn combine<X: Copy, Y>(
    [a, b, to]: [&Image; 3],
    samples: usize,
    x: [&[X]; 2],
    y: &mut [Y],
    result: impl Fn(X, X) -> Y,
) {
    let channels = to.plane.channels;
    each_position(samples, &[&a.plane, &b.plane, &to.plane], |[a, b, at]| {
        let (a, b) = (&x[0][a..][..channels], &x[1][b..][..channels]);
        for (y, (a, b)) in y[at..][..channels].iter_mut().zip(a.iter().zip(b)) {
            *y = result(*a, *b);
        }
    });
}

/// Calls a function with the index of each position in planes of the same height and width.
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
