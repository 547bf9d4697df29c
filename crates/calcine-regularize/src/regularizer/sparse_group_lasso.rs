use burn::tensor::Tensor;

use super::{GroupLasso, L1, Regularizer, Separable};

/// A mixture of [`L1`] and [`GroupLasso`]: whole units become zero, and single weights in the other units.
///
/// ```text
/// R(w)       = share · Σ|w| + (1 - share) · lasso(w)
/// ∇R(w)      = share · sign(w) + (1 - share) · ∇lasso(w), each 0 at its kinks
/// prox(w, t) = prox_lasso(prox_L1(w, share·t), (1 - share)·t)
/// ```
///
/// Source: Simon et al. (2013), with [`Scale::SqrtSize`](super::Scale::SqrtSize). There is no proximal step if the
/// group lasso is smoothed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseGroupLasso {
    /// The share of [`L1`] in the strength, in [0, 1]; the rest is the share of the group lasso.
    pub share: f64,
    /// The penalty on whole units.
    pub lasso: GroupLasso,
}

impl Regularizer for SparseGroupLasso {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        L1.value(rows.clone(), strength * self.share)
            + self.lasso.value(rows, strength * (1.0 - self.share))
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        L1.gradient(rows.clone(), strength * self.share)
            + self.lasso.gradient(rows, strength * (1.0 - self.share))
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        let sparse = L1.proximal(rows, step * self.share)?;
        self.lasso.proximal(sparse, step * (1.0 - self.share))
    }
}

impl Separable for SparseGroupLasso {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        L1.penalties(rows.clone()).mul_scalar(self.share)
            + self.lasso.penalties(rows).mul_scalar(1.0 - self.share)
    }
}
