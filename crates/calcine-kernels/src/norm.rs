//! Batch norms in training, with what often follows them.

use rayon::prelude::*;

use crate::isa::Isa;

/// Sums that are taken side by side, in the same order on every instruction set.
const LANES: usize = 16;

/// A batch norm of `[samples, channels, area]`, to which something may be added, and whose negative results may become zero:
///
/// ```text
/// y = relu((x − mean) · γ / √(variance + ε) + β + other)
/// ```
///
/// Everything is computed for each channel over all samples and positions. Sums are taken over the positions of a sample, in 32 bits, and
/// then over the samples, in 64 bits: the results are the same on every instruction set and with any number of threads.
///
/// # Examples
///
/// ```
/// use calcine_kernels::{BatchNorm, Isa};
///
/// // Two samples of a channel with one position.
/// let norm = BatchNorm { isa: Isa::best(), channels: 1, area: 1, epsilon: 0.0, relu: false };
/// let x = [1.0, 3.0];
/// let statistics = norm.statistics(&x);
/// assert_eq!((statistics.mean[0], statistics.variance[0]), (2.0, 1.0));
/// let mut y = [0.0; 2];
/// norm.forward(&x, &statistics, [&[10.0], &[5.0]], None, &mut y);
/// assert_eq!(y, [-5.0, 15.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// The instruction set.
    pub isa: Isa,
    /// Channels of a sample.
    pub channels: usize,
    /// Positions of a channel.
    pub area: usize,
    /// What is added to the variance.
    pub epsilon: f32,
    /// Whether negative results become zero.
    pub relu: bool,
}

/// The mean and the biased variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The means.
    pub mean: Vec<f32>,
    /// The mean squares of the differences from the means.
    pub variance: Vec<f32>,
}

impl BatchNorm {
    /// The statistics of a batch.
    ///
    /// # Panics
    ///
    /// If the slice does not hold whole samples.
    #[must_use]
    pub fn statistics(&self, x: &[f32]) -> Statistics {
        let samples = self.samples(x);
        let of_planes = self.planes(samples, |sample, sums: &mut [[f32; 2]]| {
            let image = &x[sample * self.sample()..][..self.sample()];
            for (sums, plane) in sums.iter_mut().zip(image.chunks_exact(self.area)) {
                let mean = sum(plane, |x| x) / self.area as f32;
                *sums = [mean, sum(plane, |x| (x - mean) * (x - mean))];
            }
        });
        let all = |channel: usize| of_planes.iter().skip(channel).step_by(self.channels);
        let count = samples.max(1) as f64;
        let area = self.area as f64;
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for channel in 0..self.channels {
            let mean = all(channel).map(|[mean, _]| f64::from(*mean)).sum::<f64>() / count;
            let squares = all(channel).map(|[of_plane, squares]| {
                let apart = f64::from(*of_plane) - mean;
                f64::from(*squares) / area + apart * apart
            });
            #[allow(clippy::cast_possible_truncation, reason = "statistics are f32")]
            let own = [mean, squares.sum::<f64>() / count].map(|number| number as f32);
            means.push(own[0]);
            variances.push(own[1]);
        }
        Statistics {
            mean: means,
            variance: variances,
        }
    }

    /// Computes `y` with these statistics, `[γ, β]`, and what is added.
    ///
    /// # Panics
    ///
    /// If a slice has another length than `x` or than there are channels.
    pub fn forward(
        &self,
        x: &[f32],
        statistics: &Statistics,
        [gamma, beta]: [&[f32]; 2],
        other: Option<&[f32]>,
        y: &mut [f32],
    ) {
        self.samples(x);
        assert_eq!(x.len(), y.len(), "results of each number");
        assert!(
            other.is_none_or(|other| other.len() == x.len()),
            "what is added has the shape of the results"
        );
        let scales = self.scales(statistics, gamma);
        assert_eq!(beta.len(), self.channels, "shifts of each channel");
        let relu = self.relu;
        let image = |at: usize, y: &mut [f32]| {
            let range = at * self.sample()..(at + 1) * self.sample();
            let x = &x[range.clone()];
            let other = other.map(|other| &other[range]);
            for channel in 0..self.channels {
                let plane = channel * self.area..(channel + 1) * self.area;
                let (mean, scale) = (statistics.mean[channel], scales[channel]);
                let shift = beta[channel];
                let (x, y) = (&x[plane.clone()], &mut y[plane.clone()]);
                let of = |x: f32| (x - mean) * scale + shift;
                match (other, relu) {
                    (None, false) => each(x, y, of),
                    (None, true) => each(x, y, |x| rectified(of(x))),
                    (Some(other), false) => each_pair(x, &other[plane], y, |x, o| of(x) + o),
                    (Some(other), true) => {
                        each_pair(x, &other[plane], y, |x, o| rectified(of(x) + o));
                    }
                }
            }
        };
        if !y.is_empty() {
            y.par_chunks_exact_mut(self.sample())
                .enumerate()
                .for_each(|(at, y)| self.isa.vectorize(|| image(at, y)));
        }
    }

