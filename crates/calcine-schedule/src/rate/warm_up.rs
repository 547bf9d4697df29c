use super::LearningRate;
use super::setting::Setting;
use crate::{Curve, RateError, curve};

/// Linear warm-up, to be multiplied with another schedule.
///
/// ```text
/// factor(e) = initial + (1 - initial) * e / epochs    e < epochs
///           = 1                                       epochs <= e
/// ```
///
/// Use it for large batches, with which the first steps at the full rate would diverge (Goyal et al., "Accurate, Large
/// Minibatch SGD", 2017).
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let schedule = (rate::WarmUp::new(5.0)?.with_initial(0.1)?, rate::Step::new(30, 0.5)?);
/// assert_eq!([0.0, 5.0, 30.0].map(|e| schedule.factor(e)), [0.1, 1.0, 0.5]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WarmUp {
    epochs: f64,
    initial: f64,
}

const NAME: &str = "warm_up";

impl WarmUp {
    /// The warm-up from 0 over the first `epochs` epochs.
    ///
    /// # Errors
    ///
    /// If `epochs` is not a finite number above 0.
    pub fn new(epochs: f64) -> Result<Self, RateError> {
        Ok(Self {
            epochs: Setting::new(NAME, "epochs", epochs).positive()?,
            initial: 0.0,
        })
    }

    /// Sets the factor at the beginning. Default: 0, so that the learning rate of the first step is 0.
    ///
    /// # Errors
    ///
    /// If `initial` is not in `[0, 1]`.
    pub fn with_initial(self, initial: f64) -> Result<Self, RateError> {
        Ok(Self {
            initial: Setting::new(NAME, "initial", initial).fraction()?,
            ..self
        })
    }
}

impl LearningRate for WarmUp {
    fn factor(&self, epochs: f64) -> f64 {
        curve::Linear {
            initial: self.initial,
            last: 1.0,
        }
        .value_at(epochs / self.epochs)
    }
}
