use serde::{Deserialize, Serialize};

use crate::cifar10::CHANNELS;

/// How the bytes of an image become the numbers that a network sees.
///
/// ```text
/// value = (byte / 255 - mean) / std
/// ```
///
/// One mean and one standard deviation for each colour, in the order red, green, blue, as
/// `torchvision.transforms.Normalize` takes them. A network must see the same in training and afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// What is subtracted.
    pub mean: [f32; CHANNELS],
    /// What is divided by.
    pub std: [f32; CHANNELS],
}

impl Default for Normalization {
    /// Mean and standard deviation ½, hence numbers from -1 to 1: what the shipped weights were trained with.
    fn default() -> Self {
        Self {
            mean: [0.5; CHANNELS],
            std: [0.5; CHANNELS],
        }
    }
}

impl Normalization {
    /// What the world uses for images of this size: for each the numbers and what they are.
    pub const KNOWN: [(Self, &str); 6] = [
        (
            Self::new([0.5; CHANNELS], [0.5; CHANNELS]),
            "numbers from -1 to 1",
        ),
        (
            Self::new([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
            "means and deviations of CIFAR-10's pixels",
        ),
        (
            Self::new([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
            "means of CIFAR-10's pixels and means of its images' deviations",
        ),
        (
            Self::new([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            "means and deviations of ImageNet's pixels",
        ),
        (
            Self::new([0.0; CHANNELS], [1.0; CHANNELS]),
            "numbers from 0 to 1",
        ),
        (
            Self::new([0.0; CHANNELS], [1.0 / 255.0; CHANNELS]),
            "bytes as they are",
        ),
    ];

    const fn new(mean: [f32; CHANNELS], std: [f32; CHANNELS]) -> Self {
        Self { mean, std }
    }

    /// The number of each byte of each colour, in the order of operations of torchvision.
    pub(super) fn table(&self) -> Table {
        let colour = |colour: usize| {
            let (mean, std) = (self.mean[colour], self.std[colour]);
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        };
        Table(std::array::from_fn(colour))
    }
}

/// The numbers of all bytes, by colour.
#[derive(Debug, Clone)]
pub(super) struct Table(pub(super) [[f32; 256]; CHANNELS]);
