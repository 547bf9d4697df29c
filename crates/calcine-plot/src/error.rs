/// What cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("chart `{title}` has no series")]
    Empty {
        /// The chart's title.
        title: String,
    },
    /// A series without a single finite point.
    #[error("series `{label}` has no point that is finite")]
    NoPoints {
        /// The series' label.
        label: String,
    },
    /// The plotting or the image library refused.
    #[error("the chart cannot be drawn: {reason}")]
    Backend {
        /// What it said.
        reason: String,
    },
}

impl PlotError {
    pub(crate) fn backend(error: &dyn std::error::Error) -> Self {
        Self::Backend {
            reason: error.to_string(),
        }
    }
}
