use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_train::{Batch as LabelledBatch, BatchIter, Data};

/// Images and their classes.
pub(super) type Labelled = LabelledBatch<Tensor<4>, Tensor<1, Int>>;

use calcine_data::cifar10::{CHANNELS, Cifar10, SIDE, split};
use calcine_data::loader::{
    Batch, Evaluate, EvaluateSettings, LastBatch, Normalization, Train, TrainSettings,
};

/// CIFAR-10 as the reference run sees it: training, validation and test batches on a device.
#[derive(Debug)]
pub(super) struct Images {
    train: Train,
    validation: Evaluate,
    test: Evaluate,
    /// With autodiff: batch-norm goes by the input's.
    training: Device,
    inference: Device,
}

impl Images {
    pub(super) fn new(
        data: &Cifar10,
        recipe: &calcine_recipe::Train,
        normalization: Normalization,
        test_limit: Option<usize>,
        device: &Device,
    ) -> Self {
        let split = split(data.train.len(), recipe.validation, recipe.seed);
        let settings = TrainSettings {
            batch_size: recipe.batch_size,
            images_per_epoch: recipe.images_per_epoch,
            last_batch: LastBatch::Drop,
            seed: recipe.seed,
            normalization,
        };
        let evaluation = EvaluateSettings {
            limit: test_limit,
            normalization,
            ..EvaluateSettings::default()
        };
        let inference = device.clone().without_autodiff();
        Self {
            train: Train::new(data.train.clone(), split.train, settings),
            validation: Evaluate::new(data.train.clone(), split.validation, evaluation),
            test: Evaluate::new(data.test.clone(), data.test.indices(), evaluation),
            training: inference.clone().autodiff(),
            inference,
        }
    }

    /// The validation images, in no batches yet.
    pub(super) fn validation_images(&self) -> &Evaluate {
        &self.validation
    }

    /// The device with autodiff.
    pub(super) fn training(&self) -> &Device {
        &self.training
    }

    /// The device without autodiff.
    pub(super) fn inference(&self) -> &Device {
        &self.inference
    }

    /// The first training batches of the first epoch, to look at activations with.
    pub(super) fn first(&self, batches: usize) -> Vec<Tensor<4>> {
        let first = self.train.epoch(0, 0).take(batches);
        let images = first.map(|batch| upload(batch, &self.inference).input);
        images.collect()
    }

    /// The first images for validation, or for testing if none are held out, as they are; `None` if there are no images.
    pub(super) fn sample(&self, most: usize) -> Option<Tensor<4>> {
        let images = match self.validation.images() {
            0 => &self.test,
            _ => &self.validation,
        };
        let places: Vec<usize> = (0..images.images().min(most)).collect();
        let batch = images.select(&places, places.len().max(1)).iter().next()?;
        Some(upload(batch, &self.inference).input)
    }

    /// Training images of an epoch, those included that make no whole batch.
    pub(super) fn train_images(&self) -> usize {
        self.train.drawn()
    }

    /// What the recipe asks of the training images that there are not.
    pub(super) fn warning(&self, recipe: &calcine_recipe::Train) -> Option<String> {
        let (asked, found) = (recipe.images_per_epoch?, self.train_images());
        (found < asked).then(|| {
            format!("`images_per_epoch` is {asked}, and there are {found} training images")
        })
    }

    pub(super) fn test(&self) -> impl Iterator<Item = Labelled> + '_ {
        self.test.iter().map(|batch| upload(batch, &self.inference))
    }
}

impl Data<Tensor<4>, Tensor<1, Int>> for Images {
    fn steps_per_epoch(&self) -> u64 {
        self.train.batches() as u64
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<4>, Tensor<1, Int>> {
        let batches = self.train.epoch(epoch as usize, first_step as usize);
        Box::new(batches.map(|batch| upload(batch, &self.training)))
    }

    fn validation(&self) -> BatchIter<'_, Tensor<4>, Tensor<1, Int>> {
        Box::new(
            self.validation
                .iter()
                .map(|batch| upload(batch, &self.inference)),
        )
    }
}

pub(super) fn upload(batch: Batch, device: &Device) -> Labelled {
    let Batch { images, labels, n } = batch;
    let images = TensorData::new(images, [n, CHANNELS, SIDE, SIDE]);
    let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), device);
    LabelledBatch::new(Tensor::from_data(images, device), labels)
}
