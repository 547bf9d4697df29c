use super::{Curve, blend};

/// A straight line.
///
/// ```text
/// value(p) = last + (initial - last) * (1 - p)
/// ```
///
/// It is exact at both ends, and monotone. For pruning, prefer [`Cubic`](super::Cubic), which removes the most while
/// many weights are redundant.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Curve, Linear};
///
/// let ramp = Linear { initial: 1.0, last: 3.0 };
/// assert_eq!([ramp.value_at(0.0), ramp.value_at(0.25), ramp.value_at(1.0)], [1.0, 1.5, 3.0]);
/// assert_eq!(ramp.value_at(7.0), 3.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Linear {
    /// Value at progress 0.
    pub initial: f64,
    /// Value at progress 1.
    pub last: f64,
}

impl Linear {
    /// The curve from `initial` at progress 0 to `last` at progress 1.
    #[must_use]
    pub const fn new(initial: f64, last: f64) -> Self {
        Self { initial, last }
    }
}

impl Curve for Linear {
    fn value_at(&self, progress: f64) -> f64 {
        blend(self.initial, self.last, 1.0 - progress.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_fall() {
        let line = Linear {
            initial: 0.7,
            last: 0.1,
        };
        assert_eq!((line.value_at(-1.0), line.value_at(2.0)), (0.7, 0.1));
        assert!((line.value_at(0.5) - 0.4).abs() < 1e-15);
    }
}
