use super::LearningRate;
use super::setting::Setting;
use crate::RateError;

/// Multiplies the rate by `gamma` in each epoch, distributed over its steps.
///
/// ```text
/// factor(e) = gamma ^ e
/// ```
///
/// At whole epochs, the values are those of PyTorch's `ExponentialLR`. Wrap it in [`PerEpoch`](super::PerEpoch) to
/// change the rate only there.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let decay = rate::Exponential::new(0.25)?;
/// assert_eq!([0.0, 0.5, 1.0].map(|e| decay.factor(e)), [1.0, 0.5, 0.25]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Exponential {
    gamma: f64,
}

impl Exponential {
    /// The schedule that multiplies the rate by `gamma` in each epoch.
    ///
    /// # Errors
    ///
    /// If `gamma` is not a finite number above 0.
    pub fn new(gamma: f64) -> Result<Self, RateError> {
        Ok(Self {
            gamma: Setting::new("exponential", "gamma", gamma).positive()?,
        })
    }
}

impl LearningRate for Exponential {
    fn factor(&self, epochs: f64) -> f64 {
        self.gamma.powf(epochs.max(0.0))
    }
}
