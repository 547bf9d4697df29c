use super::LearningRate;
use super::setting::{Setting, whole};
use crate::RateError;

/// Multiplies the rate by `gamma` every `step_size` epochs.
///
/// ```text
/// factor(e) = gamma ^ floor(e / step_size)
/// ```
///
/// The rate changes exactly at whole epochs.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let step = rate::Step::new(30, 0.5)?;
/// assert_eq!([0.0, 29.99, 30.0, 60.0].map(|e| step.factor(e)), [1.0, 1.0, 0.5, 0.25]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    step_size: u64,
    gamma: f64,
}

impl Step {
    /// The schedule that multiplies the rate by `gamma` every `step_size` epochs.
    ///
    /// # Errors
    ///
    /// If `step_size` is 0, or `gamma` is not a finite number above 0.
    pub fn new(step_size: u64, gamma: f64) -> Result<Self, RateError> {
        if step_size == 0 {
            return Err(Setting::new("step", "step_size", 0.0).refused("at least 1 epoch"));
        }
        Ok(Self {
            step_size,
            gamma: Setting::new("step", "gamma", gamma).positive()?,
        })
    }
}

impl LearningRate for Step {
    fn factor(&self, epochs: f64) -> f64 {
        self.gamma.powf((whole(epochs) / self.step_size) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_no_epochs_is_refused() {
        let error = Step::new(0, 0.1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "step schedule: step_size is 0, but must be at least 1 epoch"
        );
        assert!(Step::new(1, 0.0).is_err());
    }
}
