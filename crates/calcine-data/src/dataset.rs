//! A data set and its splits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::byte_images::ByteImages;
use crate::cifar::{Loaded, Set};
use crate::cifar10::{self, Cifar10};
use crate::error::{DataError, Problem};
use crate::loader::Normalization;
use crate::samples::{Samples, Spec};
use crate::{Augmentation, Images, Options, Source, split};

/// A data set: the properties of its samples, and which of them are for training, validation and testing.
///
/// [`open`](crate::open) creates one from files, and [`Loader`](crate::Loader) creates batches of it. `Display`
/// describes it in one line.
#[derive(Debug, Clone)]
pub struct Dataset {
    source: Source,
    classes: Option<Vec<String>>,
    normalization: Option<Normalization>,
    input: Spec,
    target: Spec,
    pub(crate) train: Part,
    pub(crate) validation: Part,
    pub(crate) test: Part,
}

/// A subset of the samples.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) samples: Arc<dyn Samples>,
    pub(crate) indices: Vec<u32>,
}

impl Part {
    /// All samples.
    pub(crate) fn all(samples: Arc<dyn Samples>) -> Self {
        let indices = (0..samples.len() as u32).collect();
        Self { samples, indices }
    }

    /// None of the samples.
    pub(crate) fn none(samples: &Arc<dyn Samples>) -> Self {
        let samples = Arc::clone(samples);
        let indices = Vec::new();
        Self { samples, indices }
    }

    /// Holds out `round(share · n)` of these samples, drawn from the stream `"split"` of `seed`; returns the remaining
    /// samples and those that are held out.
    pub(crate) fn split(&self, share: f64, seed: u64) -> (Self, Self) {
        let parts = split(self.indices.len(), share, seed);
        let part = |places: Vec<u32>| Self {
            samples: Arc::clone(&self.samples),
            indices: places
                .into_iter()
                .map(|place| self.indices[place as usize])
                .collect(),
        };
        (part(parts.train), part(parts.validation))
    }
}

/// The samples of a data set before shares are held out.
pub(crate) struct Parts {
    pub(crate) train: Part,
    pub(crate) validation: Option<Part>,
    pub(crate) test: Option<Part>,
}

impl Dataset {
    /// Creates a data set from your own samples, with `classes` if the targets are classes.
    ///
    /// The validation split is a share of `train`. If there is no `test`, the test split is a share of it, too.
    ///
    /// # Errors
    ///
    /// If there are no samples, the shares are not within 0 and 1, or `train` and `test` have different inputs or
    /// targets.
    pub fn new(
        source: Source,
        classes: Option<Vec<String>>,
        train: Arc<dyn Samples>,
        test: Option<Arc<dyn Samples>>,
        options: &Options,
    ) -> Result<Self, DataError> {
        let parts = Parts {
            train: Part::all(train),
            validation: None,
            test: test.map(Part::all),
        };
        Self::assemble(source, classes, None, parts, options)
    }

    /// Creates a data set from CIFAR-10, as [`cifar10::load`] returns it; a share of the training images is held out
    /// for validation.
    ///
    /// # Errors
    ///
    /// If there are no images, or the share is not within 0 and 1.
    pub fn cifar10(data: Cifar10, options: &Options) -> Result<Self, DataError> {
        let classes = cifar10::CLASSES.map(str::to_owned).to_vec();
        Self::of_images(
            data.source,
            classes,
            Augmentation::ALL,
            data.train,
            data.test,
            options,
        )
    }

    /// CIFAR-10 or CIFAR-100.
    pub(crate) fn cifar(loaded: Loaded, options: &Options) -> Result<Self, DataError> {
        let Loaded {
            set,
            train,
            test,
            source,
        } = loaded;
        let labels = match set {
            Set::Cifar10 => set.classes(Default::default()),
            Set::Cifar100 => set.classes(options.cifar100_labels),
        };
        let classes = labels.iter().map(|&name| name.to_owned()).collect();
        let (train, test) = (Arc::new(train), Arc::new(test));
        Self::of_images(source, classes, Augmentation::ALL, train, test, options)
    }

    /// A data set of images that are kept as bytes.
    pub(crate) fn of_images(
        source: Source,
        classes: Vec<String>,
        augmentation: Augmentation,
        train: Arc<Images>,
        test: Arc<Images>,
        options: &Options,
    ) -> Result<Self, DataError> {
        let augmentation = options.augmentation.unwrap_or(augmentation);
        let samples = |images: Arc<Images>| -> Arc<dyn Samples> {
            Arc::new(ByteImages::new(images, options.normalization, augmentation))
        };
        let parts = Parts {
            train: Part::all(samples(train)),
            validation: None,
            test: Some(Part::all(samples(test))),
        };
        let normalization = Some(options.normalization);
        Self::assemble(source, Some(classes), normalization, parts, options)
    }

