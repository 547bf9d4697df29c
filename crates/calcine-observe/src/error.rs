use calcine_trace::ForwardError;

/// Why a network cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// A batch does not match the inputs of the network.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// There is no batch.
    #[error("no batch was given: a statistic needs at least one")]
    NoBatch,
    /// A pattern is malformed.
    #[error("`{pattern}` is not a valid pattern: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        why: String,
    },
    /// A pattern matches no node with a float result.
    #[error("`{pattern}` matches no node with a float result{}", hint(.nearest))]
    NoNode {
        /// The pattern, or the name that was looked for.
        pattern: String,
        /// The most similar names, best first.
        nearest: Vec<String>,
    },
    /// A name is not that of a layer's weight in the network.
    #[error("the network has no convolution or linear layer with the weight `{weight}`{}", hint(.nearest))]
    NoWeight {
        /// The name.
        weight: String,
        /// The most similar names of weights, best first.
        nearest: Vec<String>,
    },
    /// The inputs of a layer cannot be sampled as rows of a matrix product.
    #[error("the inputs of the layer of `{weight}` cannot be sampled: {why}")]
    NotSampled {
        /// The path of the weight.
        weight: String,
        /// The reason.
        why: String,
    },
    /// The filters of a layer have no activation function of their own.
    #[error("the filters of `{weight}` have no activation function of their own: {why}")]
    NoActivation {
        /// The path of the weight.
        weight: String,
        /// The reason.
        why: String,
    },
}

fn hint(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("; nearest: {}", names.join(", "))
    }
}
