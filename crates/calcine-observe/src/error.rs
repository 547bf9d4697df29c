use calcine_trace::ForwardError;

/// Why a network cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// A batch does not fit the network.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// There was nothing to observe.
    #[error("no batch was given: a statistic needs at least one")]
    NoBatch,
    /// A pattern that is malformed.
    #[error("`{pattern}` is no pattern: {why}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A pattern that no node with a result of floats matches.
    #[error("`{pattern}` matches no node that gives floats{}", hint(.nearest))]
    NoNode {
        /// As written, or what was looked for.
        pattern: String,
        /// The names most like it, best first.
        nearest: Vec<String>,
    },
    /// A name that is no weight of a layer of the network.
    #[error("`{weight}` is the weight of no convolution and no linear layer of the network{}", hint(.nearest))]
    NoWeight {
        /// As written.
        weight: String,
        /// The weights most like it, best first.
        nearest: Vec<String>,
    },
    /// A layer whose inputs are no rows of a product.
    #[error("what the layer of `{weight}` is fed is not sampled: {why}")]
    NotSampled {
        /// The weight.
        weight: String,
        /// What is in the way.
        why: String,
    },
    /// The way from a layer's filters to their activation function ends before there is one.
    #[error("the filters of `{weight}` have no activation function of their own: {why}")]
    NoActivation {
        /// The weight.
        weight: String,
        /// What is in the way.
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
