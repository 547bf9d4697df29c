//! Batch norms in training, optionally followed by a sum and a relu.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::isa::Isa;

/// The number of partial sums, which are added in the same order on every instruction set.
const LANES: usize = 16;

/// A batch norm of `x: [samples, channels, area]`, optionally followed by a sum with `other` and a clamp:
///
/// ```text
/// y = clamp((x − mean) · γ / √(variance + ε) + β + other, low, high)
/// ```
///
/// The gradient passes where `low < y < high`.
///
/// Mean and variance of each channel are those over all samples and positions. Sums are computed over the positions of
/// a sample in 32 bits, and then over the samples in 64 bits. The results are the same on every instruction set and
/// with any number of threads.
///
/// # Examples
///
/// ```
/// use calcine_kernels::{BatchNorm, Isa};
///
/// // Two samples of one channel with one position.
/// let norm = BatchNorm { isa: Isa::best(), channels: 1, area: 1, epsilon: 0.0, ends: None };
/// let (y, statistics) = norm.forward(&[1.0, 3.0], [&[10.0], &[5.0]], None);
/// assert_eq!((statistics.mean[0], statistics.variance[0]), (2.0, 1.0));
/// assert_eq!(y, [-5.0, 15.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// The instruction set.
    pub isa: Isa,
    /// The number of channels.
    pub channels: usize,
    /// The number of positions in a channel of a sample.
    pub area: usize,
    /// `ε`, which is added to the variance.
    pub epsilon: f32,
    /// The bounds of the results: zero and infinity for a relu; `None` if no clamp follows.
    pub ends: Option<[f32; 2]>,
}

/// The mean and the biased variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The mean of the squared differences from the mean, of each channel.
    pub variance: Vec<f32>,
}

impl BatchNorm {
    /// Computes `y` and the statistics of the batch. The parameters are `[γ, β]`; `other` is the operand that is added,
    /// with the shape of `x`.
    ///
    /// # Panics
    ///
    /// If the length of a slice is not that of `x` or the number of channels, or if `x` does not contain whole samples.
    #[must_use]
    pub fn forward(
        &self,
        x: &[f32],
        [gamma, beta]: [&[f32]; 2],
        other: Option<&[f32]>,
    ) -> (Vec<f32>, Statistics) {
        let samples = self.samples(x);
        assert_eq!(
            [gamma.len(), beta.len()],
            [self.channels; 2],
            "there must be one number for each channel"
        );
        assert!(
            other.is_none_or(|other| other.len() == x.len()),
            "the operand that is added must have the shape of the results"
        );
        let mut y = Vec::with_capacity(x.len());
        let channels = self.by_channel(&mut y.spare_capacity_mut()[..x.len()]);
        // Channel by channel, because the numbers that the statistics have read are still in the cache when they are
        // normalized.
        let normalize = |(channel, y): (usize, Vec<&mut [MaybeUninit<f32>]>)| {
            self.isa.vectorize(
                #[inline(always)]
                || {
                    let [mean, variance] = self.statistics_of(x, samples, channel);
                    let scale = gamma[channel] / (variance + self.epsilon).sqrt();
                    let beta = beta[channel];
                    let of = |x: f32| (x - mean) * scale + beta;
                    for (sample, y) in y.into_iter().enumerate() {
                        let plane = self.plane(sample, channel);
                        let x = &x[plane.clone()];
                        let other = other.map(|other| &other[plane]);
                        match (other, self.ends) {
                            (None, None) => each(x, y, of),
                            (None, Some(ends)) => each(x, y, |x| clamped(of(x), ends)),
                            (Some(other), None) => each_pair(x, other, y, |x, o| of(x) + o),
                            (Some(other), Some(ends)) => {
                                each_pair(x, other, y, |x, o| clamped(of(x) + o, ends));
                            }
                        }
                    }
                    [mean, variance]
                },
            )
        };
        let own: Vec<[f32; 2]> = (channels.into_par_iter().enumerate())
            .map(normalize)
            .collect();
        // SAFETY: each position of each channel of each sample has been written.
        unsafe { y.set_len(x.len()) };
        let statistics = Statistics {
            mean: own.iter().map(|[mean, _]| *mean).collect(),
            variance: own.iter().map(|[_, variance]| *variance).collect(),
        };
        (y, statistics)
    }

