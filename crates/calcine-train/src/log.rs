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

/// A log of numbers that belong to steps.
///
/// It can be used in any loop; [`Logged`] writes the reports of [`fit`](crate::fit) to it. A pair or a vector writes to
/// all its logs in turn, and stops at the first error.
///
/// ```
/// use calcine_train::{Log, LogError};
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
    /// Writes numbers by their tags. `step` is the number of steps since the run began; a tag is a path with slashes,
    /// such as `Performance/Training/Loss`.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError>;

    /// Writes the distribution of values. The default does nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), LogError> {
        let _ = (step, tag, values);
        Ok(())
    }

    /// Removes the entries of steps after `step`, which will be repeated. The default does nothing.
    ///
    /// # Errors
    ///
    /// If existing entries cannot be read or removed.
    fn rewind(&mut self, step: u64) -> Result<(), LogError> {
        let _ = step;
        Ok(())
    }

    /// Passes all entries to the operating system, so that they are not lost if the process ends. The default does
    /// nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}

/// A log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{log}: {source}")]
pub struct LogError {
    log: String,
    source: io::Error,
}

impl LogError {
    /// The error of a log; `log` is its file or another name.
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
