//! Output to stdout and stderr: its width, and whether it has colours.

use std::io::{self, ErrorKind, Write};

use console::Term;
use tracing_subscriber::fmt::MakeWriter;

use crate::progress::above_bars;

/// The width in columns if nothing specifies it.
const COLUMNS: usize = 80;

/// The smallest width that is accepted. Narrower tables could not be read.
const LEAST: usize = 20;

/// The text about the width of tables in `--help`.
pub(crate) const WIDTH_HELP: &str = "Tables are as wide as the terminal, or as the variable COLUMNS says; 80 columns \
                                     in a pipe or a file. What does not fit goes on below.";

/// Prints a result to stdout. A reader that has closed the pipe, such as `head`, is not an error.
pub(crate) fn print_line(line: &str) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            stderr(&format!("error: stdout cannot be written: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Prints a line to stderr, above all bars.
pub(crate) fn stderr(text: &str) {
    // If stderr cannot be written, there is nowhere to report it.
    above_bars(|| drop(writeln!(io::stderr(), "{text}")));
}

/// Prints a result: to stdout, or to stderr if stdout is reserved for the JSON.
pub(crate) fn say(json: bool, text: &str) {
    if json {
        stderr(text);
    } else {
        print_line(text);
    }
}

/// The number of columns that a table may have.
pub(crate) fn width() -> usize {
    let stated = std::env::var("COLUMNS").ok();
    let terminal = Term::stdout().size_checked();
    columns(
        stated.as_deref(),
        terminal.map(|(_, columns)| columns.into()),
    )
}

fn columns(stated: Option<&str>, terminal: Option<usize>) -> usize {
    let stated = stated.and_then(|columns| columns.trim().parse().ok());
    stated
        .filter(|&columns| columns > 0)
        .or(terminal)
        .unwrap_or(COLUMNS)
        .max(LEAST)
}

/// Whether stderr is coloured: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn colours() -> bool {
    console::colors_enabled_stderr()
}

/// A writer to stderr that does not disturb the bars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above_bars(|| drop(io::stderr().write_all(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_decides_before_the_terminal_and_a_pipe_has_80_columns() {
        for (stated, terminal, expected) in [
            (None, None, 80),
            (None, Some(132), 132),
            (Some("100"), Some(132), 100),
            (Some("100"), None, 100),
            (Some("wide"), Some(132), 132),
            (Some("0"), None, 80),
            (Some("3"), None, 20),
        ] {
            assert_eq!(
                columns(stated, terminal),
                expected,
                "{stated:?}, {terminal:?}"
            );
        }
    }
}
