/// How the scores of units that are kept or removed together become one score.
///
/// The branches of a residual block are added, so that each channel has as many producers as there are branches, and one
/// decision is made for all of them.
///
/// # Examples
///
/// ```
/// use calcine_criteria::Aggregation;
///
/// let scores = [3.0, 1.0];
/// assert_eq!(Aggregation::Sum.aggregate(&scores), 4.0);
/// assert_eq!(Aggregation::Mean.aggregate(&scores), 2.0);
/// assert_eq!(Aggregation::Max.aggregate(&scores), 3.0);
/// assert_eq!(Aggregation::First.aggregate(&scores), 3.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Aggregation {
    /// The sum of the scores.
    #[default]
    Sum,
    /// The mean of the scores.
    Mean,
    /// The largest score.
    Max,
    /// The first score.
    First,
}

impl Aggregation {
    /// The aggregated score; 0 if there are no scores.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "groups have few members")]
    pub fn aggregate(self, scores: &[f64]) -> f64 {
        let Some(&first) = scores.first() else {
            return 0.0;
        };
        let sum = || scores.iter().sum::<f64>();
        match self {
            Self::Sum => sum(),
            Self::Mean => sum() / scores.len() as f64,
            Self::Max => scores.iter().copied().fold(first, f64::max),
            Self::First => first,
        }
    }
}
