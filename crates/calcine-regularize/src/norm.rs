//! Norms of rows whose roots have a slope everywhere.

use burn::tensor::Tensor;

/// `√(Σw² + smoothing)` of each row: `[units, 1]`.
///
/// The slope of the root at zero, which is infinite, is taken as zero by autodiff.
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

/// The norms as divisors of their rows: one instead of zero, so that a row of zeros stays what it is.
pub(crate) fn nonzero(norms: Tensor<2>) -> Tensor<2> {
    let zero = norms.clone().equal_scalar(0.0);
    norms.mask_fill(zero, 1.0)
}
