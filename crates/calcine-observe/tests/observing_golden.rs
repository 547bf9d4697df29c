//! Agreement with Distiller's statistics of activations.

use burn::nn::Relu;
use burn::tensor::{Tensor, TensorData};
use calcine_observe::{Moments, Norms, Places, Zeros, observe};
use calcine_testkit::device;
use calcine_testkit::golden::{self, Golden};
use calcine_trace::trace;
use serde_json::Value;

fn assert_close(file: &Golden, found: impl IntoIterator<Item = f64>, expected: &Value) {
    let expected = file.values(expected).1;
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.into_iter().zip(expected) {
        let expected = f64::from(expected);
        assert!(
            (found - expected).abs() <= 1e-5 * expected.abs() + 1e-7,
            "{found}, {expected}"
        );
    }
}

/// The statistics of what is recorded are those of the same numbers behind an operation that changes none.
#[test]
fn golden_activation_statistics() {
    let file = golden::open("activation_ranked");
    let case = file.having(&["/input/activations", "/expect/per_batch"])[0];
    let batches: Vec<Tensor<4>> = case["input"]["activations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| {
            let (shape, values) = file.values(batch);
            Tensor::from_data(TensorData::new(values, shape), &device())
        })
        .collect();
    let nothing = |_: &Relu, x: Tensor<4>| x.mul_scalar(1.0);
    let network = trace(&Relu::new(), batches[0].clone(), nothing).unwrap();
    let observe = |batches: &[Tensor<4>]| {
        let all = &(Zeros, Moments, Norms);
        let observed = observe(&network, batches.to_vec(), &Places::all(), all);
        observed.unwrap().into_iter().next().unwrap().value
    };
    let expect = &case["expect"];
    let percent = |shares: Vec<f64>| shares.into_iter().map(|share| 100.0 * share);
    for (index, batch) in batches.iter().enumerate() {
        let (zeros, moments, norms) = observe(std::slice::from_ref(batch));
        let of = |name: &str| &expect["per_batch"][name][index];
        assert_close(&file, percent(zeros.apoz()), of("apoz_channels"));
        assert_close(&file, moments.mean, of("mean_channels"));
        assert_close(&file, norms.l1, of("l1_channels"));
    }
    let (zeros, moments, norms) = observe(&batches);
    let of = |name: &str| &expect["collected_mean"][name];
    assert_close(&file, percent(zeros.apoz()), of("apoz_channels"));
    assert_close(&file, moments.mean, of("mean_channels"));
    assert_close(&file, norms.l1, of("l1_channels"));
    let sparsity = expect["sparsity_ofm"].as_f64().unwrap();
    assert!((100.0 * zeros.sparsity() - sparsity).abs() < 1e-9);
}
