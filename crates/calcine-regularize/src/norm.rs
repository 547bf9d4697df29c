//! Norms of rows with a finite gradient everywhere.

use burn::tensor::Tensor;

/// `√(Σw² + smoothing)` of each row: `[units, 1]`.
///
/// The infinite derivative of the root at zero is replaced by zero in autodiff.
pub(crate) fn euclidean(rows: Tensor<2>, smoothing: f64) -> Tensor<2> {
    let [_, members] = rows.dims();
    if members == 1 && smoothing == 0.0 {
        return rows.abs();
    }
    let squares = rows.square().sum_dim(1).add_scalar(smoothing);
    let zero = squares.clone().equal_scalar(0.0);
    squares
        .mask_fill(zero.clone(), 1.0)
        .sqrt()
        .mask_fill(zero, 0.0)
}

/// The norms as divisors of their rows: zero is replaced by one, so that rows of zeros do not change.
pub(crate) fn nonzero(norms: Tensor<2>) -> Tensor<2> {
    let zero = norms.clone().equal_scalar(0.0);
    norms.mask_fill(zero, 1.0)
}
