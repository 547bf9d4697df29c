//! A segmentation network and a regressor with known weights, and data for them.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Int, Tensor, TensorData};
use calcine_params::{Inventory, replace};
use calcine_recipe::Recipe;
use calcine_run::{Experiment, Finished, Report, RunDirectory, TrainSettings};
use calcine_testkit::{device, values};
use calcine_train::{Batch, BatchIter, Data, NoObserver, Regression, Segmentation, StopFlag};

/// The side of an image.
const SIDE: usize = 8;

/// Samples in a batch.
pub(crate) const BATCH: usize = 6;

/// Batches of an epoch.
pub(crate) const STEPS: u64 = 4;

/// An encoder that halves the resolution, and a decoder.
#[derive(Module, Debug)]
pub(crate) struct SegmentNet {
    encode: Conv2d,
    norm: BatchNorm,
    decode: ConvTranspose2d,
    classify: Conv2d,
}

impl SegmentNet {
    pub(crate) fn new() -> Self {
        let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
        let convolution = |channels| Conv2dConfig::new(channels, [3, 3]).with_padding(same.clone());
        let device = &device();
        drawn(Self {
            encode: convolution([1, 8]).with_stride([2, 2]).init(device),
            norm: BatchNormConfig::new(8).init(device),
            decode: ConvTranspose2dConfig::new([8, 6], [2, 2])
                .with_stride([2, 2])
                .init(device),
            classify: convolution([6, 3]).init(device),
        })
    }

    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let features = relu(self.norm.forward(self.encode.forward(images)));
        self.classify.forward(relu(self.decode.forward(features)))
    }
}

#[derive(Module, Debug)]
pub(crate) struct Regressor {
    first: Linear,
    last: Linear,
}

impl Regressor {
    pub(crate) fn new() -> Self {
        let device = &device();
        drawn(Self {
            first: LinearConfig::new(4, 12).init(device),
            last: LinearConfig::new(12, 2).init(device),
        })
    }

    pub(crate) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.last.forward(relu(self.first.forward(input)))
    }
}

/// The model with reproducible weights.
fn drawn<M: Module>(model: M) -> M {
    let inventory = Inventory::from_module(&model);
    let trainable = inventory
        .iter()
        .filter(|parameter| parameter.is_trainable());
    let mut at = 0;
    let values = trainable.map(|parameter| {
        let from = at;
        at += parameter.numel();
        let numbers: Vec<f32> = values(at)[from..].iter().map(|x| 0.5 * x).collect();
        (
            parameter.id,
            Tensor::from_data(numbers.as_slice(), &device()),
        )
    });
    let values = values.collect();
    replace(model, values)
}

/// Reproducible numbers around 0, other ones for every position.
fn noise(count: usize, position: u64) -> Vec<f32> {
    let from = 37 * position as usize;
    values(from + count)[from..].to_vec()
}

/// Images whose class is the sign of what is seen: negative, small or positive.
pub(crate) struct Images;

fn images(position: u64, autodiff: bool) -> Batch<Tensor<4>, Tensor<3, Int>> {
    let device = match autodiff {
        true => device().autodiff(),
        false => device(),
    };
    let pixels = noise(BATCH * SIDE * SIDE, position);
    let class = |pixel: &f32| match *pixel {
        pixel if pixel < -0.3 => 0_i64,
        pixel if pixel < 0.3 => 1,
        _ => 2,
    };
    let classes: Vec<i64> = pixels.iter().map(class).collect();
    Batch::new(
        Tensor::from_data(TensorData::new(pixels, [BATCH, 1, SIDE, SIDE]), &device),
        Tensor::from_data(TensorData::new(classes, [BATCH, SIDE, SIDE]), &device),
    )
}

impl Data<Tensor<4>, Tensor<3, Int>> for Images {
    fn steps_per_epoch(&self) -> u64 {
        STEPS
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<4>, Tensor<3, Int>> {
        Box::new((first_step..STEPS).map(move |step| images(epoch * STEPS + step, true)))
    }

    fn validation(&self) -> BatchIter<'_, Tensor<4>, Tensor<3, Int>> {
        Box::new((100..103).map(|position| images(position, false)))
    }

    fn test(&self) -> BatchIter<'_, Tensor<4>, Tensor<3, Int>> {
        Box::new((200..202).map(|position| images(position, false)))
    }
}

