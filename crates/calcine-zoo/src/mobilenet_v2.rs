use burn::config::Config;
use burn::module::Module;
use burn::nn::activation::Relu6;
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{Identity, Linear};
use burn::tensor::{Device, Tensor};

use crate::Classifier;
use crate::initial::{CLASSES, Kernel, Layers};
use crate::layer::{Layer, forward};

/// MobileNetV2 for CIFAR-10: inverted residuals with linear bottlenecks.
///
/// ```text
/// features.0          3x3, 32                    32x32
/// features.1          1 block of  16 channels    32x32
/// features.2 to 3     2 blocks of 24 channels    32x32
/// features.4 to 6     3 blocks of 32 channels    16x16
/// features.7 to 10    4 blocks of 64 channels     8x8
/// features.11 to 13   3 blocks of 96 channels     8x8
/// features.14 to 16   3 blocks of 160 channels    4x4
/// features.17         1 block of 320 channels     4x4
/// features.18         1x1, 1280                   4x4
/// average pool, classifier.1 1280 -> 10
/// ```
///
/// Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2,
/// with two of its halvings left out because the images are small: the first convolution and the blocks of 24 channels
/// have stride 1. Widths and names of the parameters are those of torchvision's `mobilenet_v2`, whose dropout before the
/// classifier is left out.
#[derive(Module, Debug)]
pub struct MobileNetV2 {
    /// The first convolution, 17 blocks, the last convolution.
    pub features: Vec<Layer>,
    /// Over the whole image.
    pub avgpool: AdaptiveAvgPool2d,
    /// 1280 features to 10 logits; the layer is called `classifier.1`.
    pub classifier: (Identity, Linear),
}

/// Expansion, channels, number of blocks, and stride of the first of them.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 1],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];
const FIRST: usize = 32;
const LAST: usize = 1280;

impl MobileNetV2 {
    pub(crate) fn with_layers(layers: Layers<'_>) -> Self {
        let stem = Kernel::padded([3, FIRST], 3, 1);
        let mut features = vec![activated(layers, "features.0", stem)];
        let mut inputs = FIRST;
        for [expansion, outputs, blocks, stride] in STAGES {
            for block in 0..blocks {
                let path = format!("features.{}", features.len());
                let stride = if block == 0 { stride } else { 1 };
                let channels = [inputs, outputs];
                features.push(Layer::InvertedResidual(InvertedResidual::new(
                    layers, &path, channels, expansion, stride,
                )));
                inputs = outputs;
            }
        }
        let path = format!("features.{}", features.len());
        features.push(activated(layers, &path, Kernel::pointwise([inputs, LAST])));
        Self {
            features,
            avgpool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            classifier: (
                Identity,
                layers.normal_linear("classifier.1", [LAST, CLASSES], 0.01),
            ),
        }
    }

    /// The logits of `images`.
    ///
    /// # Shapes
    ///
    /// * `images`: `[n, 3, h, w]`, 32x32 for CIFAR-10
    /// * returns `[n, 10]`
    ///
    /// # Panics
    ///
    /// If `images` has another number of channels.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = forward(&self.features, images);
        let pooled = self.avgpool.forward(features).flatten(1, 3);
        self.classifier.1.forward(pooled)
    }
}

impl Classifier for MobileNetV2 {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// A block of [`MobileNetV2`]: wider, depthwise, narrower, without an activation at its end.
///
/// ```text
/// expand:  1x1 to `expansion * in` channels, norm, relu6   (left out if the expansion is 1)
/// filter:  3x3 depthwise with the block's stride, norm, relu6
/// project: 1x1 to `out` channels, norm
/// ```
///
/// The input is added to the output of a block with stride 1 whose output has as many channels as its input.
#[derive(Module, Debug)]
pub struct InvertedResidual {
    /// The layers, with torchvision's numbers.
    pub conv: Vec<Layer>,
    adds_input: bool,
}

impl InvertedResidual {
    fn new(
        layers: Layers<'_>,
        path: &str,
        [inputs, outputs]: [usize; 2],
        expansion: usize,
        stride: usize,
    ) -> Self {
        let width = inputs * expansion;
        let mut kernels = vec![Kernel::depthwise(width, stride)];
        if expansion > 1 {
            kernels.insert(0, Kernel::pointwise([inputs, width]));
        }
        let mut conv: Vec<Layer> = kernels
            .into_iter()
            .enumerate()
            .map(|(at, kernel)| activated(layers, &format!("{path}.conv.{at}"), kernel))
            .collect();
        let project = format!("{path}.conv.{}", conv.len());
        let kernel = Kernel::pointwise([width, outputs]);
        conv.push(Layer::Convolution(layers.residual_conv(&project, kernel)));
        conv.push(Layer::Norm(layers.batch_norm(outputs)));
        Self {
            conv,
            adds_input: stride == 1 && inputs == outputs,
        }
    }

    /// The block's output.
    ///
    /// # Shapes
    ///
    /// * `input`: `[n, in, h, w]`
    /// * returns `[n, out, h / stride, w / stride]`
    ///
    /// # Panics
    ///
    /// If `input` has another number of channels.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if self.adds_input {
            input.clone() + forward(&self.conv, input)
        } else {
            forward(&self.conv, input)
        }
    }
}

/// A convolution, its norm, and `relu6`.
fn activated(layers: Layers<'_>, path: &str, kernel: Kernel) -> Layer {
    let [_, outputs] = kernel.channels;
    Layer::Sequence(vec![
        Layer::Convolution(layers.residual_conv(&format!("{path}.0"), kernel)),
        Layer::Norm(layers.batch_norm(outputs)),
        Layer::Relu6(Relu6),
    ])
}

/// How to build a [`MobileNetV2`].
///
/// Convolutions are drawn from `N(0, sqrt(2 / (k^2 * out)))`, the fully connected layer from `N(0, 0.01)` with biases of
/// zero, as in torchvision; batch norms begin with scale one and shift zero.
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::MobileNetV2Config;
///
/// let device = Device::flex();
/// let model = MobileNetV2Config::new().with_seed(7).init(&device);
/// assert_eq!(model.features.len(), 19);
/// assert_eq!(model.forward(Tensor::ones([1, 3, 32, 32], &device)).dims(), [1, 10]);
/// ```
#[derive(Config, Debug)]
pub struct MobileNetV2Config {
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl MobileNetV2Config {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> MobileNetV2 {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        MobileNetV2::with_layers(layers)
    }
}
