use crate::MAX_BITS;

/// There is no such quantizer.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizerError {
    /// Numbers that are no range.
    #[error(
        "there is no quantizer for the range from {low} to {high}: expected finite numbers of `f32`, the lower one first"
    )]
    Range {
        /// From.
        low: f64,
        /// To.
        high: f64,
    },
    /// Integers that are not to be had.
    #[error("{bits} bits: expected {least} to {MAX_BITS}")]
    Bits {
        /// How many were asked for.
        bits: u8,
        /// The fewest that make a quantizer.
        least: u8,
    },
    /// Weights that cannot be cut so.
    #[error(
        "{weights} weights in rows of {columns}, groups of {group}: expected whole rows, and groups of something"
    )]
    Groups {
        /// How many weights there are.
        weights: usize,
        /// Columns of a row.
        columns: usize,
        /// Columns of a group.
        group: usize,
    },
    /// A factor that no multiplier and shift approximate.
    #[error("the factor {factor} in {bits} bits: expected a positive number, and 1 to 30 bits")]
    Factor {
        /// The factor.
        factor: f64,
        /// Bits of the multiplier.
        bits: u8,
    },
}

/// Statistics that are of no numbers.
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
