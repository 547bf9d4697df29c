//! CIFAR-10: ten classes of small colour images, found, fetched or made up.
//!
//! 50,000 training and 10,000 test images, 32×32 pixels, three colours (Krizhevsky, *Learning
//! Multiple Layers of Features from Tiny Images*, 2009). Read from the official packings
//! (<https://www.cs.toronto.edu/~kriz/cifar.html>): six binary files of records, a record being one label byte and
//! 1024 bytes each of red, green and blue, row by row; or six files of pickled dictionaries, as torchvision has them.
//!
//! | item | what it is |
//! |---|---|
//! | [`load()`] | the data set that a [`Choice`] names |
//! | [`synthetic()`] | ten synthetic classes, for tests and for machines without network |
//! | [`split()`] | the indices to train on and those to validate on |
//! | [`Images`] | bytes and labels |
//! | [`DataError`] | what is wrong with which file, at which byte |

mod archive;
mod directory;
mod download;
mod error;
mod load;
mod packing;
mod python;
mod records;
mod split;
mod synthetic;

pub use download::Remote;
pub use error::{DataError, Problem};
pub use load::{Choice, Options, load};
pub use split::{Split, split};
pub use synthetic::synthetic;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Width and height of an image, in pixels.
pub const SIDE: usize = 32;

/// Colours of an image: red, green, blue.
pub const CHANNELS: usize = 3;

/// Bytes of an image, `3 · 32 · 32`.
pub const PIXELS: usize = CHANNELS * SIDE * SIDE;

/// Names of the classes; the label is the index.
pub const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Labelled images as bytes.
///
/// # Shapes
///
/// * `pixels`: `[n, 3, 32, 32]`, red, green, blue, row by row, 0 to 255
/// * `labels`: `[n]`, 0 to 9
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Images {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// Images from their bytes.
    ///
    /// # Panics
    ///
    /// If `pixels` does not hold 3072 bytes for each label, or if a label exceeds 9.
    #[must_use]
    pub fn new(pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        assert_eq!(
            pixels.len(),
            labels.len() * PIXELS,
            "an image has {PIXELS} bytes and a label"
        );
        let stray = labels
            .iter()
            .find(|&&label| usize::from(label) >= CLASSES.len());
        assert!(
            stray.is_none(),
            "label {stray:?} names no class; they are 0 to 9"
        );
        Self { pixels, labels }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of image `index`: `[3, 32, 32]`.
    ///
    /// # Panics
    ///
    /// If there is no such image.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * PIXELS..(index + 1) * PIXELS]
    }

    /// The bytes of all images: `[n, 3, 32, 32]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The labels of all images: `[n]`.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The indices of all images, ascending: what a loader takes to visit every one.
    ///
    /// # Panics
    ///
    /// If there are 2³² images or more.
    #[must_use]
    pub fn indices(&self) -> Vec<u32> {
        (0..u32::try_from(self.len()).expect("fewer than 2^32 images")).collect()
    }
}

/// Prints the number of images, not their megabytes.
impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The data set and where it came from.
#[derive(Debug, Clone)]
pub struct Cifar10 {
    /// Images to train and validate on; 50,000 in the official set.
    pub train: Arc<Images>,
    /// Images to test on; 10,000 in the official set.
    pub test: Arc<Images>,
    /// Where the images came from.
    pub source: Source,
}

/// Where a data set came from; `Display` is one line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Read from the six files in this directory.
    Directory(PathBuf),
    /// Read from this archive.
    Archive(PathBuf),
    /// Downloaded just now.
    Download {
        /// From here.
        url: String,
        /// Into this directory, where the next [`load()`] finds it.
        directory: PathBuf,
    },
    /// Made up by [`synthetic()`]: figures measured on it say nothing about CIFAR-10.
    Synthetic {
        /// Why it is not the real set.
        reason: String,
    },
}

impl Source {
    /// Whether the images are made up, in which case a report must say so.
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        matches!(self, Self::Synthetic { .. })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) | Self::Archive(path) => {
                write!(f, "CIFAR-10 from {}", path.display())
            }
            Self::Download { url, directory } => {
                write!(
                    f,
                    "CIFAR-10 downloaded from {url} to {}",
                    directory.display()
                )
            }
            Self::Synthetic { reason } => write!(f, "synthetic images, not CIFAR-10: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_slice_of_its_index() {
        let pixels: Vec<u8> = (0..2 * PIXELS).map(|i| (i / PIXELS) as u8 + 5).collect();
        let images = Images::new(pixels, vec![3, 9]);
        assert_eq!(images.len(), 2);
        assert!(images.image(1).iter().all(|&v| v == 6));
        assert_eq!(images.indices(), [0, 1]);
        assert_eq!(format!("{images:?}"), "Images { len: 2, .. }");
    }

    #[test]
    fn a_source_is_one_line_and_knows_whether_it_is_made_up() {
        let real = Source::Directory("/data".into());
        let made_up = Source::Synthetic {
            reason: "no network".into(),
        };
        assert_eq!(real.to_string(), "CIFAR-10 from /data");
        assert_eq!(
            made_up.to_string(),
            "synthetic images, not CIFAR-10: no network"
        );
        assert!(!real.is_synthetic());
        assert!(made_up.is_synthetic());
    }
}
