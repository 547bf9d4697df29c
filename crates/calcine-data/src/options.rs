//! The options for reading a data set.

use serde::{Deserialize, Serialize};

use crate::cifar::Cifar100Labels;
use crate::loader::Normalization;

/// How [`open`](crate::open) reads a data set. Options that do not apply to a format are ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The share of the training samples that is held out for validation, if the data set has no validation split; by
    /// default 0.1.
    pub validation: f64,
    /// The share of the samples that is held out for testing, if the data set has no splits; by default 0.1.
    pub test: f64,
    /// The seed that decides which samples are held out; by default 0.
    pub seed: u64,
    /// How the bytes of images become numbers; by default `(byte / 255 - 0.5) / 0.5`.
    pub normalization: Normalization,
    /// How training images are augmented; the default depends on the data set: CIFAR and folders of images are shifted
    /// and mirrored, MNIST is not.
    pub augmentation: Option<Augmentation>,
    /// The labels of CIFAR-100 that are used as classes; by default the 100 fine ones.
    pub cifar100_labels: Cifar100Labels,
    /// The options for images from files.
    pub images: ImageOptions,
    /// The meaning of integer targets in arrays; by default classes.
    pub array_targets: ArrayTargets,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            validation: 0.1,
            test: 0.1,
            seed: 0,
            normalization: Normalization::default(),
            augmentation: None,
            cifar100_labels: Cifar100Labels::Fine,
            images: ImageOptions::default(),
            array_targets: ArrayTargets::Classes,
        }
    }
}

/// How training images are augmented. Images for validation and testing are not augmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Cuts out a window at random: of the resized image for image files, and otherwise of the image with four black
    /// pixels added on each side (He et al., *Deep Residual Learning*, 2016, §4.2). The black pixels are added before
    /// normalization, as in torchvision, so they are -1 by default.
    pub crop: bool,
    /// Swaps left and right with probability ½.
    pub flip: bool,
}

impl Augmentation {
    /// Crops and mirrors.
    pub const ALL: Self = Self {
        crop: true,
        flip: true,
    };
    /// No augmentation.
    pub const NONE: Self = Self {
        crop: false,
        flip: false,
    };
}

/// How image files become inputs: they are resized until the shorter side has `resize` pixels, then a window of `size`
/// is cut out.
///
/// For evaluation the window is in the centre, as with torchvision's `Resize(resize)` and `CenterCrop(size)`; for
/// training it is anywhere. Resizing is bilinear with antialiasing, as in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageOptions {
    /// Height and width of an input; by default 224.
    pub size: usize,
    /// The shorter side of the resized image, at least `size`. By default 8/7 of `size` from 128 pixels on, which is 256
    /// for 224, and `size` itself below.
    pub resize: Option<usize>,
    /// The colours of an input; by default red, green and blue.
    pub color: Color,
    /// The number of bytes of decoded images that are kept in memory, so that they are decoded only once; by default
    /// 2³⁰.
    pub cache_bytes: usize,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self {
            size: 224,
            resize: None,
            color: Color::Rgb,
            cache_bytes: 1 << 30,
        }
    }
}

impl ImageOptions {
    /// The shorter side of the resized image.
    pub(crate) fn resized(&self) -> usize {
        let larger = if self.size < 128 {
            self.size
        } else {
            (self.size * 8 + 3) / 7
        };
        self.resize.unwrap_or(larger)
    }
}

/// The colours of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Color {
    /// Red, green and blue; shades of grey are repeated, and transparency is ignored.
    #[default]
    Rgb,
    /// Shades of grey: the luma of the colours.
    Gray,
}

impl Color {
    /// The number of channels.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

/// The meaning of integer targets in arrays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrayTargets {
    /// Classes, counted from 0.
    #[default]
    Classes,
    /// Numbers to be approximated, like floating-point targets.
    Values,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_resized_a_little_larger_than_they_are_cut_as_torchvision_does() {
        for (size, resized) in [(224, 256), (299, 342), (128, 146), (32, 32)] {
            let options = ImageOptions {
                size,
                ..ImageOptions::default()
            };
            assert_eq!(options.resized(), resized);
        }
    }
}
