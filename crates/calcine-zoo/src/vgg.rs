use burn::config::Config;
use burn::module::Module;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{Linear, Relu};
use burn::tensor::{Device, Tensor};
use thiserror::Error;

use crate::Classifier;
use crate::initial::{CLASSES, Kernel, Layers};
use crate::layer::{Layer, forward};

/// A VGG network for CIFAR-10, with or without batch norms.
///
/// ```text
/// features: five stages of 3x3 convolutions with bias, each with its norm, if any, and relu; a max pool 2 after each stage
///           64, 128, 256, 512 and 512 channels, 32x32 to 1x1
/// classifier 512 -> 10
/// ```
///
/// Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014), table 1, columns A,
/// B, D and E, with one fully connected layer, as in Distiller's model zoo. All layers in `features` are counted, those
/// without parameters too: the convolutions of VGG-16 without norms are `features.0`, `features.2`, `features.5` and so on.
#[derive(Module, Debug)]
pub struct Vgg {
    /// Convolutions, norms, activations and pools.
    pub features: Vec<Layer>,
    /// 512 features to 10 logits.
    pub classifier: Linear,
}

/// Depth, and the number of convolutions in each stage.
const STAGES: [(usize, [usize; 5]); 4] = [
    (11, [1, 1, 2, 2, 2]),
    (13, [2, 2, 2, 2, 2]),
    (16, [2, 2, 3, 3, 3]),
    (19, [2, 2, 4, 4, 4]),
];
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

impl Vgg {
    pub(crate) fn with_stages(stages: [usize; 5], norms: bool, layers: Layers<'_>) -> Self {
        let mut features = Vec::new();
        let mut inputs = 3;
        for (convolutions, width) in stages.into_iter().zip(WIDTHS) {
            for _ in 0..convolutions {
                let path = format!("features.{}", features.len());
                let kernel = Kernel::padded([inputs, width], 3, 1);
                features.push(Layer::Convolution(layers.normal_conv(&path, kernel)));
                if norms {
                    features.push(Layer::Norm(layers.batch_norm(width)));
                }
                features.push(Layer::Relu(Relu));
                inputs = width;
            }
            let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]);
            features.push(Layer::MaxPool(pool.init()));
        }
        Self {
            features,
            classifier: layers.normal_linear("classifier", [inputs, CLASSES], 0.01),
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
        let features = forward(&self.features, images);
        self.classifier.forward(features.flatten(1, 3))
    }
}

impl Classifier for Vgg {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// Which [`Vgg`] network to build.
///
/// Convolutions are drawn from `N(0, sqrt(2 / (k^2 * out)))`, the fully connected layer from `N(0, 0.01)`; biases begin with
/// zero, batch norms with scale one and shift zero.
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::Device;
/// use calcine_zoo::VggConfig;
///
/// let device = Device::flex();
/// let model = VggConfig::new(11).with_norms(true).init(&device)?;
/// assert_eq!(model.num_params(), 9_236_618);
/// assert!(VggConfig::new(12).init(&device).is_err());
/// # Ok::<(), calcine_zoo::VggDepthError>(())
/// ```
#[derive(Config, Debug)]
pub struct VggConfig {
    /// Layers with weights: 11, 13, 16 or 19, with the two fully connected layers that are left out here.
    pub depth: usize,
    /// Whether each convolution is followed by a batch norm.
    #[config(default = false)]
    pub norms: bool,
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl VggConfig {
    /// A network with initial weights on `device`.
    ///
    /// # Errors
    ///
    /// If the depth is not 11, 13, 16 or 19.
    pub fn init(&self, device: &Device) -> Result<Vgg, VggDepthError> {
        let depth = self.depth;
        let stages = STAGES.into_iter().find(|(of, _)| *of == depth);
        let (_, stages) = stages.ok_or(VggDepthError { depth })?;
        let layers = Layers {
            seed: self.seed,
            device,
        };
        Ok(Vgg::with_stages(stages, self.norms, layers))
    }
}

/// A depth that no VGG network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no VGG network of depth {depth}: the depth must be 11, 13, 16 or 19")]
pub struct VggDepthError {
    depth: usize,
}

impl VggDepthError {
    /// The depth that was asked for.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }
}
