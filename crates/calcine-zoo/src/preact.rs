use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{BatchNorm, Linear};
use burn::tensor::activation::relu;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};

use crate::initial::{CLASSES, Kernel, Layers};
use crate::resnet::{LAST_SIDE, Place, STEM, WIDTHS, blocks_per_stage};
use crate::{Classifier, DepthError};

/// A residual network for CIFAR-10 whose norms and activations precede the convolutions, of depth `6n + 2`.
///
/// ```text
/// conv1 (3x3, 16)
/// layer1: n blocks of 16 channels, 32x32
/// layer2: n blocks of 32 channels, 16x16
/// layer3: n blocks of 64 channels,  8x8
/// final_bn, relu, average pool 8, fc 64 -> 10
/// ```
///
/// He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks" (2016), as in Distiller's model zoo.
#[derive(Module, Debug)]
pub struct PreactResNet {
    /// 3 to 16 channels, 3x3.
    pub conv1: Conv2d,
    /// Blocks of 16 channels.
    pub layer1: Vec<PreactBlock>,
    /// Blocks of 32 channels.
    pub layer2: Vec<PreactBlock>,
    /// Blocks of 64 channels.
    pub layer3: Vec<PreactBlock>,
    /// After the last block.
    pub final_bn: BatchNorm,
    /// Over the whole 8x8 image.
    pub avgpool: AvgPool2d,
    /// 64 features to 10 logits.
    pub fc: Linear,
}

impl PreactResNet {
    pub(crate) fn with_blocks(blocks: usize, skip: PreactSkip, layers: Layers<'_>) -> Self {
        let stage = |stage| -> Vec<_> {
            (0..blocks)
                .map(|block| PreactBlock::at(Place { stage, block }, skip, layers))
                .collect()
        };
        Self {
            conv1: layers.residual_conv("conv1", STEM),
            layer1: stage(1),
            layer2: stage(2),
            layer3: stage(3),
            final_bn: layers.batch_norm(WIDTHS[2]),
            avgpool: AvgPool2dConfig::new([LAST_SIDE, LAST_SIDE]).init(),
            fc: layers.linear("fc", [WIDTHS[2], CLASSES]),
        }
    }

    /// The logits of `images`.
    ///
    /// # Shapes
    ///
    /// * `images`: `[n, 3, 32, 32]`
    /// * returns `[n, 10]`
    ///
    /// # Panics
    ///
    /// If `images` has another shape.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = [&self.layer1, &self.layer2, &self.layer3]
            .into_iter()
            .flatten()
            .fold(self.conv1.forward(images), |features, block| {
                block.forward(features)
            });
        let features = relu(self.final_bn.forward(features));
        self.fc
            .forward(self.avgpool.forward(features).flatten(1, 3))
    }
}

impl Classifier for PreactResNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// What takes the place of the skip of a [`PreactBlock`] that changes the shape.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum PreactSkip {
    /// The average of each 2x2 window of the block's input, between zeros for the new channels: one half of them before
    /// and one half of them after. It has no parameters.
    Pad,
    /// A strided 1x1 convolution of what the block's first norm and activation give.
    Convolution,
}

/// Two convolutions, each behind its batch norm and activation, and a skip around them.
///
/// ```text
/// conv2(relu(bn(conv1(relu(pre_bn(x)))))) + skip(x)
/// ```
///
/// The skip is the identity, or a [`PreactSkip`] where the shape changes. The number of zeros beside a padded skip is no
/// parameter: channels are removed from a trace of the network, not from the module.
#[derive(Module, Debug)]
pub struct PreactBlock {
    /// Before `conv1`.
    pub pre_bn: BatchNorm,
    /// 3x3, with the block's stride.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn: BatchNorm,
    /// 3x3, stride 1.
    pub conv2: Conv2d,
    /// A strided 1x1 convolution, for [`PreactSkip::Convolution`].
    pub downsample: Option<Conv2d>,
    /// The average of 2x2 windows, for [`PreactSkip::Pad`].
    pub pool: Option<AvgPool2d>,
    /// Half of the block's input channels, which is the number of zeros on either side.
    half: usize,
}

impl PreactBlock {
    fn at(place: Place, skip: PreactSkip, layers: Layers<'_>) -> Self {
        let [first, second] = place.convolutions();
        let changes = |to: PreactSkip| place.changes_shape() && skip == to;
        Self {
            pre_bn: layers.batch_norm(first.channels[0]),
            conv1: layers.residual_conv(&place.path("conv1"), first),
            bn: layers.batch_norm(place.width()),
            conv2: layers.residual_conv(&place.path("conv2"), second),
            downsample: changes(PreactSkip::Convolution).then(|| {
                let kernel = Kernel {
                    size: 1,
                    padding: 0,
                    ..first
                };
                layers.residual_conv(&place.path("downsample"), kernel)
            }),
            half: first.channels[0] / 2,
            pool: changes(PreactSkip::Pad)
                .then(|| AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init()),
        }
    }

    /// The block's output.
    ///
    /// # Shapes
    ///
    /// * `input`: `[n, in, h, w]`
    /// * returns `[n, out, h / stride, w / stride]`
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let before = relu(self.pre_bn.forward(input.clone()));
        let skip = match (&self.downsample, &self.pool) {
            (Some(conv), _) => conv.forward(before.clone()),
            (None, Some(pool)) => pool.forward(input).pad(
                [(self.half, self.half), (0, 0), (0, 0)],
                PadMode::Constant(0.0),
            ),
            (None, None) => input,
        };
        let inner = relu(self.bn.forward(self.conv1.forward(before)));
        self.conv2.forward(inner) + skip
    }
}

/// Which [`PreactResNet`] to build; initial weights as for [`ResNetConfig`](crate::ResNetConfig).
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::Device;
/// use calcine_zoo::{PreactResNetConfig, PreactSkip};
///
/// let device = Device::flex();
/// let padded = PreactResNetConfig::new(20).init(&device)?;
/// let strided = PreactResNetConfig::new(20).with_skip(PreactSkip::Convolution).init(&device)?;
/// assert_eq!(strided.num_params() - padded.num_params(), 16 * 32 + 32 * 64);
/// # Ok::<(), calcine_zoo::DepthError>(())
/// ```
#[derive(Config, Debug)]
pub struct PreactResNetConfig {
    /// Layers with weights, skips not counted: `6n + 2`.
    pub depth: usize,
    /// The skips of the two blocks that change the shape.
    #[config(default = "PreactSkip::Pad")]
    pub skip: PreactSkip,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl PreactResNetConfig {
    /// A network with initial weights on `device`.
    ///
    /// # Errors
    ///
    /// If the depth is not `6n + 2` with `n` at least 1.
    pub fn init(&self, device: &Device) -> Result<PreactResNet, DepthError> {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        let blocks = blocks_per_stage(self.depth)?;
        Ok(PreactResNet::with_blocks(blocks, self.skip, layers))
    }
}