    /// Computes the gradients of `[γ, β]` and of `x`. The gradient of `x` replaces the gradient of `y`; if an operand
    /// was added, it is returned in a vector of its own instead, and the gradient of `y` is replaced by that of the
    /// operand. `y` is the result of the forward pass, which is read only if there is a clamp.
    ///
    /// # Panics
    ///
    /// Like [`forward`](Self::forward).
    #[must_use]
    pub fn backward(
        &self,
        x: &[f32],
        y: &[f32],
        statistics: &Statistics,
        gamma: &[f32],
        dy: &mut [f32],
        adds: bool,
    ) -> ([Vec<f32>; 2], Option<Vec<f32>>) {
        let samples = self.samples(x);
        assert_eq!(
            [y.len(), dy.len()],
            [x.len(); 2],
            "there must be one gradient for each number"
        );
        let lengths = [
            gamma.len(),
            statistics.mean.len(),
            statistics.variance.len(),
        ];
        assert_eq!(
            lengths, [self.channels; 3],
            "there must be one number for each channel"
        );
        let mut dx = Vec::with_capacity(if adds { x.len() } else { 0 });
        let dx_by_channel = match adds {
            true => self.by_channel(&mut dx.spare_capacity_mut()[..x.len()]),
            false => (0..self.channels).map(|_| Vec::new()).collect(),
        };
        let own = |(channel, (mut dy, dx)): (usize, (Vec<&mut [f32]>, Vec<_>))| {
            self.isa.vectorize(
                #[inline(always)]
                || {
                    let mean = statistics.mean[channel];
                    let mut sums = [0.0_f64; 2];
                    for (sample, dy) in dy.iter_mut().enumerate() {
                        let plane = self.plane(sample, channel);
                        if let Some([low, high]) = self.ends {
                            for (dy, y) in dy.iter_mut().zip(&y[plane.clone()]) {
                                // The gradient passes where `y` is NaN.
                                *dy = if (*y <= low) | (*y >= high) { 0.0 } else { *dy };
                            }
                        }
                        let of_plane = pair_of_sums(&x[plane], dy, mean);
                        for (sum, own) in sums.iter_mut().zip(of_plane) {
                            *sum += f64::from(own);
                        }
                    }
                    let [of_gradients, of_products] = sums;
                    let count = (samples * self.area).max(1) as f64;
                    let variance =
                        f64::from(statistics.variance[channel]) + f64::from(self.epsilon);
                    let scale =
                        gamma[channel] / (statistics.variance[channel] + self.epsilon).sqrt();
                    // dx = scale · (dy − mean of dy − (x − mean) · slope).
                    #[allow(clippy::cast_possible_truncation, reason = "gradients are f32")]
                    let [of_gamma, of_beta, mean_of_dy, slope] = [
                        of_products / variance.sqrt(),
                        of_gradients,
                        of_gradients / count,
                        of_products / variance / count,
                    ]
                    .map(|number| number as f32);
                    let of = |x: f32, dy: f32| scale * (dy - mean_of_dy - (x - mean) * slope);
                    if adds {
                        for (sample, (dy, dx)) in dy.iter().zip(dx).enumerate() {
                            each_pair(&x[self.plane(sample, channel)], dy, dx, of);
                        }
                    } else {
                        for (sample, dy) in dy.iter_mut().enumerate() {
                            let x = &x[self.plane(sample, channel)];
                            for (dy, x) in dy.iter_mut().zip(x) {
                                *dy = of(*x, *dy);
                            }
                        }
                    }
                    [of_gamma, of_beta]
                },
            )
        };
        let dy = self.by_channel(dy);
        let gradients: Vec<[f32; 2]> = (dy.into_par_iter().zip(dx_by_channel).enumerate())
            .map(own)
            .collect();
        let dx = adds.then(|| {
            // SAFETY: each position of each channel of each sample has been written.
            unsafe { dx.set_len(x.len()) };
            dx
        });
        let of_all = |at: usize| gradients.iter().map(|own| own[at]).collect();
        ([of_all(0), of_all(1)], dx)
    }

