use std::fmt;

use serde::{Deserialize, Serialize};

/// What one part of a run was asked to do, and what it has reached.
///
/// [`Driver::outcomes`](crate::Driver::outcomes) collects them from the policies at the end of a run. Whoever
/// carries out other parts of a recipe (thinning, quantization) adds its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOutcome {
    /// The part: the policy's name in the recipe, or a table such as `[thin]`.
    pub name: String,
    /// What was asked.
    pub asked: String,
    /// What has been reached.
    pub reached: String,
    /// Why that is less than what was asked; `None` if it is not.
    pub missed: Option<String>,
}

impl PolicyOutcome {
    /// An outcome that is what was asked.
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

    /// With the reason why what was asked was not reached, if there is one.
    #[must_use]
    pub fn with_missed(mut self, reason: Option<String>) -> Self {
        self.missed = reason;
        self
    }

    /// Whether what was asked has been reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.missed.is_none()
    }
}

/// One line: what was asked, what has been reached, and why it is less.
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
