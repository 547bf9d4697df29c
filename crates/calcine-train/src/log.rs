mod console;
mod csv;
mod logged;
#[cfg(feature = "tensorboard")]
mod tensorboard;

pub use self::console::ConsoleLog;
pub use self::csv::CsvLog;
pub use self::logged::Logged;
#[cfg(feature = "tensorboard")]
pub use self::tensorboard::TensorBoard;

use std::io;

/// Where numbers that belong to steps are written.
///
/// Of use in any loop; [`Logged`] writes to it what [`fit`](crate::fit) tells. A pair or a vector writes
/// to all its logs in turn and ends with the first error.
///
/// ```
/// use calcine_train::{Log, LogError};
///
/// /// Keeps the last loss.
/// struct LastLoss(f64);
///
/// impl Log for LastLoss {
///     fn scalars(&mut self, _: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
///         for (tag, value) in scalars {
///             if tag.ends_with("/Loss") {
///                 self.0 = *value;
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Log {
    /// Writes numbers by their tags. `step` counts the steps done since the run began; a tag is a path
    /// with slashes, such as `Performance/Training/Loss`.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError>;

    /// Writes how values are distributed. Does nothing unless implemented.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), LogError> {
        let _ = (step, tag, values);
        Ok(())
    }

    /// Takes back what was written of later steps than `step`: they will be done again. Does nothing
    /// unless implemented.
    ///
    /// # Errors
    ///
    /// If what is there cannot be read or taken back.
    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        let _ = step;
        Ok(())
    }

    /// Hands all that was written to the operating system, so that it outlives the process. Does nothing
    /// unless implemented.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}

/// A log that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{log}: {source}")]
pub struct LogError {
    log: String,
    source: io::Error,
}

impl LogError {
    /// The error of a log: its file, or whatever else it is called.
    pub fn new(log: impl std::fmt::Display, source: impl Into<io::Error>) -> Self {
        Self {
            log: log.to_string(),
            source: source.into(),
        }
    }
}

impl<L: Log + ?Sized> Log for Box<L> {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        (**self).scalars(step, scalars)
    }

    fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), LogError> {
        (**self).histogram(step, tag, values)
    }

    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        (**self).rewind(step)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        (**self).flush()
    }
}

impl<L: Log> Log for Vec<L> {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        self.iter_mut()
            .try_for_each(|log| log.scalars(step, scalars))
    }

    fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), LogError> {
        self.iter_mut()
            .try_for_each(|log| log.histogram(step, tag, values))
    }

    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        self.iter_mut().try_for_each(|log| log.rewind(step))
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.iter_mut().try_for_each(Log::flush)
    }
}

impl<A: Log, B: Log> Log for (A, B) {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        self.0.scalars(step, scalars)?;
        self.1.scalars(step, scalars)
    }

    fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), LogError> {
        self.0.histogram(step, tag, values)?;
        self.1.histogram(step, tag, values)
    }

    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        self.0.rewind(step)?;
        self.1.rewind(step)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.0.flush()?;
        self.1.flush()
    }
}
