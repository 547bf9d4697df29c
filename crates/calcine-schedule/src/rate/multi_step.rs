use super::LearningRate;
use super::setting::{Setting, ascending, reached};
use crate::RateError;

/// Multiplies the rate by `gamma` at each milestone.
///
/// ```text
/// factor(e) = gamma ^ (number of milestones <= floor(e))
/// ```
///
/// The rate changes exactly at whole epochs. A milestone that is given twice counts twice.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let steps = rate::MultiStep::new([30, 45], 0.5)?;
/// assert_eq!([0.0, 30.0, 44.9, 45.0].map(|e| steps.factor(e)), [1.0, 0.5, 0.5, 0.25]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStep {
    milestones: Vec<u64>,
    gamma: f64,
}

impl MultiStep {
    /// The schedule that multiplies the rate by `gamma` at the beginning of each epoch in `milestones`.
    ///
    /// # Errors
    ///
    /// If a milestone is below the one before it, or `gamma` is not a finite number above 0.
    pub fn new(milestones: impl IntoIterator<Item = u64>, gamma: f64) -> Result<Self, RateError> {
        Ok(Self {
            milestones: ascending("multi_step", milestones)?,
            gamma: Setting::new("multi_step", "gamma", gamma).positive()?,
        })
    }
}

impl LearningRate for MultiStep {
    fn factor(&self, epochs: f64) -> f64 {
        self.gamma.powf(reached(&self.milestones, epochs) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milestones_out_of_order_are_refused_by_index() {
        let error = MultiStep::new([30, 60, 45], 0.1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "multi_step schedule: milestone 45 at index 2 follows 60: milestones must ascend"
        );
    }
}
