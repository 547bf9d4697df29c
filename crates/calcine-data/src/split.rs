//! Training and validation images.

use calcine_criteria::{Rounding, stream};
use rand::seq::SliceRandom;

/// Which of the training images to train on and which to validate on: disjoint, together all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Indices to train on, ascending.
    pub train: Vec<u32>,
    /// Indices to validate on, ascending.
    pub validation: Vec<u32>,
}

/// Sets `round(fraction · n)` of `n` images aside for validation, drawn without replacement from
/// the stream `"split"` of `seed`.
///
/// Distiller's `--validation-split`, by default 0.1, which leaves 45,000 images of CIFAR-10 to
/// train on. With 0 nothing is set aside.
///
/// # Panics
///
/// If `fraction` is not within 0 and 1, or if `n` is 2³² or more.
///
/// # Examples
///
/// ```
/// use calcine_data::split;
///
/// let parts = split(50_000, 0.1, 7);
/// assert_eq!((parts.train.len(), parts.validation.len()), (45_000, 5_000));
/// ```
#[must_use]
pub fn split(n: usize, fraction: f64, seed: u64) -> Split {
    assert!(
        (0.0..=1.0).contains(&fraction),
        "{fraction} is not a fraction: expected 0 to 1"
    );
    let mut train: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2^32 images")).collect();
    train.shuffle(&mut stream(seed, "split", 0));
    let mut validation = train.split_off(n - Rounding::Round.share(fraction, n));
    train.sort_unstable();
    validation.sort_unstable();
    Split { train, validation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_disjoint_and_together_all() {
        for (n, fraction) in [(1000, 0.1), (7, 0.5), (10, 0.0), (10, 1.0), (0, 0.3)] {
            let parts = split(n, fraction, 3);
            assert_eq!(
                parts.validation.len(),
                (fraction * n as f64).round() as usize
            );
            let mut all = [parts.train, parts.validation].concat();
            all.sort_unstable();
            assert!(
                all.into_iter().eq(0..n as u32),
                "{n} images, fraction {fraction}"
            );
        }
    }

    #[test]
    fn a_seed_decides_the_split() {
        assert_eq!(split(1000, 0.1, 1), split(1000, 0.1, 1));
        assert_ne!(split(1000, 0.1, 1), split(1000, 0.1, 2));
        assert_ne!(
            split(1000, 0.1, 1).validation,
            (900..1000).collect::<Vec<u32>>()
        );
    }
}
