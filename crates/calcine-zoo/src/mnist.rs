use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::Classifier;
use crate::initial::{CLASSES, Layers};
use crate::simplenet::{convolutions, pooled};

/// A small convolutional network for MNIST: Distiller's `simplenet_mnist`.
///
/// ```text
/// conv1 (5x5, 20), relu, max pool 2    28x28 -> 12x12
/// conv2 (5x5, 50), relu, max pool 2    12x12 ->  4x4
/// fc1 800 -> 500, relu
/// fc2 500 -> 10
/// ```
///
/// LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998), with the widths of
/// Caffe's LeNet.
#[derive(Module, Debug)]
pub struct SimpleNetMnist {
    /// 1 to 20 channels, 5x5, no padding.
    pub conv1: Conv2d,
    /// After `conv1` and its activation.
    pub pool1: MaxPool2d,
    /// 20 to 50 channels, 5x5, no padding.
    pub conv2: Conv2d,
    /// After `conv2` and its activation.
    pub pool2: MaxPool2d,
    /// 800 to 500 features.
    pub fc1: Linear,
    /// 500 features to 10 logits.
    pub fc2: Linear,
}

impl SimpleNetMnist {
    pub(crate) fn with_layers(layers: Layers<'_>) -> Self {
        let ([conv1, conv2], pool) = convolutions(layers, [1, 20, 50]);
        Self {
            conv1,
            pool1: pool.clone(),
            conv2,
            pool2: pool,
            fc1: layers.linear("fc1", [800, 500]),
            fc2: layers.linear("fc2", [500, CLASSES]),
        }
    }

    /// The logits of `images`.
    ///
    /// # Shapes
    ///
    /// * `images`: `[n, 1, 28, 28]`
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
        self.fc2.forward(features)
    }
}

impl Classifier for SimpleNetMnist {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// How to build a [`SimpleNetMnist`].
///
/// Weights and biases are drawn as in PyTorch from `U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))`.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::SimpleNetMnistConfig;
///
/// let device = Device::flex();
/// let model = SimpleNetMnistConfig::new().with_seed(7).init(&device);
/// assert_eq!(model.forward(Tensor::ones([2, 1, 28, 28], &device)).dims(), [2, 10]);
/// ```
#[derive(Config, Debug)]
pub struct SimpleNetMnistConfig {
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl SimpleNetMnistConfig {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> SimpleNetMnist {
        SimpleNetMnist::with_layers(Layers {
            seed: self.seed,
            device,
        })
    }
}

/// The convolutions of [`SimpleNetMnist`] with one small fully connected layer: Distiller's `simplenet_v2_mnist`.
///
/// ```text
/// conv1 (5x5, 20), relu, max pool 2    28x28 -> 12x12
/// conv2 (5x5, 50), relu, max pool 2    12x12 ->  4x4
/// average pool 4, fc 50 -> 10
/// ```
#[derive(Module, Debug)]
pub struct SimpleNetV2Mnist {
    /// 1 to 20 channels, 5x5, no padding.
    pub conv1: Conv2d,
    /// After `conv1` and its activation.
    pub pool1: MaxPool2d,
    /// 20 to 50 channels, 5x5, no padding.
    pub conv2: Conv2d,
    /// After `conv2` and its activation.
    pub pool2: MaxPool2d,
    /// Over the whole 4x4 image.
    pub avgpool: AvgPool2d,
    /// 50 features to 10 logits.
    pub fc: Linear,
}

impl SimpleNetV2Mnist {
    pub(crate) fn with_layers(layers: Layers<'_>) -> Self {
        let ([conv1, conv2], pool) = convolutions(layers, [1, 20, 50]);
        Self {
            conv1,
            pool1: pool.clone(),
            conv2,
            pool2: pool,
            avgpool: AvgPool2dConfig::new([4, 4]).init(),
            fc: layers.linear("fc", [50, CLASSES]),
        }
    }

    /// The logits of `images`.
    ///
    /// # Shapes
    ///
    /// * `images`: `[n, 1, 28, 28]`
    /// * returns `[n, 10]`
    ///
    /// # Panics
    ///
    /// If `images` has another shape.
    #[must_use]
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = pooled(&self.conv1, &self.pool1, images);
        let features = pooled(&self.conv2, &self.pool2, features);
        self.fc
            .forward(self.avgpool.forward(features).flatten(1, 3))
    }
}

impl Classifier for SimpleNetV2Mnist {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// How to build a [`SimpleNetV2Mnist`]; initial weights as for [`SimpleNetMnistConfig`].
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::SimpleNetV2MnistConfig;
///
/// let device = Device::flex();
/// let model = SimpleNetV2MnistConfig::new().with_seed(7).init(&device);
/// assert_eq!(model.forward(Tensor::ones([2, 1, 28, 28], &device)).dims(), [2, 10]);
/// ```
#[derive(Config, Debug)]
pub struct SimpleNetV2MnistConfig {
    /// Decides the initial weights, together with each parameter's name.
    #[config(default = 0)]
    pub seed: u64,
}

impl SimpleNetV2MnistConfig {
    /// A network with initial weights on `device`.
    #[must_use]
    pub fn init(&self, device: &Device) -> SimpleNetV2Mnist {
        SimpleNetV2Mnist::with_layers(Layers {
            seed: self.seed,
            device,
        })
    }
}
