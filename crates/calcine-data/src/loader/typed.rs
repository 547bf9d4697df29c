//! A data set as batches of tensors on a device.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_criteria::stream;
use calcine_train::{Batch as TensorBatch, BatchIter, Data, DataFailure, Draw};

use super::ahead::Batches;
use super::evaluate::Evaluate;
use super::train::{LastBatch, Train, TrainSettings};
use crate::Dataset;
use crate::error::DataError;
use crate::samples::{Batch, Spec, Values};

/// Settings of a [`Loader`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoaderSettings {
    /// Samples of a training batch, at least one; by default 128.
    pub batch_size: usize,
    /// Samples of a batch for validation and testing, at least one; by default 256.
    pub evaluation_batch_size: usize,
    /// Training samples of an epoch, drawn anew for each; at most, and by default, all.
    pub samples_per_epoch: Option<usize>,
    /// What becomes of a last training batch that is not full; by default it is dropped.
    pub last_batch: LastBatch,
    /// Seed of order and augmentation; by default 0.
    pub seed: u64,
    /// Test on at most this many samples: the first ones, or ones at equal distances in a folder of images, which is
    /// sorted by class. By default all.
    pub test_limit: Option<usize>,
}

impl Default for LoaderSettings {
    fn default() -> Self {
        Self {
            batch_size: 128,
            evaluation_batch_size: 256,
            samples_per_epoch: None,
            last_batch: LastBatch::Drop,
            seed: 0,
            test_limit: None,
        }
    }
}

/// A tensor that a batch of inputs or targets can become: floats or integers of any rank.
pub trait Element: sealed::Sealed + Sized + Clone + Send + 'static {
    /// The number of axes, the batch included.
    const RANK: usize;
    /// Whether the numbers are integers.
    const IS_INT: bool;

    /// The tensor of these numbers, whose shape has [`RANK`](Self::RANK) axes.
    #[doc(hidden)]
    fn upload(values: Values, shape: Vec<usize>, device: &Device) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

impl<const D: usize> sealed::Sealed for Tensor<D> {}

impl<const D: usize> Element for Tensor<D> {
    const RANK: usize = D;
    const IS_INT: bool = false;

    fn upload(values: Values, shape: Vec<usize>, device: &Device) -> Self {
        match values {
            Values::Float(values) => Self::from_data(TensorData::new(values, shape), device),
            Values::Int(values) => Self::from_data(TensorData::new(values, shape), device),
        }
    }
}

impl<const D: usize> sealed::Sealed for Tensor<D, Int> {}

impl<const D: usize> Element for Tensor<D, Int> {
    const RANK: usize = D;
    const IS_INT: bool = true;

    fn upload(values: Values, shape: Vec<usize>, device: &Device) -> Self {
        match values {
            Values::Int(values) => Self::from_data(TensorData::new(values, shape), device),
            Values::Float(values) => Self::from_data(TensorData::new(values, shape), device),
        }
    }
}

/// A [`Dataset`] as batches of tensors on a device, for [`calcine_train::fit`].
///
/// `X` is the tensor of the inputs and `T` that of the targets: `Tensor<4>` and `Tensor<1, Int>` for images and their classes.
/// Training batches are shuffled and augmented; those for validation and testing come as they are, in order, the last one
/// smaller than the others.
///
/// The order of epoch `e` comes from the stream `"shuffle"` of the seed at `e`, the augmentation of its batch `b` from
/// `"augment"` at `e · 2³² + b`. Threads of their own read, augment and normalise a few batches ahead.
///
/// If a sample cannot be read, the batches end before it, and [`failure`](Data::failure) has the error.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use calcine_data::{Dataset, Loader, LoaderSettings, Options, cifar10};
/// use calcine_train::Data;
///
/// let dataset = Dataset::cifar10(cifar10::synthetic(7, 100, 10), &Options::default())?;
/// let settings = LoaderSettings { batch_size: 30, ..LoaderSettings::default() };
/// let loader: Loader<Tensor<4>, Tensor<1, Int>> = Loader::new(&dataset, settings, &Device::flex())?;
/// // 10 of the 100 training images are for validation.
/// assert_eq!(loader.steps_per_epoch(), 3);
/// let resumed = loader.epoch(5, 2).next().expect("there are three batches");
/// assert_eq!(resumed.input.dims(), [30, 3, 32, 32]);
/// # Ok::<(), calcine_data::DataError>(())
/// ```
pub struct Loader<X, T> {
    train: Train,
    validation: Evaluate,
    test: Evaluate,
    /// Shapes of one input and one target, with axes of size one where the tensors have more axes.
    shapes: Arc<[Vec<usize>; 2]>,
    /// With autodiff: batch norms go by the input's device.
    training: Device,
    inference: Device,
    failure: Arc<Mutex<Option<DataError>>>,
    tensors: PhantomData<fn() -> (X, T)>,
}

