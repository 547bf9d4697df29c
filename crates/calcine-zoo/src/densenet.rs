use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{BatchNorm, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use thiserror::Error;

use crate::Classifier;
use crate::initial::{CLASSES, Kernel, Layers};
use crate::resnet::LAST_SIDE;

/// DenseNet-BC for CIFAR-10 with growth rate 12, of depth `6n + 4`: each layer sees the outputs of all layers before it.
///
/// ```text
/// conv1 (3x3, 24)
/// block1: n layers, 32x32    transition1: half the channels, 16x16
/// block2: n layers, 16x16    transition2: half the channels,  8x8
/// block3: n layers,  8x8
/// bn, relu, average pool 8, fc 342 -> 10 (at depth 100)
/// ```
///
/// Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks" (2016), section 3, with bottlenecks
/// (B) and compression by one half (C), without dropout.
#[derive(Module, Debug)]
pub struct DenseNet {
    /// 3 to 24 channels, 3x3.
    pub conv1: Conv2d,
    /// At 32x32.
    pub block1: Vec<DenseLayer>,
    /// From 32x32 to 16x16.
    pub transition1: DenseTransition,
    /// At 16x16.
    pub block2: Vec<DenseLayer>,
    /// From 16x16 to 8x8.
    pub transition2: DenseTransition,
    /// At 8x8.
    pub block3: Vec<DenseLayer>,
    /// After the last block.
    pub bn: BatchNorm,
    /// Over the whole 8x8 image.
    pub avgpool: AvgPool2d,
    /// Features to 10 logits.
    pub fc: Linear,
}

/// Channels that each layer adds.
const GROWTH: usize = 12;

impl DenseNet {
    pub(crate) fn with_blocks(blocks: usize, layers: Layers<'_>) -> Self {
        let mut channels = 2 * GROWTH;
        let kernel = Kernel::padded([3, channels], 3, 1);
        let conv1 = layers.residual_conv("conv1", kernel);
        let dense = |path: &str, channels: &mut usize| -> Vec<_> {
            (0..blocks)
                .map(|at| {
                    let layer = DenseLayer::new(layers, &format!("{path}.{at}"), *channels);
                    *channels += GROWTH;
                    layer
                })
                .collect()
        };
        let transition = |path: &str, channels: &mut usize| {
            let inputs = *channels;
            *channels /= 2;
            DenseTransition::new(layers, path, [inputs, *channels])
        };
        let block1 = dense("block1", &mut channels);
        let transition1 = transition("transition1", &mut channels);
        let block2 = dense("block2", &mut channels);
        let transition2 = transition("transition2", &mut channels);
        let block3 = dense("block3", &mut channels);
        Self {
            conv1,
            block1,
            transition1,
            block2,
            transition2,
            block3,
            bn: layers.batch_norm(channels),
            avgpool: AvgPool2dConfig::new([LAST_SIDE, LAST_SIDE]).init(),
            fc: layers.linear("fc", [channels, CLASSES]),
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
        let dense = |block: &[DenseLayer], features: Tensor<4>| {
            block
                .iter()
                .fold(features, |features, layer| layer.forward(features))
        };
        let features = dense(&self.block1, self.conv1.forward(images));
        let features = dense(&self.block2, self.transition1.forward(features));
        let features = dense(&self.block3, self.transition2.forward(features));
        let features = relu(self.bn.forward(features));
        self.fc
            .forward(self.avgpool.forward(features).flatten(1, 3))
    }
}

impl Classifier for DenseNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// A layer of [`DenseNet`], which adds 12 channels to its input.
///
/// ```text
/// concat(x, conv2(relu(bn2(conv1(relu(bn1(x)))))))
/// ```
#[derive(Module, Debug)]
pub struct DenseLayer {
    /// Before `conv1`.
    pub bn1: BatchNorm,
    /// 1x1, to 48 channels.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn2: BatchNorm,
    /// 3x3, to 12 channels.
    pub conv2: Conv2d,
}

impl DenseLayer {
    fn new(layers: Layers<'_>, path: &str, inputs: usize) -> Self {
        let width = 4 * GROWTH;
        let conv = |name, kernel| layers.residual_conv(&format!("{path}.{name}"), kernel);
        Self {
            bn1: layers.batch_norm(inputs),
            conv1: conv("conv1", Kernel::pointwise([inputs, width])),
            bn2: layers.batch_norm(width),
            conv2: conv("conv2", Kernel::padded([width, GROWTH], 3, 1)),
        }
    }

    /// The layer's input, followed by its new channels.
    ///
    /// # Shapes
    ///
    /// * `input`: `[n, in, h, w]`
    /// * returns `[n, in + 12, h, w]`
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let inner = self.conv1.forward(relu(self.bn1.forward(input.clone())));
        let new = self.conv2.forward(relu(self.bn2.forward(inner)));
        Tensor::cat(vec![input, new], 1)
    }
}

/// What is between two blocks of [`DenseNet`].
///
/// ```text
/// average_pool_2(conv(relu(bn(x))))
/// ```
#[derive(Module, Debug)]
pub struct DenseTransition {
    /// Before `conv`.
    pub bn: BatchNorm,
    /// 1x1, to half the channels.
    pub conv: Conv2d,
    /// Halves the image.
    pub pool: AvgPool2d,
}

impl DenseTransition {
    fn new(layers: Layers<'_>, path: &str, channels: [usize; 2]) -> Self {
        Self {
            bn: layers.batch_norm(channels[0]),
            conv: layers.residual_conv(&format!("{path}.conv"), Kernel::pointwise(channels)),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        }
    }

    /// Fewer channels of a smaller image.
    ///
    /// # Shapes
    ///
    /// * `input`: `[n, in, h, w]`
    /// * returns `[n, in / 2, h / 2, w / 2]`
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let features = self.conv.forward(relu(self.bn.forward(input)));
        self.pool.forward(features)
    }
}

/// Which [`DenseNet`] to build; initial weights as for [`ResNetConfig`](crate::ResNetConfig).
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::DenseNetConfig;
///
/// let device = Device::flex();
/// assert_eq!(DenseNetConfig::new(40).init(&device)?.block1.len(), 6);
/// assert!(DenseNetConfig::new(20).init(&device).is_err());
/// # Ok::<(), calcine_zoo::DenseNetDepthError>(())
/// ```
#[derive(Config, Debug)]
pub struct DenseNetConfig {
    /// Layers with weights: `6n + 4`.
    pub depth: usize,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl DenseNetConfig {
    /// A network with initial weights on `device`.
    ///
    /// # Errors
    ///
    /// If the depth is not `6n + 4` with `n` at least 1.
    pub fn init(&self, device: &Device) -> Result<DenseNet, DenseNetDepthError> {
        let depth = self.depth;
        let layers = Layers {
            seed: self.seed,
            device,
        };
        match depth.checked_sub(4) {
            Some(rest) if rest > 0 && rest % 6 == 0 => Ok(DenseNet::with_blocks(rest / 6, layers)),
            _ => Err(DenseNetDepthError { depth }),
        }
    }
}

/// A depth that no [`DenseNet`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no DenseNet-BC of depth {depth}: the depth must be 6n + 4, for example 40 or 100")]
pub struct DenseNetDepthError {
    depth: usize,
}

impl DenseNetDepthError {
    /// The depth that was asked for.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }
}
