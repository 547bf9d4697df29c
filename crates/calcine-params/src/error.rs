use calcine_fold::{FoldError, Granularity};

/// A parameter that cannot be cut into the units that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Which axis of its layer is the output is not known.
    #[error(
        "`{path}` belongs to a `{layer}`, whose output axis is unknown: only element and layer fit"
    )]
    Layout {
        /// The parameter.
        path: String,
        /// The type of its layer.
        layer: String,
    },
    /// How many groups its convolution has is not known.
    #[error(
        "the groups of `{path}` are unknown, and `{granularity}` depends on them: its `{layer}` is in a module with a \
         `Debug` of its own, so trace the model, whose graph tells them, or derive `Debug`"
    )]
    Groups {
        /// The parameter.
        path: String,
        /// The type of its layer.
        layer: String,
        /// What was asked for.
        granularity: Granularity,
    },
    /// Its shape has no such units.
    #[error("`{path}`: {source}")]
    Shape {
        /// The parameter.
        path: String,
        /// Why.
        source: FoldError,
    },
}
