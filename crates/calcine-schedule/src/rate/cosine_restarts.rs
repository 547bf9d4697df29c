use super::LearningRate;
use super::setting::Setting;
use crate::{Curve, RateError, curve};

/// Cosine annealing with warm restarts (SGDR).
///
/// ```text
/// factor(e) = floor + (1 - floor) * (1 + cos(pi * e_i / t_i)) / 2
/// t_i       = t_0 * growth^i               length of cycle i
/// e_i       = e - (t_0 + .. + t_(i-1))     position within it
/// ```
///
/// Each cycle starts at 1 (Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017).
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let restarts = rate::CosineRestarts::new(10.0)?.with_growth(2.0)?;
/// assert_eq!([0.0, 5.0, 10.0, 20.0, 30.0].map(|e| restarts.factor(e)), [1.0, 0.5, 1.0, 0.5, 1.0]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CosineRestarts {
    first: f64,
    growth: f64,
    floor: f64,
}

const NAME: &str = "cosine_restarts";

impl CosineRestarts {
    /// Cycles of `period` epochs.
    ///
    /// # Errors
    ///
    /// If `period` is not a finite number above 0.
    pub fn new(period: f64) -> Result<Self, RateError> {
        let first = Setting::new(NAME, "period", period).positive()?;
        Ok(Self {
            first,
            growth: 1.0,
            floor: 0.0,
        })
    }

    /// Makes each cycle `growth` times as long as the previous one. Default: 1.
    ///
    /// # Errors
    ///
    /// If `growth` is not finite, or below 1.
    pub fn with_growth(self, growth: f64) -> Result<Self, RateError> {
        Ok(Self {
            growth: Setting::new(NAME, "growth", growth).at_least_one()?,
            ..self
        })
    }

    /// Sets the smallest multiple of the base rate. Default: 0.
    ///
    /// # Errors
    ///
    /// If `floor` is not in `[0, 1]`.
    pub fn with_floor(self, floor: f64) -> Result<Self, RateError> {
        Ok(Self {
            floor: Setting::new(NAME, "floor", floor).fraction()?,
            ..self
        })
    }

    /// The progress within the current cycle.
    fn progress(&self, epochs: f64) -> f64 {
        let epochs = epochs.clamp(0.0, f64::MAX);
        if self.growth == 1.0 {
            return (epochs % self.first) / self.first;
        }
        let (mut rest, mut period) = (epochs, self.first);
        while period <= rest {
            rest -= period;
            period *= self.growth;
        }
        rest / period
    }
}

impl LearningRate for CosineRestarts {
    fn factor(&self, epochs: f64) -> f64 {
        curve::Cosine {
            initial: 1.0,
            last: self.floor,
        }
        .value_at(self.progress(epochs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_of_equal_length_repeat() {
        let restarts = CosineRestarts::new(4.0).unwrap().with_floor(0.2).unwrap();
        for e in [0.0, 1.0, 2.5, 3.75] {
            assert_eq!(restarts.factor(e), restarts.factor(e + 8.0));
        }
        assert!((restarts.factor(3.9999) - 0.2).abs() < 1e-6);
    }

    #[test]
    fn shrinking_cycles_are_refused() {
        let error = CosineRestarts::new(4.0)
            .unwrap()
            .with_growth(0.5)
            .unwrap_err();
        assert!(error.to_string().contains("growth is 0.5"), "{error}");
    }
}
