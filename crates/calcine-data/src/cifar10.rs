//! CIFAR-10: ten classes of small colour images, found, downloaded or synthetic.
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
//! | [`split()`](crate::split()) | the indices to train on and those to validate on |
//! | [`images()`] | images from bytes and labels |
//! | [`DataError`] | what is wrong with which file, at which byte |

mod download;
mod load;
mod synthetic;

use crate::error::{DataError, Problem};
use crate::source::Source;

pub use download::Remote;
pub use load::{Choice, Options, load};
pub use synthetic::synthetic;

use std::sync::Arc;

use crate::Images;

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

/// Images of CIFAR-10 from their bytes.
///
/// # Panics
///
/// As [`Images::new`] does.
#[must_use]
pub fn images(pixels: Vec<u8>, labels: Vec<u8>) -> Images {
    Images::new([CHANNELS, SIDE, SIDE], CLASSES.len(), pixels, labels)
}