    /// The gradients of `[γ, β]`, and of `x` in `dx`, or in the place of the gradient of `y` if there is no `dx`; with it, the
    /// gradient of `y` becomes that of what was added. `y` is what was computed; without a rectifier it is not looked at.
    ///
    /// # Panics
    ///
    /// If a slice has another length than `x` or than there are channels.
    pub fn backward(
        &self,
        x: &[f32],
        y: &[f32],
        statistics: &Statistics,
        gamma: &[f32],
        dy: &mut [f32],
        mut dx: Option<&mut [f32]>,
    ) -> [Vec<f32>; 2] {
        let samples = self.samples(x);
        let lengths = [
            y.len(),
            dy.len(),
            dx.as_ref().map_or(x.len(), |dx| dx.len()),
        ];
        assert_eq!(lengths, [x.len(); 3], "gradients of each number");
        let scales = self.scales(statistics, gamma);
        let mut of_planes = vec![[0.0_f32; 2]; samples * self.channels];
        if samples > 0 {
            of_planes
                .par_chunks_exact_mut(self.channels)
                .zip(dy.par_chunks_exact_mut(self.sample()))
                .enumerate()
                .for_each(|(at, (sums, dy))| {
                    let range = at * self.sample()..(at + 1) * self.sample();
                    let (x, y) = (&x[range.clone()], &y[range]);
                    self.isa
                        .vectorize(|| self.reduce(x, y, statistics, dy, sums));
                });
        }
        let count = (samples * self.area).max(1) as f64;
        let mut gradients = [vec![0.0; self.channels], vec![0.0; self.channels]];
        // dx = scale · (dy − mean of dy − (x − mean) · slope).
        let mut terms = vec![[0.0_f32; 3]; self.channels];
        for channel in 0..self.channels {
            let mut sums = [0.0_f64; 2];
            for of_plane in of_planes.iter().skip(channel).step_by(self.channels) {
                for (sum, own) in sums.iter_mut().zip(of_plane) {
                    *sum += f64::from(*own);
                }
            }
            let [of_gradients, of_products] = sums;
            let variance = f64::from(statistics.variance[channel]) + f64::from(self.epsilon);
            #[allow(clippy::cast_possible_truncation, reason = "gradients are f32")]
            {
                gradients[0][channel] = (of_products / variance.sqrt()) as f32;
                gradients[1][channel] = of_gradients as f32;
                let slope = of_products / variance / count;
                terms[channel] = [scales[channel], (of_gradients / count) as f32, slope as f32];
            }
        }
        let own = |at: usize, dy: &mut [f32], dx: Option<&mut [f32]>| {
            let x = &x[at * self.sample()..][..self.sample()];
            let term = |channel: usize| {
                let ([scale, of_gradients, slope], mean) =
                    (terms[channel], statistics.mean[channel]);
                move |x: f32, dy: f32| scale * (dy - of_gradients - (x - mean) * slope)
            };
            self.isa.vectorize(|| match dx {
                None => {
                    for channel in 0..self.channels {
                        let plane = channel * self.area..(channel + 1) * self.area;
                        let of = term(channel);
                        for (dy, x) in dy[plane.clone()].iter_mut().zip(&x[plane]) {
                            *dy = of(*x, *dy);
                        }
                    }
                }
                Some(dx) => {
                    for channel in 0..self.channels {
                        let plane = channel * self.area..(channel + 1) * self.area;
                        let (x, dy) = (&x[plane.clone()], &dy[plane.clone()]);
                        each_pair(x, dy, &mut dx[plane], term(channel));
                    }
                }
            });
        };
        if samples > 0 {
            let gradients = dy.par_chunks_exact_mut(self.sample());
            match dx.as_mut() {
                None => gradients.enumerate().for_each(|(at, dy)| own(at, dy, None)),
                Some(dx) => gradients
                    .zip(dx.par_chunks_exact_mut(self.sample()))
                    .enumerate()
                    .for_each(|(at, (dy, dx))| own(at, dy, Some(dx))),
            }
        }
        gradients
    }

