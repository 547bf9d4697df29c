use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::Classifier;
use crate::initial::{CLASSES, Kernel, Layers};

/// A small convolutional network for CIFAR-10 that trains in seconds: Distiller's
/// `simplenet_cifar`.
///
/// ```text
/// conv1 (5x5,  6), relu, max pool 2    32x32 -> 14x14
/// conv2 (5x5, 16), relu, max pool 2    14x14 ->  5x5
/// fc1 400 -> 120, relu
/// fc2 120 -> 84, relu
/// fc3 84 -> 10
/// ```
///
/// LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition"
/// (1998), with three input channels and modern activations.
#[derive(Module, Debug)]
pub struct SimpleNet {
    /// 3 to 6 channels, 5x5, no padding.
    pub conv1: Conv2d,
    /// After `conv1` and its activation.
    pub pool1: MaxPool2d,
    /// 6 to 16 channels, 5x5, no padding.
    pub conv2: Conv2d,
    /// After `conv2` and its activation.
    pub pool2: MaxPool2d,
    /// 400 to 120 features.
    pub fc1: Linear,
    /// 120 to 84 features.
    pub fc2: Linear,
    /// 84 features to 10 logits.
    pub fc3: Linear,
}

/// `conv1` and `conv2`, 5x5 without padding, of these numbers of channels, and the pool that is used after each.
pub(crate) fn convolutions(
    layers: Layers<'_>,
    [images, first, second]: [usize; 3],
) -> ([Conv2d; 2], MaxPool2d) {
    let conv = |path, channels| {
        let kernel = Kernel {
            padding: 0,
            ..Kernel::padded(channels, 5, 1)
        };
        layers.conv(path, kernel)
    };
    let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
    let convolutions = [
        conv("conv1", [images, first]),
        conv("conv2", [first, second]),
    ];
    (convolutions, pool)
}

/// A convolution, its activation, and the pool after it.
pub(crate) fn pooled(conv: &Conv2d, pool: &MaxPool2d, images: Tensor<4>) -> Tensor<4> {
    pool.forward(relu(conv.forward(images)))
}

impl SimpleNet {
    pub(crate) fn with_layers(layers: Layers<'_>) -> Self {
        let ([conv1, conv2], pool) = convolutions(layers, [3, 6, 16]);
        Self {
            conv1,
            pool1: pool.clone(),
            conv2,
            pool2: pool,
            fc1: layers.linear("fc1", [400, 120]),
            fc2: layers.linear("fc2", [120, 84]),
            fc3: layers.linear("fc3", [84, CLASSES]),
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
        let features = pooled(&self.conv1, &self.pool1, images);
        let features = pooled(&self.conv2, &self.pool2, features);
        let features = relu(self.fc1.forward(features.flatten::<2>(1, 3)));
        self.fc3.forward(relu(self.fc2.forward(features)))
    }
}

impl Classifier for SimpleNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// How to build a [`SimpleNet`].
///
/// Weights and biases are drawn as in PyTorch from `U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))`.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::SimpleNetConfig;
///
/// let device = Device::flex();
/// let model = SimpleNetConfig::new().with_seed(7).init(&device);
/// assert_eq!(model.forward(Tensor::ones([2, 3, 32, 32], &device)).dims(), [2, 10]);
/// ```
#[derive(Config, Debug)]
pub struct SimpleNetConfig {
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl SimpleNetConfig {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> SimpleNet {
        let layers = Layers {
            seed: self.seed,
            device,
        };
        SimpleNet::with_layers(layers)
    }
}
