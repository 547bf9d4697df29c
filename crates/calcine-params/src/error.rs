use calcine_fold::{FoldError, Granularity};

/// A parameter cannot be divided into units of the requested granularity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The output axis of the layer is unknown.
    #[error(
        "`{path}` belongs to a `{layer}`, whose output axis is unknown: expected the granularity element or layer"
    )]
    Layout {
        /// The parameter.
        path: String,
        /// The type of its layer.
        layer: String,
    },
    /// The number of groups of the convolution is unknown.
    #[error(
        "the groups of `{path}` are unknown, and `{granularity}` depends on them: the shape of a `{layer}`'s weight does \
         not prove their number. Trace the model, as the graph knows it, or tell it with `Inventory::tell_groups`"
    )]
    Groups {
        /// The parameter.
        path: String,
        /// The type of its layer.
        layer: String,
        /// The requested granularity.
        granularity: Granularity,
    },
    /// The shape does not have such units.
    #[error("`{path}`: {source}")]
    Shape {
        /// The parameter.
        path: String,
        /// Why.
        source: FoldError,
    },
}
