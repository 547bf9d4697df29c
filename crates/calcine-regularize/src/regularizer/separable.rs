use burn::tensor::Tensor;

use super::Regularizer;

/// A regularizer that is a sum over units, so that some of them can be [`Selected`](super::Selected).
///
/// All regularizers are separable except [`GroupVariance`](super::GroupVariance), in which the units depend on each other.
pub trait Separable: Regularizer {
    /// The contribution of each unit to `R`, without the strength; differentiable by autodiff.
    ///
    /// # Shapes
    ///
    /// `rows`: `[units, members]`; result: `[units]`.
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1>;
}

impl<R: Separable + ?Sized> Separable for &R {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        (**self).penalties(rows)
    }
}

impl<R: Separable + ?Sized> Separable for Box<R> {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        (**self).penalties(rows)
    }
}

impl<A: Separable, B: Separable> Separable for (A, B) {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        self.0.penalties(rows.clone()) + self.1.penalties(rows)
    }
}
