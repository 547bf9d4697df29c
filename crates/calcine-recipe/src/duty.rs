use std::fmt;

/// A table of a recipe that a [`Driver`](calcine_train::Driver) does not carry out: it changes the network, or
/// the data, around the driver's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Duty {
    /// `[thin]`: the network is thinned before some epochs, or at the end ([`Thinning`](crate::Thinning)).
    Thin,
    /// `[quantize]`: the network is made one for quantization-aware training, and its stage changes before some
    /// epochs ([`RecipeQuantization`](crate::RecipeQuantization)).
    Quantize,
    /// `[distill]`: batches come with a teacher's outputs ([`DistillationSettings`](crate::DistillationSettings)).
    Distill,
}

impl Duty {
    /// What carries it out.
    pub(crate) fn carried_out_by(self) -> &'static str {
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

/// The table's name in brackets.
impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thin => "[thin]",
            Self::Quantize => "[quantize]",
            Self::Distill => "[distill]",
        })
    }
}
