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

/// A residual network for CIFAR-10, of depth `6n + 2`.
///
/// ```text
/// conv1 (3x3, 16), bn1, relu
/// layer1: n blocks of 16 channels, 32x32
/// layer2: n blocks of 32 channels, 16x16
/// layer3: n blocks of 64 channels,  8x8
/// average pool 8, fc 64 -> 10
/// ```
///
/// The first blocks of `layer2` and `layer3` halve the image. He, Zhang, Ren and Sun, "Deep
/// Residual Learning for Image Recognition" (2015), section 4.2, with their option B for the skips,
/// as in Distiller's model zoo.
#[derive(Module, Debug)]
pub struct ResNet {
    /// 3 to 16 channels, 3x3.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// Blocks of 16 channels.
    pub layer1: Vec<ResNetBlock>,
    /// Blocks of 32 channels.
    pub layer2: Vec<ResNetBlock>,
    /// Blocks of 64 channels.
    pub layer3: Vec<ResNetBlock>,
    /// Over the whole 8x8 image.
    pub avgpool: AvgPool2d,
    /// 64 features to 10 logits.
    pub fc: Linear,
}

impl ResNet {
    pub(crate) fn with_blocks(blocks: usize, layers: Layers<'_>) -> Self {
        let stage = |stage| -> Vec<_> {
            (0..blocks)
                .map(|block| ResNetBlock::at(Place { stage, block }, layers))
                .collect()
        };
        Self {
            conv1: layers.residual_conv("conv1", STEM),
            bn1: layers.batch_norm(WIDTHS[0]),
            layer1: stage(1),
            layer2: stage(2),
            layer3: stage(3),
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
        let stem = relu(self.bn1.forward(self.conv1.forward(images)));
        let features = [&self.layer1, &self.layer2, &self.layer3]
            .into_iter()
            .flatten()
            .fold(stem, |features, block| block.forward(features));
        self.fc
            .forward(self.avgpool.forward(features).flatten(1, 3))
    }
}

impl Classifier for ResNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// Two convolutions and a skip around them.
///
/// ```text
/// relu(bn2(conv2(relu(bn1(conv1(x))))) + skip(x))
/// ```
///
/// The skip is the identity, or `downsample` where the shape changes.
#[derive(Module, Debug)]
pub struct ResNetBlock {
    /// 3x3, with the block's stride.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm,
    /// 3x3, stride 1.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm,
    /// A strided 1x1 convolution and its batch norm, called `downsample.0` and `downsample.1`.
    pub downsample: Option<(Conv2d, BatchNorm)>,
}

impl ResNetBlock {
    fn at(place: Place, layers: Layers<'_>) -> Self {
        let [first, second] = place.convolutions();
        let width = place.width();
        let downsample = place.changes_shape().then(|| {
            let kernel = Kernel {
                size: 1,
                padding: 0,
                ..first
            };
            let conv = layers.residual_conv(&place.path("downsample.0"), kernel);
            (conv, layers.batch_norm(width))
        });
        Self {
            conv1: layers.residual_conv(&place.path("conv1"), first),
            bn1: layers.batch_norm(width),
            conv2: layers.residual_conv(&place.path("conv2"), second),
            bn2: layers.batch_norm(width),
            downsample,
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
        let inner = relu(self.bn1.forward(self.conv1.forward(input.clone())));
        let residual = self.bn2.forward(self.conv2.forward(inner));
        let skip = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(input)),
            None => input,
        };
        relu(residual + skip)
    }
}

/// Which [`ResNet`] to build.
///
/// Convolutions are drawn from `N(0, sqrt(2 / (k^2 * out)))`, the fully connected layer as in
/// PyTorch from `U(-1 / sqrt(in), 1 / sqrt(in))`; batch norms begin with scale one and shift zero.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::ResNetConfig;
///
/// let model = ResNetConfig::new(110).with_seed(7).init(&Device::flex())?;
/// assert_eq!(model.layer3.len(), 18);
/// # Ok::<(), calcine_zoo::DepthError>(())
/// ```
#[derive(Config, Debug)]
pub struct ResNetConfig {
    /// Layers with weights, skips not counted: `6n + 2`.
    pub depth: usize,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl ResNetConfig {
    /// A network with initial weights on `device`.
    ///
    /// # Errors
    ///
    /// If the depth is not `6n + 2` with `n` at least 1.
    pub fn init(&self, device: &Device) -> Result<ResNet, DepthError> {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        Ok(ResNet::with_blocks(blocks_per_stage(self.depth)?, layers))
    }
}

/// A depth that no network of this family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no network of depth {depth}: the depth must be 6n + 2, for example 20, 32, 44, 56 or 110")]
pub struct DepthError {
    depth: usize,
}

impl DepthError {
    /// The depth that was asked for.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }
}

/// Channels of the three stages.
pub(crate) const WIDTHS: [usize; 3] = [16, 32, 64];

/// Height and width of the last stage's features, for images of 32x32.
pub(crate) const LAST_SIDE: usize = 8;

/// The convolution before the first stage.
pub(crate) const STEM: Kernel = Kernel {
    channels: [3, WIDTHS[0]],
    size: 3,
    stride: 1,
    padding: 1,
    groups: 1,
};

/// Blocks in each of the three stages of a network of `depth = 6n + 2`.
pub(crate) fn blocks_per_stage(depth: usize) -> Result<usize, DepthError> {
    match depth.checked_sub(2) {
        Some(rest) if rest > 0 && rest % 6 == 0 => Ok(rest / 6),
        _ => Err(DepthError { depth }),
    }
}

/// A block's place: stages count from one, blocks from zero, as in the names of the parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) stage: usize,
    pub(crate) block: usize,
}

impl Place {
    /// The path of a layer of this block.
    pub(crate) fn path(self, layer: &str) -> String {
        format!("layer{}.{}.{layer}", self.stage, self.block)
    }

    /// Channels of this block.
    pub(crate) fn width(self) -> usize {
        WIDTHS[self.stage - 1]
    }

    /// Whether this block halves the image and doubles the channels.
    pub(crate) fn changes_shape(self) -> bool {
        self.stage > 1 && self.block == 0
    }

    /// The block's two 3x3 convolutions.
    pub(crate) fn convolutions(self) -> [Kernel; 2] {
        let width = self.width();
        let plain = Kernel::padded([width, width], 3, 1);
        let strided = Kernel {
            channels: [width / 2, width],
            stride: 2,
            ..plain
        };
        [if self.changes_shape() { strided } else { plain }, plain]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_depths_of_the_family_are_accepted() {
        for (blocks, depth) in [
            (1, 8),
            (3, 20),
            (5, 32),
            (7, 44),
            (9, 56),
            (18, 110),
            (200, 1202),
        ] {
            assert_eq!(blocks_per_stage(depth), Ok(blocks));
        }
        for depth in [0, 1, 2, 7, 18, 21, 51] {
            let error = blocks_per_stage(depth).unwrap_err();
            assert_eq!(error.depth(), depth);
            assert!(error.to_string().contains(&format!("depth {depth}:")));
        }
    }
}
