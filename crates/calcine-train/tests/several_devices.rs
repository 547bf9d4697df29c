//! Burn's own training on several devices through the supervised adapter. There is one CPU device, so it stands for several.

use std::sync::Mutex;

use burn::data::dataloader::{DataLoaderBuilder, batcher::Batcher};
use burn::data::dataset::InMemDataset;
use burn::module::Module;
use burn::optim::lr_scheduler::constant::ConstantLr;
use burn::tensor::{Device, Tensor};
use burn::train::renderer::CliMetricsRenderer;
use burn::train::{
    ExecutionStrategy, InferenceStep, Learner, MultiDeviceOptim, SupervisedTraining,
};
use calcine_testkit::{Mlp, device, values};
use calcine_train::{Compressed, Driver, LossStep, RatePlan};

use crate::made_up::{boxed, mlp, prune, read, sgd, steps, stored, zeros};

/// The weights that the replicas' passes saw, in the order in which they came.
static SEEN: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

#[derive(Module, Debug)]
struct Net {
    mlp: Mlp,
}

impl LossStep for Net {
    type Batch = Tensor<2>;
    type Output = ();

    fn loss_step(&self, batch: Tensor<2>) -> (Tensor<1>, ()) {
        let weight = read(self.mlp.first.weight.val().without_autodiff());
        SEEN.lock().unwrap().push(weight);
        let loss = (self.mlp.forward(batch) - 1.0).powi_scalar(2).mean();
        (loss, ())
    }
}

impl InferenceStep for Net {
    type Input = Tensor<2>;
    type Output = ();

    fn step(&self, _: Tensor<2>) {}
}

struct Rows;

impl Batcher<usize, Tensor<2>> for Rows {
    fn batch(&self, items: Vec<usize>, device: &Device) -> Tensor<2> {
        let rows = items
            .iter()
            .flat_map(|at| values(6 * (at + 1))[6 * at..].to_vec());
        let rows: Vec<f32> = rows.collect();
        Tensor::<1>::from_data(rows.as_slice(), device).reshape([items.len(), 6])
    }
}

/// Trains two replicas for two epochs of four steps; half of the weights fall in the second step.
fn train(optim: MultiDeviceOptim) -> (Net, Vec<Vec<f32>>) {
    SEEN.lock().unwrap().clear();
    let model = Net { mlp: mlp(0) };
    let half = prune(&model, "p", "**.weight", |_: f64| 0.5, steps(&[1]));
    let driver = Driver::new(4, vec![boxed(half)], RatePlan::constant(0.0));
    let rows = InMemDataset::new((0..32).collect());
    let loader = DataLoaderBuilder::new(Rows).batch_size(4).build(rows);
    let log = tempfile::tempdir().unwrap();
    let device = device().autodiff();
    let strategy = ExecutionStrategy::MultiDevice(vec![device.clone(), device], optim);
    let training = SupervisedTraining::new(log.path(), loader.clone(), loader)
        .num_epochs(2)
        .renderer(Box::new(CliMetricsRenderer::new()))
        .with_training_strategy(strategy.into());
    let learner = Learner::new(Compressed::new(model, driver), sgd(), ConstantLr::new(0.05));
    let trained = training.launch(learner).model.model;
    (trained, std::mem::take(&mut *SEEN.lock().unwrap()))
}

#[test]
fn masks_and_schedules_are_equal_on_all_replicas() {
    for optim in [
        MultiDeviceOptim::OptimMainDevice,
        MultiDeviceOptim::OptimSharded,
    ] {
        let (trained, seen) = train(optim);
        assert_eq!(
            seen.len(),
            2 * 2 * 4,
            "two replicas, two epochs, four steps"
        );
        for (step, pair) in seen.chunks(2).enumerate() {
            assert_eq!(pair[0], pair[1], "step {step}");
            let expected = if step < 1 { 0 } else { 48 };
            assert_eq!(zeros(&pair[0]), expected, "step {step}");
        }
        assert_ne!(seen[0], seen[2], "the optimizer moves the weights");
        assert_eq!(zeros(&stored(&trained, "mlp.first.weight")), 48);
        assert_eq!(zeros(&stored(&trained, "mlp.second.weight")), 24);
    }
}
