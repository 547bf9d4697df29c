use burn::tensor::Tensor;

use super::Regularizer;
use crate::norm::{euclidean, nonzero};

/// The inverse variance of the norms of the units: large units grow, small ones shrink.
///
/// ```text
/// n_g = √(Σ_i w_gi² + ε)      m = mean of n      V = Σ_g (n_g - m)² / (units - 1)
///
/// R(w)    = 1 / V
/// ∇R(w)_g = -2 / (V² · (units - 1)) · (n_g - m) · w_g / n_g,   0 at w_g = 0
/// ```
///
/// It concentrates the weight in few units, so that the others can be removed. There is no proximal step. Larger weights reduce the
/// penalty, so combine it with weight decay. Source: Torfi et al. (2018), as implemented in Distiller.
///
/// The norms of the units must differ: if they are nearly equal, value and gradient are huge. If the variance is zero (equal norms, a
/// single unit, only zeros), value and gradient are zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupVariance {
    /// `ε`, added under the root, which removes the kink at a unit of zeros. Distiller uses 1e-8, so that the norm of zeros is
    /// 1e-4.
    pub smoothing: f64,
}

impl Regularizer for GroupVariance {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        let deviations = deviations(euclidean(rows, self.smoothing));
        inverse_variance(deviations)
            .reshape([1])
            .mul_scalar(strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        let rows = rows.without_autodiff();
        let norms = euclidean(rows.clone(), self.smoothing);
        let deviations = deviations(norms.clone());
        let inverse = inverse_variance(deviations.clone());
        let slope = -2.0 * strength / degrees(&rows);
        // Multiplied by 1 / V twice, because 1 / V² overflows earlier.
        let along_norms = deviations * inverse.clone() * inverse.mul_scalar(slope);
        rows * (along_norms / nonzero(norms))
    }
}

/// The deviations from the mean: `[units, 1]`.
fn deviations(norms: Tensor<2>) -> Tensor<2> {
    norms.clone() - norms.mean_dim(0)
}

/// `1 / V`, or 0 if V is 0: `[1, 1]`.
fn inverse_variance(deviations: Tensor<2>) -> Tensor<2> {
    let degrees = degrees(&deviations);
    let variance = deviations.square().sum_dim(0).div_scalar(degrees);
    let zero = variance.clone().equal_scalar(0.0);
    variance
        .mask_fill(zero.clone(), 1.0)
        .recip()
        .mask_fill(zero, 0.0)
}

/// The divisor of the unbiased variance; one for a single unit, whose deviation is zero.
fn degrees(rows: &Tensor<2>) -> f64 {
    rows.dims()[0].saturating_sub(1).max(1) as f64
}
