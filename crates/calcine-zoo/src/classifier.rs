use burn::module::Module;
use burn::tensor::Tensor;

/// A network that sorts images into ten classes, those of CIFAR-10 or of MNIST.
///
/// # Shapes
///
/// * `images`: `[n, 3, 32, 32]`, for MNIST `[n, 1, 28, 28]`, normalised as the network was trained
/// * returns `[n, 10]`, logits
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_zoo::Classifier;
///
/// #[derive(Module, Debug)]
/// struct Template {
///     fc: Linear,
/// }
///
/// impl Classifier for Template {
///     fn forward(&self, images: Tensor<4>) -> Tensor<2> {
///         self.fc.forward(images.flatten(1, 3))
///     }
/// }
///
/// let device = Device::flex();
/// let model = Template { fc: LinearConfig::new(3072, 10).init(&device) };
/// assert_eq!(model.forward(Tensor::ones([2, 3, 32, 32], &device)).dims(), [2, 10]);
/// ```
pub trait Classifier: Module {
    /// The logits of `images`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;
}

/// A network that was traced from a classifier.
impl Classifier for calcine_trace::Network {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}

/// A network that is trained quantization-aware.
impl Classifier for calcine_quantize::QatNetwork {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        Self::forward(self, images)
    }
}
