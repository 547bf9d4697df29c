mod event;
mod histogram;
mod record;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use self::event::{Datum, Event, SessionLog, Summary, Value, What};
use super::{Log, LogError};

/// Writes event files for [TensorBoard](https://www.tensorflow.org/tensorboard); view them with `tensorboard --logdir
/// DIR`.
///
/// ```no_run
/// use calcine_train::{Log, TensorBoard};
///
/// let mut log = TensorBoard::new("runs/mine");
/// log.scalars(10, &[("Performance/Training/Loss", 0.7)])?;
/// log.histogram(10, "weights/fc.weight", &[0.0, 0.1, -0.3])?;
/// log.flush()?;
/// # Ok::<(), calcine_train::LogError>(())
/// ```
///
/// A new file is created in the directory when the first entry is written; the directory is created, too. Existing
/// files are not changed: after [`rewind`](Log::rewind), the new file begins with an event that makes TensorBoard
/// ignore later steps in the older files.
///
/// Scalars are in single precision. A histogram has 200 buckets of equal width between the smallest and the largest
/// value, as in Distiller; values that are not finite are left out. TensorBoard shows the wall-clock time of an event
/// on its axis; nothing else depends on it.
#[derive(Debug)]
pub struct TensorBoard {
    directory: PathBuf,
    /// The last valid step after a rewind, which has not been written yet.
    rewound: Option<u64>,
    file: Option<BufWriter<File>>,
}

impl TensorBoard {
    /// A log in this directory, which TensorBoard shows as one run.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            rewound: None,
            file: None,
        }
    }

    fn write(&mut self, step: u64, what: What) -> Result<(), LogError> {
        let written = self.try_write(step, what);
        written.map_err(|error| self.error(error))
    }

    fn try_write(&mut self, step: u64, what: What) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = self.file.insert(create(&self.directory)?);
                append(file, 0, What::FileVersion("brain.Event:2".to_owned()))?;
                file
            }
        };
        if let Some(last) = self.rewound.take() {
            // TensorBoard ignores this step and all later ones in older files.
            append(
                file,
                last.saturating_add(1),
                What::Session(SessionLog::START),
            )?;
        }
        append(file, step, what)
    }

    fn error(&self, error: io::Error) -> LogError {
        LogError::new(self.directory.display(), error)
    }
}

impl Log for TensorBoard {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        let values = scalars.iter().map(|(tag, number)| Value {
            tag: (*tag).to_owned(),
            datum: Some(Datum::Simple(*number as f32)),
        });
        let values = values.collect();
        self.write(step, What::Summary(Summary { values }))
    }

    fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), LogError> {
        let value = Value {
            tag: tag.to_owned(),
            datum: Some(Datum::Histogram(histogram::of(values))),
        };
        let values = vec![value];
        self.write(step, What::Summary(Summary { values }))
    }

    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        self.rewound = Some(step);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|error| self.error(error))
    }
}

fn append(file: &mut impl Write, step: u64, what: What) -> io::Result<()> {
    let event = Event {
        wall_time: since_epoch().as_secs_f64(),
        step: i64::try_from(step).unwrap_or(i64::MAX),
        what: Some(what),
    };
    file.write_all(&record::frame(&event.encode_to_vec()))
}

/// The prefix of the names of event files, which is followed by a time in seconds.
const PREFIX: &str = "events.out.tfevents.";

/// Creates a new event file. TensorBoard reads the files of a directory in the order of their names, so its time is
/// later than that of all existing files, regardless of the clock.
fn create(directory: &Path) -> io::Result<BufWriter<File>> {
    fs::create_dir_all(directory)?;
    let mut seconds = since_epoch().as_secs();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let other = name
            .to_string_lossy()
            .strip_prefix(PREFIX)
            .and_then(|rest| {
                let digits = rest.split('.').next()?;
                digits.parse::<u64>().ok()
            });
        seconds = seconds.max(other.map_or(0, |other| other.saturating_add(1)));
    }
    let path = directory.join(format!("{PREFIX}{seconds:010}.calcine"));
    Ok(BufWriter::new(File::create_new(path)?))
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
