use burn::tensor::Tensor;

use super::{Regularizer, Separable};

/// Half the sum of squares (ridge): shrinks every weight in proportion to itself.
///
/// ```text
/// R(w)       = ½·Σw²
/// ∇R(w)      = w
/// prox(w, t) = w / (1 + t)
/// ```
///
/// With the factor ½, the strength is what optimizers and Distiller call weight decay: the gradient is `strength · w`. The penalty is
/// smooth and produces no zeros by itself. With a growing strength, applied to the units to be removed, it is GReg: see
/// [`Selected`](super::Selected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct L2;

impl Regularizer for L2 {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        rows.square().sum().mul_scalar(0.5 * strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        rows.without_autodiff().mul_scalar(strength)
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        Some(rows.without_autodiff().div_scalar(1.0 + step))
    }
}

impl Separable for L2 {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        let [units, _] = rows.dims();
        rows.square().sum_dim(1).reshape([units]).mul_scalar(0.5)
    }
}
