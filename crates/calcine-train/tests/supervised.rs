//! The adapter for Burn's trainer, driven as the trainer drives it.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use burn::train::{TrainOutput, TrainStep};
use calcine_params::Inventory;
use calcine_testkit::Mlp;
use calcine_train::{Batch, Compressed, Driver, LossStep, RatePlan};

use crate::made_up::{MadeUp, boxed, mlp, prune, sgd, steps, stored, training_device, zeros};

/// The testkit's network with an objective.
#[derive(Module, Debug)]
struct Net {
    mlp: Mlp,
}

impl LossStep for Net {
    type Batch = Batch<Tensor<2>, Tensor<1, Int>>;
    type Output = ();

    fn loss_step(&self, batch: Self::Batch) -> (Tensor<1>, ()) {
        (
            (self.mlp.forward(batch.input) - 1.0).powi_scalar(2).mean(),
            (),
        )
    }
}

fn compressed() -> Compressed<Net> {
    let model = Net { mlp: mlp(0) };
    let half = prune(&model, "p", "**.weight", |_: f64| 0.5, steps(&[1]));
    let driver = Driver::new(4, vec![boxed(half)], RatePlan::constant(0.0));
    Compressed::new(model, driver)
}

fn paths<M: Module>(model: &M) -> Vec<String> {
    Inventory::from_module(model)
        .iter()
        .map(|parameter| parameter.path.clone())
        .collect()
}

#[test]
fn the_wrapper_is_invisible_to_names() {
    let compressed = compressed();
    let names = paths(&compressed.model);
    assert_eq!(names[0], "mlp.first.weight");
    assert_eq!(paths(&compressed), names);
    assert_eq!(paths(&compressed.valid()), names);
    assert_eq!(paths(&compressed.fork(&training_device())), names);
}

#[test]
fn masks_hold_through_optimize_at_the_trainers_rate() {
    let data = MadeUp::for_mlp(4);
    let mut compressed = compressed();
    let mut optimizer = sgd();
    let mut counts = Vec::new();
    for step in 0..4 {
        let TrainOutput { grads, .. } = TrainStep::step(&compressed, data.batch("train", step));
        let before = stored(&compressed, "mlp.first.weight");
        // As `Learner` does: on a clone, while the old one is still there.
        let learner = compressed.clone();
        compressed = learner.optimize(&mut optimizer, 0.05.into(), grads);
        let after = stored(&compressed, "mlp.first.weight");
        assert_ne!(before, after, "the trainer's rate, not the driver's");
        counts.push((
            zeros(&after),
            zeros(&stored(&compressed.valid(), "mlp.second.weight")),
        ));
    }
    assert_eq!(counts, [(0, 0), (48, 24), (48, 24), (48, 24)]);
}

#[test]
fn it_can_be_printed_and_counts_its_models_parameters() {
    let compressed = compressed();
    assert_eq!(compressed.num_params(), compressed.model.num_params());
    assert!(compressed.to_string().contains("Net"));
}
