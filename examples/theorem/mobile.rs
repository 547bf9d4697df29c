//! A convolutional network for small devices: depthwise-separable blocks with squeeze-and-excite, skips, and a
//! concatenation of two scales before the head.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::{hard_sigmoid, relu};
use burn::tensor::{Device, Distribution, Tensor};
use calcine::trace::{Network, TraceError, trace};

/// A convolution without a bias, and its norm.
#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

/// Expand, filter each channel by itself, weigh channels, project; and skip where it fits.
#[derive(Module, Debug)]
struct Block {
    expand: ConvNorm,
    depthwise: ConvNorm,
    squeeze: Linear,
    excite: Linear,
    project: ConvNorm,
    skips: bool,
}

#[derive(Module, Debug)]
struct Mobile {
    stem: ConvNorm,
    blocks: Vec<Block>,
    fine: ConvNorm,
    coarse: ConvNorm,
    head: Linear,
}

/// What a convolution is like.
struct Windows {
    kernel: usize,
    stride: usize,
    groups: usize,
}

const POINT: Windows = Windows {
    kernel: 1,
    stride: 1,
    groups: 1,
};

impl ConvNorm {
    fn new(from: usize, to: usize, windows: &Windows, device: &Device) -> Self {
        let Windows {
            kernel,
            stride,
            groups,
        } = *windows;
        let side = kernel / 2;
        let conv = Conv2dConfig::new([from, to], [kernel, kernel])
            .with_stride([stride, stride])
            .with_groups(groups)
            .with_padding(PaddingConfig2d::Explicit(side, side, side, side))
            .with_bias(false)
            .init(device);
        Self {
            conv,
            norm: BatchNormConfig::new(to).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        let wide = 3 * from;
        let depthwise = Windows {
            kernel: 3,
            stride,
            groups: wide,
        };
        Self {
            expand: ConvNorm::new(from, wide, &POINT, device),
            depthwise: ConvNorm::new(wide, wide, &depthwise, device),
            squeeze: LinearConfig::new(wide, wide / 4).init(device),
            excite: LinearConfig::new(wide / 4, wide).init(device),
            project: ConvNorm::new(wide, to, &POINT, device),
            skips: from == to && stride == 1,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.expand.forward(x.clone()));
        let y = relu(self.depthwise.forward(y));
        let [batch, channels, ..] = y.dims();
        let gates = self.squeeze.forward(pooled(y.clone()));
        let gates = hard_sigmoid(self.excite.forward(relu(gates)), 1.0 / 6.0, 0.5);
        let y = self
            .project
            .forward(y * gates.reshape([batch, channels, 1, 1]));
        if self.skips { x + y } else { y }
    }
}

/// The mean over space: `[batch, channels]`.
fn pooled(x: Tensor<4>) -> Tensor<2> {
    x.mean_dim(2).mean_dim(3).flatten(1, 3)
}

impl Mobile {
    fn new(device: &Device) -> Self {
        let stem = Windows {
            kernel: 3,
            stride: 2,
            groups: 1,
        };
        let blocks = [(16, 16, 1), (16, 24, 2), (24, 24, 1)];
        let block = |(from, to, stride)| Block::new(from, to, stride, device);
        Self {
            stem: ConvNorm::new(3, 16, &stem, device),
            blocks: blocks.map(block).into(),
            fine: ConvNorm::new(16, 20, &POINT, device),
            coarse: ConvNorm::new(24, 32, &POINT, device),
            head: LinearConfig::new(52, 10).init(device),
        }
    }

    /// `images`: `[n, 3, 24, 24]`; result: `[n, 10]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let stem = relu(self.stem.forward(images));
        let x = self
            .blocks
            .iter()
            .fold(stem.clone(), |x, block| block.forward(x));
        let fine = pooled(relu(self.fine.forward(stem)));
        let coarse = pooled(relu(self.coarse.forward(x)));
        self.head.forward(Tensor::cat(vec![fine, coarse], 1))
    }
}

/// The network after some steps, so that norms and biases say something, and images for it.
pub(crate) fn trained(device: &Device) -> Result<(Network, Tensor<4>), TraceError> {
    device.seed(1);
    let on_tape = device.clone().autodiff();
    let images = |count: usize, device: &Device| {
        Tensor::<4>::random([count, 3, 24, 24], Distribution::Default, device)
    };
    let mut model = Mobile::new(&on_tape);
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..10 {
        let answer = model.forward(images(8, &on_tape));
        let loss = (answer - 1.0).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.05, model, gradients);
    }
    let images = images(4, device);
    let network = trace(&model.valid(), images.clone(), |model, images| {
        model.forward(images)
    })?;
    Ok((network, images))
}