    /// The mean and the biased variance of a channel.
    #[inline(always)]
    fn statistics_of(&self, x: &[f32], samples: usize, channel: usize) -> [f32; 2] {
        let (count, area) = (samples.max(1) as f64, self.area as f64);
        // The mean of each plane, and the sum of the squares of the differences from it.
        let of_planes: Vec<[f32; 2]> = (0..samples)
            .map(|sample| {
                let plane = &x[self.plane(sample, channel)];
                let mean = sum(plane, |x| x) / self.area as f32;
                [mean, sum(plane, |x| (x - mean) * (x - mean))]
            })
            .collect();
        let means = of_planes.iter().map(|[mean, _]| f64::from(*mean));
        let mean = means.sum::<f64>() / count;
        let squares = of_planes.iter().map(|[of_plane, squares]| {
            let apart = f64::from(*of_plane) - mean;
            f64::from(*squares) / area + apart * apart
        });
        #[allow(clippy::cast_possible_truncation, reason = "statistics are f32")]
        let own = [mean, squares.sum::<f64>() / count].map(|number| number as f32);
        own
    }

    /// The range of the numbers of a channel of a sample.
    const fn plane(&self, sample: usize, channel: usize) -> Range<usize> {
        let start = (sample * self.channels + channel) * self.area;
        start..start + self.area
    }

    /// The planes of each channel.
    fn by_channel<'a, T>(&self, numbers: &'a mut [T]) -> Vec<Vec<&'a mut [T]>> {
        let samples = numbers.len() / (self.channels * self.area);
        let mut channels: Vec<Vec<&mut [T]>> = (0..self.channels)
            .map(|_| Vec::with_capacity(samples))
            .collect();
        for (at, plane) in numbers.chunks_exact_mut(self.area).enumerate() {
            channels[at % self.channels].push(plane);
        }
        channels
    }

    fn samples(&self, x: &[f32]) -> usize {
        let sample = self.channels * self.area;
        assert!(
            self.isa.is_available() && sample > 0 && x.len().is_multiple_of(sample),
            "{} numbers are not whole samples of {self:?}",
            x.len()
        );
        x.len() / sample
    }
}

#[inline(always)]
fn clamped(x: f32, [low, high]: [f32; 2]) -> f32 {
    let x = if x <= low { low } else { x };
    if x >= high { high } else { x }
}

#[inline(always)]
fn each(x: &[f32], y: &mut [MaybeUninit<f32>], of: impl Fn(f32) -> f32) {
    for (y, x) in y.iter_mut().zip(x) {
        y.write(of(*x));
    }
}

#[inline(always)]
fn each_pair(a: &[f32], b: &[f32], y: &mut [MaybeUninit<f32>], of: impl Fn(f32, f32) -> f32) {
    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
        y.write(of(*a, *b));
    }
}

#[inline(always)]
fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, behind) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for at in 0..LANES {
            lanes[at] += of(chunk[at]);
        }
    }
    for (lane, number) in lanes.iter_mut().zip(behind) {
        *lane += of(*number);
    }
    lanes.iter().sum()
}

/// The sum of the gradients, and the sum of their products with `x − mean`.
#[inline(always)]
fn pair_of_sums(x: &[f32], dy: &[f32], mean: f32) -> [f32; 2] {
    let [mut of_gradients, mut of_products] = [[0.0_f32; LANES]; 2];
    let (x, behind) = x.as_chunks::<LANES>();
    let (dy, behind_dy) = dy.as_chunks::<LANES>();
    for (x, dy) in x.iter().zip(dy) {
        for at in 0..LANES {
            of_gradients[at] += dy[at];
            of_products[at] += dy[at] * (x[at] - mean);
        }
    }
    for (at, (x, dy)) in behind.iter().zip(behind_dy).enumerate() {
        of_gradients[at] += dy;
        of_products[at] += dy * (x - mean);
    }
    [of_gradients, of_products].map(|lanes| lanes.iter().sum())
}
