use burn::module::Module;
use burn::tensor::{Int, Tensor};
use calcine_testkit::{ConvNet, Mlp, device};
use calcine_trace::trace;

use crate::{difference, numbers};
use calcine_testkit::networks::{Mixed, Residual, Shared, Signal, Text};

/// A network traced with one sample computes what the model computes, for any batch.
fn agrees<M: Module, const I: usize, const O: usize>(
    model: &M,
    shape: [usize; I],
    forward: impl Fn(&M, Tensor<I>) -> Tensor<O> + Copy,
) {
    let network = trace(model, numbers(shape), forward).unwrap();
    for batch in [1, 2, 5] {
        let mut shape = shape;
        shape[0] = batch;
        let x = numbers(shape);
        let found: Tensor<O> = network.forward(x.clone());
        let difference = difference(&found, &forward(model, x));
        assert!(difference <= 1e-5, "batch {batch}: {difference}");
    }
}

#[test]
fn perceptrons_and_convolutional_networks() {
    let device = device();
    agrees(&Mlp::new(&device), [1, 6], |m, x| m.forward(x));
    let net = ConvNet::new(&device);
    agrees(&net, [1, 2, 6, 6], |m, x| m.forward(x));
    agrees(&Residual::new(&device), [1, 3, 6, 6], |m, x| m.forward(x));
    agrees(&Mixed::new(&device), [1, 2, 8, 8], |m, x| m.forward(x));
    agrees(&Shared::new(&device), [1, 4], |m, x| m.forward(x));
}

#[test]
fn a_transformer() {
    let model = Text::new(&device());
    let tokens = |batch: usize| {
        let count = batch * Text::LENGTH;
        let tokens = Tensor::<1, Int>::arange(0..i64::try_from(count).unwrap(), &device());
        let words = i64::try_from(Text::WORDS).unwrap();
        tokens
            .remainder_scalar(words)
            .reshape([batch, Text::LENGTH])
    };
    let network = trace(&model, tokens(1), |m, x| m.forward(x)).unwrap();
    for batch in [1, 3] {
        let found: Tensor<3> = network.forward(tokens(batch));
        assert!(difference(&found, &model.forward(tokens(batch))) <= 1e-5);
    }
}

#[test]
fn two_inputs_and_two_outputs() {
    let model = Signal::new(&device());
    let forward = |m: &Signal, (a, b): (Tensor<3>, Tensor<5>)| m.forward(a, b);
    let sample = |batch| (numbers([batch, 2, 7]), numbers([batch, 1, 2, 3, 3]));
    let network = trace(&model, sample(1), forward).unwrap();
    let (found, volume): (Tensor<3>, Tensor<5>) = network.forward(sample(4));
    let (expected, expected_volume) = forward(&model, sample(4));
    assert!(difference(&found, &expected) <= 1e-5);
    assert!(difference(&volume, &expected_volume) <= 1e-5);
}

#[test]
fn every_result_can_be_observed_and_replaced() {
    let model = Mlp::new(&device());
    let network = trace(&model, numbers([1, 6]), |m, x| m.forward(x)).unwrap();
    let mut seen = Vec::new();
    let outputs = network.run(vec![numbers([3, 6]).into()], &mut |node, tensor| {
        seen.push((node.name.clone(), tensor.shape()));
        match tensor.clone().float::<2>() {
            Some(logits) if node.output == network.graph().outputs[0] => (logits * 0.0).into(),
            _ => tensor,
        }
    });
    let names: Vec<&str> = network
        .graph()
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(
        seen.iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        names
    );
    assert!(seen.iter().all(|(_, shape)| shape[0] == 3));
    let logits: Tensor<2> = outputs.unwrap()[0].clone().float().unwrap();
    assert_eq!(logits.abs().max().into_scalar::<f32>(), 0.0);
}
