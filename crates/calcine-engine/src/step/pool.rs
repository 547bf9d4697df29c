//! Pools over images.

use calcine_kernels::Buffer;

use super::run::code;
use super::{Memory, PoolOf, Step, Windows};
use crate::form::{Image, nearest};

impl Step {
    pub(super) fn pool(
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
