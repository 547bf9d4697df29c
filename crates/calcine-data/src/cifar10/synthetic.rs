//! Synthetic images for tests and for machines without network.

use super::{CLASSES, Cifar10, PIXELS, SIDE, Source, images};
use crate::Images;
use calcine_criteria::stream;
use rand::{Rng, RngExt};
use std::sync::Arc;

/// Ten synthetic classes that a small network learns in a few epochs, though not perfectly.
///
/// An image shows parallel stripes on a coloured ground under noise. Its class is the angle of the
/// stripes to the vertical, in steps of 22.5° from 0° to 90° (`label mod 5`), and whether the
/// ground is warm or cool (`label / 5`):
///
/// ```text
/// pixel(c, x, y) = ground(c) + contrast · wave((x · cos α ± y · sin α) / λ + φ) + noise
/// ```
///
/// with a triangular wave. Sign, phase φ, wavelength λ (5 to 9 pixels) and contrast are drawn for
/// each image. So are deviations of the angle and the ground that overlap between neighbouring
/// classes, which is why no classifier can be perfect. Mirroring an image leaves its class as it is,
/// so that the loader's augmentation applies.
///
/// Image `i` has the label `i mod 10` and depends on `seed` and `i` only: a smaller set is the
/// beginning of a larger one. Training and test images come from different streams. Only
/// operations that IEEE 754 rounds exactly are used, so the bytes are the same on every platform.
#[must_use]
pub fn synthetic(seed: u64, train: usize, test: usize) -> Cifar10 {
    Cifar10 {
        train: Arc::new(draw_all(seed, "synthetic-train", train)),
        test: Arc::new(draw_all(seed, "synthetic-test", test)),
        source: Source::Synthetic {
            reason: "as requested".to_owned(),
        },
    }
}

/// Cosine and sine of 0°, 22.5°, 45°, 67.5° and 90°.
const DIRECTIONS: [(f32, f32); 5] = [
    (1.0, 0.0),
    (0.923_879_5, 0.382_683_43),
    (0.707_106_77, 0.707_106_77),
    (0.382_683_43, 0.923_879_5),
    (0.0, 1.0),
];

/// The largest tangent of an angle's deviation. Half the step between classes has 0.199.
const SWAY: f32 = 0.24;

fn draw_all(seed: u64, name: &str, n: usize) -> Images {
    let mut pixels = Vec::with_capacity(n * PIXELS);
    let labels: Vec<u8> = (0..n).map(|i| (i % CLASSES.len()) as u8).collect();
    for (i, &label) in labels.iter().enumerate() {
        draw(label, &mut stream(seed, name, i as u64), &mut pixels);
    }
    images(pixels, labels)
}

/// Appends one image of class `label`.
fn draw(label: u8, rng: &mut impl Rng, pixels: &mut Vec<u8>) {
    let ground = draw_ground(label, rng);
    let (dx, dy) = draw_direction(label, rng);
    let pace = 1.0 / rng.random_range(5.0_f32..9.0);
    let phase = rng.random_range(0.0_f32..1.0);
    let contrast = rng.random_range(20.0_f32..50.0);
    for shade in ground {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let stripes = wave((x as f32 * dx + y as f32 * dy) * pace + phase);
                let noise = f32::from(rng.random_range(-50_i16..=50));
                // The cast clamps to 0 and 255.
                pixels.push((shade + contrast * stripes + noise) as u8);
            }
        }
    }
}

/// Mean red, green and blue: warm or cool by the label's half, and a little of the angle in green.
fn draw_ground(label: u8, rng: &mut impl Rng) -> [f32; 3] {
    let warmth = if label < 5 { 24.0 } else { -24.0 };
    let green = f32::from(label % 5) * 10.0 - 20.0;
    [warmth, green, -warmth].map(|shift| 128.0 + shift + rng.random_range(-34.0_f32..34.0))
}

/// The unit vector across the stripes: the class's direction, swayed, mirrored half of the time.
fn draw_direction(label: u8, rng: &mut impl Rng) -> (f32, f32) {
    let (x, y) = DIRECTIONS[usize::from(label % 5)];
    let sway = rng.random_range(-SWAY..SWAY);
    let (x, y) = (x - sway * y, y + sway * x);
    let length = (x * x + y * y).sqrt();
    let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
    (x / length, sign * y / length)
}

/// Triangular wave of period 1 between -1 and 1.
fn wave(t: f32) -> f32 {
    4.0 * (t - t.floor() - 0.5).abs() - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared distance between an image and a class mean.
    fn distance(image: &[u8], mean: &[f64]) -> f64 {
        image
            .iter()
            .zip(mean)
            .map(|(&v, m)| (f64::from(v) - m).powi(2))
            .sum()
    }

    fn class_means(images: &Images) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![0.0; PIXELS]; 10];
        let mut counts = [0.0; 10];
        for (i, &label) in images.labels().iter().enumerate() {
            counts[usize::from(label)] += 1.0;
            for (sum, &v) in sums[usize::from(label)].iter_mut().zip(images.image(i)) {
                *sum += f64::from(v);
            }
        }
        for (sum, count) in sums.iter_mut().zip(counts) {
            sum.iter_mut().for_each(|s| *s /= count);
        }
        sums
    }

    #[test]
    fn classes_are_balanced() {
        let data = synthetic(1, 500, 100);
        for class in 0..10 {
            let count = |images: &Images| images.labels().iter().filter(|&&l| l == class).count();
            assert_eq!((count(&data.train), count(&data.test)), (50, 10));
        }
    }

    #[test]
    fn nearest_mean_is_above_chance_and_far_from_perfect() {
        let data = synthetic(1, 1000, 500);
        let means = class_means(&data.train);
        let right = (0..data.test.len())
            .filter(|&i| {
                let image = data.test.image(i);
                let nearest = (0..10).min_by(|&a, &b| {
                    distance(image, &means[a]).total_cmp(&distance(image, &means[b]))
                });
                nearest == Some(usize::from(data.test.labels()[i]))
            })
            .count();
        assert!((100..300).contains(&right), "{right} of 500");
    }

    #[test]
    fn a_seed_decides_every_byte_and_a_small_set_begins_a_large_one() {
        let (small, large) = (synthetic(5, 20, 10), synthetic(5, 40, 10));
        assert_eq!(small.test, large.test);
        assert_eq!(small.train.pixels(), &large.train.pixels()[..20 * PIXELS]);
        assert_ne!(small.train.image(0), small.test.image(0));
        assert_ne!(small.train, synthetic(6, 20, 10).train);
    }

    #[test]
    fn the_wave_is_a_triangle() {
        for (t, expected) in [
            (0.0, 1.0),
            (0.25, 0.0),
            (0.5, -1.0),
            (0.75, 0.0),
            (-0.75, 0.0),
        ] {
            assert_eq!(wave(t), expected, "at {t}");
        }
    }
}
