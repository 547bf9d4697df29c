use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{BatchNorm, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::initial::{CLASSES, Layers};
use crate::resnet::{LAST_SIDE, Place, STEM, WIDTHS, blocks_per_stage};
use crate::{Classifier, DepthError};

/// The network of [`ResNet`](crate::ResNet) without its skips, of depth `6n + 2`.
///
/// Names and shapes are those of the residual network; there is no `downsample`. It trains worse
/// the deeper it is, which is what residual networks were invented against, and nothing ties the
/// widths of its layers together, which makes it the easiest to thin. He, Zhang, Ren and Sun
/// (2015), section 4.2.
#[derive(Module, Debug)]
pub struct Plain {
    /// 3 to 16 channels, 3x3.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: Option<BatchNorm>,
    /// Blocks of 16 channels.
    pub layer1: Vec<PlainBlock>,
    /// Blocks of 32 channels.
    pub layer2: Vec<PlainBlock>,
    /// Blocks of 64 channels.
    pub layer3: Vec<PlainBlock>,
    /// Over the whole 8x8 image.
    pub avgpool: AvgPool2d,
    /// 64 features to 10 logits.
    pub fc: Linear,
}

impl Plain {
    pub(crate) fn with_blocks(blocks: usize, norms: bool, layers: Layers<'_>) -> Self {
        let stage = |stage| -> Vec<_> {
            (0..blocks)
                .map(|block| PlainBlock::at(Place { stage, block }, norms, layers))
                .collect()
        };
        Self {
            conv1: layers.residual_conv("conv1", STEM),
            bn1: norms.then(|| layers.batch_norm(WIDTHS[0])),
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
        let stem = normalized(&self.bn1, self.conv1.forward(images));
        let features = [&self.layer1, &self.layer2, &self.layer3]
            .into_iter()
            .flatten()
            .fold(stem, |features, block| block.forward(features));
        self.fc
            .forward(self.avgpool.forward(features).flatten(1, 3))
    }
}

impl Classifier for Plain {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// Two convolutions, each with its batch norm and activation.
///
/// ```text
/// relu(bn2(conv2(relu(bn1(conv1(x))))))
/// ```
///
/// A network without norms has `None` in their place.
#[derive(Module, Debug)]
pub struct PlainBlock {
    /// 3x3, with the block's stride.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: Option<BatchNorm>,
    /// 3x3, stride 1.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: Option<BatchNorm>,
}

impl PlainBlock {
    fn at(place: Place, norms: bool, layers: Layers<'_>) -> Self {
        let [first, second] = place.convolutions();
        let norm = || norms.then(|| layers.batch_norm(place.width()));
        Self {
            conv1: layers.residual_conv(&place.path("conv1"), first),
            bn1: norm(),
            conv2: layers.residual_conv(&place.path("conv2"), second),
            bn2: norm(),
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
        let inner = normalized(&self.bn1, self.conv1.forward(input));
        normalized(&self.bn2, self.conv2.forward(inner))
    }
}

/// `relu` behind the norm, if there is one.
fn normalized(norm: &Option<BatchNorm>, x: Tensor<4>) -> Tensor<4> {
    relu(match norm {
        Some(norm) => norm.forward(x),
        None => x,
    })
}

/// Which [`Plain`] network to build; initial weights as for
/// [`ResNetConfig`](crate::ResNetConfig).
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::PlainConfig;
///
/// let device = Device::flex();
/// assert_eq!(PlainConfig::new(20).init(&device)?.layer1.len(), 3);
/// assert!(PlainConfig::new(21).init(&device).is_err());
/// # Ok::<(), calcine_zoo::DepthError>(())
/// ```
#[derive(Config, Debug)]
pub struct PlainConfig {
    /// Layers with weights: `6n + 2`.
    pub depth: usize,
    /// Whether each convolution is followed by a batch norm.
    #[config(default = true)]
    pub norms: bool,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl PlainConfig {
    /// A network with initial weights on `device`.
    ///
    /// # Errors
    ///
    /// If the depth is not `6n + 2` with `n` at least 1.
    pub fn init(&self, device: &Device) -> Result<Plain, DepthError> {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        let blocks = blocks_per_stage(self.depth)?;
        Ok(Plain::with_blocks(blocks, self.norms, layers))
    }
}
