use super::LearningRate;
use super::setting::Setting;
use crate::{RateError, StateError};

/// Reduces the rate when a validation metric stops improving.
///
/// ```text
/// an epoch is good if the metric is better than the best so far by more than the threshold
/// after more than `patience` bad epochs in a row:
///     factor <- max(factor * reduction, floor), but never upwards
///     the next `cooldown` epochs do not count as bad
/// ```
///
/// The rule and the defaults are those of PyTorch's `ReduceLROnPlateau`: reduction 0.1, patience 10, a relative
/// threshold of 10^-4, no cooldown, no floor. The factor does not depend on the position; it changes in
/// [`observe`](LearningRate::observe).
///
/// There are two differences: a metric that is not finite is bad and never becomes the best, and the relative threshold
/// is a fraction of the absolute value of the best metric, so that a negative metric has to improve, too.
///
/// # State
///
/// The state consists of the factor, the number of bad epochs, the remaining epochs of cooldown, and the best metric if
/// there is one: three or four finite numbers.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let mut plateau = rate::Plateau::new(rate::Mode::Min).with_patience(1).with_factor(0.5)?;
/// let factors = [3.0, 2.0, 2.0, 2.0, 2.0].map(|loss| {
///     plateau.observe(loss);
///     plateau.factor(0.0)
/// });
/// assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plateau {
    mode: Mode,
    reduction: f64,
    patience: u64,
    threshold: Threshold,
    cooldown: u64,
    floor: f64,
    progress: PlateauState,
}

/// The state of a [`Plateau`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct PlateauState {
    factor: f64,
    bad: u64,
    cooling: u64,
    best: Option<f64>,
}

/// Whether a smaller or a larger metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Smaller metrics are better, for example a loss.
    Min,
    /// Larger metrics are better, for example an accuracy.
    Max,
}

/// The difference to the best metric that counts as an improvement.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Threshold {
    /// More than this fraction of the absolute value of the best metric.
    Relative(f64),
    /// More than this number.
    Absolute(f64),
}

const NAME: &str = "plateau";

impl Plateau {
    /// The schedule with the default settings.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            reduction: 0.1,
            patience: 10,
            threshold: Threshold::Relative(1e-4),
            cooldown: 0,
            floor: 0.0,
            progress: PlateauState {
                factor: 1.0,
                bad: 0,
                cooling: 0,
                best: None,
            },
        }
    }

    /// Sets the factor by which the rate is multiplied. Default: 0.1.
    ///
    /// # Errors
    ///
    /// If `factor` is not between 0 and 1, both exclusive.
    pub fn with_factor(self, factor: f64) -> Result<Self, RateError> {
        if 0.0 < factor && factor < 1.0 {
            return Ok(Self {
                reduction: factor,
                ..self
            });
        }
        Err(Setting::new(NAME, "factor", factor).refused("above 0 and below 1"))
    }

    /// Sets the number of consecutive bad epochs that are tolerated; the next one reduces the rate. Default: 10.
    #[must_use]
    pub fn with_patience(self, epochs: u64) -> Self {
        Self {
            patience: epochs,
            ..self
        }
    }

    /// Sets the difference that counts as an improvement. Default: relative, 10^-4.
    ///
    /// # Errors
    ///
    /// If the number is not finite, or below 0.
    pub fn with_threshold(self, threshold: Threshold) -> Result<Self, RateError> {
        let (Threshold::Relative(value) | Threshold::Absolute(value)) = threshold;
        Setting::new(NAME, "threshold", value).not_negative()?;
        Ok(Self { threshold, ..self })
    }

    /// Sets the number of epochs after a reduction that do not count as bad. Default: 0.
    #[must_use]
    pub fn with_cooldown(self, epochs: u64) -> Self {
        Self {
            cooldown: epochs,
            ..self
        }
    }

    /// Sets the smallest multiple of the base rate. Default: 0.
    ///
    /// # Errors
    ///
    /// If `floor` is not in `[0, 1]`.
    pub fn with_floor(self, floor: f64) -> Result<Self, RateError> {
        Ok(Self {
            floor: Setting::new(NAME, "floor", floor).fraction()?,
            ..self
        })
    }

    fn improves(&self, metric: f64) -> bool {
        let Some(best) = self.progress.best else {
            return metric.is_finite();
        };
        let margin = match self.threshold {
            Threshold::Relative(fraction) => fraction * best.abs(),
            Threshold::Absolute(difference) => difference,
        };
        metric.is_finite()
            && match self.mode {
                Mode::Min => metric < best - margin,
                Mode::Max => best + margin < metric,
            }
    }

    /// Checks a saved state, and converts it.
    fn read(&self, state: &[f64]) -> Result<PlateauState, StateError> {
        let (factor, bad, cooling, best) = match *state {
            [factor, bad, cooling] => (factor, bad, cooling, None),
            [factor, bad, cooling, best] => (factor, bad, cooling, Some(best)),
            _ => {
                let found = state.len();
                return Err(StateError::Length {
                    schedule: NAME,
                    expected: "3 or 4",
                    found,
                });
            }
        };
        let fault = |index: usize, valid| StateError::Value {
            schedule: NAME,
            index,
            value: state[index],
            valid,
        };
        if !(0.0..=1.0).contains(&factor) {
            return Err(fault(0, "a factor from 0 to 1"));
        }
        if let Some(best) = best
            && !best.is_finite()
        {
            return Err(fault(3, "a finite metric"));
        }
        Ok(PlateauState {
            factor,
            bad: count(bad).ok_or_else(|| fault(1, COUNT))?,
            cooling: count(cooling).ok_or_else(|| fault(2, COUNT))?,
            best,
        })
    }
}

const COUNT: &str = "a number of epochs";

