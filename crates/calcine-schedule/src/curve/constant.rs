use super::Curve;

/// A constant curve.
///
/// ```text
/// value(p) = c
/// ```
///
/// Use it for one-shot pruning, a fixed penalty or a fixed level.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Constant, Curve};
///
/// assert_eq!(Constant(0.5).value_at(0.0), 0.5);
/// assert_eq!(Constant(0.5).value_at(1.0), 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Constant(
    /// The value.
    pub f64,
);

impl Curve for Constant {
    fn value_at(&self, _progress: f64) -> f64 {
        self.0
    }
}
