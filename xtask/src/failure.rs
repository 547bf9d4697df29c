//! The one error of the chores.

use std::fmt;

/// Why a chore did not end with success: one message for the terminal and the exit code of the process.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 1,
        }
    }

    /// The same failure with the exit code of the program that caused it.
    pub(crate) fn with_exit_code(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// What the process should return; never 0.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code.max(1)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_never_exits_with_success() {
        assert_eq!(Failure::new("lost").with_exit_code(0).exit_code(), 1);
        assert_eq!(Failure::new("lost").with_exit_code(3).exit_code(), 3);
    }
}
