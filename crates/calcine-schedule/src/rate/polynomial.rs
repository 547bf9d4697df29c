use super::LearningRate;
use super::setting::Setting;
use crate::RateError;

/// Lets the rate fall to 0 as a power of the remaining time.
///
/// ```text
/// factor(e) = (1 - e / t_max) ^ power      e < t_max
///           = 0                            t_max <= e
/// ```
///
/// It is common in segmentation, with a power of 0.9. Distiller's `PolynomialLR` does not have the second line: after
/// `t_max`, it grows again if the power is even, and becomes negative if it is odd. Here the rate stays 0.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let decay = rate::Polynomial::new(8.0, 3.0)?;
/// assert_eq!([0.0, 4.0, 8.0, 9.0].map(|e| decay.factor(e)), [1.0, 0.125, 0.0, 0.0]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Polynomial {
    t_max: f64,
    power: f64,
}

impl Polynomial {
    /// The schedule that reaches 0 after `t_max` epochs. A `power` of 1 is a straight line.
    ///
    /// # Errors
    ///
    /// If `t_max` or `power` is not a finite number above 0.
    pub fn new(t_max: f64, power: f64) -> Result<Self, RateError> {
        Ok(Self {
            t_max: Setting::new("polynomial", "t_max", t_max).positive()?,
            power: Setting::new("polynomial", "power", power).positive()?,
        })
    }
}

impl LearningRate for Polynomial {
    fn factor(&self, epochs: f64) -> f64 {
        let left = 1.0 - epochs.max(0.0) / self.t_max;
        left.max(0.0).powf(self.power)
    }
}
