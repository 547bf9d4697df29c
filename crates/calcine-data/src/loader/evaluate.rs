//! Batches as they are.

use super::view::View;
use super::{Batch, Batches, Normalization, check};
use crate::cifar10::Images;
use std::sync::Arc;

/// Settings of [`Evaluate`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluateSettings {
    /// Images of a batch, at least one; by default 256.
    pub batch_size: usize,
    /// Visit at most this many images, the first ones; by default all.
    pub limit: Option<usize>,
    /// How bytes become numbers; by default those from -1 to 1.
    pub normalization: Normalization,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self {
            batch_size: 256,
            limit: None,
            normalization: Normalization::default(),
        }
    }
}

/// Batches to evaluate on: no augmentation, in the order given, the last one kept even if it is
/// not full.
///
/// # Examples
///
/// ```
/// use calcine_data::cifar10::synthetic;
/// use calcine_data::loader::{Evaluate, EvaluateSettings};
///
/// let data = synthetic(7, 0, 20);
/// let settings = EvaluateSettings { batch_size: 8, ..EvaluateSettings::default() };
/// let evaluate = Evaluate::new(data.test.clone(), data.test.indices(), settings);
/// assert_eq!(evaluate.iter().map(|batch| batch.n).collect::<Vec<_>>(), [8, 8, 4]);
/// ```
#[derive(Debug, Clone)]
pub struct Evaluate {
    images: Arc<Images>,
    indices: Arc<[u32]>,
    batch_size: usize,
    normalization: Normalization,
}

impl Evaluate {
    /// Batches of the images at `indices`.
    ///
    /// # Panics
    ///
    /// If the batch size is zero or an index is beyond the images.
    #[must_use]
    pub fn new(images: Arc<Images>, mut indices: Vec<u32>, settings: EvaluateSettings) -> Self {
        check(&images, &indices, settings.batch_size);
        indices.truncate(settings.limit.unwrap_or(usize::MAX));
        Self {
            images,
            indices: indices.into(),
            batch_size: settings.batch_size,
            normalization: settings.normalization,
        }
    }

    /// Only the images at these places in the order, in batches of this size.
    ///
    /// # Panics
    ///
    /// If the batch size is zero, or there is no such place.
    #[must_use]
    pub fn select(&self, places: &[usize], batch_size: usize) -> Self {
        let indices: Vec<u32> = places.iter().map(|&place| self.indices[place]).collect();
        let settings = EvaluateSettings {
            batch_size,
            limit: None,
            normalization: self.normalization,
        };
        Self::new(Arc::clone(&self.images), indices, settings)
    }

    /// Number of batches.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.indices.len().div_ceil(self.batch_size)
    }

    /// Number of images in the batches.
    #[must_use]
    pub fn images(&self) -> usize {
        self.indices.len()
    }

    /// The batches, from the first.
    #[must_use]
    pub fn iter(&self) -> Batches {
        let (images, indices) = (Arc::clone(&self.images), Arc::clone(&self.indices));
        let batch_size = self.batch_size;
        let table = self.normalization.table();
        Batches::spawn(0..self.batches(), move |number| {
            let start = number * batch_size;
            let end = indices.len().min(start + batch_size);
            Batch::gather(&images, &indices[start..end], &table, || View::WHOLE)
        })
    }
}

impl IntoIterator for &Evaluate {
    type Item = Batch;
    type IntoIter = Batches;

    fn into_iter(self) -> Batches {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cifar10::{PIXELS, synthetic};

    #[test]
    fn batches_are_the_normalised_bytes_in_the_order_given() {
        let images = synthetic(1, 0, 30).test;
        let indices = vec![4, 2, 29, 0, 7];
        let settings = EvaluateSettings {
            batch_size: 2,
            ..EvaluateSettings::default()
        };
        let evaluate = Evaluate::new(Arc::clone(&images), indices.clone(), settings);
        let mut seen = indices.iter().map(|&index| index as usize);
        for batch in &evaluate {
            for (found, label) in batch.images.chunks(PIXELS).zip(batch.labels) {
                let index = seen.next().unwrap();
                let expected = images
                    .image(index)
                    .iter()
                    .map(|&v| (f32::from(v) / 255.0 - 0.5) / 0.5);
                assert!(found.iter().copied().eq(expected));
                assert_eq!(label, i32::from(images.labels()[index]));
            }
        }
        assert_eq!(seen.next(), None);
        assert_eq!((evaluate.batches(), evaluate.images()), (3, 5));
    }

    #[test]
    fn a_selection_has_the_images_at_its_places_in_its_batches() {
        let images = synthetic(1, 0, 30).test;
        let settings = EvaluateSettings {
            batch_size: 4,
            ..EvaluateSettings::default()
        };
        let evaluate = Evaluate::new(Arc::clone(&images), vec![9, 3, 27, 5], settings);
        let selected: Vec<Batch> = evaluate.select(&[2, 0, 3], 2).iter().collect();
        let labels: Vec<i32> = selected
            .iter()
            .flat_map(|batch| batch.labels.clone())
            .collect();
        let expected = [27, 9, 5].map(|index: usize| i32::from(images.labels()[index]));
        assert_eq!(labels, expected);
        assert_eq!((selected[0].n, selected[1].n), (2, 1));
    }

    #[test]
    fn a_limit_keeps_the_first_images() {
        let images = synthetic(1, 0, 30).test;
        for (limit, sizes) in [
            (Some(5), vec![4, 1]),
            (Some(100), vec![4; 8]),
            (Some(0), vec![]),
        ] {
            let settings = EvaluateSettings {
                batch_size: 4,
                limit,
                ..EvaluateSettings::default()
            };
            let evaluate = Evaluate::new(Arc::clone(&images), images.indices(), settings);
            let found: Vec<usize> = evaluate.iter().map(|batch| batch.n).collect();
            let expected = if limit == Some(100) {
                vec![4, 4, 4, 4, 4, 4, 4, 2]
            } else {
                sizes
            };
            assert_eq!(found, expected);
            assert_eq!(evaluate.batches(), expected.len());
        }
    }

    #[test]
    fn two_passes_are_equal() {
        let images = synthetic(1, 0, 10).test;
        let evaluate = Evaluate::new(Arc::clone(&images), images.indices(), Default::default());
        assert!(evaluate.iter().eq(evaluate.iter()));
    }
}
