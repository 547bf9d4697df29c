use burn::tensor::{Device, Tensor};
use calcine_graph::NormFeatures;
use calcine_quantize::Quantized;
use calcine_recipe::Recipe;
use calcine_summary::SparsityTable;
use calcine_trace::{AnyTensor, Network, trace};
use calcine_train::{Classification, Evaluation};

use super::data::Images;
use super::{ReferenceError, Report, Settings, Weights, seen};
use crate::{Architecture, Classifier, ModelTask};
use calcine_data::Normalization;
use calcine_data::cifar10::{self, CHANNELS, Cifar10, Options, SIDE};
use calcine_weights::LoadOptions;

/// What a run needs before there is a model.
pub(super) struct Setup {
    pub(super) recipe: Recipe,
    pub(super) architecture: Architecture,
    weights: Weights,
    weights_options: LoadOptions,
    /// Where the weights come from, or the network with them.
    pub(super) begins_with: Weights,
    pub(super) source: calcine_data::Source,
    pub(super) images: Images,
    pub(super) normalization: Normalization,
    pub(super) device: Device,
    device_name: String,
    /// The network that the weights' file holds, if it holds one.
    network: Option<Network>,
    /// The quantized network that it holds, if it holds one.
    pub(super) quantized: Option<Quantized>,
}

