use super::Curve;
use crate::CurveError;

/// A staircase: constant between its jumps.
///
/// ```text
/// value(p) = value of the last jump with at <= p, or the initial value before the first jump
/// ```
///
/// Use it for iterative pruning in stages, with training between them.
///
/// With the feature `serde`, it is written as `{ initial, jumps = [[at, value], ..] }`.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Curve, Steps};
///
/// let stages = Steps::new(0.2, [(0.5, 0.4), (1.0, 0.6)])?;
/// assert_eq!([0.0, 0.49, 0.5, 0.99, 1.0].map(|p| stages.value_at(p)), [0.2, 0.2, 0.4, 0.4, 0.6]);
/// # Ok::<(), calcine_schedule::CurveError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "form::Form"))]
pub struct Steps {
    initial: f64,
    jumps: Vec<(f64, f64)>,
}

impl Steps {
    /// The staircase with the value `initial`, which changes at each jump: a jump is the progress from which its value
    /// holds, and the value.
    ///
    /// # Errors
    ///
    /// If the jumps are not strictly ascending, or a jump is not above 0 and at most 1.
    pub fn new(
        initial: f64,
        jumps: impl IntoIterator<Item = (f64, f64)>,
    ) -> Result<Self, CurveError> {
        let jumps: Vec<(f64, f64)> = jumps.into_iter().collect();
        for (index, &(at, _)) in jumps.iter().enumerate() {
            if !(0.0 < at && at <= 1.0) {
                return Err(CurveError::JumpOutside { index, at });
            }
        }
        for (index, pair) in jumps.windows(2).enumerate() {
            let (previous, found) = (pair[0].0, pair[1].0);
            if found <= previous {
                return Err(CurveError::NotAscending {
                    index: index + 1,
                    previous,
                    found,
                });
            }
        }
        Ok(Self { initial, jumps })
    }

    /// The staircase with these values, each of which holds for an equal share of the progress. If there are several,
    /// the last one is also the value at progress 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use calcine_schedule::{Curve, Steps};
    ///
    /// let thirds = Steps::even(0.2, [0.4, 0.6]);
    /// assert_eq!([0.0, 0.4, 0.7, 1.0].map(|p| thirds.value_at(p)), [0.2, 0.4, 0.6, 0.6]);
    /// ```
    #[must_use]
    pub fn even(initial: f64, later: impl IntoIterator<Item = f64>) -> Self {
        let later: Vec<f64> = later.into_iter().collect();
        let shares = (later.len() + 1) as f64;
        let jumps = later.into_iter().enumerate();
        let jumps = jumps
            .map(|(index, value)| ((index + 1) as f64 / shares, value))
            .collect();
        Self { initial, jumps }
    }
}

impl Curve for Steps {
    fn value_at(&self, progress: f64) -> f64 {
        let taken = self
            .jumps
            .partition_point(|&(at, _)| at <= progress.clamp(0.0, 1.0));
        self.jumps[..taken]
            .last()
            .map_or(self.initial, |&(_, value)| value)
    }
}

#[cfg(feature = "serde")]
mod form {
    //! The serialized form of a staircase, not yet checked.

    use super::{CurveError, Steps};

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Form {
        initial: f64,
        jumps: Vec<(f64, f64)>,
    }

    impl TryFrom<Form> for Steps {
        type Error = CurveError;

        fn try_from(form: Form) -> Result<Self, CurveError> {
            Self::new(form.initial, form.jumps)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_jumps_the_initial_value_stays() {
        let flat = Steps::new(0.3, []).unwrap();
        assert_eq!((flat.value_at(0.0), flat.value_at(1.0)), (0.3, 0.3));
    }

    #[test]
    fn the_mistaken_jump_is_named() {
        let message = |jumps: &[(f64, f64)]| {
            Steps::new(0.0, jumps.iter().copied())
                .unwrap_err()
                .to_string()
        };
        assert!(message(&[(0.0, 1.0)]).starts_with("jump 0 is at progress 0"));
        assert!(message(&[(0.5, 1.0), (1.5, 2.0)]).starts_with("jump 1 is at progress 1.5"));
        assert!(message(&[(f64::NAN, 1.0)]).starts_with("jump 0 is at progress NaN"));
        assert_eq!(
            message(&[(0.5, 1.0), (0.5, 2.0)]),
            "jump 1 at progress 0.5 follows one at 0.5: jumps must ascend"
        );
    }
}
