//! Models with what the tests need, and an edit of one parameter.

use burn::module::{Module, Param, ParamId};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose1d, ConvTranspose1dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, PaddingConfig2d,
};
use burn::tensor::{Device, Tensor, TensorData};
use calcine_params::{Edit, Inventory};

/// Two stages of two blocks each, as in a residual network, a transposed convolution, an embedding, a
/// layer-norm and a tensor of its own.
#[derive(Module, Debug)]
pub(crate) struct Zoo {
    pub(crate) stem: Conv2d,
    pub(crate) bn1: BatchNorm,
    pub(crate) stages: Vec<Stage>,
    pub(crate) up: ConvTranspose1d,
    pub(crate) words: Embedding,
    pub(crate) norm: LayerNorm,
    pub(crate) token: Param<Tensor<2>>,
    pub(crate) fc: Option<Linear>,
}

#[derive(Module, Debug)]
pub(crate) struct Stage {
    pub(crate) conv1: Conv2d,
    pub(crate) bn1: BatchNorm,
    pub(crate) conv2: Conv2d,
    pub(crate) bn2: BatchNorm,
}

impl Zoo {
    pub(crate) fn new(device: &Device) -> Self {
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_bias(false)
                .init(device)
        };
        let norm = || BatchNormConfig::new(4).init(device);
        let stage = || Stage {
            conv1: conv(4, 4),
            bn1: norm(),
            conv2: conv(4, 4),
            bn2: norm(),
        };
        Self {
            stem: conv(3, 4),
            bn1: norm(),
            stages: vec![stage(), stage()],
            up: ConvTranspose1dConfig::new([4, 2], 3).init(device),
            words: EmbeddingConfig::new(10, 4).init(device),
            norm: LayerNormConfig::new(4).init(device),
            token: Param::from_tensor(Tensor::zeros([1, 4], device)),
            fc: Some(LinearConfig::new(4, 2).init(device)),
        }
    }
}

/// Convolution, batch-norm, linear: what views must get right.
#[derive(Module, Debug)]
pub(crate) struct Net {
    pub(crate) conv: Conv2d,
    pub(crate) bn: BatchNorm,
    pub(crate) fc: Linear,
}

impl Net {
    /// Equal weights every time: a seed would not do, as tests run side by side on one device.
    pub(crate) fn new(device: &Device) -> Self {
        let mut conv = Conv2dConfig::new([2, 4], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false)
            .init(device);
        let mut fc = LinearConfig::new(4, 3).init(device);
        conv.weight = weight([4, 2, 3, 3], device);
        fc.weight = weight([4, 3], device);
        let bn = BatchNormConfig::new(4).init(device);
        Self { conv, bn, fc }
    }

    /// A loss that depends on every parameter.
    pub(crate) fn loss(&self) -> Tensor<1> {
        let device = self.conv.weight.val().device();
        let images = TensorData::new(calcine_testkit::values(100), [2, 2, 5, 5]);
        let images = Tensor::<4>::from_data(images, &device);
        let features = self.bn.forward(self.conv.forward(images));
        let [n, channels, _, _] = features.dims();
        let pooled = features
            .square()
            .mean_dim(3)
            .mean_dim(2)
            .reshape([n, channels]);
        self.fc.forward(pooled).square().mean()
    }
}

fn weight<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let values = calcine_testkit::values(shape.iter().product());
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}

/// Multiplies one parameter, and counts how often it was asked to.
pub(crate) struct Scale {
    pub(crate) id: ParamId,
    pub(crate) factor: f32,
    pub(crate) calls: usize,
}

impl Scale {
    pub(crate) fn new(id: ParamId, factor: f32) -> Self {
        Self {
            id,
            factor,
            calls: 0,
        }
    }
}

impl Edit for Scale {
    fn wants(&self, id: ParamId) -> bool {
        id == self.id
    }

    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        self.calls += 1;
        value.mul_scalar(self.factor)
    }
}

pub(crate) fn id<M: Module>(model: &M, path: &str) -> ParamId {
    Inventory::from_module(model).get(path).unwrap().id
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
