use std::fmt;
use std::str::FromStr;

use burn::tensor::{Bool, Tensor};

/// The norm of a unit that is compared with a threshold, to set small units to zero after a step.
///
/// ```text
/// mean_abs = Σ|w_i| / n     l1 = Σ|w_i|     mean_l2 = √Σw_i² / n     l2 = √Σw_i²     max = max|w_i|
/// ```
///
/// `n` is the number of members. As in Distiller, `mean_l2` is not the root mean square. A subgradient step does not stop at zero;
/// zeroing small units emulates a [proximal step](crate::Regularizer::proximal), which needs no threshold.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_regularize::Criterion;
///
/// let filters = Tensor::<2>::from_data([[0.1, -0.3], [0.1, 0.0]], &Device::flex());
/// let criterion: Criterion = "mean_abs".parse()?;
/// let keep = criterion.keep(filters, 0.1);
/// assert_eq!(keep.into_data().to_vec::<bool>().unwrap(), [true, false]);
/// # Ok::<(), calcine_regularize::UnknownCriterion>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Criterion {
    /// The mean magnitude; Distiller's `Mean_Abs` and `Mean_L1`.
    MeanAbs,
    /// The sum of magnitudes.
    L1,
    /// The Euclidean norm divided by the number of members.
    MeanL2,
    /// The Euclidean norm.
    L2,
    /// The largest magnitude.
    Max,
}

impl Criterion {
    /// The names that [`Criterion::from_str`] reads, in any case; `mean_l1` is another for `mean_abs`.
    pub const NAMES: [&'static str; 5] = ["mean_abs", "l1", "mean_l2", "l2", "max"];

    /// The norm of each unit.
    ///
    /// # Shapes
    ///
    /// `rows`: `[units, members]`; result: `[units]`.
    #[must_use]
    pub fn norms(self, rows: Tensor<2>) -> Tensor<1> {
        let [units, members] = rows.dims();
        if members == 1 {
            return rows.reshape([units]).abs();
        }
        let norms = match self {
            Self::MeanAbs | Self::L1 => rows.abs().sum_dim(1),
            Self::MeanL2 | Self::L2 => rows.square().sum_dim(1).sqrt(),
            Self::Max => rows.abs().max_dim(1),
        };
        let norms = norms.reshape([units]);
        match self {
            Self::MeanAbs | Self::MeanL2 => norms.div_scalar(members as f64),
            Self::L1 | Self::L2 | Self::Max => norms,
        }
    }

    /// Keeps units whose norm exceeds the threshold, which is rounded to `f32`. Units with a norm equal to it or NaN are dropped.
    ///
    /// # Shapes
    ///
    /// `rows`: `[units, members]`; result: `[units]`.
    #[must_use]
    pub fn keep(self, rows: Tensor<2>, threshold: f64) -> Tensor<1, Bool> {
        self.norms(rows).greater_scalar(threshold as f32)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MeanAbs => "mean_abs",
            Self::L1 => "l1",
            Self::MeanL2 => "mean_l2",
            Self::L2 => "l2",
            Self::Max => "max",
        })
    }
}

/// An unknown criterion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown criterion `{found}`: expected one of {}", Criterion::NAMES.join(", "))]
pub struct UnknownCriterion {
    found: String,
}

impl FromStr for Criterion {
    type Err = UnknownCriterion;

    fn from_str(word: &str) -> Result<Self, UnknownCriterion> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "mean_abs" | "mean_l1" => Self::MeanAbs,
            "l1" => Self::L1,
            "mean_l2" => Self::MeanL2,
            "l2" => Self::L2,
            "max" => Self::Max,
            _ => {
                return Err(UnknownCriterion {
                    found: word.to_owned(),
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_criterion_reads_back_what_it_displays() {
        for name in Criterion::NAMES {
            assert_eq!(name.parse::<Criterion>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn distillers_spelling_is_read() {
        for (word, criterion) in [
            ("Mean_Abs", Criterion::MeanAbs),
            ("Mean_L1", Criterion::MeanAbs),
            ("L1", Criterion::L1),
            ("Mean_L2", Criterion::MeanL2),
            ("L2", Criterion::L2),
            ("Max", Criterion::Max),
        ] {
            assert_eq!(word.parse(), Ok(criterion));
        }
    }

    #[test]
    fn an_unknown_word_lists_the_valid_ones() {
        let error = "Median".parse::<Criterion>().unwrap_err().to_string();
        assert!(
            error.contains("`Median`") && error.contains("mean_abs"),
            "{error}"
        );
    }
}
