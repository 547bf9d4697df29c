use super::LearningRate;
use super::setting::{Setting, ascending, reached};
use crate::RateError;

/// Multiplies the rate by a different gamma at each milestone.
///
/// ```text
/// factor(e) = product of gammas[i] over all milestones[i] <= floor(e)
/// ```
///
/// The rate changes exactly at whole epochs. This is Distiller's schedule of the same name.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let steps = rate::MultiStepMultiGamma::new([2, 5], [0.5, 0.25])?;
/// assert_eq!([1.0, 2.0, 4.5, 5.0].map(|e| steps.factor(e)), [1.0, 0.5, 0.5, 0.125]);
/// assert!(rate::MultiStepMultiGamma::new([2, 5], [0.5]).is_err());
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStepMultiGamma {
    milestones: Vec<u64>,
    /// The product of the gammas up to each milestone.
    products: Vec<f64>,
}

impl MultiStepMultiGamma {
    /// The schedule that multiplies the rate by `gammas[i]` at the beginning of epoch `milestones[i]`.
    ///
    /// # Errors
    ///
    /// If a milestone is below the previous one, if the numbers of gammas and milestones differ, or if a gamma is not a
    /// finite number above 0.
    pub fn new(
        milestones: impl IntoIterator<Item = u64>,
        gammas: impl IntoIterator<Item = f64>,
    ) -> Result<Self, RateError> {
        const NAME: &str = "multi_step_multi_gamma";
        let milestones = ascending(NAME, milestones)?;
        let mut products = Vec::with_capacity(milestones.len());
        let mut product = 1.0;
        for gamma in gammas {
            product *= Setting::new(NAME, "a gamma", gamma).positive()?;
            products.push(product);
        }
        if products.len() != milestones.len() {
            return Err(RateError::Lengths {
                schedule: NAME,
                milestones: milestones.len(),
                gammas: products.len(),
            });
        }
        Ok(Self {
            milestones,
            products,
        })
    }
}

impl LearningRate for MultiStepMultiGamma {
    fn factor(&self, epochs: f64) -> f64 {
        let reached = reached(&self.milestones, epochs);
        self.products[..reached].last().copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milestone_given_twice_applies_both_gammas() {
        let steps = MultiStepMultiGamma::new([3, 3], [0.5, 0.5]).unwrap();
        assert_eq!((steps.factor(2.9), steps.factor(3.0)), (1.0, 0.25));
    }

    #[test]
    fn a_missing_gamma_is_counted() {
        let error = MultiStepMultiGamma::new([1, 2, 3], [0.1, 0.1]).unwrap_err();
        assert!(
            error.to_string().contains("3 milestones but 2 gammas"),
            "{error}"
        );
    }
}
