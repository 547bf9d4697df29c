use super::LearningRate;
use super::setting::Setting;
use crate::{Curve, RateError, curve};

/// Cosine annealing, with an optional linear warm-up.
///
/// ```text
/// factor(e) = floor + (1 - floor) * e / warm_up                  e < warm_up
///           = floor + (1 - floor) * (1 + cos(pi * p)) / 2        warm_up <= e < t_max
///           = floor                                              t_max <= e
/// p         = (e - warm_up) / (t_max - warm_up)
/// ```
///
/// The factor starts at 1, or at `floor` if there is a warm-up, and stays at `floor` after `t_max`. With neither, it is
/// half a cosine from 1 to 0: a good default if the length of the run is known (annealing: Loshchilov and Hutter,
/// "SGDR", 2017; warm-up: Goyal et al., "Accurate, Large Minibatch SGD", 2017). For restarts, see
/// [`CosineRestarts`](super::CosineRestarts).
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// let cosine = rate::Cosine::new(25.0)?.with_warm_up(5.0)?.with_floor(0.5)?;
/// assert_eq!([0.0, 2.5, 5.0].map(|e| cosine.factor(e)), [0.5, 0.75, 1.0]);
/// assert_eq!([15.0, 25.0, 99.0].map(|e| cosine.factor(e)), [0.75, 0.5, 0.5]);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cosine {
    t_max: f64,
    warm_up: f64,
    floor: f64,
}

const NAME: &str = "cosine";

impl Cosine {
    /// Annealing from 1 to 0 over `t_max` epochs, without warm-up.
    ///
    /// # Errors
    ///
    /// If `t_max` is not a finite number above 0.
    pub fn new(t_max: f64) -> Result<Self, RateError> {
        let t_max = Setting::new(NAME, "t_max", t_max).positive()?;
        Ok(Self {
            t_max,
            warm_up: 0.0,
            floor: 0.0,
        })
    }

    /// Adds a linear warm-up over the first `epochs` epochs, which are part of `t_max`. Default: 0.
    ///
    /// # Errors
    ///
    /// If `epochs` is below 0, or not below `t_max`.
    pub fn with_warm_up(self, epochs: f64) -> Result<Self, RateError> {
        let setting = Setting::new(NAME, "warm_up", epochs);
        if 0.0 <= epochs && epochs < self.t_max {
            return Ok(Self {
                warm_up: epochs,
                ..self
            });
        }
        Err(setting.refused("0 or above, and below t_max"))
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
}

impl LearningRate for Cosine {
    fn factor(&self, epochs: f64) -> f64 {
        let Self {
            t_max,
            warm_up,
            floor,
        } = *self;
        let epochs = epochs.max(0.0);
        if epochs < warm_up {
            return curve::Linear {
                initial: floor,
                last: 1.0,
            }
            .value_at(epochs / warm_up);
        }
        curve::Cosine {
            initial: 1.0,
            last: floor,
        }
        .value_at((epochs - warm_up) / (t_max - warm_up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_settings_it_is_half_a_cosine() {
        let cosine = Cosine::new(10.0).unwrap();
        assert_eq!((cosine.factor(0.0), cosine.factor(10.0)), (1.0, 0.0));
        assert!((cosine.factor(10.0 / 3.0) - 0.75).abs() < 1e-12);
        assert_eq!(cosine.factor(-1.0), 1.0);
    }

    #[test]
    fn a_warm_up_as_long_as_the_run_is_refused() {
        let error = Cosine::new(5.0).unwrap().with_warm_up(5.0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cosine schedule: warm_up is 5, but must be 0 or above, and below t_max"
        );
    }
}
