use crate::Batch;

/// An iterator over batches, which are created on demand.
pub type BatchIter<'a, X, T> = Box<dyn Iterator<Item = Batch<X, T>> + 'a>;

/// Why a sample could not be loaded.
pub type DataFailure = Box<dyn std::error::Error + Send + Sync>;

/// Which samples of the validation split are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Draw {
    /// All samples.
    All,
    /// The first samples, up to this number.
    First(usize),
    /// A random selection of this number of samples, which depends on the seed.
    Random(usize),
}

/// A data set as batches. The batches of an epoch must depend only on the epoch, so that a resumed run sees the same
/// batches.
///
/// Training batches are on a device with autodiff, because batch norms use the device of their input to decide between
/// training and evaluation. The batches of the other splits are on the same device without autodiff.
/// device without it.
pub trait Data<X: 'static, T: 'static> {
    /// The number of batches in an epoch.
    fn steps_per_epoch(&self) -> u64;

    /// The training batches of an epoch, beginning with `first_step`.
    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, X, T>;

    /// The validation split, which is used to compare epochs; empty if there is none.
    fn validation(&self) -> BatchIter<'_, X, T>;

    /// The test split, which is only reported; empty if there is none.
    fn test(&self) -> BatchIter<'_, X, T> {
        Box::new(std::iter::empty())
    }

    /// Samples of the validation split in batches of `batch_size`, for calibration and scans; the same arguments give
    /// the same samples. `None` (the default) means that single samples cannot be drawn; the caller then takes whole
    /// batches from the beginning of the split.
    fn sample(&self, draw: Draw, batch_size: usize, seed: u64) -> Option<BatchIter<'_, X, T>> {
        let _ = (draw, batch_size, seed);
        None
    }

    /// Why batches ended early since the last call, for example because of a broken file; `None` by default. Callers
    /// that have taken batches ask afterwards.
    fn failure(&self) -> Option<DataFailure> {
        None
    }
}
