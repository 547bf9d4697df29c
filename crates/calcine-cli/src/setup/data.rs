//! The data set of a job, and whether it fits the network.

use burn::tensor::Tensor;
use calcine::data::{
    Color, Dataset, Element, ImageOptions, Loader, Normalization, Options, cifar10,
};
use calcine::graph::{ElementKind, Graph};
use calcine::recipe::Recipe;
use calcine::trace::AnyTensor;
use calcine::train::{BatchIter, Data, DataFailure, Draw};

use crate::failure::{Failure, bad};
use crate::progress::DownloadBar;
use crate::settings::Settings;

/// Opens the data set. Images from files get the input size of the network.
pub(super) fn open(
    settings: &Settings,
    recipe: &Recipe,
    graph: &Graph,
) -> Result<Dataset, Failure> {
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
pub(super) fn check(graph: &Graph, dataset: &Dataset) -> Result<(), Failure> {
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
            "the network has {outputs} classes, but {} has {}",
            dataset.source(),
            classes.len()
        )));
    }
    if classes.len() < *outputs {
        tracing::warn!(
            "the network has {outputs} classes, but {} has {}",
            dataset.source(),
            classes.len()
        );
    }
    Ok(())
}

/// The first images, as the network receives them.
pub(super) fn first_images<T: 'static>(data: &dyn Data<Vec<AnyTensor>, T>) -> Option<Tensor<4>> {
    const IMAGES: usize = 128;
    let mut batches = data.sample(Draw::First(IMAGES), IMAGES, 0)?;
    batches.next()?.input.into_iter().next()?.float()
}

/// Batches whose inputs are lists of tensors of any rank.
pub(super) struct Inputs<X, T>(pub(super) Loader<X, T>);

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
