//! The beginning of every job on data: a network, a data set that fits it, and the objective.

mod data;
mod teacher;

use burn::tensor::{Device, Int, Tensor};
use calcine::data::{Dataset, Element, Loader, LoaderSettings, Normalization};
use calcine::recipe::Recipe;
use calcine::run::{Experiment, Model, Names};
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::{Classification, Data, Objective, Regression, Segmentation};
use serde_json::{Map, Value, json};

use self::data::{Inputs, check, first_images, open};
pub(crate) use self::teacher::teacher;
use crate::failure::{Failure, bad};
use crate::model::{self, Loaded, Weights};
use crate::normalization;
use crate::options::ReportOptions;
use crate::settings::Settings;

/// A network, its data, and the recipe (which may be empty).
pub(crate) struct Setup {
    /// The recipe, with the values that the command line overrides.
    pub(crate) recipe: Recipe,
    /// The network.
    pub(crate) model: Loaded,
    /// The data.
    pub(crate) dataset: Dataset,
    /// The device, without autodiff.
    pub(crate) device: Device,
    test_limit: Option<usize>,
    device_name: String,
    has_recipe: bool,
}

/// A job that works with any outputs and targets.
pub(crate) trait Job {
    /// The result of the job.
    type Output;

    /// Whether the network is trained on the data, so that its file records the normalization.
    const TRAINS: bool = false;

    /// Runs the job.
    fn run<O>(
        self,
        experiment: &Experiment<'_, Vec<AnyTensor>, O>,
    ) -> Result<Self::Output, Failure>
    where
        O: Objective,
        O::Output: Tensors;
}

impl Setup {
    /// Loads the network and opens the data.
    pub(crate) fn new(settings: &Settings, device: &Device) -> Result<Self, Failure> {
        let recipe = settings.recipe().map_err(bad)?;
        let (model, weights) = settings.model(&recipe);
        let device = device.clone().without_autodiff();
        let load = |weights: Option<&str>| {
            let options = &settings.weights_options;
            model::load_with(&model, weights, options, recipe.train().seed, &device)
        };
        let mut loaded = load(weights.as_deref())?;
        let dataset = open(settings, &recipe, loaded.network.graph())?;
        if dataset.source().is_synthetic() {
            tracing::warn!(
                "{}: numbers that are measured on them say nothing about CIFAR-10",
                dataset.source()
            );
            if loaded.weights == Some(Weights::Default) {
                tracing::warn!(
                    "weights trained on CIFAR-10 are of no use here: the weights are random"
                );
                loaded = load(Some("none"))?;
            }
        }
        Ok(Self {
            recipe,
            model: loaded,
            dataset,
            device,
            test_limit: settings.test_limit,
            device_name: settings.device.clone(),
            has_recipe: settings.has_recipe,
        })
    }

    /// Prints a description of the job, and runs it.
    pub(crate) fn run<J: Job>(&self, what: &str, job: J) -> Result<J::Output, Failure> {
        let Self { model, dataset, .. } = self;
        tracing::info!(
            "{what} {} with {}; {dataset}; device {}",
            model.name,
            model.begins_with(),
            self.device_name
        );
        check(model.network.graph(), dataset)?;
        let target = dataset.target();
        match (target.is_int, &target.shape[..]) {
            (true, []) => self.with(Classification, job),
            (true, [_, _]) => {
                let graph = model.network.graph();
                let outputs = graph.value(graph.outputs[0]).shape_at(1);
                let classes = outputs.get(1).copied().unwrap_or(1);
                self.with(Segmentation::new(classes), job)
            }
            (false, [] | [_]) => self.with(Regression::<2>::new(), job),
            (false, [_, _, _]) => self.with(Regression::<4>::new(), job),
            _ => Err(bad(format!(
                "the targets are {target}: expected classes, classes of pixels, one axis of numbers, or images"
            ))),
        }
    }