    /// Holds out the missing splits, and checks that all splits have the same inputs and targets.
    pub(crate) fn assemble(
        source: Source,
        classes: Option<Vec<String>>,
        normalization: Option<Normalization>,
        parts: Parts,
        options: &Options,
    ) -> Result<Self, DataError> {
        let mut dataset = Self {
            source,
            classes,
            normalization,
            input: parts.train.samples.input(),
            target: parts.train.samples.target(),
            validation: Part::none(&parts.train.samples),
            test: Part::none(&parts.train.samples),
            train: parts.train,
        };
        for (name, share) in [("validation", options.validation), ("test", options.test)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(
                    dataset.mismatch(format!("the share for {name} is {share}; expected 0 to 1"))
                );
            }
        }
        if !options.normalization.is_valid() {
            let reason = format!(
                "{}: expected finite numbers and a standard deviation above zero",
                options.normalization
            );
            return Err(dataset.mismatch(reason));
        }
        match parts.test {
            Some(test) => dataset.test = test,
            None => (dataset.train, dataset.test) = dataset.train.split(options.test, options.seed),
        }
        match parts.validation {
            Some(validation) => dataset.validation = validation,
            None => {
                (dataset.train, dataset.validation) =
                    dataset.train.split(options.validation, options.seed);
            }
        }
        for (name, part) in [("validation", &dataset.validation), ("test", &dataset.test)] {
            let (input, target) = (part.samples.input(), part.samples.target());
            if input != dataset.input || target != dataset.target {
                return Err(dataset.mismatch(format!(
                    "inputs for training are {} and targets {}, those for {name} {input} and {target}",
                    dataset.input, dataset.target
                )));
            }
        }
        if dataset.train.indices.is_empty() && dataset.test.indices.is_empty() {
            return Err(dataset.mismatch("there are no samples".to_owned()));
        }
        Ok(dataset)
    }

    /// The source of the data.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The names of the classes, by label; `None` if the targets are not classes.
    #[must_use]
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// The normalization of images; `None` if the inputs are not images.
    #[must_use]
    pub fn normalization(&self) -> Option<Normalization> {
        self.normalization
    }

    /// A warning if a network was trained on images with another normalization: `recorded` is the entry of its file
    /// under [`Normalization::METADATA`]. `None` if the normalizations are equal, if the file has no entry, or if the
    /// inputs are not images.
    #[must_use]
    pub fn normalization_warning(&self, recorded: Option<&str>) -> Option<String> {
        let used = self.normalization?;
        let trained = Normalization::from_metadata(recorded?)?;
        (trained != used).then(|| {
            format!("the network was trained on images with {trained}, and here it sees them with {used}")
        })
    }

    /// Shape and type of one input.
    #[must_use]
    pub fn input(&self) -> &Spec {
        &self.input
    }

    /// Shape and type of one target; a single integer for a class.
    #[must_use]
    pub fn target(&self) -> &Spec {
        &self.target
    }

    /// The number of training samples.
    #[must_use]
    pub fn train_len(&self) -> usize {
        self.train.indices.len()
    }

    /// The number of validation samples.
    #[must_use]
    pub fn validation_len(&self) -> usize {
        self.validation.indices.len()
    }

    /// The number of test samples.
    #[must_use]
    pub fn test_len(&self) -> usize {
        self.test.indices.len()
    }

    /// The error for a request that does not fit these data.
    pub(crate) fn mismatch(&self, reason: String) -> DataError {
        let path: PathBuf = match &self.source {
            Source::Path { path, .. }
            | Source::Download {
                directory: path, ..
            } => path.clone(),
            Source::Synthetic { .. } => Path::new("synthetic images").into(),
        };
        DataError::new(&path, Problem::Mismatch { reason })
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, validation, test] = [self.train_len(), self.validation_len(), self.test_len()];
        write!(
            f,
            "{}: {train} samples for training, {validation} for validation, {test} for testing; inputs are {}",
            self.source, self.input
        )?;
        match &self.classes {
            Some(classes) => write!(f, ", in {} classes", classes.len()),
            None => write!(f, ", targets {}", self.target),
        }
    }
}
