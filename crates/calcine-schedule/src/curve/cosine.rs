use std::f64::consts::PI;

use super::{Curve, blend};

/// Half a period of a cosine: flat at both ends, and steepest in the middle.
///
/// ```text
/// value(p) = last + (initial - last) * (1 + cos(pi * p)) / 2
/// ```
///
/// It is exact at both ends, and has the shape of cosine annealing (Loshchilov and Hutter, "SGDR", 2017). For a
/// learning rate, use [`rate::Cosine`](crate::rate::Cosine), which counts in epochs and can warm up.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Cosine, Curve};
///
/// let ramp = Cosine { initial: 0.0, last: 1.0 };
/// assert_eq!([ramp.value_at(0.0), ramp.value_at(1.0)], [0.0, 1.0]);
/// assert!((ramp.value_at(1.0 / 3.0) - 0.25).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Cosine {
    /// Value at progress 0.
    pub initial: f64,
    /// Value at progress 1.
    pub last: f64,
}

impl Cosine {
    /// The curve from `initial` at progress 0 to `last` at progress 1.
    #[must_use]
    pub const fn new(initial: f64, last: f64) -> Self {
        Self { initial, last }
    }
}

impl Curve for Cosine {
    fn value_at(&self, progress: f64) -> f64 {
        let angle = PI * progress.clamp(0.0, 1.0);
        blend(self.initial, self.last, (1.0 + angle.cos()) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_symmetric_about_its_middle() {
        let ramp = Cosine {
            initial: -1.0,
            last: 1.0,
        };
        assert!(ramp.value_at(0.5).abs() < 1e-15);
        assert!((ramp.value_at(0.2) + ramp.value_at(0.8)).abs() < 1e-15);
    }
}
