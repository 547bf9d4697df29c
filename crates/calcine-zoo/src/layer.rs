use burn::module::{
    Content, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor,
};
use burn::nn::activation::Relu6;
use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Relu};
use burn::tensor::{Device, Tensor};

use crate::mobilenet_v2::InvertedResidual;

/// One layer of a list of layers of different types, like an element of PyTorch's `nn.Sequential`.
///
/// It adds nothing to the paths of its parameters: in a field `features: Vec<Layer>`, a convolution at position 3 has
/// `features.3.weight`, as in PyTorch.
///
/// # Examples
///
/// ```
/// use burn::nn::pool::MaxPool2dConfig;
/// use burn::nn::Relu;
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::Layer;
///
/// let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
/// let layers = Layer::Sequence(vec![Layer::Relu(Relu), Layer::MaxPool(pool)]);
/// let features = layers.forward(Tensor::ones([1, 3, 8, 8], &Device::flex()));
/// assert_eq!(features.dims(), [1, 3, 4, 4]);
/// ```
#[derive(Debug, Clone)]
pub enum Layer {
    /// A convolution.
    Convolution(Conv2d),
    /// A batch norm.
    Norm(BatchNorm),
    /// `max(x, 0)`.
    Relu(Relu),
    /// `min(max(x, 0), 6)`.
    Relu6(Relu6),
    /// The maximum of each window.
    MaxPool(MaxPool2d),
    /// One layer after the other.
    Sequence(Vec<Self>),
    /// A block of [`MobileNetV2`](crate::MobileNetV2).
    InvertedResidual(InvertedResidual),
}

/// Evaluates an expression for the module in any variant.
macro_rules! inner {
    ($layer:expr, $inner:ident => $value:expr) => {
        match $layer {
            Layer::Convolution($inner) => $value,
            Layer::Norm($inner) => $value,
            Layer::Relu($inner) => $value,
            Layer::Relu6($inner) => $value,
            Layer::MaxPool($inner) => $value,
            Layer::Sequence($inner) => $value,
            Layer::InvertedResidual($inner) => $value,
        }
    };
}

/// The same variant with another module.
macro_rules! replaced {
    ($layer:expr, $inner:ident => $value:expr) => {
        match $layer {
            Layer::Convolution($inner) => Layer::Convolution($value),
            Layer::Norm($inner) => Layer::Norm($value),
            Layer::Relu($inner) => Layer::Relu($value),
            Layer::Relu6($inner) => Layer::Relu6($value),
            Layer::MaxPool($inner) => Layer::MaxPool($value),
            Layer::Sequence($inner) => Layer::Sequence($value),
            Layer::InvertedResidual($inner) => Layer::InvertedResidual($value),
        }
    };
}

impl Layer {
    /// The layer's output.
    ///
    /// # Shapes
    ///
    /// * `input`: `[n, in, h, w]`
    /// * returns `[n, out, h', w']`
    ///
    /// # Panics
    ///
    /// If the layer is for another number of channels.
    #[must_use]
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Convolution(layer) => layer.forward(input),
            Self::Norm(layer) => layer.forward(input),
            Self::Relu(layer) => layer.forward(input),
            Self::Relu6(layer) => layer.forward(input),
            Self::MaxPool(layer) => layer.forward(input),
            Self::Sequence(layers) => forward(layers, input),
            Self::InvertedResidual(block) => block.forward(input),
        }
    }
}

/// The output of one layer after the other.
pub(crate) fn forward(layers: &[Layer], input: Tensor<4>) -> Tensor<4> {
    layers.iter().fold(input, |x, layer| layer.forward(x))
}

// Burn's derive macro would put the name of the variant into the paths of the parameters.
impl Module for Layer {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        inner!(self, layer => layer.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        replaced!(self, layer => layer.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        replaced!(self, layer => layer.to_device(device))
    }

    fn train(self) -> Self {
        replaced!(self, layer => layer.train())
    }

    fn valid(&self) -> Self {
        replaced!(self, layer => layer.valid())
    }

    fn materialize(self) -> Self {
        replaced!(self, layer => layer.materialize())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        inner!(self, layer => layer.visit(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        replaced!(self, layer => Module::map(layer, mapper))
    }
}

impl ModuleDisplayDefault for Layer {
    fn content(&self, content: Content) -> Option<Content> {
        inner!(self, layer => layer.content(content))
    }
}

impl ModuleDisplay for Layer {
    fn format(&self, settings: DisplaySettings) -> String {
        inner!(self, layer => layer.format(settings))
    }
}
