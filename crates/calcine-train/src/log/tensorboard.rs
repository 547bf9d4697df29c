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

/// Event files for [TensorBoard](https://www.tensorflow.org/tensorboard): `tensorboard --logdir DIR`.
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
/// A new file is made in the directory, and the directory itself, when there is something to write.
/// Files that are there stay as they are: after [`rewind`](Log::rewind) the new one begins with the
/// event that makes TensorBoard drop the later steps of the older ones.
///
/// Scalars are single precision. A histogram has 200 buckets of one width between the least and the
/// largest value, as Distiller's has; values that are not finite are left out. Wall-clock time is what
/// TensorBoard shows on its axis; nothing else depends on it.
#[derive(Debug)]
pub struct TensorBoard {
    directory: PathBuf,
    /// The last step that counts, still to be told.
    rewound: Option<u64>,
    file: Option<BufWriter<File>>,
}

impl TensorBoard {
    /// A log in this directory, which is one run to TensorBoard.
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
            // TensorBoard drops this step and all after it.
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

/// What the names of event files begin with; then come seconds.
const PREFIX: &str = "events.out.tfevents.";

/// A new event file. TensorBoard reads a directory's files in the order of their names, so this one's
/// seconds are later than all others', whatever the clock says.
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
