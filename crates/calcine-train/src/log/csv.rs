use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::{Log, LogError};

const HEADER: [&str; 3] = ["step", "tag", "value"];

/// Writes comma-separated values with one number per row: `step,tag,value`.
///
/// The long format allows any set of tags in each step. Histograms are not written.
///
/// The file is opened or created when the first number is written, and existing rows are kept. An incomplete last row,
/// which a killed process may have left, is removed.
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    writer: Option<csv::Writer<File>>,
}

impl CsvLog {
    /// A log in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            writer: None,
        }
    }

    fn write(&mut self, step: u64, scalars: &[(&str, f64)]) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.open(u64::MAX)?),
        };
        for (tag, value) in scalars {
            writer.write_record([&step.to_string(), *tag, &value.to_string()])?;
        }
        Ok(())
    }

    /// Opens the file, without the rows of steps after `step`.
    fn open(&self, step: u64) -> io::Result<csv::Writer<File>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&self.path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let kept = bytes_before(&text, step)?;
        file.set_len(kept)?;
        file.seek(SeekFrom::End(0))?;
        let mut writer = csv::Writer::from_writer(file);
        if kept == 0 {
            writer.write_record(HEADER)?;
        }
        Ok(writer)
    }

    fn error(&self, error: io::Error) -> LogError {
        LogError::new(self.path.display(), error)
    }
}

impl Log for CsvLog {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        let written = self.write(step, scalars);
        written.map_err(|error| self.error(error))
    }

    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        self.flush()?;
        self.writer = None;
        if self.path.exists() {
            let opened = self.open(step).map_err(|error| self.error(error))?;
            self.writer = Some(opened);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let flushed = self.writer.as_mut().map_or(Ok(()), csv::Writer::flush);
        flushed.map_err(|error| self.error(error))
    }
}

/// The number of bytes to keep: up to the first row of a later step, or up to an incomplete row at the end.
fn bytes_before(text: &[u8], step: u64) -> io::Result<u64> {
    let malformed = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let whole = text.iter().rposition(|byte| *byte == b'\n');
    let whole = &text[..whole.map_or(0, |last| last + 1)];
    let mut reader = csv::Reader::from_reader(whole);
    if !whole.is_empty() && *reader.headers()? != HEADER[..] {
        let header = HEADER.join(",");
        return Err(malformed(format!(
            "not a log: the first line is not `{header}`"
        )));
    }
    for row in reader.into_records() {
        let row = row?;
        let place = row.position().expect("a row that was read has a place");
        let number = row[0].parse::<u64>();
        let number = number.map_err(|_| {
            malformed(format!(
                "line {}: `{}` is not a step",
                place.line(),
                &row[0]
            ))
        })?;
        if number > step {
            return Ok(place.byte());
        }
    }
    Ok(whole.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "step,tag,value\n10,a,0.5\n20,\"b,c\",1\n20,d,2\n30,a,3\n";

    #[test]
    fn rows_of_later_steps_and_half_rows_do_not_stay() {
        fn stays(text: &str, step: u64) -> &str {
            &text[..bytes_before(text.as_bytes(), step).unwrap() as usize]
        }
        let first = TEXT.find("10,").unwrap();
        let third = TEXT.find("30,").unwrap();
        assert_eq!(stays(TEXT, 0), &TEXT[..first]);
        assert_eq!(stays(TEXT, 20), &TEXT[..third]);
        assert_eq!(stays(TEXT, 29), &TEXT[..third]);
        assert_eq!(stays(TEXT, u64::MAX), TEXT);
        assert_eq!(stays(&format!("{TEXT}40,a,0.1"), u64::MAX), TEXT);
        assert_eq!(stays(&format!("{TEXT}40"), u64::MAX), TEXT);
        assert_eq!(stays("step,ta", u64::MAX), "");
        assert_eq!(stays("", 0), "");
    }

    #[test]
    fn other_files_are_refused() {
        let error = |text: &str| bytes_before(text.as_bytes(), 5).unwrap_err().to_string();
        assert!(error("epoch,loss\n1,2\n").contains("`step,tag,value`"));
        assert!(error("step,tag,value\n1,a,2\nx,a,2\n").contains("line 3: `x`"));
        assert!(error("step,tag,value\n1,a\n").contains("2 fields"));
    }
}
