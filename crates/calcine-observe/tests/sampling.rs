//! Rows that are sampled of layers, against what the layers compute.

use burn::module::Module;
use burn::nn::conv::{Conv1dConfig, Conv2dConfig, Conv3dConfig, ConvTranspose2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig1d, PaddingConfig2d, PaddingConfig3d};
use burn::tensor::{Device, Tensor};
use calcine_observe::{LayerSamples, ObserveError, Sampling, sample_layers};
use calcine_params::{Inventory, flat};
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use calcine_testkit::numbers;

fn values(network: &Network, path: &str) -> Vec<f64> {
    let inventory = Inventory::from_module(network);
    let tensors = flat(network, [inventory.get(path).unwrap()]);
    tensors[0].to_data().iter::<f64>().collect()
}

/// A layer's own weight explains what was sampled of it, and refitting all of it finds it again.
fn check<const D: usize, M: Module>(
    layer: &M,
    shape: [usize; D],
    forward: impl Fn(&M, Tensor<D>) -> Tensor<D>,
) {
    let network = trace(layer, numbers(shape), forward).unwrap();
    let sampling = Sampling {
        positions: 7,
        seed: 3,
    };
    let batches = (1..=30).map(|index| (numbers(shape) * f64::from(index)).sin());
    let observed = sample_layers(&network, batches, &["weight"], &sampling);
    let observed = observed.unwrap();
    let samples = observed.get("weight").unwrap();
    let seen = observed.iter().next().unwrap().counts;
    assert_eq!(seen.samples, 30 * shape[0] as u64);
    assert_eq!(seen.positions, samples.rows() as u64);
    let weight = values(&network, "weight");
    let bias = samples.bias().map(|path| values(&network, path));
    let error = samples.error(&weight, bias.as_deref());
    assert!(error < 1e-6, "{error}");
    let refit = samples.refit(&vec![true; weight.len()]).unwrap();
    assert!(refit.error < 1e-6, "{}", refit.error);
    for system in &refit.systems {
        assert!(system.is_determined(), "{system:?}");
    }
    for (found, expected) in refit.weight.iter().zip(&weight) {
        assert!((found - expected).abs() < 1e-4, "{found}, {expected}");
    }
}

#[test]
fn rows_are_what_convolutions_compute_with() {
    let device = device();
    let padding = PaddingConfig2d::Explicit(2, 0, 1, 1);
    let wide = Conv2dConfig::new([2, 4], [3, 2])
        .with_stride([2, 1])
        .with_dilation([1, 2])
        .with_padding(padding)
        .init(&device);
    check(&wide, [2, 2, 7, 5], |m, x| m.forward(x));
    let grouped = Conv2dConfig::new([4, 6], [1, 3])
        .with_groups(2)
        .with_bias(false)
        .init(&device);
    check(&grouped, [1, 4, 5, 4], |m, x| m.forward(x));
    let depthwise = Conv2dConfig::new([3, 3], [3, 1])
        .with_groups(3)
        .with_padding(PaddingConfig2d::Explicit(1, 0, 1, 0))
        .init(&device);
    check(&depthwise, [2, 3, 4, 4], |m, x| m.forward(x));
    let line = Conv1dConfig::new(3, 2, 2)
        .with_padding(PaddingConfig1d::Explicit(1, 0))
        .init(&device);
    check(&line, [2, 3, 6], |m, x| m.forward(x));
    let space = Conv3dConfig::new([1, 2], [2, 2, 3])
        .with_padding(PaddingConfig3d::Explicit(1, 0, 1))
        .init(&device);
    check(&space, [2, 1, 3, 4, 5], |m, x| m.forward(x));
}

#[test]
fn rows_are_what_linear_layers_compute_with() {
    let linear = LinearConfig::new(4, 3).init(&device());
    check(&linear, [5, 4], |m, x| m.forward(x));
    check(&linear, [2, 9, 4], |m, x| m.forward(x));
    let plain = LinearConfig::new(4, 3).with_bias(false).init(&device());
    check(&plain, [2, 3, 2, 4], |m, x| m.forward(x));
}

/// One layer, used twice.
#[derive(Module, Debug)]
struct Twice {
    inner: Linear,
    other: Linear,
}

impl Twice {
    fn new(device: &Device) -> Self {
        Self {
            inner: LinearConfig::new(4, 4).init(device),
            other: LinearConfig::new(4, 2).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.inner.forward(x).tanh();
        self.other.forward(self.inner.forward(x))
    }
}

fn sampled(network: &Network, weights: &[&str], sampling: &Sampling) -> Vec<LayerSamples> {
    let batches = [numbers([3, 6, 4]), numbers([1, 6, 4])];
    let observed = sample_layers(network, batches, weights, sampling).unwrap();
    observed.into_iter().map(|node| node.value).collect()
}

#[test]
fn a_shared_weight_has_the_rows_of_all_its_uses() {
    let network = trace(&Twice::new(&device()), numbers([1, 6, 4]), |m, x| {
        m.forward(x)
    });
    let network = network.unwrap();
    let sampling = Sampling {
        positions: 2,
        seed: 0,
    };
    let [inner] = &sampled(&network, &["inner.weight"], &sampling)[..] else {
        panic!("one weight");
    };
    assert_eq!((inner.rows(), inner.columns(), inner.filters()), (16, 4, 4));
    assert_eq!(inner.bias(), Some("inner.bias"));
    let (weight, bias) = (
        values(&network, "inner.weight"),
        values(&network, "inner.bias"),
    );
    assert!(inner.error(&weight, Some(&bias)) < 1e-6);
}

#[test]
fn positions_hang_on_the_seed_and_on_no_other_layer() {
    let network = trace(&Twice::new(&device()), numbers([1, 6, 4]), |m, x| {
        m.forward(x)
    });
    let network = network.unwrap();
    let seed = |seed| Sampling { positions: 2, seed };
    let alone = sampled(&network, &["other.weight"], &seed(1));
    let both = sampled(&network, &["inner.weight", "other.weight"], &seed(1));
    assert_eq!(alone[0], both[1]);
    assert_ne!(alone, sampled(&network, &["other.weight"], &seed(2)));
    let all = Sampling {
        positions: 99,
        seed: 1,
    };
    assert_eq!(sampled(&network, &["other.weight"], &all)[0].rows(), 24);
}

#[test]
fn what_cannot_be_sampled_is_said() {
    let device = device();
    let up = ConvTranspose2dConfig::new([2, 2], [2, 2]).init(&device);
    let network = trace(&up, numbers([1, 2, 3, 3]), |m, x| m.forward(x)).unwrap();
    let sample = |weight: &str| {
        let batches = [numbers([1, 2, 3, 3])];
        sample_layers(&network, batches, &[weight], &Sampling::default())
    };
    let error = sample("weight").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the inputs of the layer of `weight` cannot be sampled: it belongs to a transposed convolution"
    );
    assert!(matches!(sample("w"), Err(ObserveError::NoWeight { .. })));
    let linear = LinearConfig::new(4, 3).init(&device);
    let network = trace(&linear, numbers([1, 4]), |m, x| m.forward(x)).unwrap();
    let none: [Tensor<2>; 0] = [];
    let error = sample_layers(&network, none, &["weight"], &Sampling::default());
    assert!(matches!(error, Err(ObserveError::NoBatch)));
}