impl<X: Element, T: Element> Loader<X, T> {
    /// Batches of `dataset` on `device`.
    ///
    /// # Errors
    ///
    /// If a batch size is zero, or the inputs or targets are not of the tensors' type and rank. A single number for each
    /// sample can be a tensor `[n]` or `[n, 1]`.
    pub fn new(
        dataset: &Dataset,
        settings: LoaderSettings,
        device: &Device,
    ) -> Result<Self, DataError> {
        let mismatch = |reason: String| dataset.mismatch(reason);
        if settings.batch_size == 0 || settings.evaluation_batch_size == 0 {
            return Err(mismatch("a batch has at least one sample".to_owned()));
        }
        let input = fitted::<X>("inputs", dataset.input()).map_err(mismatch)?;
        let target = fitted::<T>("targets", dataset.target()).map_err(mismatch)?;
        let inference = device.clone().without_autodiff();
        let evaluate = |part: &crate::dataset::Part| {
            let samples = Arc::clone(&part.samples);
            Evaluate::new(samples, &part.indices, settings.evaluation_batch_size)
        };
        let train = Arc::clone(&dataset.train.samples);
        let train_settings = TrainSettings {
            batch_size: settings.batch_size,
            samples_per_epoch: settings.samples_per_epoch,
            last_batch: settings.last_batch,
            seed: settings.seed,
        };
        Ok(Self {
            train: Train::new(train, &dataset.train.indices, train_settings),
            validation: evaluate(&dataset.validation),
            test: evaluate(&dataset.test).limited(settings.test_limit),
            shapes: Arc::new([input, target]),
            training: inference.clone().autodiff(),
            inference,
            failure: Arc::default(),
            tensors: PhantomData,
        })
    }

    /// The device of the training batches, with autodiff.
    #[must_use]
    pub fn training_device(&self) -> &Device {
        &self.training
    }

    /// The device of the batches for validation and testing, without autodiff.
    #[must_use]
    pub fn inference_device(&self) -> &Device {
        &self.inference
    }

    /// Training samples of an epoch, those included that fill no whole batch.
    #[must_use]
    pub fn samples_per_epoch(&self) -> usize {
        self.train.drawn()
    }

    /// Samples of the validation split.
    #[must_use]
    pub fn validation_len(&self) -> usize {
        self.validation.len()
    }

    /// Samples of the test split, as many as the settings allow.
    #[must_use]
    pub fn test_len(&self) -> usize {
        self.test.len()
    }

    /// The inputs of the first training batches of the first epoch, on the device without autodiff.
    pub fn first_inputs(&self, batches: usize) -> impl Iterator<Item = X> + '_ {
        let first = self.batches(self.train.epoch(0, 0), &self.inference);
        first.take(batches).map(|batch| batch.input)
    }

    /// The first samples for validation, or for testing if none are for validation, at most `most`, as one batch; `None` if there are none.
    #[must_use]
    pub fn first_batch(&self, most: usize) -> Option<TensorBatch<X, T>> {
        let split = match self.validation.len() {
            0 => &self.test,
            _ => &self.validation,
        };
        let n = split.len().min(most);
        let places: Vec<usize> = (0..n).collect();
        let batches = split.select(&places, n.max(1)).iter();
        self.batches(batches, &self.inference).next()
    }

    fn batches<'a>(
        &self,
        batches: Batches<Result<Batch, DataError>>,
        device: &Device,
    ) -> BatchIter<'a, X, T> {
        let (failure, shapes) = (Arc::clone(&self.failure), Arc::clone(&self.shapes));
        let device = device.clone();
        Box::new(batches.map_while(move |batch| match batch {
            Ok(Batch { inputs, targets, n }) => {
                let shape = |shape: &[usize]| [&[n], shape].concat();
                let input = X::upload(inputs, shape(&shapes[0]), &device);
                let target = T::upload(targets, shape(&shapes[1]), &device);
                Some(TensorBatch::new(input, target))
            }
            Err(error) => {
                let mut slot = failure
                    .lock()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                slot.get_or_insert(error);
                None
            }
        }))
    }
}

/// The shape of one sample for a tensor of this type, or why it does not fit.
fn fitted<E: Element>(what: &str, spec: &Spec) -> Result<Vec<usize>, String> {
    let kind = |is_int: bool| if is_int { "integers" } else { "floats" };
    let rank = spec.shape.len() + 1;
    let mut shape = spec.shape.clone();
    if rank == 1 && E::RANK == 2 {
        shape.push(1);
    } else if shape.len() + 1 != E::RANK || spec.is_int != E::IS_INT {
        return Err(format!(
            "the {what} are {spec}, a tensor of {} with {rank} axes in a batch; expected {} with {} axes",
            kind(spec.is_int),
            kind(E::IS_INT),
            E::RANK
        ));
    }
    if spec.is_int != E::IS_INT {
        return Err(format!(
            "the {what} are {spec}; expected {}",
            kind(E::IS_INT)
        ));
    }
    Ok(shape)
}

impl<X: Element, T: Element> Data<X, T> for Loader<X, T> {
    fn steps_per_epoch(&self) -> u64 {
        self.train.batches() as u64
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, X, T> {
        let first = usize::try_from(first_step).unwrap_or(usize::MAX);
        self.batches(self.train.epoch(epoch, first), &self.training)
    }

    fn validation(&self) -> BatchIter<'_, X, T> {
        self.batches(self.validation.iter(), &self.inference)
    }

    fn test(&self) -> BatchIter<'_, X, T> {
        self.batches(self.test.iter(), &self.inference)
    }

    fn sample(&self, draw: Draw, batch_size: usize, seed: u64) -> Option<BatchIter<'_, X, T>> {
        let count = self.validation.len();
        let places: Vec<usize> = match draw {
            Draw::All => (0..count).collect(),
            Draw::First(limit) => (0..count.min(limit)).collect(),
            Draw::Random(limit) => {
                let mut random = stream(seed, "sample", 0);
                let drawn = rand::seq::index::sample(&mut random, count, count.min(limit));
                let mut places = drawn.into_vec();
                places.sort_unstable();
                places
            }
        };
        let batches = self.validation.select(&places, batch_size.max(1)).iter();
        Some(self.batches(batches, &self.inference))
    }

    fn failure(&self) -> Option<DataFailure> {
        let mut slot = self
            .failure
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        slot.take().map(Into::into)
    }
}

impl<X, T> fmt::Debug for Loader<X, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("train", &self.train)
            .field("validation", &self.validation)
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}
