//! What a compiled network does, one after the other.

use std::sync::Arc;

use calcine_graph::Op;
use calcine_kernels::{AddCodes, AddFloats, Buffer, CodeLayer, FloatLayer, Isa, Plane, Rescale};

use crate::form::{Image, nearest};
use crate::plain::{self, Operand};

/// Where numbers are while a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// An input of the caller.
    Input(usize),
    /// A parameter or a constant.
    Constant(usize),
    /// The result of a step, by its position; later, the memory that it is given.
    Slot(usize),
}

/// A step: reads places, writes one.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The node that it belongs to.
    pub(crate) node: usize,
    pub(crate) work: Work,
    pub(crate) reads: Vec<Place>,
    pub(crate) writes: usize,
    /// Images of what it writes.
    pub(crate) samples: usize,
    /// Bytes of what it writes.
    pub(crate) bytes: usize,
    /// The border to fill, and with what.
    pub(crate) border: Option<Border>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Border {
    Codes(Plane, u8),
    Floats(Plane),
}

/// A sum that a layer of integers does with its own.
#[derive(Debug, Clone)]
pub(crate) struct CodeSum {
    pub(crate) plane: Plane,
    pub(crate) other_zero: i32,
    pub(crate) factors: [f32; 2],
    pub(crate) ends: [f32; 2],
    pub(crate) zero: i32,
}

/// A shape that is known once the batch is.
pub(crate) type Shape = Vec<usize>;

#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Integers to integers. If there is a sum, the second place is what is added.
    CodeLayer {
        layer: Arc<CodeLayer>,
        rescale: Arc<Rescale>,
        sum: Option<CodeSum>,
    },
    /// Integers to floats.
    CodeLayerToFloats {
        layer: Arc<CodeLayer>,
        rescale: Arc<Rescale>,
    },
    /// If there is a plane, the second place is what is added.
    FloatLayer {
        layer: Arc<FloatLayer>,
        ends: [f32; 2],
        sum: Option<Plane>,
    },
    /// Row-major floats to integers: `nearest(x / scale)`, or the integers themselves without a scale.
    ToCodes {
        image: Image,
        scale: Option<f32>,
        ends: [f32; 2],
        zero: i32,
    },
    /// Row-major floats to images.
    ToFloats(Image),
    /// Integers to row-major floats, less the zero point.
    CodesToPlain {
        image: Image,
        zero: i32,
    },
    /// Images to row-major floats.
    FloatsToPlain(Image),
    /// Each row-major float times a scale, or to the nearest integer.
    Scale(f32),
    Quantize {
        scale: f32,
        ends: [f32; 2],
    },
    /// Images of floats to integers of the same shape.
    QuantizeImage {
        from: Image,
        to: Image,
        scale: f32,
        ends: [f32; 2],
        zero: i32,
    },
    /// A table of each integer's result.
    Table {
        table: Arc<[u8; 256]>,
        from: Image,
        to: Image,
    },
    AddCodes {
        from: [Image; 2],
        to: Image,
        zeros: [i32; 2],
        factors: [f32; 2],
        ends: [f32; 2],
        zero: i32,
    },
    /// A function of each float of images, clamps and the like.
    MapFloats {
        op: Op,
        from: Image,
        to: Image,
    },
    /// `clamp(a + b)`.
    AddFloats {
        from: [Image; 2],
        to: Image,
        ends: [f32; 2],
    },
    /// Windows of an image.
    Pool {
        pool: Windows,
        from: Image,
        to: Image,
        of: PoolOf,
    },
    /// One after the other along the channels; integers by a table each.
    ConcatCodes {
        from: Vec<(Image, Arc<[u8; 256]>)>,
        to: Image,
    },
    ConcatFloats {
        from: Vec<Image>,
        to: Image,
    },
    /// An operation on row-major floats.
    Plain {
        op: Op,
        shapes: Vec<Shape>,
        shape: Shape,
        batch: usize,
    },
    /// An operation on whole numbers in row-major floats that needs more than its plain form.
    Whole {
        whole: Whole,
        shapes: Vec<Shape>,
        shape: Shape,
    },
}

/// Operations on whole numbers, exact as the arithmetic says.
#[derive(Debug, Clone)]
pub(crate) enum Whole {
    Add {
        factors: [f32; 2],
        ends: [f32; 2],
    },
    Multiply {
        factor: f32,
        ends: [f32; 2],
    },
    Matmul {
        factor: f32,
        ends: [f32; 2],
    },
    Concat {
        axis: usize,
        factors: Vec<f32>,
        ends: [f32; 2],
    },
    /// Sums of windows, made of the means that the operation has.
    Mean {
        op: Op,
        count: usize,
        factor: f32,
        ends: [f32; 2],
    },
    /// `min(max(x, low), high)`.
    Clamp([f32; 2]),
    /// A layer: sums of products in 64 bits, with biases and factors for each output, along an axis.
    Layer {
        op: Op,
        weights: Arc<(Vec<i32>, Shape)>,
        bias: Arc<Vec<i64>>,
        factor: Arc<Vec<f32>>,
        axis: usize,
        ends: Option<[f32; 2]>,
    },
    /// The same with the quantizer of the batch.
    Dynamic {
        op: Op,
        weights: Arc<(Vec<i32>, Shape)>,
        scales: Arc<Vec<f32>>,
        bias: Arc<Vec<f32>>,
        axis: usize,
        bits: u8,
        symmetric: bool,
    },
}

