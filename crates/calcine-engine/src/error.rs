use calcine_format::FileError;

/// Why a network cannot be loaded, compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// The path of the file.
        path: String,
        /// The cause.
        error: std::io::Error,
    },
    /// The bytes contain no network, or one whose parts are inconsistent.
    #[error(transparent)]
    File(#[from] FileError),
    /// The network has an operation that the engine does not support.
    #[error("the node `{node}` is {operation}, which the engine does not support")]
    Unsupported {
        /// The name of the node.
        node: String,
        /// The operation, with the shapes of its operands.
        operation: String,
    },
    /// The inputs do not match those of the network.
    #[error("input {index} is {found}, expected {expected}")]
    Input {
        /// The position of the input.
        index: usize,
        /// The kind and shape of the input.
        found: String,
        /// The kind and shape that the network expects.
        expected: String,
    },
    /// The CPU does not have the instruction set.
    #[error("this CPU does not have the instruction set {0}")]
    Isa(calcine_kernels::Isa),
    /// The threads cannot be started.
    #[error("{threads} threads cannot be started: {error}")]
    Threads {
        /// The requested number of threads.
        threads: usize,
        /// The cause.
        error: String,
    },
}