/// Rows of numbers, and the sums of their halves; without a test split.
pub(crate) struct Rows;

fn rows(position: u64, autodiff: bool) -> Batch<Tensor<2>, Tensor<2>> {
    let device = match autodiff {
        true => device().autodiff(),
        false => device(),
    };
    let input: Tensor<2> = Tensor::from_data(
        TensorData::new(noise(BATCH * 4, position), [BATCH, 4]),
        &device,
    );
    let target = input
        .clone()
        .reshape([BATCH, 2, 2])
        .sum_dim(2)
        .reshape([BATCH, 2]);
    Batch::new(input, target.mul_scalar(0.5))
}

impl Data<Tensor<2>, Tensor<2>> for Rows {
    fn steps_per_epoch(&self) -> u64 {
        STEPS
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<2>, Tensor<2>> {
        Box::new((first_step..STEPS).map(move |step| rows(epoch * STEPS + step, true)))
    }

    fn validation(&self) -> BatchIter<'_, Tensor<2>, Tensor<2>> {
        Box::new((100..103).map(|position| rows(position, false)))
    }
}

pub(crate) fn segmentation() -> Experiment<'static, Tensor<4>, Segmentation> {
    let sample = Tensor::zeros([1, 1, SIDE, SIDE], &device());
    let (model, objective) = (SegmentNet::new(), Segmentation::new(3));
    Experiment::trace(&model, sample, SegmentNet::forward, objective, &Images).unwrap()
}

pub(crate) fn regression() -> Experiment<'static, Tensor<2>, Regression<2>> {
    let sample = Tensor::zeros([1, 4], &device());
    let (model, objective) = (Regressor::new(), Regression::new().with_peak(1.0));
    Experiment::trace(&model, sample, Regressor::forward, objective, &Rows).unwrap()
}

/// A recipe of so many epochs with more tables.
pub(crate) fn recipe(epochs: u64, tables: &str) -> Recipe {
    let train = "lr = 0.01\noptimizer = \"adam\"\nseed = 3";
    let text = format!("format = 1\n[train]\nepochs = {epochs}\n{train}\n{tables}");
    Recipe::parse(&text).unwrap()
}

/// The report of a run that was not stopped.
pub(crate) fn whole(finished: Finished) -> Report {
    match finished {
        Finished::Whole { report, .. } => *report,
        other => panic!("{other:?}"),
    }
}

/// Raises a flag when it has seen so many reports.
pub(crate) struct StopAfter(pub(crate) u64, pub(crate) StopFlag);

impl calcine_train::Observer for StopAfter {
    fn saved(&mut self, _: &std::path::Path) {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.raise();
        }
    }
}

/// Carries a recipe out in a directory, stopped after so many checkpoints and resumed until it is done; the number of times.
pub(crate) fn in_parts<X, O>(
    experiment: &Experiment<'_, X, O>,
    recipe: &Recipe,
    out: &std::path::Path,
    every: u64,
) -> usize
where
    X: calcine_trace::Tensors + Clone + 'static,
    O: calcine_train::Objective,
    O::Output: calcine_trace::Tensors,
{
    for part in 1..100 {
        let settings = TrainSettings {
            checkpoint_every: Some(1),
            ..TrainSettings::default()
        };
        let directory = RunDirectory::lock(out).unwrap();
        let mut stop = StopAfter(every, settings.stop.clone());
        let finished = experiment.train_in(recipe, &directory, settings, &mut stop);
        if matches!(finished.unwrap(), Finished::Whole { .. }) {
            return part;
        }
    }
    panic!("it is never done")
}

/// In one go, with as many checkpoints.
pub(crate) fn at_once<X, O>(
    experiment: &Experiment<'_, X, O>,
    recipe: &Recipe,
    out: &std::path::Path,
) -> Report
where
    X: calcine_trace::Tensors + Clone + 'static,
    O: calcine_train::Objective,
    O::Output: calcine_trace::Tensors,
{
    let settings = TrainSettings {
        checkpoint_every: Some(1),
        ..TrainSettings::default()
    };
    let directory = RunDirectory::lock(out).unwrap();
    whole(
        experiment
            .train_in(recipe, &directory, settings, &mut NoObserver)
            .unwrap(),
    )
}
