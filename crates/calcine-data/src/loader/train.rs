//! Shuffled and augmented batches.

use super::view::View;
use super::{Batch, Batches, Normalization, check};
use crate::cifar10::Images;
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
pub struct TrainSettings {
    /// Images of a batch, at least one; by default 128.
    pub batch_size: usize,
    /// Images of an epoch, drawn anew for each; by default, and at most, all.
    pub images_per_epoch: Option<usize>,
    /// What becomes of a last batch that is not full; by default it is dropped.
    pub last_batch: LastBatch,
    /// Seed of order and augmentation; by default 0.
    pub seed: u64,
    /// How bytes become numbers; by default those from -1 to 1.
    pub normalization: Normalization,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            batch_size: 128,
            images_per_epoch: None,
            last_batch: LastBatch::Drop,
            seed: 0,
            normalization: Normalization::default(),
        }
    }
}

/// Batches to train on: a new order each epoch, each image cropped and mirrored at random.
///
/// An image is padded by four black pixels on each side, a window of 32×32 is cut out at random and
/// mirrored with probability ½ (He et al., *Deep Residual Learning*, 2016, §4.2). Black is padded
/// before normalising, as torchvision does, so that the border is -1 by default.
///
/// The order of epoch `e` comes from the stream `"shuffle"` at `e`, the augmentation of its batch
/// `b` from `"augment"` at `e · 2³² + b`.
///
/// # Examples
///
/// ```
/// use calcine_data::cifar10::synthetic;
/// use calcine_data::loader::{Train, TrainSettings};
///
/// let data = synthetic(7, 100, 10);
/// let settings = TrainSettings { batch_size: 32, ..TrainSettings::default() };
/// let train = Train::new(data.train.clone(), data.train.indices(), settings);
/// assert_eq!(train.batches(), 3);
/// let whole: Vec<_> = train.epoch(5, 0).collect();
/// let resumed: Vec<_> = train.epoch(5, 2).collect();
/// assert_eq!(whole[2..], resumed);
/// ```
#[derive(Debug, Clone)]
pub struct Train {
    images: Arc<Images>,
    indices: Arc<[u32]>,
    settings: TrainSettings,
}

impl Train {
    /// Batches of the images at `indices`.
    ///
    /// # Panics
    ///
    /// If the batch size is zero or an index is beyond the images.
    #[must_use]
    pub fn new(images: Arc<Images>, indices: Vec<u32>, settings: TrainSettings) -> Self {
        check(&images, &indices, settings.batch_size);
        Self {
            images,
            indices: indices.into(),
            settings,
        }
    }

    /// Number of batches of an epoch. Zero if there are fewer images than a batch has and the last
    /// batch is dropped.
    #[must_use]
    pub fn batches(&self) -> usize {
        match self.settings.last_batch {
            LastBatch::Drop => self.drawn() / self.settings.batch_size,
            LastBatch::Keep => self.drawn().div_ceil(self.settings.batch_size),
        }
    }

    /// Number of images in the batches of an epoch.
    #[must_use]
    pub fn images(&self) -> usize {
        self.drawn().min(self.batches() * self.settings.batch_size)
    }

    /// The batches of epoch `epoch`, from batch `first_batch` on; none if there is no such batch.
    #[must_use]
    pub fn epoch(&self, epoch: usize, first_batch: usize) -> Batches {
        let numbers = first_batch.min(self.batches())..self.batches();
        let (images, order) = (Arc::clone(&self.images), self.order(epoch));
        let TrainSettings {
            batch_size, seed, ..
        } = self.settings;
        let table = self.settings.normalization.table();
        Batches::spawn(numbers, move |number| {
            let start = number * batch_size;
            let end = order.len().min(start + batch_size);
            let mut rng = stream(seed, "augment", (epoch as u64) << 32 | number as u64);
            Batch::gather(&images, &order[start..end], &table, || View::draw(&mut rng))
        })
    }

    /// Number of images drawn for an epoch, those included that fill no whole batch.
    #[must_use]
    pub fn drawn(&self) -> usize {
        self.settings
            .images_per_epoch
            .unwrap_or(usize::MAX)
            .min(self.indices.len())
    }

