/// Why activations cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ActivationSourceError {
    problems: Vec<String>,
}

impl ActivationSourceError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// The problems, one for each request that cannot be answered.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}
