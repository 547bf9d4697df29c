//! One training on the device under test and on flex.

use burn::tensor::{Device, Int, Tensor};
use calcine_schedule::Cubic;
use calcine_testkit::{ConvNet, device_reads};
use calcine_train::{Batch, Driver, RatePlan};

use crate::made_up::{
    MadeUp, boxed, drawn, epochs, prune, read, sgd, stored, training_device, zeros,
};

struct Step {
    loss: f32,
    /// Weights before the step, as a mask would be computed from.
    weights: Vec<f32>,
    mask: Option<Vec<bool>>,
}

fn driver(model: &ConvNet) -> Driver<ConvNet> {
    let ramp = Cubic {
        initial: 0.2,
        last: 0.8,
    };
    let policy = prune(model, "p", "conv.weight", ramp, epochs(1, 4));
    Driver::new(5, vec![boxed(policy)], RatePlan::constant(0.02))
}

fn objective(model: &ConvNet, batch: Batch<Tensor<4>, Tensor<1, Int>>) -> (Tensor<1>, ()) {
    let logits = model.forward(batch.input);
    let classes = batch.target.one_hot::<2>(4).float();
    ((logits - classes).powi_scalar(2).mean(), ())
}

fn data(device: &Device) -> MadeUp<4> {
    MadeUp {
        device: device.clone(),
        ..MadeUp::for_conv_net(5)
    }
}

fn train(device: &Device) -> Vec<Step> {
    let mut model = drawn(ConvNet::new(device), 0);
    let mut driver = driver(&model);
    let mut optimizer = sgd();
    let data = data(device);
    let mut steps = Vec::new();
    for step in 0..20 {
        let weights = stored(&model, "conv.weight");
        let pass = driver.forward_backward(&model, data.batch("train", step), objective);
        let mask = driver
            .masks()
            .keep("conv.weight")
            .map(|keep| keep.into_data().iter().collect());
        model = driver.step(model, &mut optimizer, pass.gradients);
        steps.push(Step {
            loss: read(pass.loss)[0],
            weights,
            mask,
        });
    }
    steps
}

#[test]
fn the_same_recipe_on_another_device() {
    let reference = train(&Device::flex().autodiff());
    let found = train(&training_device());
    for (step, (found, reference)) in found.iter().zip(&reference).enumerate() {
        let dropped = |mask: &Option<Vec<bool>>| {
            mask.as_ref()
                .map(|keep| keep.iter().filter(|keep| !**keep).count())
        };
        assert_eq!(
            dropped(&found.mask),
            dropped(&reference.mask),
            "step {step}: counts"
        );
        if found.weights == reference.weights {
            assert_eq!(
                found.mask, reference.mask,
                "step {step}: equal weights, other masks"
            );
        }
        // Sums of a few hundred products in another order, over twenty steps.
        approx::assert_relative_eq!(
            found.loss,
            reference.loss,
            max_relative = 1e-3,
            epsilon = 1e-5
        );
    }
    let expected = [0.2, 0.725, 0.8].map(|level| (level * 144.0) as usize);
    let ramp: Vec<usize> = [6, 11, 16, 19]
        .map(|step| zeros(&found[step].weights))
        .to_vec();
    assert_eq!(ramp, [expected[0], expected[1], expected[2], expected[2]]);
    // In the first epoch nothing is masked and nothing was read, so this holds on every device.
    assert!(found[..5].iter().all(|step| step.mask.is_none()));
}

/// Counted where the device tells of reads, which is on GPUs: steps with new masks and steps with old ones.
#[test]
fn a_step_reads_nothing_from_the_device() {
    let device = training_device();
    let mut model = drawn(ConvNet::new(&device), 0);
    let mut driver = driver(&model);
    let mut optimizer = sgd();
    let data = data(&device);
    for step in 0..7 {
        let batch = data.batch("train", step);
        let (stepped, reads) = device_reads(|| {
            let pass = driver.forward_backward(&model, batch, objective);
            driver.step(model, &mut optimizer, pass.gradients)
        });
        assert_eq!(reads, 0, "step {step}");
        model = stepped;
    }
    assert!(
        zeros(&stored(&model, "conv.weight")) > 0,
        "no step had a mask"
    );
    let (_, reads) = device_reads(|| stored(&model, "conv.weight"));
    let told = !["Flex", "NdArray"]
        .iter()
        .any(|name| format!("{device:?}").contains(name));
    assert_eq!(
        reads > 0,
        told,
        "{device:?} was believed to tell of reads: {told}"
    );
}
