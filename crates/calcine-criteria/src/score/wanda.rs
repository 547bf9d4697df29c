use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// The magnitude of each weight times the norm of what it multiplies.
///
/// ```text
/// score(w_ij) = |w_ij| · ‖x_j‖₂
/// ```
///
/// with `x_j` the layer's input `j` over all samples and positions; of a unit of several weights the sum.
/// Small weights on large inputs stay, without any training (Wanda; Sun et al., 2024). The paper compares the
/// weights of one output with each other: the granularity `group(I)` with `I` the inputs of a layer, and
/// [`NOfM`](crate::NOfM) of `I`; in groups of 4 it is their 2:4 variant.
///
/// In a convolution `x_j` is the input channel, wherever a place of the kernel meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanda;

impl Score for Wanda {
    fn needs(&self) -> Needs {
        Needs::InputNorm
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let norms = evidence.input_norm.clone();
        let norms = norms.expect("this score needs the norms of inputs: ask `Score::needs`");
        row_sums(evidence.rows().abs() * norms)
    }
}
