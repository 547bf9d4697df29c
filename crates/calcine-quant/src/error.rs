/// Calibration statistics are inconsistent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
#[non_exhaustive]
pub struct StatisticsError {
    /// The name of the field in a file.
    pub field: &'static str,
    /// The value.
    pub found: String,
    /// What would be valid.
    pub expected: &'static str,
}
