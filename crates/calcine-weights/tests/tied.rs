//! Parameters that a module has in several places.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine_weights::{LoadOptions, Problem};

use crate::checkpoints::{floats, load_with};
use crate::torch::dict;
use calcine_testkit::rows;

#[derive(Module, Debug)]
struct Tied {
    embed: Embedding,
    head: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct TiedLinear {
    first: Linear,
    second: Linear,
    raw: Param<Tensor<2>>,
}

fn tied(device: &Device) -> Tied {
    let embed = EmbeddingConfig::new(3, 2).init(device);
    let head = embed.weight.clone();
    Tied { embed, head }
}

#[test]
fn one_name_of_a_shared_parameter_fills_all_its_uses_and_they_stay_one() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let device = Device::flex().autodiff();
    for name in ["embed.weight", "head"] {
        let object = dict([(name, floats(&[3, 2], &values))]);
        let (model, report) = load_with(tied(&device), &object, &LoadOptions::default()).unwrap();
        assert_eq!(report.tied.len(), 1);
        assert!(
            rows(&model)
                .iter()
                .all(|row| row.values == values && row.trains),
            "{name}"
        );
        // Both uses add to the gradient of the one parameter.
        let sum = model.embed.weight.val().sum() + model.head.val().sum() * 2.0;
        let gradients = sum.backward();
        let gradient = model.head.val().grad(&gradients).unwrap();
        assert!(
            gradient.into_data().iter::<f32>().all(|g| g == 3.0),
            "{name}"
        );
    }

    // Layers that PyTorch stores transposed, beside one that it does not.
    let first = LinearConfig::new(2, 2)
        .with_bias(false)
        .init(&Device::flex());
    let second = Linear {
        weight: first.weight.clone(),
        bias: None,
    };
    let module = TiedLinear {
        raw: first.weight.clone(),
        first,
        second,
    };
    let (straight, turned) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]);
    for (name, stored) in [
        ("first.weight", turned),
        ("second.weight", turned),
        ("raw", straight),
    ] {
        let object = dict([(name, floats(&[2, 2], &straight))]);
        let (model, _) = load_with(module.clone(), &object, &LoadOptions::default()).unwrap();
        assert!(
            rows(&model).iter().all(|row| row.values == stored),
            "{name}: {:?}",
            rows(&model)
        );
    }
}

#[test]
fn two_values_of_a_shared_parameter_are_refused_and_equal_ones_are_not() {
    let tied = || tied(&Device::flex());
    let pair = |last: f32| {
        dict([
            (
                "embed.weight",
                floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ),
            ("head", floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, last])),
        ])
    };
    load_with(tied(), &pair(6.0), &LoadOptions::default()).unwrap();
    let error = load_with(tied(), &pair(7.0), &LoadOptions::default()).unwrap_err();
    assert!(
        matches!(error.problems(), [Problem::Tied { .. }]),
        "{error}"
    );
    for name in ["embed.weight", "head"] {
        assert!(error.to_string().contains(name), "{error}");
    }
}
