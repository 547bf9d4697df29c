use burn::config::Config;
use burn::module::Module;
use burn::nn::Relu;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::initial::{Kernel, Layers};
use crate::layer::{Layer, forward};

/// A single-shot detector: a small backbone, and heads that predict classes and boxes at two sizes.
///
/// ```text
/// backbone: 3x3 convolutions of stride 2 to 16, 32 and 64 channels, each with norm and relu    96x96 -> 12x12
/// extra:    a 3x3 convolution of stride 2 to 128 channels, with norm and relu                  12x12 ->  6x6
/// heads:    at each size, 3x3 convolutions to 4 anchors of `classes + 1` scores, and of 4 numbers of a box
/// ```
///
/// The score 0 is that of the background. The numbers of a box are its offsets from the anchor: centre in x and y, logarithms
/// of width and height. Liu, Anguelov, Erhan, Szegedy, Reed, Fu and Berg, "SSD: Single Shot MultiBox Detector" (2016), section
/// 2.1; matching with true boxes and suppression of overlapping ones are not part of the network.
#[derive(Module, Debug)]
pub struct Detector {
    /// To the larger features.
    pub backbone: Vec<Layer>,
    /// From the larger features to the smaller ones.
    pub extra: Vec<Layer>,
    /// The scores at each size.
    pub scores: Vec<Conv2d>,
    /// The boxes at each size.
    pub boxes: Vec<Conv2d>,
}

const BACKBONE: [usize; 4] = [3, 16, 32, 64];
const EXTRA: usize = 128;
const ANCHORS: usize = 4;

impl Detector {
    /// The scores and the boxes of all anchors: those of the larger features first, by row, column and anchor.
    ///
    /// # Shapes
    ///
    /// * `images`: `[n, 3, h, w]`, 96x96 for 720 anchors
    /// * returns `[n, anchors, classes + 1]` and `[n, anchors, 4]`
    ///
    /// # Panics
    ///
    /// If `images` has another number of channels.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> (Tensor<3>, Tensor<3>) {
        let large = forward(&self.backbone, images);
        let small = forward(&self.extra, large.clone());
        let features = [large, small];
        (
            predicted(&self.scores, &features),
            predicted(&self.boxes, &features),
        )
    }
}

/// What the heads predict at each size, one anchor after the other.
fn predicted(heads: &[Conv2d], features: &[Tensor<4>; 2]) -> Tensor<3> {
    let predicted = heads.iter().zip(features).map(|(head, features)| {
        let [width, _, _, _] = head.weight.lazy_shape().dims();
        let map = head.forward(features.clone()).permute([0, 2, 3, 1]);
        let [n, rows, columns, _] = map.dims();
        map.reshape([n, rows * columns * ANCHORS, width / ANCHORS])
    });
    Tensor::cat(predicted.collect(), 1)
}

/// How to build a [`Detector`].
///
/// Convolutions are drawn from `N(0, sqrt(2 / (k^2 * out)))`; biases begin with zero, norms with scale one and shift zero.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::DetectorConfig;
///
/// let device = Device::flex();
/// let model = DetectorConfig::new(20).init(&device);
/// let (scores, boxes) = model.forward(Tensor::zeros([1, 3, 96, 96], &device));
/// assert_eq!(scores.dims(), [1, 720, 21]);
/// assert_eq!(boxes.dims(), [1, 720, 4]);
/// ```
#[derive(Config, Debug)]
pub struct DetectorConfig {
    /// The number of classes, without the background.
    pub classes: usize,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl DetectorConfig {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> Detector {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        let strided = |path: &str, channels: &[usize]| -> Vec<Layer> {
            let pairs = channels.windows(2).enumerate().flat_map(|(at, pair)| {
                let kernel = Kernel::padded([pair[0], pair[1]], 3, 2);
                [
                    Layer::Convolution(layers.residual_conv(&format!("{path}.{}", 3 * at), kernel)),
                    Layer::Norm(layers.batch_norm(pair[1])),
                    Layer::Relu(Relu),
                ]
            });
            pairs.collect()
        };
        let heads = |path: &str, width: usize| -> Vec<Conv2d> {
            let inputs = [BACKBONE[3], EXTRA].into_iter().enumerate();
            let heads = inputs.map(|(at, inputs)| {
                let kernel = Kernel::padded([inputs, ANCHORS * width], 3, 1);
                layers.normal_conv(&format!("{path}.{at}"), kernel)
            });
            heads.collect()
        };
        Detector {
            backbone: strided("backbone", &BACKBONE),
            extra: strided("extra", &[BACKBONE[3], EXTRA]),
            scores: heads("scores", self.classes + 1),
            boxes: heads("boxes", 4),
        }
    }
}
