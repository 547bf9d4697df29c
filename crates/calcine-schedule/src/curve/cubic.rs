use super::Curve;
use crate::CurveError;

/// The cubic ramp of automated gradual pruning (AGP).
///
/// ```text
/// s(p) = last + (initial - last) * (1 - p)^3
/// ```
///
/// It rises fast while many weights are redundant, and slowly near the end, so that the network can recover from the
/// last and most harmful removals (Zhu and Gupta, "To prune, or not to prune", 2017).
///
/// It is evaluated in exactly this order, like in Distiller: the last value is exact, and the initial value has a
/// rounding error (`0.8 + (0.05 - 0.8)` is not quite `0.05`). The numbers of pruned weights, which are rounded down,
/// therefore equal those of Distiller.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Cubic, Curve};
///
/// let ramp = Cubic { initial: 0.0, last: 0.8 };
/// assert_eq!(ramp.value_at(0.0), 0.0);
/// assert!((ramp.value_at(0.5) - 0.7).abs() < 1e-12);
/// assert_eq!(ramp.value_at(1.0), 0.8);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Cubic {
    /// Value at progress 0.
    pub initial: f64,
    /// Value at progress 1.
    pub last: f64,
}

impl Cubic {
    /// The curve from `initial` at progress 0 to `last` at progress 1.
    #[must_use]
    pub const fn new(initial: f64, last: f64) -> Self {
        Self { initial, last }
    }

    /// A pruning ramp: sparsities that rise within `[0, 1]`.
    ///
    /// A `Cubic` written as a literal can be any curve, including one that falls. This constructor rejects a wrong ramp
    /// before training.
    ///
    /// # Errors
    ///
    /// Unless `0 <= initial < last <= 1`.
    ///
    /// # Examples
    ///
    /// ```
    /// use calcine_schedule::Cubic;
    ///
    /// assert!(Cubic::agp(0.05, 0.7).is_ok());
    /// assert!(Cubic::agp(0.5, 0.4).is_err());
    /// assert!(Cubic::agp(5.0, 70.0).is_err());
    /// ```
    pub fn agp(initial: f64, last: f64) -> Result<Self, CurveError> {
        if 0.0 <= initial && initial < last && last <= 1.0 {
            Ok(Self { initial, last })
        } else {
            Err(CurveError::NotRising { initial, last })
        }
    }
}

impl Curve for Cubic {
    fn value_at(&self, progress: f64) -> f64 {
        let remaining = 1.0 - progress.clamp(0.0, 1.0);
        self.last + (self.initial - self.last) * remaining.powi(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_an_eighth_of_the_way_is_left() {
        let ramp = Cubic {
            initial: 1.0,
            last: 0.0,
        };
        assert_eq!(ramp.value_at(0.5), 0.125);
    }

    #[test]
    fn a_ramp_that_does_not_rise_is_refused_with_its_numbers() {
        let error = Cubic::agp(0.5, 0.5).unwrap_err();
        assert!(error.to_string().contains("from 0.5 to 0.5"), "{error}");
        assert!(Cubic::agp(f64::NAN, 0.5).is_err());
    }
}
