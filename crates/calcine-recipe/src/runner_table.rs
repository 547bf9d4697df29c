use std::fmt;

/// A table of a recipe that a [`Driver`](calcine_train::Driver) does not execute, because it changes the network or the
/// data between the steps of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunnerTable {
    /// `[thin]`: the network is thinned before some epochs, or at the end ([`Thinning`](crate::Thinning)).
    Thin,
    /// `[quantize]`: the network is prepared for quantization-aware training, and its stage changes before some epochs
    /// ([`RecipeQuantization`](crate::RecipeQuantization)).
    Quantize,
    /// `[distill]`: batches include the outputs of a teacher ([`DistillationSettings`](crate::DistillationSettings)).
    Distill,
}

impl RunnerTable {
    /// The functions that execute the table.
    pub(crate) fn executed_by(self) -> &'static str {
        match self {
            Self::Thin => {
                "`calcine_thin::thin` before each of `Recipe::thinning`'s epochs, and `Run::thinned`"
            }
            Self::Quantize => {
                "`calcine_quantize::QatNetwork`, with the settings and stages of `Recipe::quantization`"
            }
            Self::Distill => {
                "`calcine_train::DistillationData` with `DistillationObjective`, and the settings of `Recipe::distillation`"
            }
        }
    }
}

/// The name of the table in brackets.
impl fmt::Display for RunnerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thin => "[thin]",
            Self::Quantize => "[quantize]",
            Self::Distill => "[distill]",
        })
    }
}
