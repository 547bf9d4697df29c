use burn::tensor::Tensor;

use super::{Regularizer, Separable};
use crate::norm::{euclidean, nonzero};

/// The sum of the Euclidean norms of the units: whole units become zero, the others stay dense.
///
/// ```text
/// R(w)         = c · Σ_g √(Σ_i w_gi² + ε)
/// ∇R(w)_g      = c · w_g / √(Σ_i w_gi² + ε), 0 at w_g = 0
/// prox(w, t)_g = w_g · max(1 - c·t / ‖w_g‖, 0)           only for ε = 0
/// ```
///
/// `c` is the [`Scale`], `ε` the smoothing. For filters, channels, kernels or whole layers it is
/// structured sparsity learning (Wen et al., 2016). Source: Yuan and Lin (2006).
///
/// Without smoothing, a unit of zeros is at a kink, where the gradient is zero, also with autodiff. A unit whose norm is below about
/// 1e-19, where squares in `f32` vanish, counts as zero.
///
/// With one member per unit, the norm is the magnitude, and the penalty equals [`L1`](super::L1).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupLasso {
    /// The factor for the norm of a unit.
    pub scale: Scale,
    /// `ε`, added under the root. It removes the kink, but then no unit becomes exactly zero, and there is no proximal step.
    /// Distiller uses 1e-8 for channels and 0 otherwise.
    pub smoothing: f64,
}

/// How the norm of a unit is weighted by its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scale {
    /// No factor, as in Distiller: the strength has to be chosen for each layer shape.
    #[default]
    None,
    /// The square root of the number of members, as in Yuan and Lin (2006): the same strength suits layers of different shapes.
    SqrtSize,
}

impl GroupLasso {
    fn factor(&self, rows: &Tensor<2>) -> f64 {
        match self.scale {
            Scale::None => 1.0,
            Scale::SqrtSize => (rows.dims()[1] as f64).sqrt(),
        }
    }
}

impl Regularizer for GroupLasso {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        self.penalties(rows).sum().mul_scalar(strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        let rows = rows.without_autodiff();
        let force = strength * self.factor(&rows);
        let norms = nonzero(euclidean(rows.clone(), self.smoothing));
        rows * norms.recip().mul_scalar(force)
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        if self.smoothing > 0.0 {
            return None;
        }
        let rows = rows.without_autodiff();
        let step = step * self.factor(&rows);
        let norms = euclidean(rows.clone(), 0.0);
        let left = norms.clone().sub_scalar(step).clamp_min(0.0);
        Some(rows * (left / nonzero(norms)))
    }
}

impl Separable for GroupLasso {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        let [units, _] = rows.dims();
        let factor = self.factor(&rows);
        euclidean(rows, self.smoothing)
            .reshape([units])
            .mul_scalar(factor)
    }
}
