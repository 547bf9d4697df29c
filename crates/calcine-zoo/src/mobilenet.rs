use burn::config::Config;
use burn::module::Module;
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{Linear, Relu};
use burn::tensor::{Device, Tensor};
use thiserror::Error;

use crate::Classifier;
use crate::initial::{CLASSES, Kernel, Layers};
use crate::layer::{Layer, forward};

/// MobileNet of any width: depthwise and pointwise convolutions by turns.
///
/// ```text
/// model.0         3x3, 32                                            32x32
/// model.1         depthwise, pointwise to   64                       32x32
/// model.2 to 3    depthwise, pointwise to  128, the first halves     16x16
/// model.4 to 5    depthwise, pointwise to  256, the first halves      8x8
/// model.6 to 11   depthwise, pointwise to  512, the first halves      4x4
/// model.12 to 13  depthwise, pointwise to 1024, the first halves      2x2
/// average pool, fc 1024 -> 10
/// ```
///
/// Each convolution is followed by a batch norm and `relu`. Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto and
/// Adam, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (2017), table 1; for images
/// of 32x32, the first convolution has stride 1. Names of the parameters as in Distiller's model zoo: `model.4.0.weight`
/// is depthwise, `model.4.3.weight` is pointwise.
#[derive(Module, Debug)]
pub struct MobileNet {
    /// The first convolution, and 13 pairs of depthwise and pointwise convolutions.
    pub model: Vec<Layer>,
    /// Over the whole image.
    pub avgpool: AdaptiveAvgPool2d,
    /// Features to logits.
    pub fc: Linear,
}

/// Channels of the pointwise convolutions, for width 1, and strides of the depthwise ones.
const PAIRS: [[usize; 2]; 13] = [
    [64, 1],
    [128, 2],
    [128, 1],
    [256, 2],
    [256, 1],
    [512, 2],
    [512, 1],
    [512, 1],
    [512, 1],
    [512, 1],
    [512, 1],
    [1024, 2],
    [1024, 1],
];
const FIRST: usize = 32;

impl MobileNet {
    /// A network of known width: `quarters / 4` of the channels.
    pub(crate) fn with_quarters(quarters: usize, layers: Layers<'_>) -> Self {
        Self::build(layers, CLASSES, 1, |channels| channels * quarters / 4)
    }

    fn build(
        layers: Layers<'_>,
        classes: usize,
        stride: usize,
        scaled: impl Fn(usize) -> usize,
    ) -> Self {
        let unit = |path: String, kernel: Kernel| {
            [
                Layer::Convolution(layers.uniform_conv(&path, kernel)),
                Layer::Norm(layers.batch_norm(kernel.channels[1])),
                Layer::Relu(Relu),
            ]
        };
        let mut inputs = scaled(FIRST);
        let stem = unit(
            "model.0.0".to_owned(),
            Kernel::padded([3, inputs], 3, stride),
        );
        let mut model = vec![Layer::Sequence(stem.to_vec())];
        for [outputs, stride] in PAIRS {
            let (at, outputs) = (model.len(), scaled(outputs));
            let depthwise = unit(format!("model.{at}.0"), Kernel::depthwise(inputs, stride));
            let pointwise = unit(
                format!("model.{at}.3"),
                Kernel::pointwise([inputs, outputs]),
            );
            model.push(Layer::Sequence([depthwise, pointwise].concat()));
            inputs = outputs;
        }
        Self {
            model,
            avgpool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            fc: layers.linear("fc", [inputs, classes]),
        }
    }

    /// The logits of `images`.
    ///
    /// # Shapes
    ///
    /// * `images`: `[n, 3, h, w]`, 32x32 for CIFAR-10
    /// * returns `[n, classes]`
    ///
    /// # Panics
    ///
    /// If `images` has another number of channels.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = forward(&self.model, images);
        self.fc
            .forward(self.avgpool.forward(features).flatten(1, 3))
    }
}

impl Classifier for MobileNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// Which [`MobileNet`] to build; weights and biases are drawn as in PyTorch from
/// `U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))`, batch norms begin with scale one and shift zero.
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::Device;
/// use calcine_zoo::MobileNetConfig;
///
/// let device = Device::flex();
/// let model = MobileNetConfig::new().with_width(0.25).init(&device)?;
/// assert_eq!(model.num_params(), 215_642 + 5_472); // running statistics are counted, too
/// assert!(MobileNetConfig::new().with_width(-1.0).init(&device).is_err());
/// # Ok::<(), calcine_zoo::WidthError>(())
/// ```
#[derive(Config, Debug)]
pub struct MobileNetConfig {
    /// The factor for the number of channels of each layer; products are rounded down.
    #[config(default = 1.0)]
    pub width: f64,
    /// The network for ImageNet as it was published: stride 2 in the first convolution, 1000 classes.
    #[config(default = false)]
    pub imagenet: bool,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl MobileNetConfig {
    /// A network with initial weights on `device`.
    ///
    /// # Errors
    ///
    /// If the width is less than 1/32, so that the first convolution would have no channel, or greater than 64.
    pub fn init(&self, device: &Device) -> Result<MobileNet, WidthError> {
        let width = self.width;
        if !(1.0 / FIRST as f64..=64.0).contains(&width) {
            return Err(WidthError { width });
        }
        let layers = Layers {
            seed: self.seed,
            device,
        };
        let (classes, stride) = if self.imagenet {
            (1000, 2)
        } else {
            (CLASSES, 1)
        };
        let scaled = |channels| (channels as f64 * width) as usize;
        Ok(MobileNet::build(layers, classes, stride, scaled))
    }
}

/// A width that no network has.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error(
    "no network of width {width}: the factor must be from 1/32 to 64, for example 1, 0.75, 0.5 or 0.25"
)]
pub struct WidthError {
    width: f64,
}

impl WidthError {
    /// The width that was asked for.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.width
    }
}
