//! Shuffled and augmented batches.

use super::ahead::Batches;
use crate::error::DataError;
use crate::samples::{Batch, Samples};
use calcine_criteria::stream;
use rand::seq::SliceRandom;
use std::sync::Arc;

/// What becomes of a last batch that is not full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LastBatch {
    /// It is left out, so that all batches have one size.
    #[default]
    Drop,
    /// It is kept, smaller than the others.
    Keep,
}

/// Settings of [`Train`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TrainSettings {
    /// Samples of a batch, at least one.
    pub(crate) batch_size: usize,
    /// Samples of an epoch, drawn anew for each; at most, and by default, all.
    pub(crate) samples_per_epoch: Option<usize>,
    /// What becomes of a last batch that is not full.
    pub(crate) last_batch: LastBatch,
    /// Seed of order and augmentation.
    pub(crate) seed: u64,
}

/// Batches to train on: a new order each epoch, each sample augmented at random.
///
/// The order of epoch `e` comes from the stream `"shuffle"` at `e`, the augmentation of its batch
/// `b` from `"augment"` at `e · 2³² + b`.
#[derive(Debug, Clone)]
pub(crate) struct Train {
    samples: Arc<dyn Samples>,
    indices: Arc<[u32]>,
    settings: TrainSettings,
}

impl Train {
    /// Batches of the samples at `indices`, which exist.
    pub(crate) fn new(samples: Arc<dyn Samples>, indices: &[u32], settings: TrainSettings) -> Self {
        Self {
            samples,
            indices: indices.into(),
            settings,
        }
    }

    /// Number of batches of an epoch. Zero if there are fewer samples than a batch has and the last
    /// batch is dropped.
    pub(crate) fn batches(&self) -> usize {
        match self.settings.last_batch {
            LastBatch::Drop => self.drawn() / self.settings.batch_size,
            LastBatch::Keep => self.drawn().div_ceil(self.settings.batch_size),
        }
    }

    /// The batches of epoch `epoch`, from batch `first_batch` on; none if there is no such batch.
    pub(crate) fn epoch(
        &self,
        epoch: u64,
        first_batch: usize,
    ) -> Batches<Result<Batch, DataError>> {
        let numbers = first_batch.min(self.batches())..self.batches();
        let (samples, order) = (Arc::clone(&self.samples), self.order(epoch));
        let TrainSettings {
            batch_size, seed, ..
        } = self.settings;
        Batches::spawn(numbers, self.samples.workers(), move |number| {
            let start = number * batch_size;
            let end = order.len().min(start + batch_size);
            let mut random = stream(seed, "augment", epoch << 32 | number as u64);
            Batch::gather(samples.as_ref(), &order[start..end], Some(&mut random))
        })
    }

    /// Number of samples drawn for an epoch, those included that fill no whole batch.
    pub(crate) fn drawn(&self) -> usize {
        self.settings
            .samples_per_epoch
            .unwrap_or(usize::MAX)
            .min(self.indices.len())
    }

