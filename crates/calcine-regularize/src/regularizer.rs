//! Regularizers: a penalty as value, gradient and proximal step.

mod elastic_net;
mod group_lasso;
mod group_variance;
mod l1;
mod l2;
mod selected;
mod separable;
mod sparse_group_lasso;

pub use elastic_net::ElasticNet;
pub use group_lasso::{GroupLasso, Scale};
pub use group_variance::GroupVariance;
pub use l1::L1;
pub use l2::L2;
pub use selected::Selected;
pub use separable::Separable;
pub use sparse_group_lasso::SparseGroupLasso;

use burn::tensor::Tensor;

/// A penalty `R(w)` on the rows of a weight, times a strength.
///
/// The strength is an argument because it may follow a curve. It must not be negative.
///
/// # Examples
///
/// A complete regularizer, the sum of the fourth powers:
///
/// ```
/// use burn::tensor::Tensor;
/// use calcine_regularize::Regularizer;
///
/// #[derive(Debug)]
/// struct Fourth;
///
/// impl Regularizer for Fourth {
///     fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
///         rows.powi_scalar(4).sum().mul_scalar(strength)
///     }
///
///     fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
///         rows.without_autodiff().powi_scalar(3).mul_scalar(4.0 * strength)
///     }
/// }
/// ```
pub trait Regularizer {
    /// `strength · R(rows)`, to be added to a loss; autodiff gives [`gradient`](Self::gradient).
    ///
    /// # Shapes
    ///
    /// `rows`: `[units, members]`; result: `[1]`.
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1>;

    /// The derivative of [`value`](Self::value) with respect to the rows, computed without autodiff.
    ///
    /// At a kink, where there are several subgradients, it is zero, so that the regularizer does not move weights that are zero.
    ///
    /// # Shapes
    ///
    /// `rows` and result: `[units, members]`.
    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2>;

    /// The proximal step, or `None` if it has no closed form:
    ///
    /// ```text
    /// prox(w) = argmin_x ½·‖x - w‖² + step · R(x)
    /// ```
    ///
    /// Taken after a gradient step of the loss alone, with `step` = learning rate · strength, it is proximal gradient descent, which
    /// produces exact zeros. It is computed without autodiff.
    ///
    /// # Shapes
    ///
    /// `rows` and result: `[units, members]`.
    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        let _ = (rows, step);
        None
    }
}

impl<R: Regularizer + ?Sized> Regularizer for &R {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        (**self).value(rows, strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        (**self).gradient(rows, strength)
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        (**self).proximal(rows, step)
    }
}

impl<R: Regularizer + ?Sized> Regularizer for Box<R> {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        (**self).value(rows, strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        (**self).gradient(rows, strength)
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        (**self).proximal(rows, step)
    }
}

/// The sum of two penalties. It has no proximal step, because that of a sum is not composed of those of its terms.
/// ([`ElasticNet`] and [`SparseGroupLasso`] are sums of which it is.)
impl<A: Regularizer, B: Regularizer> Regularizer for (A, B) {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        self.0.value(rows.clone(), strength) + self.1.value(rows, strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        self.0.gradient(rows.clone(), strength) + self.1.gradient(rows, strength)
    }
}
