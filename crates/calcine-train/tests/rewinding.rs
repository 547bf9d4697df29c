//! Lottery tickets: weights and learning rate go back, masks stay.

use burn::optim::ModuleOptimizer;
use calcine_mask::Masks;
use calcine_params::Inventory;
use calcine_schedule::Window;
use calcine_schedule::rate::Step;
use calcine_testkit::Mlp;
use calcine_train::{Driver, Policy, RateEntry, RatePlan, Restore, Rewind, WindowUnit};

use crate::made_up::{MadeUp, boxed, epochs, mlp, prune, sgd, stored, zeros};

const PATHS: [&str; 4] = ["first.weight", "first.bias", "second.weight", "second.bias"];

fn half(_: f64) -> f64 {
    0.5
}

fn rates() -> RatePlan {
    RatePlan::constant(0.1).with_schedule(RateEntry {
        schedule: Box::new(Step::new(1, 0.5).unwrap()),
        window: Window::new(0, 9, 1).unwrap(),
        unit: WindowUnit::Epochs,
    })
}

/// Trains on the batches from `from` on and returns model, optimizer, and all weights after each step.
fn train(
    mut model: Mlp,
    driver: &mut Driver<Mlp>,
    mut optimizer: ModuleOptimizer,
    batches: std::ops::Range<u64>,
) -> (Mlp, ModuleOptimizer, Vec<Vec<Vec<f32>>>) {
    let data = MadeUp::for_mlp(4);
    let mut seen = Vec::new();
    for batch in batches {
        let pass = driver.forward_backward(&model, data.batch("train", batch), |model, batch| {
            ((model.forward(batch.input) - 1.0).powi_scalar(2).mean(), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        seen.push(PATHS.map(|path| stored(&model, path)).to_vec());
    }
    (model, optimizer, seen)
}

#[test]
fn a_ticket_trains_from_its_first_weights_under_the_mask_of_the_last_ones() {
    let model = mlp(0);
    let policies: Vec<Box<dyn Policy<Mlp>>> = vec![
        boxed(prune(&model, "p", "*.weight", half, epochs(2, 3))),
        boxed(Rewind::new(
            &Inventory::from_module(&model),
            0,
            vec![2],
            Restore::Weights,
        )),
    ];
    let mut driver = Driver::new(4, policies, RatePlan::constant(0.1));
    let (model, optimizer, dense) = train(model, &mut driver, sgd(), 0..8);
    let (.., ticket) = train(model, &mut driver, optimizer, 8..12);

    // The same by hand: fresh weights and optimizer, under the masks that the driver holds.
    let fresh = mlp(0);
    let inventory = Inventory::from_module(&fresh);
    let mut masks = Masks::default();
    for path in driver.masks().paths() {
        let keep = driver.masks().keep(path).unwrap();
        masks.insert(inventory.get(path).unwrap(), keep);
    }
    let fresh = masks.apply(fresh);
    assert_eq!(zeros(&stored(&fresh, "first.weight")), 48);
    // By the magnitudes of the trained weights, not of the fresh ones.
    let mut order: Vec<usize> = (0..96).collect();
    order.sort_by(|&a, &b| dense[7][0][a].abs().total_cmp(&dense[7][0][b].abs()));
    let fresh_first = stored(&fresh, "first.weight");
    assert!(order[..48].iter().all(|i| fresh_first[*i] == 0.0));
    let lock = prune(&fresh, "lock", "*.weight", half, epochs(0, 1));
    let mut by_hand = Driver::new(4, vec![boxed(lock)], RatePlan::constant(0.1));
    let (.., expected) = train(fresh, &mut by_hand, sgd(), 8..12);
    assert_eq!(ticket, expected);
}

#[test]
fn the_learning_rate_goes_back_alone_or_with_the_weights() {
    let rows = [
        (Restore::Weights, [0.1, 0.05, 0.025, 0.0125, 0.00625]),
        (Restore::Rate, [0.1, 0.05, 0.025, 0.05, 0.025]),
        (Restore::Both, [0.1, 0.05, 0.025, 0.05, 0.025]),
    ];
    for (restore, expected) in rows {
        let model = mlp(0);
        let rewind = Rewind::new(&Inventory::from_module(&model), 1, vec![3], restore);
        let mut driver = Driver::new(4, vec![boxed(rewind)], rates());
        let (mut model, mut optimizer) = (model, sgd());
        for (epoch, expected) in (0..5).zip(expected) {
            // Going back is part of an epoch's first step.
            let first = 4 * epoch;
            (model, optimizer, _) = train(model, &mut driver, optimizer, first..first + 1);
            approx::assert_relative_eq!(driver.rate(), expected, max_relative = 1e-12);
            (model, optimizer, _) = train(model, &mut driver, optimizer, first + 1..first + 4);
        }
    }
}

#[test]
fn late_rewinding_returns_to_the_epoch_it_names() {
    let model = mlp(0);
    // The last schedule stands still, so what the first step of epoch 3 leaves is where it began.
    let still = RatePlan::constant(0.1).with_schedule(RateEntry {
        schedule: Box::new(|epoch: f64| if epoch < 3.0 { 1.0 } else { 0.0 }),
        window: Window::new(0, 9, 1).unwrap(),
        unit: WindowUnit::Epochs,
    });
    let weights_only = Rewind::new(
        &Inventory::from_module(&model),
        1,
        vec![3],
        Restore::Weights,
    );
    let mut driver = Driver::new(4, vec![boxed(weights_only)], still);
    let (.., seen) = train(model, &mut driver, sgd(), 0..13);
    assert_eq!(seen[12], seen[3], "as at the end of epoch 0");
    assert_ne!(seen[11], seen[3]);
}

#[test]
fn a_rewind_to_an_epoch_that_is_not_over_is_refused_when_it_is_made() {
    let inventory = Inventory::from_module(&mlp(0));
    for (to, at, fits) in [
        (0, vec![1], true),
        (2, vec![3, 5], true),
        (0, vec![0], false),
        (5, vec![2], false),
        (5, vec![7, 5], false),
        (3, vec![], true),
        (u64::MAX, vec![0], false),
    ] {
        for restore in [Restore::Weights, Restore::Rate, Restore::Both] {
            let made = Rewind::try_new(&inventory, to, at.clone(), restore);
            assert_eq!(made.is_ok(), fits, "{at:?} to {to}");
            if let Err(error) = made {
                assert!(
                    error.to_string().contains(&format!("back to epoch {to}")),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn saved_weights_that_do_not_fit_the_model_are_refused_when_they_are_read() {
    let model = mlp(0);
    let rewind = || {
        Rewind::new(
            &Inventory::from_module(&model),
            0,
            vec![1],
            Restore::Weights,
        )
    };
    let mut saving = rewind();
    let clock = calcine_schedule::Clock::new(4);
    let _ = saving.before_forward(&clock, &model);
    let record = Policy::<Mlp>::record(&saving);
    let restore = |rewind: &mut Rewind, inventory: &Inventory| {
        Policy::<Mlp>::restore(rewind, &record, inventory, &calcine_testkit::device())
    };
    let inventory = Inventory::from_module(&model);
    restore(&mut rewind(), &inventory).unwrap();
    let other = burn::nn::LinearConfig::new(6, 3).init(&calcine_testkit::device());
    let other = Inventory::from_module(&vec![other]);
    let mut of_other = Rewind::new(&other, 0, vec![1], Restore::Weights);
    let error = restore(&mut of_other, &other).unwrap_err().to_string();
    assert!(error.contains("no parameter `first."), "{error}");
}
