/// Why a chart cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The chart has no series.
    #[error("chart `{title}` has no series")]
    Empty {
        /// The title of the chart.
        title: String,
    },
    /// A series has no finite point.
    #[error("series `{label}` has no point that is finite")]
    NoPoints {
        /// The label of the series.
        label: String,
    },
    /// The plotting or image library reported an error.
    #[error("the chart cannot be drawn: {reason}")]
    Backend {
        /// The message of the library.
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
