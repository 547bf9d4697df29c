use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, activation};

/// Two linear layers with a ReLU between: 6 → 16 → 3.
#[derive(Module, Debug)]
pub struct Mlp {
    /// First layer.
    pub first: Linear,
    /// Second layer.
    pub second: Linear,
}

impl Mlp {
    /// A fresh network; seed the device first for equal weights.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(6, 16).init(device),
            second: LinearConfig::new(16, 3).init(device),
        }
    }

    /// # Shapes
    ///
    /// `input`: `[n, 6]`; result: `[n, 3]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.second
            .forward(activation::relu(self.first.forward(input)))
    }
}

/// Convolution, batch-norm, ReLU, mean over space, linear: 2 × 6 × 6 → 4.
#[derive(Module, Debug)]
pub struct ConvNet {
    /// 3 × 3 convolution, 2 → 8, padded.
    pub conv: Conv2d,
    /// Its batch-norm.
    pub norm: BatchNorm,
    /// The classifier.
    pub head: Linear,
}

impl ConvNet {
    /// A fresh network; seed the device first for equal weights.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        let conv = Conv2dConfig::new([2, 8], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false);
        Self {
            conv: conv.init(device),
            norm: BatchNormConfig::new(8).init(device),
            head: LinearConfig::new(8, 4).init(device),
        }
    }

    /// # Shapes
    ///
    /// `images`: `[n, 2, 6, 6]`; result: `[n, 4]`.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = activation::relu(self.norm.forward(self.conv.forward(images)));
        let [n, channels, _, _] = features.dims();
        self.head
            .forward(features.mean_dim(3).mean_dim(2).reshape([n, channels]))
    }
}
