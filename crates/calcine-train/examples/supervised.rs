//! A pruner inside Burn's own trainer: `--features supervised --example supervised`.
#![allow(clippy::print_stdout, reason = "examples print")]

use burn::data::dataloader::{DataLoaderBuilder, batcher::Batcher};
use burn::data::dataset::InMemDataset;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{SgdConfig, lr_scheduler::constant::ConstantLr};
use burn::prelude::*;
use burn::train::{InferenceStep, Learner, SupervisedTraining, renderer::CliMetricsRenderer};
use calcine_criteria::{Level, Norm};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_train::{Compressed, Driver, LossStep, Prune, RatePlan, Target, Unit, When};

#[derive(Module, Debug)]
struct Net {
    layer: Linear,
}
impl LossStep for Net {
    type Batch = Tensor<2>;
    type Output = ();
    fn loss_step(&self, batch: Tensor<2>) -> (Tensor<1>, ()) {
        ((self.layer.forward(batch) - 1.0).powi_scalar(2).mean(), ())
    }
}
impl InferenceStep for Net {
    type Input = Tensor<2>;
    type Output = ();
    fn step(&self, _: Tensor<2>) {}
}
struct Rows;
impl Batcher<f32, Tensor<2>> for Rows {
    fn batch(&self, items: Vec<f32>, device: &Device) -> Tensor<2> {
        Tensor::<1>::from_data(items.as_slice(), device).reshape([1, 16])
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = LinearConfig::new(16, 4).init(&Device::flex().autodiff());
    let (model, log) = (Net { layer }, tempfile::tempdir()?);
    let parameter =
        calcine_params::Inventory::from_module(&model).select(&["**.weight"])?[0].clone();
    let fold = Fold::new(Granularity::FcInput, &parameter.shape, Layout::LINEAR)?;
    let units = vec![Unit::new(parameter, fold)];
    let targets = vec![Target::new(units, Box::new(|p| 0.25 + 0.5 * p))];
    let (score, level) = (Box::new(Norm::L2), Box::new(Level::default()));
    let when = When::epochs(calcine_schedule::Window::new(0, 2, 1)?);
    let inputs = Box::new(Prune::new("inputs", targets, score, level, when));
    let driver = Driver::new(4, vec![inputs], RatePlan::constant(0.0)); // Burn's rate counts
    let rows = InMemDataset::new((0..64).map(|i| i as f32 / 64.0).collect());
    let loader = DataLoaderBuilder::new(Rows).batch_size(16);
    let loader = loader.set_device(Device::flex()).build(rows);
    let training = SupervisedTraining::new(log.path(), loader.clone(), loader).num_epochs(2);
    let training = training.renderer(Box::new(CliMetricsRenderer::new()));
    let (model, sgd) = (Compressed::new(model, driver), SgdConfig::new().init());
    let trained = training.launch(Learner::new(model, sgd, ConstantLr::new(0.1)));
    let layer = trained.model.model.layer;
    let zeros = layer.weight.val().equal_scalar(0.0).int().sum();
    println!("{} of 64 weights are zero", zeros.into_data());
    Ok(())
}
