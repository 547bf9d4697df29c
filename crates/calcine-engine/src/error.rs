use calcine_format::FileError;

/// A network that cannot be compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The file system.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// A file that holds no network, or one whose parts do not fit.
    #[error(transparent)]
    File(#[from] FileError),
    /// An operation that the engine does not have.
    #[error("`{node}` is {operation}, which the engine does not compute")]
    Unsupported {
        /// The node.
        node: String,
        /// What it computes, and of what.
        operation: String,
    },
    /// Inputs that do not fit the network.
    #[error("input {index} is {found}, expected {expected}")]
    Input {
        /// Which one.
        index: usize,
        /// What it is.
        found: String,
        /// What the network takes.
        expected: String,
    },
    /// An instruction set that the CPU does not have.
    #[error("this CPU has no {0}")]
    Isa(calcine_kernels::Isa),
    /// Threads that could not be started.
    #[error("{threads} threads: {error}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What went wrong.
        error: String,
    },
}
