use super::{Curve, between};

/// Geometric interpolation: equal amounts of progress multiply the value by equal factors.
///
/// ```text
/// value(p) = initial^(1 - p) * last^p          both positive
///          = -(|initial|^(1 - p) * |last|^p)   both negative
/// ```
///
/// It is exact at both ends. Use it for quantities on a logarithmic scale: penalties, temperatures, thresholds.
///
/// # At zero
///
/// The logarithm of zero does not exist. With an end at zero, the formula gives the limit for very small values, which
/// is a jump: with `last: 0.0`, the curve has its initial value at progress 0 and is 0 after it; with `initial: 0.0`,
/// it is 0 before progress 1 and has its last value there. Start from a small number instead. Between values of
/// opposite sign there is no such curve: it is NaN everywhere except at the ends.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Curve, Exponential};
///
/// let ramp = Exponential { initial: 1e-4, last: 1e-2 };
/// assert_eq!([ramp.value_at(0.0), ramp.value_at(1.0)], [1e-4, 1e-2]);
/// assert!((ramp.value_at(0.5) - 1e-3).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Exponential {
    /// Value at progress 0.
    pub initial: f64,
    /// Value at progress 1.
    pub last: f64,
}

impl Exponential {
    /// The curve from `initial` at progress 0 to `last` at progress 1.
    #[must_use]
    pub const fn new(initial: f64, last: f64) -> Self {
        Self { initial, last }
    }
}

impl Curve for Exponential {
    fn value_at(&self, progress: f64) -> f64 {
        let Self { initial, last } = *self;
        if progress <= 0.0 {
            return initial;
        }
        if 1.0 <= progress {
            return last;
        }
        if initial == 0.0 || last == 0.0 {
            return 0.0;
        }
        if initial.signum() != last.signum() {
            return f64::NAN;
        }
        let size = initial.abs().powf(1.0 - progress) * last.abs().powf(progress);
        between(initial, last, size.copysign(initial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_values_mirror_positive_ones() {
        let up = Exponential {
            initial: 0.5,
            last: 8.0,
        };
        let down = Exponential {
            initial: -0.5,
            last: -8.0,
        };
        for p in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert_eq!(up.value_at(p), -down.value_at(p));
        }
        assert!((up.value_at(0.25) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn zero_ends_make_jumps() {
        let to_zero = Exponential {
            initial: 3.0,
            last: 0.0,
        };
        assert_eq!(
            [0.0, 1e-9, 1.0].map(|p| to_zero.value_at(p)),
            [3.0, 0.0, 0.0]
        );
        let from_zero = Exponential {
            initial: 0.0,
            last: -3.0,
        };
        assert_eq!(
            [0.0, 0.999, 1.0].map(|p| from_zero.value_at(p)),
            [0.0, 0.0, -3.0]
        );
    }

    #[test]
    fn opposite_signs_have_ends_only() {
        let curve = Exponential {
            initial: -1.0,
            last: 1.0,
        };
        assert_eq!((curve.value_at(0.0), curve.value_at(1.0)), (-1.0, 1.0));
        assert!(curve.value_at(0.5).is_nan());
    }
}
