use burn::tensor::Tensor;

use super::{Evidence, Score};

/// The sum of the distances of a unit to all other units.
///
/// ```text
/// score(w_i) = Σ_j ‖w_i − w_j‖₂
/// ```
///
/// Units close to the geometric median are redundant, whatever their norm (FPGM; He et al., 2019). The score needs memory for
/// `units²` numbers, so use it for filters and channels, not for elements. Distances are computed from inner products,
/// `‖a‖² + ‖b‖² − 2a·b`, of the units minus their mean; the distance of equal units may therefore differ from zero by rounding
/// errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GeometricMedian;

impl Score for GeometricMedian {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let units = evidence.units();
        let rows = evidence.rows();
        // Subtracting the mean does not change distances, and reduces cancellation.
        let rows = rows.clone() - rows.mean_dim(0);
        let squares = rows.clone().square().sum_dim(1);
        let products = rows.clone().matmul(rows.transpose());
        let distances = (squares.clone() + squares.transpose() - products.mul_scalar(2.0))
            .clamp_min(0.0)
            .sqrt();
        distances.sum_dim(1).reshape([units])
    }
}
