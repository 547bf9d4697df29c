use std::fmt;

use serde::{Deserialize, Serialize};

/// Colours: red, green, blue.
const CHANNELS: usize = 3;

/// The normalization of images: how bytes become the numbers that a network receives.
///
/// ```text
/// value = (byte / 255 - mean) / std
/// ```
///
/// There is one mean and one standard deviation for each colour, in the order red, green, blue, as in
/// `torchvision.transforms.Normalize`; grey images use the first. A network must be used with the normalization of its
/// training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// The mean, which is subtracted.
    pub mean: [f32; CHANNELS],
    /// The standard deviation, by which the difference is divided.
    pub std: [f32; CHANNELS],
}

impl Default for Normalization {
    /// Mean and standard deviation ½, that is, numbers from -1 to 1: the weights that come with Calcine were trained
    /// with this normalization.
    fn default() -> Self {
        Self {
            mean: [0.5; CHANNELS],
            std: [0.5; CHANNELS],
        }
    }
}

impl Normalization {
    /// Common normalizations for images of this size, each with a description.
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

    /// One mean and one standard deviation for all colours, or for shades of grey.
    #[must_use]
    pub const fn same(mean: f32, std: f32) -> Self {
        Self::new([mean; CHANNELS], [std; CHANNELS])
    }

    /// The key under which a network file records the normalization of its training images.
    pub const METADATA: &str = "calcine.normalization";

    /// The text that a network file records; [`from_metadata`](Self::from_metadata) reads it.
    #[must_use]
    pub fn to_metadata(&self) -> String {
        serde_json::json!({ "mean": self.mean, "std": self.std }).to_string()
    }

    /// Reads the normalization that a network file records; `None` if the text is not one.
    #[must_use]
    pub fn from_metadata(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether the numbers are finite and no standard deviation is zero or less.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let finite = self
            .mean
            .iter()
            .chain(&self.std)
            .all(|number| number.is_finite());
        finite && self.std.iter().all(|&std| std > 0.0)
    }

    /// The number of each byte of each colour, in the order of operations of torchvision.
    pub(crate) fn table(&self) -> Table {
        let colour = |colour: usize| {
            let (mean, std) = (self.mean[colour], self.std[colour]);
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        };
        Table(std::array::from_fn(colour))
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mean {:?} and standard deviation {:?}",
            self.mean, self.std
        )
    }
}

/// The numbers of all bytes, by colour.
#[derive(Debug, Clone)]
pub(crate) struct Table(pub(crate) [[f32; 256]; CHANNELS]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_back_bit_for_bit() {
        for (known, _) in Normalization::KNOWN {
            assert_eq!(
                Normalization::from_metadata(&known.to_metadata()),
                Some(known)
            );
        }
        for text in ["", "{}", "[1, 2]", "{\"mean\": [0.5], \"std\": [0.5]}"] {
            assert_eq!(Normalization::from_metadata(text), None, "{text}");
        }
    }
}
