use burn::tensor::{Bool, Tensor};

use super::{Regularizer, Separable};

/// A regularizer that applies to some of the units only.
///
/// ```text
/// R(w)         = Σ over selected g of R_inner(w_g)
/// ∇R(w)_g      = ∇R_inner(w)_g,      0 if g is not selected
/// prox(w, t)_g = prox_inner(w, t)_g, w_g if g is not selected
/// ```
///
/// # Growing regularization
///
/// [`L2`](super::L2) with a growing strength on the units that a criterion would remove is GReg-1 of Wang et al. (2021): these units
/// shrink slowly, and the network adapts, before a mask removes them. GReg-2 first lets the L2 penalty of *all* units grow, and selects
/// units by their response. The caller defines the curve of the strength and selects the units:
///
/// ```
/// use burn::tensor::{Bool, Device, Tensor};
/// use calcine_regularize::{L2, Regularizer, Selected};
///
/// let device = Device::flex();
/// let filters = Tensor::<2>::from_data([[2.0, 3.0], [0.2, 0.1]], &device);
/// let doomed = Tensor::<1, Bool>::from_data([false, true], &device);
/// let growing = Selected { inner: L2, units: doomed };
/// for step in 1..4_u8 {
///     let strength = 0.5 * f64::from(step);
///     let push = growing.gradient(filters.clone(), strength).into_data();
///     let expected = [0.0, 0.0, 0.2 * strength as f32, 0.1 * strength as f32];
///     assert!(push.iter::<f32>().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
/// }
/// ```
///
/// # Panics
///
/// All methods panic if the number of entries in `units` is not the number of rows.
#[derive(Debug, Clone)]
pub struct Selected<R> {
    /// The penalty of a selected unit.
    pub inner: R,
    /// True selects: `[units]`.
    pub units: Tensor<1, Bool>,
}

impl<R: Separable> Regularizer for Selected<R> {
    fn value(&self, rows: Tensor<2>, strength: f64) -> Tensor<1> {
        self.penalties(rows).sum().mul_scalar(strength)
    }

    fn gradient(&self, rows: Tensor<2>, strength: f64) -> Tensor<2> {
        let [units, _] = rows.dims();
        let gradient = self.inner.gradient(rows, strength);
        let selected = self.units.clone().float().cast(gradient.dtype());
        // One factor per unit is enough; a mask per member would need memory of its own.
        gradient * selected.reshape([units, 1])
    }

    fn proximal(&self, rows: Tensor<2>, step: f64) -> Option<Tensor<2>> {
        let rows = rows.without_autodiff();
        let shape = rows.dims();
        let selected = self.units.clone().reshape([shape[0], 1]).expand(shape);
        let stepped = self.inner.proximal(rows.clone(), step)?;
        Some(rows.mask_where(selected, stepped))
    }
}

impl<R: Separable> Separable for Selected<R> {
    fn penalties(&self, rows: Tensor<2>) -> Tensor<1> {
        let others = self.units.clone().bool_not();
        self.inner.penalties(rows).mask_fill(others, 0.0)
    }
}
