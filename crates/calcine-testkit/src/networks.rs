//! Models that record what networks out there record.

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{
    Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose2d,
    ConvTranspose2dConfig,
};
use burn::nn::interpolate::{Interpolate2d, Interpolate2dConfig};
use burn::nn::pool::{
    AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, AvgPool2d, AvgPool2dConfig, MaxPool2d,
    MaxPool2dConfig,
};
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, GroupNorm,
    GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig1d,
    PaddingConfig2d, PaddingConfig3d,
};
use burn::tensor::activation::{gelu, hard_sigmoid, relu, sigmoid, softmax};
use burn::tensor::{Device, Int, Tensor};

/// Two stages of residual blocks, the second with a projection.
#[derive(Module, Debug)]
pub struct Residual {
    /// The first convolution.
    pub conv1: Conv2d,
    bn1: BatchNorm,
    /// The residual blocks.
    pub layer1: Vec<Block>,
    fc: Linear,
}

/// A residual block.
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

fn conv(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(
            kernel / 2,
            kernel / 2,
            kernel / 2,
            kernel / 2,
        ))
        .with_bias(false)
        .init(device)
}

impl Block {
    fn new(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: conv(from, to, 3, stride, device),
            bn1: BatchNormConfig::new(to).with_momentum(0.3).init(device),
            conv2: conv(to, to, 3, 1, device),
            bn2: BatchNormConfig::new(to).with_epsilon(1e-3).init(device),
            downsample: (from != to).then(|| {
                let norm = BatchNormConfig::new(to).init(device);
                (conv(from, to, 1, stride, device), norm)
            }),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let y = self.bn2.forward(self.conv2.forward(y));
        let skip = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(x)),
            None => x,
        };
        relu(y + skip)
    }
}

impl Residual {
    /// The model with weights drawn on this device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self {
            conv1: conv(3, 4, 3, 1, device),
            bn1: BatchNormConfig::new(4).init(device),
            layer1: vec![Block::new(4, 4, 1, device), Block::new(4, 6, 2, device)],
            fc: LinearConfig::new(6, 5).init(device),
        }
    }

    /// The forward pass.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.bn1.forward(self.conv1.forward(x)));
        let x = self.layer1.iter().fold(x, |x, block| block.forward(x));
        let x: Tensor<2> = x.mean_dim(2).mean_dim(3).flatten(1, 3);
        self.fc.forward(x)
    }
}

/// Everything between convolutions: grouped and depthwise ones, pools, gates, concatenation, splits.
#[derive(Module, Debug)]
pub struct Mixed {
    stem: Conv2d,
    depthwise: Conv2d,
    grouped: Conv2d,
    up: ConvTranspose2d,
    norm: GroupNorm,
    squeeze: Linear,
    excite: Linear,
    max_pool: MaxPool2d,
    avg_pool: AvgPool2d,
    resize: Interpolate2d,
    adaptive: AdaptiveAvgPool2d,
    dropout: Dropout,
    head: Linear,
}

impl Mixed {
    /// The model with weights drawn on this device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
        Self {
            stem: Conv2dConfig::new([2, 8], [3, 3])
                .with_padding(same.clone())
                .init(device),
            depthwise: Conv2dConfig::new([8, 8], [3, 3])
                .with_groups(8)
                .with_padding(same.clone())
                .init(device),
            grouped: Conv2dConfig::new([8, 6], [3, 3])
                .with_groups(2)
                .with_padding(same)
                .init(device),
            up: ConvTranspose2dConfig::new([6, 4], [2, 2])
                .with_stride([2, 2])
                .init(device),
            norm: GroupNormConfig::new(2, 4).init(device),
            squeeze: LinearConfig::new(8, 2).init(device),
            excite: LinearConfig::new(2, 8).init(device),
            max_pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            avg_pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            resize: Interpolate2dConfig::new()
                .with_output_size(Some([3, 3]))
                .init(),
            adaptive: AdaptiveAvgPool2dConfig::new([2, 2]).init(),
            dropout: DropoutConfig::new(0.5).init(),
            head: LinearConfig::new((8 + 4) * 4, 3).init(device),
        }
    }

    /// The forward pass.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, ..] = x.dims();
        let x = self.stem.forward(x);
        let x = hard_sigmoid(x.clone(), 0.2, 0.5) * x;
        let x = self.depthwise.forward(self.max_pool.forward(x));
        let gate: Tensor<2> = self
            .adaptive
            .forward(x.clone())
            .mean_dim(2)
            .mean_dim(3)
            .flatten(1, 3);
        let gate = sigmoid(self.excite.forward(relu(self.squeeze.forward(gate))));
        let x = x * gate.reshape([batch, 8, 1, 1]);
        let y = self
            .up
            .forward(self.avg_pool.forward(self.grouped.forward(x.clone())));
        let y = self.norm.forward(y);
        let halves = x.chunk(2, 1);
        let x = Tensor::cat(vec![halves[1].clone(), y, halves[0].clone()], 1);
        let x = self.adaptive.forward(self.resize.forward(x));
        self.head
            .forward(self.dropout.forward(x.reshape([batch, 12 * 4])))
    }
}

