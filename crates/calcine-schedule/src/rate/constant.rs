use super::LearningRate;

/// A constant multiple of the base rate; by default the base rate itself.
///
/// ```text
/// factor(e) = c
/// ```
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// assert_eq!(rate::Constant::default().factor(17.5), 1.0);
/// assert_eq!(rate::Constant(0.1).factor(17.5), 0.1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant(
    /// The multiple.
    pub f64,
);

impl Default for Constant {
    fn default() -> Self {
        Self(1.0)
    }
}

impl LearningRate for Constant {
    fn factor(&self, _epochs: f64) -> f64 {
        self.0
    }
}
