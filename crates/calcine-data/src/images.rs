//! Labelled images as bytes.

use std::fmt;

/// Labelled images of one size, as bytes.
///
/// # Shapes
///
/// * `pixels`: `[n, c, h, w]`, colour by colour and row by row, 0 to 255
/// * `labels`: `[n]`, each less than the number of classes
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    pub(crate) shape: [usize; 3],
    pub(crate) classes: usize,
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<u8>,
}

impl Images {
    /// Images of `shape`, `[c, h, w]`, from their bytes.
    ///
    /// # Panics
    ///
    /// If `pixels` does not hold `c · h · w` bytes for each label, or if a label is not less than `classes`.
    #[must_use]
    pub fn new(shape: [usize; 3], classes: usize, pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        let size: usize = shape.iter().product();
        assert_eq!(
            pixels.len(),
            labels.len() * size,
            "an image has {size} bytes and a label"
        );
        let stray = labels.iter().find(|&&label| usize::from(label) >= classes);
        assert!(
            stray.is_none(),
            "label {stray:?} names no class; there are {classes}"
        );
        Self {
            shape,
            classes,
            pixels,
            labels,
        }
    }

    /// No images yet, of this shape and with this number of classes.
    pub(crate) fn empty(shape: [usize; 3], classes: usize) -> Self {
        Self::new(shape, classes, Vec::new(), Vec::new())
    }

    /// Channels, height and width of an image.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
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

    /// The bytes of image `index`: `[c, h, w]`.
    ///
    /// # Panics
    ///
    /// If there is no such image.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The bytes of all images: `[n, c, h, w]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The labels of all images: `[n]`.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_slice_of_its_index() {
        let pixels: Vec<u8> = (0..24).map(|i| (i / 12) as u8 + 5).collect();
        let images = Images::new([3, 2, 2], 10, pixels, vec![3, 9]);
        assert_eq!(images.len(), 2);
        assert!(images.image(1).iter().all(|&v| v == 6));
        assert_eq!(format!("{images:?}"), "Images { len: 2, .. }");
    }
}
