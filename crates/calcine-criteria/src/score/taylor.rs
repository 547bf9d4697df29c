use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// The first-order change of the loss if the unit were zero.
///
/// ```text
/// signed    Σ w_i·g_i          absolute  |Σ w_i·g_i|          square  (Σ w_i·g_i)²
/// ```
///
/// with `g` the loss gradient at `w`. A unit whose removal changes the loss little, up or down, has a
/// small absolute or squared score (Molchanov et al., 2017 and 2019); the signed one, Distiller's
/// *gradient* ranking, prunes first what seems to lower the loss, however far the expansion is from true
/// there.
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
