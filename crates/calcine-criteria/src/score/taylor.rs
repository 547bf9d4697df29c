use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// The first-order change of the loss if the unit were set to zero.
///
/// ```text
/// signed    Σ w_i·g_i          absolute  |Σ w_i·g_i|          square  (Σ w_i·g_i)²
/// ```
///
/// where `g` is the gradient of the loss at `w`. A unit whose removal changes the loss little has a small absolute or squared
/// score (Molchanov et al., 2017 and 2019). The signed score, Distiller's *gradient* ranking, first drops the units whose
/// removal seems to lower the loss most, even though the expansion is inaccurate there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taylor {
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Signed,
    Absolute,
    Square,
}

impl Taylor {
    /// Σ w·g.
    pub const SIGNED: Self = Self { form: Form::Signed };
    /// |Σ w·g|.
    pub const ABSOLUTE: Self = Self {
        form: Form::Absolute,
    };
    /// (Σ w·g)².
    pub const SQUARE: Self = Self { form: Form::Square };
}

impl Score for Taylor {
    fn needs(&self) -> Needs {
        Needs::Gradient
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let change = row_sums(evidence.weight_times_gradient());
        match self.form {
            Form::Signed => change,
            Form::Absolute => change.abs(),
            Form::Square => change.square(),
        }
    }
}
