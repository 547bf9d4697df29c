//! The beginning of every job on data: a network, a data set that fits it, and the objective.

use burn::tensor::{Device, Int, Tensor};
use calcine::data::{
    Color, Dataset, Element, ImageOptions, Loader, LoaderSettings, Normalization, Options, cifar10,
};
use calcine::graph::{ElementKind, Graph};
use calcine::quantize::Quantized;
use calcine::recipe::Recipe;
use calcine::run::{Experiment, Model, Names};
use calcine::trace::{AnyTensor, Network, Tensors};
use calcine::train::{
    BatchIter, Classification, Data, DataFailure, Draw, Objective, Regression, Segmentation,
};
use calcine::zoo::Architecture;

use crate::failure::{Failure, bad};
use crate::model::{self, AnyNetwork, Loaded, Weights};
use crate::normalization;
use crate::progress::DownloadBar;
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
        if let AnyNetwork::Float(network) = &self.model.network {
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
        let names = self.names();
        let experiment = match &self.model.network {
            AnyNetwork::Float(network) => {
                let mut network = Network::clone(network);
                if let (true, Some(used)) = (J::TRAINS, self.dataset.normalization()) {
                    network = network.with_metadata(Normalization::METADATA, used.to_metadata());
                }
                Experiment::new(network, objective, data)
            }
            AnyNetwork::Quantized(network) => {
                Experiment::new(Model::from(Quantized::clone(network)), objective, data)
            }
        };
        let result = job.run(&experiment.with_names(names));
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
    pub(crate) fn names(&self) -> Names {
        let images = self.dataset.normalization().is_some();
        Names {
            model: self.model.name.clone(),
            data: self.dataset.source().to_string(),
            device: self.device_name.clone(),
            samples: if images { "images" } else { "samples" }.to_owned(),
        }
    }

    /// A notice that is printed before results on synthetic data.
    pub(crate) fn caveat(&self) -> Option<String> {
        let source = self.dataset.source();
        source
            .is_synthetic()
            .then(|| format!("NOT CIFAR-10: {source}"))
    }

    /// Warnings about data that the recipe requests and that do not exist.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let (asked, found) = (
            self.recipe.train().images_per_epoch,
            self.dataset.train_len(),
        );
        let missing = asked.filter(|&asked| found < asked).map(|asked| {
            format!("`images_per_epoch` is {asked}, and there are {found} training samples")
        });
        missing.into_iter().collect()
    }
}

/// Opens the data set. Images from files get the input size of the network.
fn open(settings: &Settings, recipe: &Recipe, graph: &Graph) -> Result<Dataset, Failure> {
    let train = recipe.train();
    let data = recipe.data();
    let input = graph.inputs.first().map(|id| graph.value(*id).shape_at(1));
    let images = match input.as_deref() {
        Some(&[_, channels, height, width]) if height == width => ImageOptions {
            size: height,
            color: if channels == 1 {
                Color::Gray
            } else {
                Color::Rgb
            },
            ..ImageOptions::default()
        },
        _ => ImageOptions::default(),
    };
    let options = Options {
        validation: train.validation,
        seed: train.seed,
        normalization: Normalization {
            mean: data.mean.map(|mean| mean as f32),
            std: data.std.map(|std| std as f32),
        },
        images,
        ..Options::default()
    };
    let choice = settings.data.parse().unwrap_or_default();
    let download = DownloadBar::default();
    calcine::data::load(
        &choice,
        &options,
        &cifar10::Options::default(),
        &mut |done, total| {
            download.show(done, total);
        },
    )
    .map_err(bad)
}

