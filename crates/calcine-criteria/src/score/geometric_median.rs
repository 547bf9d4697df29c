use burn::tensor::Tensor;

use super::{Evidence, Score};

/// How much a unit differs from the others: the sum of its distances to all of them.
///
/// ```text
/// score(w_i) = Σ_j ‖w_i − w_j‖₂
/// ```
///
/// The units nearest to the geometric median can be replaced by the rest, whatever their norm (FPGM; He et
/// al., 2019). Takes `units²` numbers of memory, so it is for filters and channels, not elements. Distances
/// come from inner products, `‖a‖² + ‖b‖² − 2a·b` of the units less their mean: equal units may be a few
/// rounding errors apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GeometricMedian;

impl Score for GeometricMedian {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let units = evidence.units();
        let rows = evidence.rows();
        // Distances do not change, and there is less to cancel.
        let rows = rows.clone() - rows.mean_dim(0);
        let squares = rows.clone().square().sum_dim(1);
        let products = rows.clone().matmul(rows.transpose());
        let distances = (squares.clone() + squares.transpose() - products.mul_scalar(2.0))
            .clamp_min(0.0)
            .sqrt();
        distances.sum_dim(1).reshape([units])
    }
}
