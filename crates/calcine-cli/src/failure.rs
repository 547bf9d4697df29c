//! The one error of the commands.

use std::fmt;

/// Why a command did not end with success: one message for the terminal and the exit code of the process.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Something is wrong.
    Error,
    /// Nothing is wrong: somebody asked the command to stop.
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

    /// The end of a command that a signal stopped: 128 and the signal's number, as shells have it.
    pub(crate) fn stopped(message: impl Into<String>, signal: u8) -> Self {
        Self {
            message: message.into(),
            exit_code: 128_u8.saturating_add(signal),
            kind: Kind::Stopped,
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

    /// The message as the command's last line.
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

/// The failure of everything that is wrong with what was given: exit code 2.
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
