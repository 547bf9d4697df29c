//! Recognizes the format of a data set.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::cifar::packing::{listed, names};
use crate::cifar10::{self, Choice};
use crate::error::{DataError, Problem};
use crate::{Augmentation, Dataset, Options, arrays, cifar, folder, idx};

/// Opens the data set at `path`, in any of these formats:
///
/// | format | recognized by |
/// |---|---|
/// | CIFAR-10, CIFAR-100 | `cifar-10-batches-bin`, `cifar-10-batches-py`, `cifar-100-binary`, `cifar-100-python`, the files in them, or their `.tar.gz` |
/// | MNIST, Fashion-MNIST, KMNIST | `train-images-idx3-ubyte` and the three other files, with or without `.gz`, also in torchvision's `MNIST/raw` |
/// | image folder | `train/CLASS/*.jpg` with `val/` or `test/` or both, or `CLASS/*.png`; classes are sorted by name |
/// | arrays | `.npz` and `.safetensors` files with `inputs` and `targets`, `x_train` and `y_train`, …; directories of `.npy` files |
///
/// Splits that a data set does not have are held out from the training samples, by [`Options::seed`]. An image folder
/// with `val/` and without `test/` is tested on `val/`.
///
/// # Errors
///
/// If nothing is found, or nothing of these formats (the message lists what was found and what is recognized), or if
/// files are missing or damaged.
///
/// # Examples
///
/// ```
/// let directory = tempfile::tempdir()?;
/// std::fs::write(directory.path().join("notes.txt"), "no data")?;
/// let error = calcine_data::open(directory.path(), &calcine_data::Options::default()).unwrap_err();
/// assert!(error.to_string().contains("found notes.txt; expected CIFAR-10"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Dataset, DataError> {
    let path = path.as_ref();
    if !path.exists() {
        return Err(DataError::new(path, Problem::Missing));
    }
    if path.is_file()
        && arrays::is_file(path)
        && let Some(dataset) = arrays::read(path, options)?
    {
        return Ok(dataset);
    }
    match cifar::read(path, options.cifar100_labels) {
        Ok(Some(loaded)) => return Dataset::cifar(loaded, options),
        Ok(None) => {}
        Err(error) => return Err(widened(error)),
    }
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = format!("a file called {name}");
        return Err(DataError::new(path, Problem::Unrecognized { found }));
    }
    if let Some(idx::Loaded {
        source,
        classes,
        flips,
        train,
        test,
    }) = idx::read(path)?
    {
        let augmentation = Augmentation {
            crop: flips,
            flip: flips,
        };
        let (train, test) = (Arc::new(train), Arc::new(test));
        return Dataset::of_images(source, classes, augmentation, train, test, options);
    }
    if let Some(dataset) = arrays::read(path, options)? {
        return Ok(dataset);
    }
    if let Some(dataset) = folder::read(path, options)? {
        return Ok(dataset);
    }
    let names: BTreeSet<String> = names(path, 2).map_err(DataError::io(path))?;
    let found = listed(&names);
    Err(DataError::new(path, Problem::Unrecognized { found }))
}

/// What is said of an archive that has no CIFAR-10, where anything may be there.
fn widened(error: DataError) -> DataError {
    match error.problem() {
        Problem::OtherFiles { found } => {
            let found = format!("an archive with {found}");
            DataError::new(error.file(), Problem::Unrecognized { found })
        }
        Problem::ImageFiles => {
            let found = "an archive of image files, which must be unpacked".to_owned();
            DataError::new(error.file(), Problem::Unrecognized { found })
        }
        _ => error,
    }
}

/// Opens the data set that a command-line argument names: `auto` and `synthetic` are CIFAR-10 as for [`cifar10::load`],
/// and everything else is a path for [`open`].
///
/// `progress` receives the downloaded and the total number of bytes of a download.
///
/// # Errors
///
/// The errors of [`cifar10::load`] and [`open`].
pub fn load(
    choice: &Choice,
    options: &Options,
    cifar10_options: &cifar10::Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Dataset, DataError> {
    match choice {
        Choice::Path(path) => open(path, options),
        Choice::Auto | Choice::Synthetic => {
            Dataset::cifar10(cifar10::load(choice, cifar10_options, progress)?, options)
        }
    }
}
