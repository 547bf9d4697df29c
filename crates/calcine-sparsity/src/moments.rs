use burn::tensor::Tensor;

/// Standard deviation, mean and mean magnitude of all elements, zeros included.
///
/// ```text
/// [ sqrt(Σ(x - mean)² / (n - 1)),  Σx / n,  Σ|x| / n ]
/// ```
///
/// The standard deviation is the unbiased estimate; for a single element it is 0. Nothing is read from the device.
///
/// # Shapes
///
/// `tensor`: any; result: `[3]`.
#[must_use]
pub fn moments<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let flat = tensor.flatten::<1>(0, D - 1);
    let count = flat.dims()[0];
    let mean = flat.clone().mean();
    let spread = (flat.clone() - mean.clone()).square().sum();
    let deviation = spread
        .div_scalar(count.saturating_sub(1).max(1) as f64)
        .sqrt();
    Tensor::cat(vec![deviation, mean, flat.abs().mean()], 0)
}
