/// Why activations cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ActivationSourceError {
    problems: Vec<String>,
}

impl ActivationSourceError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// One for each thing that a policy wants and does not get.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}
