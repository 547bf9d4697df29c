use std::io::Write;

use super::{Log, LogError};

/// Writes lines of text to the terminal or another writer.
///
/// A line contains the numbers whose tags differ only in their last part:
///
/// ```
/// use calcine_train::{ConsoleLog, Log};
///
/// let mut lines = Vec::new();
/// let scalars = [("Performance/Training/Loss", 0.25), ("Performance/Training/LR", 0.1)];
/// ConsoleLog::new(&mut lines).scalars(40, &scalars)?;
/// assert_eq!(lines, b"step 40  Performance/Training  Loss 0.25  LR 0.1\n");
/// # Ok::<(), calcine_train::LogError>(())
/// ```
#[derive(Debug)]
pub struct ConsoleLog<W> {
    writer: W,
}

impl<W: Write> ConsoleLog<W> {
    /// A log that writes to `writer`, for example `std::io::stderr()`.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }
}

impl<W: Write> Log for ConsoleLog<W> {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        let mut text = String::new();
        for group in scalars.chunk_by(|(a, _), (b, _)| split(a).0 == split(b).0) {
            text += &format!("step {step}");
            let path = group.first().map_or("", |(tag, _)| split(tag).0);
            if !path.is_empty() {
                text += &format!("  {path}");
            }
            for (tag, value) in group {
                // Single precision has enough digits for a reader.
                text += &format!("  {} {}", split(tag).1, *value as f32);
            }
            text += "\n";
        }
        let written = self.writer.write_all(text.as_bytes());
        written.map_err(|error| LogError::new("the console", error))
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| LogError::new("the console", error))
    }
}

/// Splits a tag into its path and its last part.
fn split(tag: &str) -> (&str, &str) {
    tag.rsplit_once('/').unwrap_or(("", tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_line_and_tags_without_one_stand_alone() {
        let mut lines = Vec::new();
        let mut log = ConsoleLog::new(&mut lines);
        let scalars = [
            ("loss", 2.0),
            ("a/b/x", 1e-7),
            ("a/b/y", f64::NAN),
            ("a/z", -1.5),
        ];
        log.scalars(3, &scalars).unwrap();
        log.scalars(4, &[]).unwrap();
        let expected = "step 3  loss 2\nstep 3  a/b  x 0.0000001  y NaN\nstep 3  a  z -1.5\n";
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }
}
