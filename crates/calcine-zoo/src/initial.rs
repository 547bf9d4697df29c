use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Embedding, Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use calcine_criteria::stream;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// One logit for each class of CIFAR-10 or MNIST.
pub(crate) const CLASSES: usize = 10;

/// Layers with initial values, drawn on the host from one stream per parameter path.
///
/// Burn's own initializers draw on the device at first touch, so their values depend on the backend
/// and on what was touched before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers<'a> {
    pub(crate) seed: u64,
    pub(crate) device: &'a Device,
}

impl Layers<'_> {
    /// A `k` x `k` convolution without bias, as He et al. (2015) initialise them:
    ///
    /// ```text
    /// w ~ N(0, sqrt(2 / (k^2 * out)))
    /// ```
    pub(crate) fn residual_conv(&self, path: &str, kernel: Kernel) -> Conv2d {
        let [_, outputs] = kernel.channels;
        let deviation = (2.0 / (kernel.size * kernel.size * outputs) as f64).sqrt();
        Conv2d {
            weight: self.normal(path, kernel.shape(), deviation),
            ..kernel.config().with_bias(false).init(self.device)
        }
    }

    /// A convolution with bias, as PyTorch initialises them by default:
    ///
    /// ```text
    /// w, b ~ U(-1 / sqrt(in * k^2), 1 / sqrt(in * k^2))
    /// ```
    pub(crate) fn conv(&self, path: &str, kernel: Kernel) -> Conv2d {
        let [_, outputs] = kernel.channels;
        let fan_in = kernel.fan_in();
        let weight = self.uniform(path, "weight", kernel.shape(), fan_in);
        let bias = Some(self.uniform(path, "bias", [outputs], fan_in));
        Conv2d {
            weight,
            bias,
            ..kernel.config().init(self.device)
        }
    }

    /// A convolution whose weights are those of [`residual_conv`](Self::residual_conv), with biases of zero.
    pub(crate) fn normal_conv(&self, path: &str, kernel: Kernel) -> Conv2d {
        let [_, outputs] = kernel.channels;
        Conv2d {
            bias: Some(self.parameter(path, "bias", [outputs], |_| 0.0)),
            ..self.residual_conv(path, kernel)
        }
    }

    /// A convolution without bias whose weights are those of [`conv`](Self::conv).
    pub(crate) fn uniform_conv(&self, path: &str, kernel: Kernel) -> Conv2d {
        Conv2d {
            weight: self.uniform(path, "weight", kernel.shape(), kernel.fan_in()),
            ..kernel.config().with_bias(false).init(self.device)
        }
    }

    /// A fully connected layer, as PyTorch initialises them by default:
    ///
    /// ```text
    /// w, b ~ U(-1 / sqrt(in), 1 / sqrt(in))
    /// ```
    pub(crate) fn linear(&self, path: &str, [inputs, outputs]: [usize; 2]) -> Linear {
        let weight = self.uniform(path, "weight", [inputs, outputs], inputs);
        let bias = Some(self.uniform(path, "bias", [outputs], inputs));
        Linear { weight, bias }
    }

    /// A fully connected layer with biases of zero:
    ///
    /// ```text
    /// w ~ N(0, deviation)
    /// ```
    pub(crate) fn normal_linear(
        &self,
        path: &str,
        [inputs, outputs]: [usize; 2],
        deviation: f64,
    ) -> Linear {
        Linear {
            weight: self.normal(path, [inputs, outputs], deviation),
            bias: Some(self.parameter(path, "bias", [outputs], |_| 0.0)),
        }
    }

    /// A table of features:
    ///
    /// ```text
    /// w ~ N(0, deviation)
    /// ```
    pub(crate) fn embedding(&self, path: &str, shape: [usize; 2], deviation: f64) -> Embedding {
        Embedding {
            weight: self.normal(path, shape, deviation),
        }
    }

    /// A batch norm with PyTorch's epsilon and momentum: scale one, shift zero.
    pub(crate) fn batch_norm(&self, channels: usize) -> BatchNorm {
        BatchNormConfig::new(channels)
            .with_epsilon(1e-5)
            .with_momentum(0.1)
            .init(self.device)
    }

    fn normal<const D: usize>(
        &self,
        path: &str,
        shape: [usize; D],
        deviation: f64,
    ) -> Param<Tensor<D>> {
        self.parameter(path, "weight", shape, |random| {
            let unit: f64 = StandardNormal.sample(random);
            unit * deviation
        })
    }

    fn uniform<const D: usize>(
        &self,
        path: &str,
        leaf: &str,
        shape: [usize; D],
        fan_in: usize,
    ) -> Param<Tensor<D>> {
        let bound = (fan_in as f64).sqrt().recip();
        self.parameter(path, leaf, shape, |random| {
            random.random_range(-bound..bound)
        })
    }

    fn parameter<const D: usize>(
        &self,
        path: &str,
        leaf: &str,
        shape: [usize; D],
        mut draw: impl FnMut(&mut rand::rngs::ChaCha8Rng) -> f64,
    ) -> Param<Tensor<D>> {
        let mut random = stream(self.seed, &format!("init/{path}.{leaf}"), 0);
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| draw(&mut random) as f32)
            .collect();
        Param::from_data(TensorData::new(values, shape), self.device)
    }
}

/// The geometry of a square convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    /// Inputs, outputs.
    pub(crate) channels: [usize; 2],
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
}

impl Kernel {
    /// Padded with zeros, so that stride 1 keeps the size of the image; for odd sizes.
    pub(crate) fn padded(channels: [usize; 2], size: usize, stride: usize) -> Self {
        Self {
            channels,
            size,
            stride,
            padding: size / 2,
            groups: 1,
        }
    }

    /// 1x1.
    pub(crate) fn pointwise(channels: [usize; 2]) -> Self {
        Self::padded(channels, 1, 1)
    }

    /// 3x3, each channel alone.
    pub(crate) fn depthwise(channels: usize, stride: usize) -> Self {
        Self {
            groups: channels,
            ..Self::padded([channels; 2], 3, stride)
        }
    }

    fn shape(self) -> [usize; 4] {
        let [inputs, outputs] = self.channels;
        [outputs, inputs / self.groups, self.size, self.size]
    }

    /// Inputs of one output.
    fn fan_in(self) -> usize {
        self.shape()[1..].iter().product()
    }

    fn config(self) -> Conv2dConfig {
        let padding = match self.padding {
            0 => PaddingConfig2d::Valid,
            p => PaddingConfig2d::Explicit(p, p, p, p),
        };
        Conv2dConfig::new(self.channels, [self.size, self.size])
            .with_stride([self.stride, self.stride])
            .with_padding(padding)
            .with_groups(self.groups)
    }
}
