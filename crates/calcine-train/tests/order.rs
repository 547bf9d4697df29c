//! The order of the step, as the driver's documentation lists it.

use std::sync::{Arc, Mutex};

use burn::module::{Module, ParamId};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::Tensor;
use calcine_mask::Masks;
use calcine_params::{Edit, Inventory, edit};
use calcine_schedule::Clock;
use calcine_testkit::Mlp;
use calcine_train::{Changed, Driver, Policy, RatePlan};

use crate::made_up::{boxed, mlp, read, stored, training_device, zeros};

type Log = Arc<Mutex<Vec<String>>>;

struct Recorder {
    name: &'static str,
    log: Log,
    /// A weight as it was between backward and optimizer.
    before: Vec<f32>,
}

impl Recorder {
    fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            log: Arc::clone(log),
            before: Vec::new(),
        }
    }

    fn note(&self, what: &str, clock: &Clock) {
        let place = format!("{}.{} {} {what}", clock.epoch, clock.step, self.name);
        self.log.lock().unwrap().push(place);
    }
}

impl Policy<Mlp> for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn before_forward(&mut self, clock: &Clock, _: &Mlp) -> Changed {
        self.note("before_forward", clock);
        Changed::Nothing
    }

    fn loss_term(&mut self, clock: &Clock, model: &Mlp) -> Option<Tensor<1>> {
        self.note("loss_term", clock);
        (self.name == "a").then(|| model.first.weight.val().powi_scalar(2).mean())
    }

    fn before_update(&mut self, clock: &Clock, model: &Mlp, gradients: &mut GradientsParams) {
        assert!(
            gradients.get::<2>(model.first.weight.id).is_some(),
            "backward has not run"
        );
        self.before = stored(model, "first.weight");
        self.note("before_update", clock);
    }

    fn after_update(&mut self, clock: &Clock, rate: f64, model: Mlp) -> Mlp {
        assert_eq!(rate, 0.1);
        assert_ne!(
            stored(&model, "first.weight"),
            self.before,
            "the optimizer has not run"
        );
        self.note("after_update", clock);
        model
    }

    fn end_step(&mut self, clock: &Clock) -> Changed {
        self.note("end_step", clock);
        Changed::Nothing
    }

    fn end_epoch(&mut self, clock: &Clock, _: &Mlp) {
        self.note("end_epoch", clock);
    }
}

fn objective(model: &Mlp, input: Tensor<2>) -> (Tensor<1>, ()) {
    (model.forward(input).powi_scalar(2).mean(), ())
}

#[test]
fn a_step_has_the_order_of_the_drivers_documentation() {
    let log = Log::default();
    let policies = vec![
        boxed(Recorder::new("a", &log)),
        boxed(Recorder::new("b", &log)),
    ];
    let mut driver = Driver::new(2, policies, RatePlan::constant(0.1));
    let mut model = mlp(0);
    let mut optimizer = SgdConfig::new().init();
    for step in 0..4 {
        let input = Tensor::ones([3, 6], &training_device());
        let pass = driver.forward_backward(&model, input, |model, input| {
            log.lock()
                .unwrap()
                .push(format!("{}.{} objective", step / 2, step % 2));
            objective(model, input)
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
    }
    let mut expected = Vec::new();
    for (epoch, step) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut moment = |what: &str| {
            expected.extend(["a", "b"].map(|name| format!("{epoch}.{step} {name} {what}")));
        };
        moment("before_forward");
        moment("loss_term");
        moment("before_update");
        moment("after_update");
        moment("end_step");
        if step == 1 {
            moment("end_epoch");
        }
        let at = expected
            .iter()
            .position(|e| *e == format!("{epoch}.{step} a loss_term"))
            .unwrap();
        expected.insert(at, format!("{epoch}.{step} objective"));
    }
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!((driver.clock().epoch, driver.clock().step), (2, 0));
}

#[test]
fn the_reported_loss_is_the_objectives_and_the_gradient_that_of_the_sum() {
    let log = Log::default();
    let model = mlp(0);
    let input = || Tensor::ones([3, 6], &training_device());
    let mut plain = Driver::new(2, Vec::new(), RatePlan::constant(0.1));
    let alone = plain.forward_backward(&model, input(), objective);
    let mut driver = Driver::new(
        2,
        vec![boxed(Recorder::new("a", &log))],
        RatePlan::constant(0.1),
    );
    let with_term = driver.forward_backward(&model, input(), objective);
    assert_eq!(read(alone.loss), read(with_term.loss));
    let gradient =
        |gradients: &GradientsParams| read(gradients.get::<2>(model.first.weight.id).unwrap());
    let weights = stored(&model, "first.weight");
    let (alone, with_term) = (gradient(&alone.gradients), gradient(&with_term.gradients));
    for ((a, b), w) in alone.iter().zip(&with_term).zip(&weights) {
        // The term is the mean of 96 squares.
        approx::assert_relative_eq!(b - a, 2.0 * w / 96.0, epsilon = 1e-5);
    }
}

/// Masks half of a weight and sets all of it to one after the optimizer.
struct Restless {
    masks: Masks,
    id: ParamId,
}

impl Edit for Restless {
    fn wants(&self, id: ParamId) -> bool {
        id == self.id
    }

    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        value.ones_like()
    }
}

impl<M: Module> Policy<M> for Restless {
    fn name(&self) -> &str {
        "restless"
    }

    fn before_forward(&mut self, _: &Clock, model: &M) -> Changed {
        let inventory = Inventory::from_module(model);
        let weight = inventory.get("first.weight").unwrap();
        self.id = weight.id;
        let keep: Vec<bool> = (0..weight.numel()).map(|i| i % 2 == 0).collect();
        let device = calcine_testkit::device();
        self.masks.insert(
            weight,
            Tensor::<1, burn::tensor::Bool>::from_bool(keep.as_slice(), &device),
        );
        Changed::Masks
    }

    fn after_update(&mut self, _: &Clock, _: f64, model: M) -> M {
        edit(model, self)
    }

    fn masks(&self) -> Option<&Masks> {
        Some(&self.masks)
    }
}

#[test]
fn masks_come_after_whatever_a_policy_does_to_the_weights() {
    let policy = Restless {
        masks: Masks::default(),
        id: ParamId::new(),
    };
    let mut driver = Driver::new(5, vec![boxed(policy)], RatePlan::constant(0.1));
    let mut model = mlp(0);
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..3 {
        let input = Tensor::ones([3, 6], &training_device());
        let pass = driver.forward_backward(&model, input, objective);
        model = driver.step(model, &mut optimizer, pass.gradients);
        let weight = stored(&model, "first.weight");
        assert_eq!(zeros(&weight), weight.len() / 2);
        assert!(weight.iter().step_by(2).all(|x| *x == 1.0));
    }
}