impl Setup {
    /// For what needs a network in float.
    pub(super) fn new(
        settings: &Settings,
        device: &Device,
        download: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, ReferenceError> {
        let setup = Self::of_any(settings, device, download)?;
        match (&setup.quantized, &setup.begins_with) {
            (Some(_), Weights::File(file)) => Err(ReferenceError::Quantized { file: file.clone() }),
            _ => Ok(setup),
        }
    }

    /// For what takes quantized networks too.
    pub(super) fn of_any(
        settings: &Settings,
        device: &Device,
        download: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, ReferenceError> {
        let recipe = settings.recipe()?;
        let architecture = settings.architecture(&recipe)?;
        let weights = recipe.train().weights.as_deref().unwrap_or("default");
        let mut weights: Weights = weights.parse().unwrap_or(Weights::Default);
        let taught = recipe
            .distillation()
            .and_then(|asked| asked.weights.as_deref());
        let taught = taught.map(|weights| weights.parse().unwrap_or(Weights::Default));
        for weights in taught.iter().chain([&weights]) {
            weights.check()?;
        }
        let data: Cifar10 = cifar10::load(&settings.choice(), &Options::default(), download)?;
        if data.source.is_synthetic() {
            tracing::warn!(
                "{}: the numbers of this run say nothing about CIFAR-10",
                data.source
            );
            if weights == Weights::Default {
                tracing::warn!(
                    "weights trained on CIFAR-10 are of no use here: beginning from scratch"
                );
                weights = Weights::None;
            }
        }
        let normalization = Normalization {
            mean: recipe.data().mean.map(|mean| mean as f32),
            std: recipe.data().std.map(|std| std as f32),
        };
        let train = recipe.train();
        let source = data.source.clone();
        let images = Images::new(data, train, normalization, settings.test_limit, device)?;
        let device = &device.clone().without_autodiff().autodiff();
        let network = weights.network(device)?;
        let quantized = match network {
            Some(_) => None,
            None => weights.quantized(images.inference())?,
        };
        let begins_with = weights.clone();
        if network.is_some() || quantized.is_some() {
            // It is there with its weights: there is nothing to choose from.
            if !settings.weights_options.is_default() {
                return Err(ReferenceError::NoFile {
                    weights: format!("the network in {begins_with}"),
                });
            }
            weights = Weights::None;
        }
        Ok(Self {
            network,
            quantized,
            architecture,
            weights,
            weights_options: settings.weights_options.clone(),
            begins_with,
            normalization,
            source,
            images,
            device: device.clone(),
            device_name: settings.device.clone(),
            recipe,
        })
    }

    /// Says what is about to be done.
    pub(super) fn announce(&self, what: &str) {
        let weights = match &self.begins_with {
            Weights::Default => "the shipped weights".to_owned(),
            Weights::None => "fresh weights".to_owned(),
            Weights::File(file) => format!("weights from {}", file.display()),
        };
        let Self {
            architecture,
            source,
            device_name,
            ..
        } = self;
        tracing::info!("{what} {architecture} with {weights}; {source}; device {device_name}");
    }

    /// Hands the network to the task: that of the weights' file, or a fresh one of the architecture.
    pub(super) fn build<T: ModelTask>(&self, seed: u64, task: T) -> T::Output {
        match &self.network {
            Some(network) => task.run(network.clone()),
            None => self.architecture.build(seed, &self.device, task),
        }
    }

    pub(super) fn load_weights<M: Classifier>(&self, model: M) -> Result<M, ReferenceError> {
        let model = self
            .weights
            .load(model, self.architecture, &self.weights_options)?;
        self.check_normalization(&model)?;
        Ok(model)
    }

    /// Warns if the model seems to have been trained on images of another normalisation.
    pub(super) fn check_normalization<M: Classifier>(
        &self,
        model: &M,
    ) -> Result<(), ReferenceError> {
        if self.begins_with == Weights::None || self.source.is_synthetic() {
            return Ok(());
        }
        let network = self.traced(model)?;
        let used = self.normalization;
        if let Some((other, what)) = seen::trained_with(&network, &self.images, used) {
            tracing::warn!(
                "the network has been trained on other images: by its first batch norm, with mean {:?} and std {:?} \
                 ({what}); here it sees them with mean {:?} and std {:?}: set `mean` and `std` in `[data]`",
                other.mean,
                other.std,
                used.mean,
                used.std,
            );
        }
        Ok(())
    }

    pub(super) fn test<M: Classifier>(&self, model: &M) -> Evaluation {
        let model = model.valid();
        calcine_train::evaluate(
            self.images.test(),
            |images| model.forward(images),
            &Classification,
        )
    }

    /// The first training images, on which it is measured what a network loses with features of norms; none if it
    /// keeps them.
    pub(super) fn images_for_norms(&self, norms: NormFeatures) -> Vec<Vec<AnyTensor>> {
        match norms {
            NormFeatures::Pinned => Vec::new(),
            NormFeatures::Removable => {
                let images = self.images.first(1).into_iter();
                images.map(|images| vec![images.into()]).collect()
            }
        }
    }

    /// The model as a network, on the device without autodiff.
    pub(super) fn traced<M: Classifier>(&self, model: &M) -> Result<Network, ReferenceError> {
        let sample = Tensor::zeros([1, CHANNELS, SIDE, SIDE], self.images.inference());
        let model = model.valid();
        Ok(trace(&model, sample, |model, images| {
            model.forward(images)
        })?)
    }

    pub(super) fn report(&self, before: f64, tested: &Evaluation, table: &SparsityTable) -> Report {
        let train = self.recipe.train();
        let weights = table.total();
        Report {
            model: self.architecture.to_string(),
            data: self.source.to_string(),
            data_is_synthetic: self.source.is_synthetic(),
            normalization: self.normalization,
            device: self.device_name.clone(),
            recipe: self.recipe.file().unwrap_or_default().to_owned(),
            seed: train.seed,
            epochs: train.epochs,
            steps: 0,
            top1_before: before,
            top1: tested.value("top1"),
            top5: tested.value("top5"),
            loss: tested.loss,
            sparsity: weights.sparsity(),
            parameters: weights.total,
            nonzero: weights.nonzero,
            trainable_parameters: table.all.total,
            trainable_nonzero: table.all.nonzero,
            kept_epoch: None,
            front: Vec::new(),
            test_images: tested.count,
            seconds: 0.0,
            images_per_second: 0.0,
            thinned: None,
            quantized: None,
            outcomes: Vec::new(),
            warnings: Vec::new(),
            out: None,
        }
    }
}
