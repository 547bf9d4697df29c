//! Executes a step.

use calcine_kernels::{AddCodes, AddFloats, Buffer, Isa, Plane, look_up};

use super::{Border, Combination, Memory, Shape, Step, Work};
use crate::form::{Image, decode, nearest};
use crate::plain::{self, Operand};
use crate::whole;

impl Step {
    /// Executes the step.
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
                let (x, y, range) = (floats(0), out.bytes_mut(), *range);
                match *scale {
                    Some(scale) => {
                        image.copy_from_plain(isa, samples, x, y, move |x| range.encode(x / scale));
                    }
                    None => image.copy_from_plain(isa, samples, x, y, move |x| range.encode(x)),
                }
            }
            Work::ToFloats(image) => {
                image.copy_from_plain(isa, samples, floats(0), out.floats_mut(), |x| x);
            }
            Work::CodesToPlain { image, zero } => {
                let zero = *zero;
                let decode = move |code| decode(code, zero);
                image.copy_to_plain(isa, samples, codes(0), out.floats_mut(), decode);
            }
            Work::FloatsToPlain(image) => {
                image.copy_to_plain(isa, samples, floats(0), out.floats_mut(), |x| x);
            }
            Work::Scale(scale) => {
                let (x, y) = (floats(0), &mut out.floats_mut()[..self.bytes / 4]);
                let scale = *scale;
                each_float(isa, x, y, move |x| x * scale);
            }
            Work::Quantize { scale, ends } => {
                let (x, y) = (floats(0), &mut out.floats_mut()[..self.bytes / 4]);
                let (scale, ends) = (*scale, *ends);
                each_float(isa, x, y, move |x| nearest(x / scale, ends));
            }
            Work::QuantizeImage {
                from,
                to,
                scale,
                range,
            } => {
                let (scale, range) = (*scale, *range);
                let (x, y) = (floats(0), out.bytes_mut());
                isa.vectorize(
                    #[inline(always)]
                    move || {
                        each_pair(
                            [from, to],
                            samples,
                            x,
                            y,
                            #[inline(always)]
                            |x, y| {
                                for (y, x) in y.iter_mut().zip(x) {
                                    *y = range.encode(x / scale);
                                }
                            },
                        );
                    },
                );
            }
            Work::Table { table, from, to } => {
                each_pair([from, to], samples, codes(0), out.bytes_mut(), |x, y| {
                    look_up(isa, table, x, y);
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
                let [a, b] = [codes(0), codes(1)];
                let (zeros, factors, range) = (*zeros, *factors, *range);
                combine(
                    isa,
                    images,
                    samples,
                    [a, b],
                    out.bytes_mut(),
                    move |a, b| {
                        let [a, b] = [decode(a, zeros[0]), decode(b, zeros[1])];
                        range.encode(a * factors[0] + b * factors[1])
                    },
                );
            }
            Work::MultiplyCodes {
                from,
                to,
                zeros,
                factor,
                range,
            } => {
                let images = [&from[0], &from[1], to];
                let [a, b] = [codes(0), codes(1)];
                let (zeros, factor, range) = (*zeros, *factor, *range);
                combine(
                    isa,
                    images,
                    samples,
                    [a, b],
                    out.bytes_mut(),
                    move |a, b| range.encode(decode(a, zeros[0]) * decode(b, zeros[1]) * factor),
                );
            }
            Work::MapFloats { op, gate, from, to } => {
                each_pair([from, to], samples, floats(0), out.floats_mut(), |x, y| {
                    let shape = [x.len()];
                    let operand = Operand {
                        numbers: x,
                        shape: &shape,
                    };
                    plain::evaluate(isa, op, &[operand], y, &shape, samples);
                    if *gate {
                        isa.vectorize(
                            #[inline(always)]
                            || {
                                for (y, x) in y.iter_mut().zip(x) {
                                    *y *= x;
                                }
                            },
                        );
                    }
                });
            }
            Work::CombineFloats {
                operation,
                from,
                to,
            } => {
                let images = [&from[0], &from[1], to];
                let x = [floats(0), floats(1)];
                let y = out.floats_mut();
                match operation {
                    Combination::Add => combine(isa, images, samples, x, y, |a, b| a + b),
                    Combination::Subtract => combine(isa, images, samples, x, y, |a, b| a - b),
                    Combination::Multiply => combine(isa, images, samples, x, y, |a, b| a * b),
                    Combination::Divide => combine(isa, images, samples, x, y, |a, b| a / b),
                }
            }
            Work::Pool { pool, from, to, of } => {
                self.pool(isa, samples, pool, [from, to], *of, memory, out);
            }
            Work::ConcatCodes { from, to } => {
                let mut first = 0;
                for (at, (image, table)) in from.iter().enumerate() {
                    let y = &mut out.bytes_mut()[first..];
                    each_pair([image, to], samples, codes(at), y, |x, y| {
                        look_up(isa, table, x, y);
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
        move || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = function(*x);
            }
        },
    );
}

/// Calls a function with the numbers of the first images and those of the second images at the same positions.
#[inline(always)]
fn each_pair<X, Y>(
    [from, to]: [&Image; 2],
    samples: usize,
    x: &[X],
    y: &mut [Y],
    mut visit: impl FnMut(&[X], &mut [Y]),
) {
    let channels = from.plane.channels;
    let planes = [&from.plane, &to.plane];
    each_run(samples, channels, &planes, |[x_at, y_at], length| {
        visit(&x[x_at..][..length], &mut y[y_at..][..length]);
    });
}

/// Computes each number of the third images from the numbers of the first two at the same position.
#[inline(always)]
fn combine<X: Copy, Y>(
    isa: Isa,
    [a, b, to]: [&Image; 3],
    samples: usize,
    x: [&[X]; 2],
    y: &mut [Y],
    result: impl Fn(X, X) -> Y,
) {
    let channels = to.plane.channels;
    let planes = [&to.plane, &a.plane, &b.plane];
    isa.vectorize(
        #[inline(always)]
        move || {
            each_run(
                samples,
                channels,
                &planes,
                #[inline(always)]
                |[at, a, b], length| {
                    let (a, b) = (&x[0][a..][..length], &x[1][b..][..length]);
                    for (y, (a, b)) in y[at..][..length].iter_mut().zip(a.iter().zip(b)) {
                        *y = result(*a, *b);
                    }
                },
            );
        },
    );
}

/// Calls a function with the offset of each run of contiguous numbers in every plane, and the length of the run. A run
/// is the channels of a position, or of a row if the planes have no padding. Planes of height and width 1 are repeated.
#[inline(always)]
fn each_run<const N: usize>(
    samples: usize,
    channels: usize,
    planes: &[&Plane; N],
    mut visit: impl FnMut([usize; N], usize),
) {
    let Some(first) = planes.first() else { return };
    let is_repeated = |plane: &Plane| (plane.height, plane.width) != (first.height, first.width);
    let joined = planes
        .iter()
        .all(|plane| plane.pitch == channels && !is_repeated(plane));
    let (columns, length) = match joined {
        true => (1, first.width * channels),
        false => (first.width, channels),
    };
    let steps = planes.map(|plane| if is_repeated(plane) { 0 } else { plane.pitch });
    for sample in 0..samples {
        for row in 0..first.height {
            let mut at = planes.map(|plane| {
                let row = if is_repeated(plane) { 0 } else { row };
                plane.index(sample, row, 0)
            });
            for _ in 0..columns {
                visit(at, length);
                for (at, step) in at.iter_mut().zip(&steps) {
                    *at += step;
                }
            }
        }
    }
}
