//! Batches as they are.

use super::ahead::Batches;
use crate::error::DataError;
use crate::samples::{Batch, Samples};
use std::sync::Arc;

/// Batches to evaluate on: no augmentation, in the order given, the last one kept even if it is
/// not full.
#[derive(Debug, Clone)]
pub(crate) struct Evaluate {
    samples: Arc<dyn Samples>,
    indices: Arc<[u32]>,
    batch_size: usize,
}

impl Evaluate {
    /// Batches of the samples at `indices`, which exist.
    pub(crate) fn new(samples: Arc<dyn Samples>, indices: &[u32], batch_size: usize) -> Self {
        Self {
            samples,
            indices: indices.into(),
            batch_size,
        }
    }

    /// At most this many samples: the first ones, or ones at equal distances if the samples are sorted by class.
    pub(crate) fn limited(self, limit: Option<usize>) -> Self {
        let n = self.indices.len();
        let Some(limit) = limit.filter(|&limit| limit < n) else {
            return self;
        };
        let place = |i: usize| match self.samples.is_sorted_by_class() {
            true => (i as u128 * n as u128 / limit as u128) as usize,
            false => i,
        };
        let indices: Vec<u32> = (0..limit).map(|i| self.indices[place(i)]).collect();
        Self::new(self.samples, &indices, self.batch_size)
    }

    /// Only the samples at these places in the order, in batches of this size.
    pub(crate) fn select(&self, places: &[usize], batch_size: usize) -> Self {
        let indices: Vec<u32> = places
            .iter()
            .filter_map(|&place| self.indices.get(place).copied())
            .collect();
        Self::new(Arc::clone(&self.samples), &indices, batch_size)
    }

    /// Number of samples in the batches.
    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// The batches, from the first.
    pub(crate) fn iter(&self) -> Batches<Result<Batch, DataError>> {
        let (samples, indices) = (Arc::clone(&self.samples), Arc::clone(&self.indices));
        let batch_size = self.batch_size;
        let batches = self.indices.len().div_ceil(batch_size);
        Batches::spawn(0..batches, self.samples.workers(), move |number| {
            let start = number * batch_size;
            let end = indices.len().min(start + batch_size);
            Batch::gather(samples.as_ref(), &indices[start..end], None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_images::ByteImages;
    use crate::cifar10::{PIXELS, synthetic};
    use crate::{Augmentation, Images, Normalization};

    fn samples(images: &Arc<Images>) -> Arc<dyn Samples> {
        let normalization = Normalization::default();
        Arc::new(ByteImages::new(
            Arc::clone(images),
            normalization,
            Augmentation::ALL,
        ))
    }

    fn evaluate(images: &Arc<Images>, indices: &[u32], batch_size: usize) -> Evaluate {
        Evaluate::new(samples(images), indices, batch_size)
    }

    fn labels(evaluate: &Evaluate) -> Vec<Vec<i32>> {
        let read =
            |batch: Result<Batch, DataError>| batch.unwrap().targets.ints().unwrap().to_vec();
        evaluate.iter().map(read).collect()
    }

    #[test]
    fn batches_are_the_normalised_bytes_in_the_order_given() {
        let images = synthetic(1, 0, 30).test;
        let indices = vec![4, 2, 29, 0, 7];
        let evaluate = evaluate(&images, &indices, 2);
        let mut expected = indices.iter().map(|&index| index as usize);
        for batch in evaluate.iter() {
            let batch = batch.unwrap();
            let pixels = batch.inputs.floats().unwrap().chunks(PIXELS);
            for (found, &label) in pixels.zip(batch.targets.ints().unwrap()) {
                let index = expected.next().unwrap();
                let bytes = images.image(index).iter();
                let expected = bytes.map(|&v| (f32::from(v) / 255.0 - 0.5) / 0.5);
                assert!(found.iter().copied().eq(expected));
                assert_eq!(label, i32::from(images.labels()[index]));
            }
        }
        assert_eq!(expected.next(), None);
        assert_eq!((evaluate.iter().len(), evaluate.len()), (3, 5));
    }

    #[test]
    fn a_selection_has_the_images_at_its_places_in_its_batches() {
        let images = synthetic(1, 0, 30).test;
        let selected = evaluate(&images, &[9, 3, 27, 5], 4).select(&[2, 0, 3], 2);
        let expected = [27, 9, 5].map(|index: usize| i32::from(images.labels()[index]));
        assert_eq!(labels(&selected), [&expected[..2], &expected[2..]]);
    }

    #[test]
    fn a_limit_keeps_the_first_images() {
        let images = synthetic(1, 0, 30).test;
        let all: Vec<u32> = (0..30).collect();
        for (limit, sizes) in [
            (Some(5), vec![4, 1]),
            (Some(100), vec![4, 4, 4, 4, 4, 4, 4, 2]),
            (Some(0), vec![]),
        ] {
            let limited = evaluate(&images, &all, 4).limited(limit);
            let found: Vec<usize> = labels(&limited).iter().map(Vec::len).collect();
            assert_eq!(found, sizes);
            let flat = labels(&limited).concat();
            let expected = images.labels()[..flat.len()].iter();
            assert!(flat.into_iter().eq(expected.map(|&label| i32::from(label))));
        }
    }

    #[test]
    fn two_passes_are_equal() {
        let images = synthetic(1, 0, 10).test;
        let evaluate = evaluate(&images, &[1, 2, 3], 2);
        let pass = || evaluate.iter().map(Result::unwrap);
        assert!(pass().eq(pass()));
    }
}
