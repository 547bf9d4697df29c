use burn::tensor::Tensor;

use super::{L1, L2, Regularizer, Separable};

/// A mixture of [`L1`] and [`L2`]: sparse, but correlated weights are kept or removed together.
///
/// ```text
/// R(w)       = share · Σ|w| + (1 - share) · ½·Σw²
/// ∇R(w)      = share · sign(w) + (1 - share) · w, 0 at w = 0
/// prox(w, t) = prox_L2(prox_L1(w, share·t), (1 - share)·t)
/// ```
///
/// Source: Zou and Hastie (2005).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ElasticNet {
    /// The share of [`L1`] in the strength, in [0, 1]; the rest is the share of [`L2`].
    pub share: f64,
}

impl Regularizer for ElasticNet {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        L1.value(rows.clone(), strength * self.share)
            + L2.value(rows, strength * (1.0 - self.share))
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        L1.gradient(rows.clone(), strength * self.share)
            + L2.gradient(rows, strength * (1.0 - self.share))
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        let sparse = L1.proximal(rows, step * self.share)?;
        L2.proximal(sparse, step * (1.0 - self.share))
    }
}

impl Separable for ElasticNet {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        L1.penalties(rows.clone()).mul_scalar(self.share)
            + L2.penalties(rows).mul_scalar(1.0 - self.share)
    }
}
