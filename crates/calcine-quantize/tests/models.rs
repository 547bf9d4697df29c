//! Networks small enough for a scalar engine.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use calcine_params::Inventory;
use calcine_quantize::{QuantizationSettings, Quantized};
use calcine_testkit::{device, numbers, values};
use calcine_trace::{AnyTensor, Network, trace};

/// Settings as the tables of `[quantize]` say them.
pub(crate) fn settings(tables: &str) -> QuantizationSettings {
    toml::from_str(tables).unwrap_or_else(|error| panic!("{error}"))
}

/// Convolutions with and without norms and biases, strided, grouped and depthwise; a residual sum, a gate, a
/// concatenation, pools, a linear head.
#[derive(Module, Debug)]
pub(crate) struct Net {
    stem: Conv2d,
    stem_norm: BatchNorm,
    inner: Conv2d,
    inner_norm: BatchNorm,
    depthwise: Conv2d,
    grouped: Conv2d,
    down: Conv2d,
    pool: MaxPool2d,
    mean: AdaptiveAvgPool2d,
    head: Linear,
}

impl Net {
    pub(crate) fn new(device: &Device) -> Self {
        let conv = |from, to, stride, groups| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_groups(groups)
        };
        Self {
            stem: conv(3, 8, 1, 1).with_bias(false).init(device),
            stem_norm: BatchNormConfig::new(8).init(device),
            inner: conv(8, 8, 1, 1).init(device),
            inner_norm: BatchNormConfig::new(8).init(device),
            depthwise: conv(8, 8, 1, 8).init(device),
            grouped: conv(8, 12, 1, 2).init(device),
            down: conv(20, 10, 2, 1).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            mean: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            head: LinearConfig::new(10, 5).init(device),
        }
    }

    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem_norm.forward(self.stem.forward(x)));
        let x = relu(self.inner_norm.forward(self.inner.forward(x.clone())) + x);
        let x = self.depthwise.forward(x.clone()) * x;
        let y = relu(self.grouped.forward(x.clone()));
        let x = self.pool.forward(Tensor::cat(vec![x, y], 1));
        let x = relu(self.down.forward(x));
        self.head.forward(self.mean.forward(x).flatten(1, 3))
    }
}

/// The network, with statistics that are not those of a fresh norm.
pub(crate) fn network() -> Network {
    let on_tape = device().autodiff();
    let model = drawn(Net::new(&on_tape));
    for scale in [0.5, 1.0, 2.0] {
        drop(model.forward((images(4, 0) * scale + 0.1).to_device(&on_tape)));
    }
    trace(&model.valid(), images(1, 0), |m, x| m.forward(x)).unwrap()
}

/// The same weights every time, about as large as fresh ones.
fn drawn(model: Net) -> Net {
    let mut at = 0;
    let inventory = Inventory::from_module(&model);
    let trainable = inventory.iter().filter(|p| p.is_trainable());
    let weights = trainable.map(|parameter| {
        let count = parameter.numel();
        at += count;
        let fan_in: usize = parameter.shape[1..].iter().product();
        let scale = if parameter.shape.len() > 1 {
            (1.0 / fan_in as f32).sqrt()
        } else {
            0.2
        };
        let middle = f32::from(parameter.path.ends_with("gamma"));
        let numbers: Vec<f32> = values(at)[at - count..]
            .iter()
            .map(|x| middle + scale * x)
            .collect();
        let weight = Tensor::<1>::from_data(TensorData::new(numbers, [count]), &device());
        (parameter.id, weight)
    });
    let weights = weights.collect();
    calcine_params::replace(model, weights)
}

pub(crate) fn images(count: usize, seed: usize) -> Tensor<4> {
    let all: Tensor<4> = numbers([count + seed, 3, 8, 8]);
    all.narrow(0, seed, count)
}

pub(crate) fn read(tensor: impl Into<AnyTensor>) -> Vec<f32> {
    let flat = tensor.into().flat().unwrap();
    flat.into_data().iter::<f32>().collect()
}

/// What a network gives, which is what it gives after it was written and read again, bit for bit.
pub(crate) fn reread(quantized: &Quantized, inputs: &[AnyTensor]) -> Vec<f32> {
    let run = |network: &Quantized| {
        let outputs = network.run(inputs.to_vec(), &mut |_, _| {}).unwrap();
        read(outputs.into_iter().next().unwrap())
    };
    let bytes = quantized.to_bytes().unwrap();
    let again = Quantized::from_bytes(&bytes, quantized.device()).unwrap();
    assert_eq!(again.to_bytes().unwrap(), bytes);
    let given = run(quantized);
    assert_eq!(given, run(&again));
    given
}
