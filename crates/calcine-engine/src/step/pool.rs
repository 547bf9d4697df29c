//! Pooling of images.

use calcine_kernels::{Buffer, Isa};

use super::{Memory, PoolOf, Step, Windows};
use crate::form::Image;

/// The number of channels that are summed at once, so that their sums stay on the stack.
const CHANNELS: usize = 64;

impl Step {
    #[allow(clippy::too_many_arguments, reason = "what a step reads and writes")]
    pub(super) fn pool(
        &self,
        isa: Isa,
        samples: usize,
        pool: &Windows,
        [from, to]: [&Image; 2],
        of: PoolOf,
        memory: &Memory<'_>,
        out: &mut Buffer,
    ) {
        isa.vectorize(
            #[inline(always)]
            || {
                let (x, y) = (from.plane, to.plane);
                let codes = || memory.codes(self.reads[0]);
                let floats = || memory.floats(self.reads[0]);
                for sample in 0..samples {
                    for row in 0..y.height {
                        for column in 0..y.width {
                            let rows = pool.places(0, row, x.height);
                            let inside = rows.flat_map(|row| {
                                let columns = pool.places(1, column, x.width);
                                columns.map(move |column| x.index(sample, row, column))
                            });
                            let to = y.index(sample, row, column)..;
                            let channels = ..y.channels;
                            match of {
                                PoolOf::MaxCodes => {
                                    let y = &mut out.bytes_mut()[to][channels];
                                    y.fill(0);
                                    accumulate(codes(), inside, y, |max, x| *max = x.max(*max));
                                }
                                PoolOf::MaxFloats => {
                                    let y = &mut out.floats_mut()[to][channels];
                                    y.fill(f32::NEG_INFINITY);
                                    accumulate(floats(), inside, y, |max, x| {
                                        *max = if x > *max || x.is_nan() { x } else { *max };
                                    });
                                }
                                PoolOf::MeanCodes {
                                    zero,
                                    factor,
                                    range,
                                } => {
                                    let y = &mut out.bytes_mut()[to][channels];
                                    for (block, y) in y.chunks_mut(CHANNELS).enumerate() {
                                        let mut sums = [0_i32; CHANNELS];
                                        let sums = &mut sums[..y.len()];
                                        let x = &codes()[block * CHANNELS..];
                                        let places =
                                            accumulate(x, inside.clone(), sums, |sum, x| {
                                                *sum += i32::from(x);
                                            });
                                        for (y, sum) in y.iter_mut().zip(sums) {
                                            #[allow(
                                                clippy::cast_precision_loss,
                                                reason = "sums are rounded once"
                                            )]
                                            let sum = (*sum - places as i32 * zero) as f32;
                                            *y = range.encode(sum * factor);
                                        }
                                    }
                                }
                                PoolOf::MeanFloats { count_padding } => {
                                    let y = &mut out.floats_mut()[to][channels];
                                    y.fill(0.0);
                                    let mut places =
                                        accumulate(floats(), inside, y, |sum, x| *sum += x);
                                    if count_padding {
                                        places = pool.kernel[0] * pool.kernel[1];
                                    }
                                    #[allow(
                                        clippy::cast_precision_loss,
                                        reason = "sizes of windows"
                                    )]
                                    let places = places as f32;
                                    for y in y {
                                        *y /= places;
                                    }
                                }
                            }
                        }
                    }
                }
            },
        );
    }
}

impl Windows {
    /// The positions of a window along an axis that are within an image of this length.
    #[inline(always)]
    fn places(
        &self,
        axis: usize,
        window: usize,
        length: usize,
    ) -> impl Iterator<Item = usize> + Clone {
        let first = window * self.stride[axis];
        let (dilation, padding) = (self.dilation[axis], self.padding[axis]);
        let places = (0..self.kernel[axis])
            .map(move |place| (first + place * dilation).wrapping_sub(padding));
        places.filter(move |place| *place < length)
    }
}

/// Calls a function for each position of a window and each channel, with the result so far and the number. Returns the
/// number of positions.
#[inline(always)]
fn accumulate<X: Copy, R>(
    x: &[X],
    positions: impl Iterator<Item = usize>,
    results: &mut [R],
    add: impl Fn(&mut R, X),
) -> usize {
    let (mut count, channels) = (0, results.len());
    for position in positions {
        for (result, x) in results.iter_mut().zip(&x[position..][..channels]) {
            add(result, *x);
        }
        count += 1;
    }
    count
}
