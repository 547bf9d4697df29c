use super::LearningRate;
use crate::StateError;

/// Wraps a schedule so that it changes only at whole epochs.
///
/// ```text
/// factor(e) = inner(floor(e))
/// ```
///
/// Use it to compare with training loops that set the rate once per epoch, as Distiller and most PyTorch code do.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let decay = rate::PerEpoch(rate::Exponential::new(0.5)?);
/// assert_eq!([0.0, 0.9, 1.0, 1.9].map(|e| decay.factor(e)), [1.0, 1.0, 0.5, 0.5]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PerEpoch<R>(
    /// The schedule that is evaluated at whole epochs.
    pub R,
);

impl<R: LearningRate> LearningRate for PerEpoch<R> {
    fn factor(&self, epochs: f64) -> f64 {
        self.0.factor(epochs.floor())
    }

    fn observe(&mut self, metric: f64) {
        self.0.observe(metric);
    }

    fn state(&self) -> Vec<f64> {
        self.0.state()
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), StateError> {
        self.0.restore(state)
    }
}
