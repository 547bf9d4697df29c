/// Inconsistent calibration statistics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
#[non_exhaustive]
pub struct StatisticsError {
    /// The field, as a file calls it.
    pub field: &'static str,
    /// What it is.
    pub found: String,
    /// What would be valid.
    pub expected: &'static str,
}