    /// The gradient through the rectifier, and its sums and those of its products with `x − mean`.
    #[inline(always)]
    fn reduce(
        &self,
        x: &[f32],
        y: &[f32],
        statistics: &Statistics,
        dy: &mut [f32],
        sums: &mut [[f32; 2]],
    ) {
        for (channel, sums) in sums.iter_mut().enumerate() {
            let plane = channel * self.area..(channel + 1) * self.area;
            let dy = &mut dy[plane.clone()];
            if self.relu {
                for (dy, y) in dy.iter_mut().zip(&y[plane.clone()]) {
                    // What is no number keeps its gradient.
                    *dy = if *y <= 0.0 { 0.0 } else { *dy };
                }
            }
            let mean = statistics.mean[channel];
            *sums = pair_of_sums(&x[plane], dy, mean);
        }
    }

    const fn sample(&self) -> usize {
        self.channels * self.area
    }

    fn samples(&self, x: &[f32]) -> usize {
        assert!(
            self.isa.is_available() && self.sample() > 0 && x.len().is_multiple_of(self.sample()),
            "{} numbers for whole samples of {self:?}",
            x.len()
        );
        x.len() / self.sample()
    }

    /// `γ / √(variance + ε)`.
    fn scales(&self, statistics: &Statistics, gamma: &[f32]) -> Vec<f32> {
        let lengths = [
            gamma.len(),
            statistics.mean.len(),
            statistics.variance.len(),
        ];
        assert_eq!(lengths, [self.channels; 3], "numbers of each channel");
        let variances = statistics.variance.iter().zip(gamma);
        let scales = variances.map(|(variance, gamma)| gamma / (variance + self.epsilon).sqrt());
        scales.collect()
    }

    /// What a function finds out about each channel of each sample.
    fn planes(
        &self,
        samples: usize,
        find: impl Fn(usize, &mut [[f32; 2]]) + Sync,
    ) -> Vec<[f32; 2]> {
        let mut found = vec![[0.0; 2]; samples * self.channels];
        found
            .par_chunks_exact_mut(self.channels)
            .enumerate()
            .for_each(|(sample, found)| self.isa.vectorize(|| find(sample, found)));
        found
    }
}

#[inline(always)]
fn rectified(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn each(x: &[f32], y: &mut [f32], of: impl Fn(f32) -> f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = of(*x);
    }
}

#[inline(always)]
fn each_pair(a: &[f32], b: &[f32], y: &mut [f32], of: impl Fn(f32, f32) -> f32) {
    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
        *y = of(*a, *b);
    }
}

#[inline(always)]
fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let mut chunks = numbers.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane += of(*number);
        }
    }
    for (lane, number) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += of(*number);
    }
    lanes.iter().sum()
}

/// The sum of the gradients, and that of their products with `x − mean`.
#[inline(always)]
fn pair_of_sums(x: &[f32], dy: &[f32], mean: f32) -> [f32; 2] {
    let mut lanes = [[0.0_f32; LANES]; 2];
    let mut add = |x: &[f32], dy: &[f32]| {
        for at in 0..x.len().min(LANES) {
            lanes[0][at] += dy[at];
            lanes[1][at] += dy[at] * (x[at] - mean);
        }
    };
    let (mut xs, mut dys) = (x.chunks_exact(LANES), dy.chunks_exact(LANES));
    for (x, dy) in (&mut xs).zip(&mut dys) {
        add(x, dy);
    }
    add(xs.remainder(), dys.remainder());
    lanes.map(|lanes| lanes.iter().sum())
}