/// Converts a number of epochs that was saved as a float.
fn count(value: f64) -> Option<u64> {
    (0.0 <= value && value < 2.0_f64.powi(53) && value.fract() == 0.0).then_some(value as u64)
}

impl LearningRate for Plateau {
    fn factor(&self, _epochs: f64) -> f64 {
        self.progress.factor
    }

    fn observe(&mut self, metric: f64) {
        if self.improves(metric) {
            self.progress.best = Some(metric);
            self.progress.bad = 0;
        } else {
            self.progress.bad += 1;
        }
        if 0 < self.progress.cooling {
            self.progress.cooling -= 1;
            self.progress.bad = 0;
        }
        if self.patience < self.progress.bad {
            let reduced = (self.progress.factor * self.reduction).max(self.floor);
            self.progress.factor = reduced.min(self.progress.factor);
            self.progress.cooling = self.cooldown;
            self.progress.bad = 0;
        }
    }

    fn state(&self) -> Vec<f64> {
        let PlateauState {
            factor,
            bad,
            cooling,
            best,
        } = self.progress;
        [factor, bad as f64, cooling as f64]
            .into_iter()
            .chain(best)
            .collect()
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), StateError> {
        self.progress = self.read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(mut plateau: Plateau, metrics: &[f64]) -> Vec<f64> {
        let observed = metrics.iter().map(|metric| {
            plateau.observe(*metric);
            plateau.factor(0.0)
        });
        observed.collect()
    }

    fn halving(mode: Mode) -> Plateau {
        Plateau::new(mode)
            .with_factor(0.5)
            .unwrap()
            .with_patience(0)
    }

    #[test]
    fn patience_is_the_number_of_bad_epochs_borne() {
        let plateau = halving(Mode::Min).with_patience(2);
        let expected = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25];
        assert_eq!(factors(plateau, &[1.0; 7]), expected);
    }

    #[test]
    fn epochs_of_cooldown_do_not_count_as_bad() {
        let plateau = halving(Mode::Min).with_cooldown(2);
        assert_eq!(
            factors(plateau, &[1.0; 6]),
            [1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
        );
    }

    #[test]
    fn the_rate_does_not_fall_below_the_floor() {
        let plateau = halving(Mode::Max).with_floor(0.3).unwrap();
        assert_eq!(
            factors(plateau, &[1.0, 1.0, 1.0, 1.0]),
            [1.0, 0.5, 0.3, 0.3]
        );
    }

    #[test]
    fn a_factor_restored_below_the_floor_is_not_raised() {
        let mut plateau = halving(Mode::Min).with_floor(0.5).unwrap();
        plateau.restore(&[0.125, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(factors(plateau, &[1.0, 1.0]), [0.125, 0.125]);
    }

    #[test]
    fn an_improvement_exceeds_the_threshold() {
        let by_a_tenth = |mode, threshold| halving(mode).with_threshold(threshold).unwrap();
        let (relative, absolute) = (Threshold::Relative(0.125), Threshold::Absolute(0.125));
        assert_eq!(
            factors(by_a_tenth(Mode::Min, relative), &[8.0, 7.0]),
            [1.0, 0.5]
        );
        assert_eq!(
            factors(by_a_tenth(Mode::Min, relative), &[8.0, 6.9]),
            [1.0, 1.0]
        );
        assert_eq!(
            factors(by_a_tenth(Mode::Max, relative), &[8.0, 9.1]),
            [1.0, 1.0]
        );
        assert_eq!(
            factors(by_a_tenth(Mode::Max, relative), &[-8.0, -8.0]),
            [1.0, 0.5]
        );
        assert_eq!(
            factors(by_a_tenth(Mode::Max, absolute), &[1.0, 1.125]),
            [1.0, 0.5]
        );
        assert_eq!(
            factors(by_a_tenth(Mode::Min, absolute), &[1.0, 0.5]),
            [1.0, 1.0]
        );
    }

    #[test]
    fn a_diverged_epoch_is_bad_and_is_never_the_best() {
        let metrics = [f64::NAN, 1.0, f64::NEG_INFINITY, 0.5];
        assert_eq!(
            factors(halving(Mode::Min), &metrics),
            [0.5, 0.5, 0.25, 0.25]
        );
    }

    #[test]
    fn a_restored_schedule_goes_on_like_the_saved_one() {
        let fresh = halving(Mode::Min).with_patience(1).with_cooldown(2);
        let metrics = [0.9, 0.7, 0.8, 0.8, 0.8, 0.3, 0.31, 0.3, 0.3, 0.3];
        for saved_after in 0..metrics.len() {
            let mut saved = fresh.clone();
            for metric in &metrics[..saved_after] {
                saved.observe(*metric);
            }
            let mut resumed = fresh.clone();
            resumed.restore(&saved.state()).unwrap();
            assert_eq!(resumed, saved);
            assert!(saved.state().iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn an_impossible_state_is_refused_by_index() {
        let mut plateau = Plateau::new(Mode::Min);
        let message =
            |state: &[f64], plateau: &mut Plateau| plateau.restore(state).unwrap_err().to_string();
        assert!(message(&[1.0], &mut plateau).contains("has 1 values where 3 or 4 are valid"));
        assert!(message(&[1.0; 5], &mut plateau).contains("has 5 values"));
        assert!(message(&[2.0, 0.0, 0.0], &mut plateau).starts_with("value 0"));
        assert!(message(&[1.0, 0.5, 0.0], &mut plateau).starts_with("value 1"));
        assert!(message(&[1.0, 0.0, -1.0], &mut plateau).starts_with("value 2"));
        assert!(message(&[1.0, 0.0, 0.0, f64::NAN], &mut plateau).starts_with("value 3"));
        assert_eq!(plateau, Plateau::new(Mode::Min));
    }
}
