use super::LearningRate;
use super::setting::Setting;
use crate::{Curve, RateError, curve};

/// The one-cycle schedule: the rate rises to the base rate, and then falls far below its initial value.
///
/// ```text
/// factor(e) = anneal from 1 / initial_divisor to 1    over the first warm_up * epochs
///           = anneal from 1 to 1 / last_divisor       over the rest
///           = 1 / last_divisor                        after that
/// ```
/// The base rate is the peak, and may be larger than with other schedules (Smith and Topin, "Super-Convergence", 2018).
/// The defaults are those of PyTorch's `OneCycleLR`: a warm-up of 0.3, cosine annealing, an initial divisor of 25 and a
/// last one of 25 * 10^4, where both divisors are relative to the peak.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let cycle = rate::OneCycle::new(10.0)?
///     .with_warm_up(0.5)?
///     .with_initial_divisor(4.0)?
///     .with_last_divisor(100.0)?;
/// assert_eq!([0.0, 5.0, 10.0, 11.0].map(|e| cycle.factor(e)), [0.25, 1.0, 0.01, 0.01]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OneCycle {
    epochs: f64,
    warm_up: f64,
    initial_divisor: f64,
    last_divisor: f64,
    anneal: Anneal,
}

/// The shape of the rise and the fall of [`OneCycle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Anneal {
    /// Half a cosine, which is smooth at the peak.
    #[default]
    Cosine,
    /// A straight line, as in the paper.
    Linear,
}

impl Anneal {
    fn between(self, initial: f64, last: f64, progress: f64) -> f64 {
        match self {
            Self::Cosine => curve::Cosine { initial, last }.value_at(progress),
            Self::Linear => curve::Linear { initial, last }.value_at(progress),
        }
    }
}

const NAME: &str = "one_cycle";

impl OneCycle {
    /// The cycle over `epochs` epochs, with the default settings.
    ///
    /// # Errors
    ///
    /// If `epochs` is not a finite number above 0.
    pub fn new(epochs: f64) -> Result<Self, RateError> {
        Ok(Self {
            epochs: Setting::new(NAME, "epochs", epochs).positive()?,
            warm_up: 0.3,
            initial_divisor: 25.0,
            last_divisor: 25.0e4,
            anneal: Anneal::Cosine,
        })
    }

    /// Sets the share of the cycle in which the rate rises. Default: 0.3.
    ///
    /// # Errors
    ///
    /// If `fraction` is not in `[0, 1]`.
    pub fn with_warm_up(self, fraction: f64) -> Result<Self, RateError> {
        Ok(Self {
            warm_up: Setting::new(NAME, "warm_up", fraction).fraction()?,
            ..self
        })
    }

    /// Sets the ratio of the peak to the initial rate. Default: 25.
    ///
    /// # Errors
    ///
    /// If `divisor` is not finite, or below 1.
    pub fn with_initial_divisor(self, divisor: f64) -> Result<Self, RateError> {
        let divisor = Setting::new(NAME, "initial_divisor", divisor).at_least_one()?;
        Ok(Self {
            initial_divisor: divisor,
            ..self
        })
    }

    /// Sets the ratio of the peak to the last rate. Default: 250 000.
    ///
    /// # Errors
    ///
    /// If `divisor` is not finite, or below 1.
    pub fn with_last_divisor(self, divisor: f64) -> Result<Self, RateError> {
        let divisor = Setting::new(NAME, "last_divisor", divisor).at_least_one()?;
        Ok(Self {
            last_divisor: divisor,
            ..self
        })
    }

    /// Sets the shape of the rise and the fall. Default: [`Anneal::Cosine`].
    #[must_use]
    pub fn with_anneal(self, anneal: Anneal) -> Self {
        Self { anneal, ..self }
    }
}

impl LearningRate for OneCycle {
    fn factor(&self, epochs: f64) -> f64 {
        let epochs = epochs.max(0.0);
        let peak = self.warm_up * self.epochs;
        if epochs < peak {
            return self
                .anneal
                .between(1.0 / self.initial_divisor, 1.0, epochs / peak);
        }
        if self.epochs <= epochs {
            return 1.0 / self.last_divisor;
        }
        let progress = (epochs - peak) / (self.epochs - peak);
        self.anneal.between(1.0, 1.0 / self.last_divisor, progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_start_at_a_twenty_fifth_and_peak_at_three_tenths() {
        let cycle = OneCycle::new(100.0).unwrap();
        assert_eq!((cycle.factor(0.0), cycle.factor(30.0)), (0.04, 1.0));
        assert_eq!(cycle.factor(100.0), 1.0 / 250_000.0);
    }

    #[test]
    fn linear_slopes_are_half_way_in_the_middle() {
        let cycle = OneCycle::new(10.0).unwrap().with_anneal(Anneal::Linear);
        let cycle = cycle
            .with_initial_divisor(2.0)
            .unwrap()
            .with_last_divisor(2.0)
            .unwrap();
        assert!((cycle.factor(1.5) - 0.75).abs() < 1e-15);
        assert!((cycle.factor(6.5) - 0.75).abs() < 1e-15);
    }

    #[test]
    fn a_cycle_may_only_rise_or_only_fall() {
        let cycle = |warm_up| OneCycle::new(10.0).unwrap().with_warm_up(warm_up).unwrap();
        assert_eq!(
            (cycle(0.0).factor(0.0), cycle(0.0).factor(-1.0)),
            (1.0, 1.0)
        );
        assert!(cycle(1.0).factor(9.999) > 0.99);
        assert_eq!(cycle(1.0).factor(10.0), 1.0 / 250_000.0);
    }
}