/// Windows of an image, of two axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) padding: [usize; 2],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum PoolOf {
    MaxCodes,
    MaxFloats,
    /// Sums of integers less their zero point, times a factor.
    MeanCodes {
        zero: i32,
        factor: f32,
        ends: [f32; 2],
        to_zero: i32,
    },
    /// Means of whole windows, or of what is within the image.
    MeanFloats {
        count_padding: bool,
    },
}

/// What a run has at hand.
pub(crate) struct Memory<'a> {
    pub(crate) inputs: &'a [&'a [f32]],
    pub(crate) constants: &'a [Vec<f32>],
    pub(crate) slots: &'a [Buffer],
}

impl<'a> Memory<'a> {
    pub(crate) fn floats(&self, place: Place) -> &'a [f32] {
        match place {
            Place::Input(index) => self.inputs[index],
            Place::Constant(index) => &self.constants[index],
            Place::Slot(index) => self.slots[index].floats(),
        }
    }

    fn codes(&self, place: Place) -> &'a [u8] {
        match place {
            Place::Slot(index) => self.slots[index].bytes(),
            // Inputs and constants are floats; the compiler gives no others.
            Place::Input(_) | Place::Constant(_) => &[],
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers of 8 bits"
)]
fn code(nearest: f32, zero: i32) -> u8 {
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

    fn pool(
        &self,
        samples: usize,
        pool: &Windows,
        [from, to]: [&Image; 2],
        of: PoolOf,
        memory: &Memory<'_>,
        out: &mut Buffer,
    ) {
        let (x, y) = (from.plane, to.plane);
        let channels = y.channels;
        for sample in 0..samples {
            for row in 0..y.height {
                for column in 0..y.width {
                    let ends = |axis: usize, at: usize, length: usize| {
                        let places = (0..pool.kernel[axis]).map(move |place| {
                            (at * pool.stride[axis] + place * pool.dilation[axis])
                                .wrapping_sub(pool.padding[axis])
                        });
                        places.filter(move |place| *place < length)
                    };
                    let rows = ends(0, row, x.height);
                    let inside = rows.flat_map(|row| {
                        ends(1, column, x.width).map(move |column| x.at(sample, row, column))
                    });
                    let to = y.at(sample, row, column);
                    match of {
                        PoolOf::MaxCodes => {
                            let (x, y) = (memory.codes(self.reads[0]), out.bytes_mut());
                            let y = &mut y[to..to + channels];
                            y.fill(0);
                            for at in inside {
                                for (y, x) in y.iter_mut().zip(&x[at..at + channels]) {
                                    *y = (*y).max(*x);
                                }
                            }
                        }
                        PoolOf::MaxFloats => {
                            let (x, y) = (memory.floats(self.reads[0]), out.floats_mut());
                            let y = &mut y[to..to + channels];
                            y.fill(f32::NEG_INFINITY);
                            for at in inside {
                                for (y, x) in y.iter_mut().zip(&x[at..at + channels]) {
                                    *y = if *x > *y || x.is_nan() { *x } else { *y };
                                }
                            }
                        }
                        PoolOf::MeanCodes {
                            zero,
                            factor,
                            ends,
                            to_zero,
                        } => {
                            let (x, y) = (memory.codes(self.reads[0]), out.bytes_mut());
                            // So many channels at once that their sums stay on the stack.
                            for first in (0..channels).step_by(64) {
                                let count = (channels - first).min(64);
                                let mut sums = [0_i32; 64];
                                let mut places = 0;
                                for at in inside.clone() {
                                    let x = &x[at + first..][..count];
                                    for (sum, x) in sums.iter_mut().zip(x) {
                                        *sum += i32::from(*x);
                                    }
                                    places += 1;
                                }
                                let y = &mut y[to + first..][..count];
                                for (y, sum) in y.iter_mut().zip(sums) {
                                    #[allow(
                                        clippy::cast_precision_loss,
                                        reason = "sums are rounded once"
                                    )]
                                    let sum = (sum - places * zero) as f32;
                                    *y = code(nearest(sum * factor, ends), to_zero);
                                }
                            }
                        }
                        PoolOf::MeanFloats { count_padding } => {
                            let (x, y) = (memory.floats(self.reads[0]), out.floats_mut());
                            let y = &mut y[to..to + channels];
                            y.fill(0.0);
                            let mut places = 0;
                            for at in inside {
                                for (y, x) in y.iter_mut().zip(&x[at..at + channels]) {
                                    *y += *x;
                                }
                                places += 1;
                            }
                            if count_padding {
                                places = pool.kernel[0] * pool.kernel[1];
                            }
                            #[allow(clippy::cast_precision_loss, reason = "sizes of windows")]
                            let places = places as f32;
                            for y in y {
                                *y /= places;
                            }
                        }
                    }
                }
            }
        }
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