    fn with<O, J>(&self, objective: O, job: J) -> Result<J::Output, Failure>
    where
        O: Objective,
        O::Output: Tensors,
        O::Target: Element,
        J: Job,
    {
        let input = self.dataset.input();
        let loader: Box<dyn Data<Vec<AnyTensor>, O::Target>> =
            match (input.is_int, input.shape.len()) {
                (false, 0 | 1) => self.loader::<Tensor<2>, _>()?,
                (false, 2) => self.loader::<Tensor<3>, _>()?,
                (false, 3) => self.loader::<Tensor<4>, _>()?,
                (false, 4) => self.loader::<Tensor<5>, _>()?,
                (true, 0 | 1) => self.loader::<Tensor<2, Int>, _>()?,
                _ => return Err(bad(format!("inputs of {input} have too many axes"))),
            };
        if let Model::Float(network) = &self.model.network {
            let recorded = network.metadata().get(Normalization::METADATA);
            match (recorded, self.compared()) {
                (Some(recorded), _) => {
                    if let Some(warning) = self.dataset.normalization_warning(Some(recorded)) {
                        tracing::warn!(
                            "{warning}: set --mean and --std, or `mean` and `std` in `[data]`"
                        );
                    }
                }
                // If the file contains no normalization, the statistics of the first batch norm may indicate it.
                (None, Some(used)) => {
                    normalization::check(network, used, || first_images(&*loader));
                }
                (None, None) => {}
            }
        }
        let data = &*loader;
        let network = match (&self.model.network, self.dataset.normalization()) {
            (Model::Float(network), Some(used)) if J::TRAINS => {
                let network = network.clone();
                Model::from(network.with_metadata(Normalization::METADATA, used.to_metadata()))
            }
            (network, _) => network.clone(),
        };
        let experiment = Experiment::new(network, objective, data)
            .with_names(self.names())
            .with_details(self.details(J::TRAINS));
        let result = job.run(&experiment);
        // Data that could not be read end the batches early, whatever the result is.
        match loader.failure() {
            Some(error) => Err(bad(error)),
            None => result,
        }
    }

    /// The normalization to compare, if the network may have been trained with another one.
    fn compared(&self) -> Option<Normalization> {
        let fresh = self.model.weights == Some(Weights::None);
        let normalization = self.dataset.normalization();
        normalization.filter(|_| !fresh && !self.dataset.source().is_synthetic())
    }

    fn loader<X, T>(&self) -> Result<Box<dyn Data<Vec<AnyTensor>, T>>, Failure>
    where
        X: Element + Into<AnyTensor>,
        T: Element,
    {
        let train = self.recipe.train();
        let settings = LoaderSettings {
            batch_size: train.batch_size,
            samples_per_epoch: train.images_per_epoch,
            seed: train.seed,
            test_limit: self.test_limit,
            ..LoaderSettings::default()
        };
        let loader = Loader::<X, T>::new(&self.dataset, settings, &self.device);
        Ok(Box::new(Inputs(loader.map_err(bad)?)))
    }

    /// The names of the parts in reports and messages.
    fn names(&self) -> Names {
        let images = self.dataset.normalization().is_some();
        Names {
            model: self.model.name.clone(),
            data: self.dataset.source().to_string(),
            device: self.device_name.clone(),
            samples: if images { "images" } else { "samples" }.to_owned(),
        }
    }

    /// Further entries of every report. That of a run has recipe and seed itself.
    fn details(&self, trains: bool) -> Map<String, Value> {
        let mut details = Map::new();
        let mut add = |key: &str, value: Value| details.insert(key.to_owned(), value);
        add(
            "data_is_synthetic",
            self.dataset.source().is_synthetic().into(),
        );
        add("normalization", json!(self.dataset.normalization()));
        if !trains {
            add(
                "recipe",
                json!(self.recipe.file().filter(|_| self.has_recipe)),
            );
            add("seed", self.recipe.train().seed.into());
        }
        details
    }

    /// Prints a notice before results on synthetic data.
    pub(crate) fn say_caveat(&self, report: &ReportOptions) {
        let source = self.dataset.source();
        if source.is_synthetic() {
            report.say(&format!("NOT CIFAR-10: {source}"));
        }
    }

    /// Warnings about data that the recipe requests and that do not exist.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let (asked, found) = (
            self.recipe.train().images_per_epoch,
            self.dataset.train_len(),
        );
        let missing = asked.filter(|&asked| found < asked).map(|asked| {
            format!("`images_per_epoch` is {asked}, but there are only {found} training samples")
        });
        missing.into_iter().collect()
    }
}
