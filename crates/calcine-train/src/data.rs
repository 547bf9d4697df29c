use crate::Batch;

/// Batches, made as they are asked for.
pub type BatchIter<'a, X, T> = Box<dyn Iterator<Item = Batch<X, T>> + 'a>;

/// Why a sample could not be had.
pub type DataFailure = Box<dyn std::error::Error + Send + Sync>;

/// Which samples of the validation split are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Draw {
    /// All of them.
    All,
    /// The first so many.
    First(usize),
    /// So many at random, by the seed.
    Random(usize),
}

/// Where batches come from. The batches of an epoch must depend on nothing but the epoch, so that a run that is resumed in
/// its middle sees the same.
///
/// Training batches are on a device with autodiff, as batch norms go by the input; those of the other splits are on the same
/// device without it.
pub trait Data<X: 'static, T: 'static> {
    /// Batches of an epoch.
    fn steps_per_epoch(&self) -> u64;

    /// The training batches of an epoch from `first_step` on.
    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, X, T>;

    /// The validation split, by which epochs are compared; empty if there is none.
    fn validation(&self) -> BatchIter<'_, X, T>;

    /// The test split, which is only reported; empty if there is none.
    fn test(&self) -> BatchIter<'_, X, T> {
        Box::new(std::iter::empty())
    }

    /// Samples of the validation split in batches of `batch_size`, for calibration and scans: the same ones for the same
    /// arguments. `None`, unless implemented, if the data cannot draw single samples; then whole batches are taken from the
    /// beginning of the split.
    fn sample(&self, draw: Draw, batch_size: usize, seed: u64) -> Option<BatchIter<'_, X, T>> {
        let _ = (draw, batch_size, seed);
        None
    }

    /// Why batches ended early since this was last asked, for one because a file is broken; `None`, unless implemented.
    /// Whoever has taken batches asks afterwards.
    fn failure(&self) -> Option<DataFailure> {
        None
    }
}