/// Checks that the network accepts the inputs, and has an output for every class.
fn check(graph: &Graph, dataset: &Dataset) -> Result<(), Failure> {
    let (inputs, outputs) = (graph.inputs.len(), graph.outputs.len());
    let ([input], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
        return Err(bad(format!(
            "the network has {inputs} inputs and {outputs} outputs: data sets have one of each"
        )));
    };
    let (input, output) = (graph.value(*input), graph.value(*output));
    let (taken, given) = (&input.shape_at(1)[1..], &dataset.input().shape[..]);
    let single = given.is_empty() && taken == [1];
    if (taken != given && !single) || (input.kind == ElementKind::Int) != dataset.input().is_int {
        let kind = match input.kind {
            ElementKind::Float => "floats",
            ElementKind::Int => "integers",
            ElementKind::Bool => "truth values",
        };
        return Err(bad(format!(
            "the network takes inputs of {kind} of shape {taken:?}, and those of {} are {}",
            dataset.source(),
            dataset.input()
        )));
    }
    let shape = output.shape_at(1);
    let (Some(classes), Some(outputs)) = (dataset.classes(), shape.get(1)) else {
        return Ok(());
    };
    if classes.len() > *outputs {
        return Err(bad(format!(
            "the network tells {outputs} classes apart, and {} has {}",
            dataset.source(),
            classes.len()
        )));
    }
    if classes.len() < *outputs {
        tracing::warn!(
            "the network tells {outputs} classes apart, and {} has {}",
            dataset.source(),
            classes.len()
        );
    }
    Ok(())
}

/// The first images, as the network receives them.
fn first_images<T: 'static>(data: &dyn Data<Vec<AnyTensor>, T>) -> Option<Tensor<4>> {
    const IMAGES: usize = 128;
    let mut batches = data.sample(Draw::First(IMAGES), IMAGES, 0)?;
    batches.next()?.input.into_iter().next()?.float()
}

/// Batches whose inputs are lists of tensors of any rank.
struct Inputs<X, T>(Loader<X, T>);

impl<X: Element + Into<AnyTensor>, T: Element> Data<Vec<AnyTensor>, T> for Inputs<X, T> {
    fn steps_per_epoch(&self) -> u64 {
        self.0.steps_per_epoch()
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Vec<AnyTensor>, T> {
        listed(self.0.epoch(epoch, first_step))
    }

    fn validation(&self) -> BatchIter<'_, Vec<AnyTensor>, T> {
        listed(self.0.validation())
    }

    fn test(&self) -> BatchIter<'_, Vec<AnyTensor>, T> {
        listed(self.0.test())
    }

    fn sample(
        &self,
        draw: Draw,
        batch_size: usize,
        seed: u64,
    ) -> Option<BatchIter<'_, Vec<AnyTensor>, T>> {
        self.0.sample(draw, batch_size, seed).map(listed)
    }

    fn failure(&self) -> Option<DataFailure> {
        self.0.failure()
    }
}

fn listed<'a, X: Into<AnyTensor> + 'static, T: 'static>(
    batches: BatchIter<'a, X, T>,
) -> BatchIter<'a, Vec<AnyTensor>, T> {
    Box::new(
        batches.map(|batch| calcine::train::Batch::new(vec![batch.input.into()], batch.target)),
    )
}

/// The teacher that `[distill]` names: a network of the zoo or of a file; `None` stands for the initial network of the
/// run.
pub(crate) fn teacher(setup: &Setup) -> Result<Option<Network>, Failure> {
    let Some(asked) = setup.recipe.distillation() else {
        return Ok(None);
    };
    if asked.model.is_none() && asked.weights.is_none() {
        let fresh = setup.model.weights == Some(Weights::None);
        if fresh && !setup.dataset.source().is_synthetic() {
            return Err(bad(
                "the run begins with random weights, so its teacher is not trained: name `model` and `weights` in \
                 `[distill]`",
            ));
        }
        return Ok(None);
    }
    let own = setup
        .model
        .name
        .parse::<Architecture>()
        .map(Architecture::name);
    let file = asked
        .weights
        .as_deref()
        .filter(|word| *word != "default" && *word != "none");
    // If the file of the teacher's weights contains a network, this network is the teacher.
    if let Some(file) = file
        && let Ok(model::Contents::Float(network)) = model::contents(file.as_ref(), &setup.device)
    {
        return Ok(Some(*network));
    }
    let name = asked.model.as_deref().or(own.ok());
    let Some(name) = name else {
        return Err(bad(
            "`[distill]` names weights and no `model` that they are for",
        ));
    };
    let options = calcine::weights::LoadOptions::default();
    match model::load_with(name, asked.weights.as_deref(), &options, 0, &setup.device)?.network {
        AnyNetwork::Float(network) => Ok(Some(*network)),
        AnyNetwork::Quantized(_) => Err(bad("the teacher of `[distill]` is quantized")),
    }
}
