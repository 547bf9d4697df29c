use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// The magnitude of each weight times the norm of the input that it multiplies.
///
/// ```text
/// score(w_ij) = |w_ij| · ‖x_j‖₂
/// ```
///
/// where `x_j` is input `j` of the layer over all samples and positions. The score of a unit with several weights is their sum.
/// Small weights on large inputs are kept, without any training (Wanda; Sun et al., 2024). The paper compares the weights of one
/// output with each other: use the granularity `group(I)`, where `I` is the number of inputs of the layer, with
/// [`NOfM`](crate::NOfM) of `I`. Groups of 4 give the paper's 2:4 variant.
///
/// In a convolution, `x_j` is the input channel, whatever the position in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanda;

impl Score for Wanda {
    fn needs(&self) -> Needs {
        Needs::InputNorm
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let norms = evidence.input_norm.clone();
        let norms = norms.expect("this score needs the norms of inputs: see `Score::needs`");
        row_sums(evidence.rows().abs() * norms)
    }
}