    /// The indices of an epoch in their order.
    fn order(&self, epoch: usize) -> Vec<u32> {
        let mut order = self.indices.to_vec();
        order.shuffle(&mut stream(self.settings.seed, "shuffle", epoch as u64));
        order.truncate(self.drawn());
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cifar10::{PIXELS, synthetic};

    /// 25 images that can be told apart after cropping and mirroring: each of one shade.
    fn shades() -> Arc<Images> {
        let pixels = (0..25_u8).flat_map(|i| [10 * i + 10; PIXELS]).collect();
        Arc::new(Images::new(pixels, (0..25).map(|i| i % 10).collect()))
    }

    /// The index of the image of [`shades`] that a rendered image shows, by its centre.
    fn index_of(image: &[f32]) -> u32 {
        let byte = (image[16 * 32 + 16] * 0.5 + 0.5) * 255.0;
        (byte / 10.0).round() as u32 - 1
    }

    fn indices_of(batches: Batches) -> Vec<u32> {
        batches
            .flat_map(|b| b.images.chunks(PIXELS).map(index_of).collect::<Vec<_>>())
            .collect()
    }

    fn train(settings: TrainSettings) -> Train {
        Train::new(
            shades(),
            (0..25).collect(),
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
            ..Default::default()
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
        for batch in train(TrainSettings::default()).epoch(0, 0) {
            assert_eq!(
                (batch.n, batch.labels.len(), batch.images.len()),
                (8, 8, 8 * PIXELS)
            );
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
                ..Default::default()
            });
            let found: Vec<usize> = train.epoch(0, 0).map(|batch| batch.n).collect();
            assert_eq!(found, sizes);
            assert_eq!(
                (train.batches(), train.images()),
                (sizes.len(), sizes.iter().sum())
            );
        }
    }

    #[test]
    fn a_start_in_the_midst_of_an_epoch_gives_the_tail_of_the_whole() {
        let data = synthetic(1, 60, 0);
        let settings = TrainSettings {
            batch_size: 16,
            last_batch: LastBatch::Keep,
            ..Default::default()
        };
        let train = Train::new(data.train.clone(), data.train.indices(), settings);
        let whole: Vec<Batch> = train.epoch(2, 0).collect();
        for first in 0..=train.batches() + 1 {
            let tail: Vec<Batch> = train.epoch(2, first).collect();
            assert_eq!(tail, whole[first.min(whole.len())..], "from batch {first}");
        }
    }

    #[test]
    fn a_subset_is_drawn_anew_each_epoch() {
        let settings = TrainSettings {
            images_per_epoch: Some(16),
            ..Default::default()
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
        assert_eq!((train.batches(), train.images()), (2, 16));
    }

    #[test]
    fn more_images_than_there_are_is_all_of_them() {
        let settings = TrainSettings {
            images_per_epoch: Some(1000),
            last_batch: LastBatch::Keep,
            ..Default::default()
        };
        assert_eq!(train(settings).images(), 25);
    }

    #[test]
    fn an_image_is_cropped_and_mirrored_differently_in_each_epoch() {
        let data = synthetic(1, 1, 0);
        let settings = TrainSettings {
            batch_size: 1,
            ..Default::default()
        };
        let train = Train::new(data.train, vec![0], settings);
        let looks: Vec<Batch> = (0..30).flat_map(|epoch| train.epoch(epoch, 0)).collect();
        let repeats = (0..30).filter(|&i| looks[..i].contains(&looks[i])).count();
        assert!(repeats < 10, "{repeats} of 30 epochs repeat an earlier one");
    }

    #[test]
    fn a_seed_decides_the_batches() {
        let of = |seed| {
            train(TrainSettings {
                seed,
                ..Default::default()
            })
            .epoch(1, 0)
        };
        assert!(of(4).eq(of(4)));
        assert!(!of(4).eq(of(5)));
    }

    #[test]
    fn only_the_given_indices_are_visited() {
        let settings = TrainSettings {
            batch_size: 2,
            ..Default::default()
        };
        let train = Train::new(shades(), vec![3, 20, 7, 11], settings);
        let mut found = indices_of(train.epoch(0, 0));
        found.sort_unstable();
        assert_eq!(found, [3, 7, 11, 20]);
    }
}
