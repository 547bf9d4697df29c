use burn::tensor::{Bool, Int, Tensor};

/// Counts the elements that are not zero: `#{x : |x| > 0}`.
///
/// A NaN and a negative zero count as zero. Nothing is read from the device.
///
/// # Shapes
///
/// `tensor`: any; result: `[1]`.
#[must_use]
pub fn nonzero<const D: usize>(tensor: Tensor<D>) -> Tensor<1, Int> {
    tensor.abs().greater_scalar(0.0).int().sum()
}

/// Marks the units that have an element that is not zero.
///
/// # Shapes
///
/// `rows`: `[units, members]`, as returned by `calcine_fold::Fold::rows`; result: `[units]`.
#[must_use]
pub fn alive_units(rows: Tensor<2>) -> Tensor<1, Bool> {
    let units = rows.dims()[0];
    rows.abs().greater_scalar(0.0).any_dim(1).reshape([units])
}

/// Counts the units that have an element that is not zero.
///
/// # Shapes
///
/// `rows`: `[units, members]`; result: `[1]`.
#[must_use]
pub fn nonzero_units(rows: Tensor<2>) -> Tensor<1, Int> {
    alive_units(rows).int().sum()
}
