use std::fmt;

use serde::{Deserialize, Serialize};

/// The requested and the reached state of one part of a run.
///
/// [`Driver::outcomes`](crate::Driver::outcomes) collects the outcomes of the policies at the end of a run. Code that
/// executes other parts of a recipe (thinning, quantization) adds its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOutcome {
    /// The name of the part: a policy of the recipe, or a table such as `[thin]`.
    pub name: String,
    /// What was requested.
    pub asked: String,
    /// What has been reached.
    pub reached: String,
    /// Why the request was not reached; `None` if it was.
    pub missed: Option<String>,
}

impl PolicyOutcome {
    /// An outcome in which the request was reached.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        asked: impl Into<String>,
        reached: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            asked: asked.into(),
            reached: reached.into(),
            missed: None,
        }
    }

    /// Sets the reason why the request was not reached, if there is one.
    #[must_use]
    pub fn with_missed(mut self, reason: Option<String>) -> Self {
        self.missed = reason;
        self
    }

    /// Whether the request was reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.missed.is_none()
    }
}

/// One line: the request, what has been reached, and the reason if it is less.
impl fmt::Display for PolicyOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            asked,
            reached,
            missed,
        } = self;
        write!(f, "`{name}` was asked for {asked}, and reached {reached}")?;
        match missed {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}
