use burn::tensor::Tensor;

use super::{Regularizer, Separable};

/// The sum of magnitudes (lasso): pushes every weight towards zero with the same force.
///
/// ```text
/// R(w)       = Σ|w|
/// ∇R(w)      = sign(w), 0 at w = 0
/// prox(w, t) = sign(w) · max(|w| - t, 0)
/// ```
///
/// It makes single weights zero, not whole filters (see [`GroupLasso`](super::GroupLasso)). Applied to the scale γ of a batch norm, it
/// makes channels zero: network slimming (Liu et al., 2017). The proximal
/// step is the soft threshold of ISTA (Daubechies et al., 2004). Source: Tibshirani (1996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct L1;

impl Regularizer for L1 {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        rows.abs().sum().mul_scalar(strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        rows.without_autodiff().sign().mul_scalar(strength)
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        let rows = rows.without_autodiff();
        Some(rows.clone() - rows.clamp(-step, step))
    }
}

impl Separable for L1 {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        let [units, _] = rows.dims();
        rows.abs().sum_dim(1).reshape([units])
    }
}