    /// The indices of an epoch in their order.
    fn order(&self, epoch: u64) -> Vec<u32> {
        let mut order = self.indices.to_vec();
        order.shuffle(&mut stream(self.settings.seed, "shuffle", epoch));
        order.truncate(self.drawn());
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_images::ByteImages;
    use crate::cifar10::{self, PIXELS, synthetic};
    use crate::{Augmentation, Images, Normalization};

    /// A batch of images and classes.
    #[derive(Debug, Clone, PartialEq)]
    struct Seen {
        images: Vec<f32>,
        labels: Vec<i32>,
    }

    fn seen(batches: Batches<Result<Batch, DataError>>) -> Vec<Seen> {
        let read = |batch: Result<Batch, DataError>| {
            let batch = batch.unwrap();
            assert_eq!(batch.targets.len(), batch.n);
            Seen {
                images: batch.inputs.floats().unwrap().to_vec(),
                labels: batch.targets.ints().unwrap().to_vec(),
            }
        };
        batches.map(read).collect()
    }

    fn samples(images: Arc<Images>) -> Arc<dyn Samples> {
        Arc::new(ByteImages::new(
            images,
            Normalization::default(),
            Augmentation::ALL,
        ))
    }

    const SETTINGS: TrainSettings = TrainSettings {
        batch_size: 128,
        samples_per_epoch: None,
        last_batch: LastBatch::Drop,
        seed: 0,
    };

    /// 25 images that can be told apart after cropping and mirroring: each of one shade.
    fn shades() -> Arc<Images> {
        let pixels = (0..25_u8).flat_map(|i| [10 * i + 10; PIXELS]).collect();
        Arc::new(cifar10::images(pixels, (0..25).map(|i| i % 10).collect()))
    }

    /// The index of the image of [`shades`] that a rendered image shows, by its centre.
    fn index_of(image: &[f32]) -> u32 {
        let byte = (image[16 * 32 + 16] * 0.5 + 0.5) * 255.0;
        (byte / 10.0).round() as u32 - 1
    }

    fn indices_of(batches: Batches<Result<Batch, DataError>>) -> Vec<u32> {
        seen(batches)
            .into_iter()
            .flat_map(|b| b.images.chunks(PIXELS).map(index_of).collect::<Vec<_>>())
            .collect()
    }

    fn train(settings: TrainSettings) -> Train {
        let indices: Vec<u32> = (0..25).collect();
        Train::new(
            samples(shades()),
            &indices,
            TrainSettings {
                batch_size: 8,
                ..settings
            },
        )
    }

    #[test]
    fn each_index_appears_once_an_epoch_in_an_order_of_its_own() {
        let train = train(TrainSettings {
            last_batch: LastBatch::Keep,
            ..SETTINGS
        });
        let orders: Vec<_> = (0..3)
            .map(|epoch| indices_of(train.epoch(epoch, 0)))
            .collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..25));
        }
        assert!(orders[0] != orders[1] && orders[1] != orders[2] && orders[0] != orders[2]);
    }

    #[test]
    fn labels_stay_with_their_images() {
        for batch in seen(train(SETTINGS).epoch(0, 0)) {
            assert_eq!((batch.labels.len(), batch.images.len()), (8, 8 * PIXELS));
            for (image, &label) in batch.images.chunks(PIXELS).zip(&batch.labels) {
                assert_eq!(index_of(image) as i32 % 10, label);
            }
        }
    }

    #[test]
    fn the_last_batch_is_dropped_or_kept_as_set() {
        for (last_batch, sizes) in [
            (LastBatch::Drop, vec![8; 3]),
            (LastBatch::Keep, vec![8, 8, 8, 1]),
        ] {
            let train = train(TrainSettings {
                last_batch,
                ..SETTINGS
            });
            let found: Vec<usize> = seen(train.epoch(0, 0))
                .iter()
                .map(|batch| batch.labels.len())
                .collect();
            assert_eq!(found, sizes);
            assert_eq!(train.batches(), sizes.len());
        }
    }

    #[test]
    fn a_start_in_the_midst_of_an_epoch_gives_the_tail_of_the_whole() {
        let data = synthetic(1, 60, 0);
        let settings = TrainSettings {
            batch_size: 16,
            last_batch: LastBatch::Keep,
            ..SETTINGS
        };
        let indices: Vec<u32> = (0..60).collect();
        let train = Train::new(samples(data.train), &indices, settings);
        let whole = seen(train.epoch(2, 0));
        for first in 0..=train.batches() + 1 {
            let tail = seen(train.epoch(2, first));
            assert_eq!(tail, whole[first.min(whole.len())..], "from batch {first}");
        }
    }

    #[test]
    fn a_subset_is_drawn_anew_each_epoch() {
        let settings = TrainSettings {
            samples_per_epoch: Some(16),
            ..SETTINGS
        };
        let train = train(settings);
        let subsets: Vec<_> = (0..2)
            .map(|epoch| {
                let mut subset = indices_of(train.epoch(epoch, 0));
                subset.sort_unstable();
                subset.dedup();
                subset
            })
            .collect();
        assert_eq!((subsets[0].len(), subsets[1].len()), (16, 16));
        assert_ne!(subsets[0], subsets[1]);
        assert_eq!((train.batches(), train.drawn()), (2, 16));
    }

    #[test]
    fn more_images_than_there_are_is_all_of_them() {
        let settings = TrainSettings {
            samples_per_epoch: Some(1000),
            last_batch: LastBatch::Keep,
            ..SETTINGS
        };
        assert_eq!(train(settings).drawn(), 25);
    }

    #[test]
    fn an_image_is_cropped_and_mirrored_differently_in_each_epoch() {
        let data = synthetic(1, 1, 0);
        let settings = TrainSettings {
            batch_size: 1,
            ..SETTINGS
        };
        let train = Train::new(samples(data.train), &[0], settings);
        let looks: Vec<Seen> = (0..30)
            .flat_map(|epoch| seen(train.epoch(epoch, 0)))
            .collect();
        let repeats = (0..30).filter(|&i| looks[..i].contains(&looks[i])).count();
        assert!(repeats < 10, "{repeats} of 30 epochs repeat an earlier one");
    }

    #[test]
    fn a_seed_decides_the_batches() {
        let of = |seed| train(TrainSettings { seed, ..SETTINGS }).epoch(1, 0);
        assert_eq!(seen(of(4)), seen(of(4)));
        assert_ne!(seen(of(4)), seen(of(5)));
    }

    #[test]
    fn only_the_given_indices_are_visited() {
        let settings = TrainSettings {
            batch_size: 2,
            ..SETTINGS
        };
        let train = Train::new(samples(shades()), &[3, 20, 7, 11], settings);
        let mut found = indices_of(train.epoch(0, 0));
        found.sort_unstable();
        assert_eq!(found, [3, 7, 11, 20]);
    }
}
