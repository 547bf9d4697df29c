//! The error type of the commands.

use std::fmt;

/// The reason why a command did not succeed: a message for the terminal, and the exit code of the process.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The command failed.
    Error,
    /// The command was asked to stop.
    Stopped,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit_code: 1,
            kind: Kind::Error,
        }
    }

    /// The end of a command that a signal stopped. The exit code is 128 plus the number of the signal, as in shells.
    pub(crate) fn stopped(message: impl Into<String>, signal: u8) -> Self {
        Self {
            message: message.into(),
            exit_code: 128_u8.saturating_add(signal),
            kind: Kind::Stopped,
        }
    }

    /// The same failure, with the exit code of the program that caused it.
    pub(crate) fn with_exit_code(self, exit_code: u8) -> Self {
        Self { exit_code, ..self }
    }

    /// The exit code of the process; never 0.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code.max(1)
    }

    /// The message, as the last line that the command prints.
    pub(crate) fn last_line(&self) -> String {
        match self.kind {
            Kind::Error => format!("error: {}", self.message),
            Kind::Stopped => self.message.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The failure for invalid input: exit code 2.
#[allow(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(crate) fn bad(error: impl ToString) -> Failure {
    Failure::new(error.to_string()).with_exit_code(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_never_exits_with_success() {
        let failure = Failure::new("lost").with_exit_code(0);
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(failure.last_line(), "error: lost");
    }

    #[test]
    fn a_command_that_was_stopped_has_no_error_and_the_exit_code_of_its_signal() {
        for (signal, code) in [(2, 130), (15, 143)] {
            let failure = Failure::stopped("stopped", signal);
            assert_eq!(
                (failure.exit_code(), &*failure.last_line()),
                (code, "stopped")
            );
        }
    }
}