/// Tokens, positions, a transformer encoder and attention written out.
#[derive(Module, Debug)]
pub struct Text {
    tokens: Embedding,
    positions: Param<Tensor<3>>,
    encoder: TransformerEncoder,
    attention: MultiHeadAttention,
    norm: LayerNorm,
    qkv: Linear,
    out: Linear,
}

impl Text {
    /// The number of words that it knows.
    pub const WORDS: usize = 11;
    /// The number of words of a text.
    pub const LENGTH: usize = 5;

    /// The model with weights drawn on this device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self {
            tokens: EmbeddingConfig::new(Self::WORDS, 8).init(device),
            positions: Param::from_tensor(Tensor::ones([1, Self::LENGTH, 8], device) * 0.1),
            encoder: TransformerEncoderConfig::new(8, 16, 2, 1).init(device),
            attention: MultiHeadAttentionConfig::new(8, 2).init(device),
            norm: LayerNormConfig::new(8).init(device),
            qkv: LinearConfig::new(8, 24).init(device),
            out: LinearConfig::new(8, 3).init(device),
        }
    }

    /// The forward pass.
    #[must_use]
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = tokens.dims();
        let x = self.tokens.forward(tokens) + self.positions.val();
        let x = self.encoder.forward(TransformerEncoderInput::new(x));
        let x = x.clone() + self.attention.forward(MhaInput::self_attn(x)).context;
        let x = self.norm.forward(x);
        let qkv = self
            .qkv
            .forward(x.clone())
            .reshape([batch, length, 3, 2, 4]);
        let part = |index: usize| {
            let part = qkv.clone().slice_dim(2, index..index + 1);
            let part: Tensor<4> = part.squeeze_dim(2);
            part.swap_dims(1, 2)
        };
        let (q, k, v) = (part(0), part(1), part(2));
        let scores = q.matmul(k.swap_dims(2, 3)) / 2.0;
        let y = softmax(scores, 3).matmul(v);
        let y = y.swap_dims(1, 2).reshape([batch, length, 8]);
        self.out.forward(gelu(x + y))
    }
}

/// One and three spatial dimensions.
#[derive(Module, Debug)]
pub struct Signal {
    conv: Conv1d,
    volume: Conv3d,
    fc: Linear,
}

impl Signal {
    /// The model with weights drawn on this device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self {
            conv: Conv1dConfig::new(2, 4, 3)
                .with_padding(PaddingConfig1d::Explicit(1, 1))
                .init(device),
            volume: Conv3dConfig::new([1, 2], [1, 2, 2])
                .with_padding(PaddingConfig3d::Valid)
                .init(device),
            fc: LinearConfig::new(4, 2).init(device),
        }
    }

    /// Two outputs of two inputs.
    /// The forward pass.
    #[must_use]
    pub fn forward(&self, signal: Tensor<3>, volume: Tensor<5>) -> (Tensor<3>, Tensor<5>) {
        let x = self.conv.forward(signal).clamp(-1.0, 1.0).swap_dims(1, 2);
        (self.fc.forward(x.abs().sqrt()), self.volume.forward(volume))
    }
}

/// One linear layer used twice.
#[derive(Module, Debug)]
pub struct Shared {
    /// The layer that is used twice.
    pub layer: Linear,
}

impl Shared {
    /// The model with weights drawn on this device.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self {
            layer: LinearConfig::new(4, 4).init(device),
        }
    }

    /// The forward pass.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.layer.forward(relu(self.layer.forward(x)))
    }
}
