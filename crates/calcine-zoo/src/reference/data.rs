use burn::tensor::{Device, Int, Tensor};
use calcine_data::cifar10::Cifar10;
use calcine_data::{DataError, Dataset, Loader, LoaderSettings, Normalization, Options};
use calcine_train::{Batch, BatchIter, Data, DataFailure, Draw};

/// Images and their classes.
pub(super) type Labelled = Batch<Tensor<4>, Tensor<1, Int>>;

/// CIFAR-10 as the reference run sees it: training, validation and test batches on a device.
#[derive(Debug)]
pub(super) struct Images(Loader<Tensor<4>, Tensor<1, Int>>);

impl Images {
    pub(super) fn new(
        data: Cifar10,
        recipe: &calcine_recipe::Train,
        normalization: Normalization,
        test_limit: Option<usize>,
        device: &Device,
    ) -> Result<Self, DataError> {
        let options = Options {
            validation: recipe.validation,
            seed: recipe.seed,
            normalization,
            ..Options::default()
        };
        let settings = LoaderSettings {
            batch_size: recipe.batch_size,
            samples_per_epoch: recipe.images_per_epoch,
            seed: recipe.seed,
            test_limit,
            ..LoaderSettings::default()
        };
        let dataset = Dataset::cifar10(data, &options)?;
        Loader::new(&dataset, settings, device).map(Self)
    }

    /// The device with autodiff.
    pub(super) fn training(&self) -> &Device {
        self.0.training_device()
    }

    /// The device without autodiff.
    pub(super) fn inference(&self) -> &Device {
        self.0.inference_device()
    }

    /// The first training batches of the first epoch, to look at activations with.
    pub(super) fn first(&self, batches: usize) -> Vec<Tensor<4>> {
        self.0.first_inputs(batches).collect()
    }

    /// The first images for validation, or for testing if none are held out, as they are; `None` if there are no images.
    pub(super) fn first_images(&self, most: usize) -> Option<Tensor<4>> {
        self.0.first_batch(most).map(|batch| batch.input)
    }

    /// Training images of an epoch, those included that make no whole batch.
    pub(super) fn train_images(&self) -> usize {
        self.0.samples_per_epoch()
    }

    /// The test images.
    pub(super) fn test(&self) -> BatchIter<'_, Tensor<4>, Tensor<1, Int>> {
        self.0.test()
    }

    /// What the recipe asks of the training images that there are not.
    pub(super) fn warning(&self, recipe: &calcine_recipe::Train) -> Option<String> {
        let (asked, found) = (recipe.images_per_epoch?, self.train_images());
        (found < asked).then(|| {
            format!("`images_per_epoch` is {asked}, and there are {found} training images")
        })
    }
}

impl Data<Tensor<4>, Tensor<1, Int>> for Images {
    fn steps_per_epoch(&self) -> u64 {
        self.0.steps_per_epoch()
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<4>, Tensor<1, Int>> {
        self.0.epoch(epoch, first_step)
    }

    fn validation(&self) -> BatchIter<'_, Tensor<4>, Tensor<1, Int>> {
        self.0.validation()
    }

    fn test(&self) -> BatchIter<'_, Tensor<4>, Tensor<1, Int>> {
        self.0.test()
    }

    fn sample(
        &self,
        draw: Draw,
        batch_size: usize,
        seed: u64,
    ) -> Option<BatchIter<'_, Tensor<4>, Tensor<1, Int>>> {
        self.0.sample(draw, batch_size, seed)
    }

    fn failure(&self) -> Option<DataFailure> {
        self.0.failure()
    }
}
