//! Learning-rate schedules, as multiples of the base rate.

mod constant;
mod cosine;
mod cosine_restarts;
mod exponential;
mod multi_step;
mod multi_step_multi_gamma;
mod one_cycle;
mod per_epoch;
mod plateau;
mod polynomial;
mod setting;
mod step;
mod warm_up;

pub use constant::Constant;
pub use cosine::Cosine;
pub use cosine_restarts::CosineRestarts;
pub use exponential::Exponential;
pub use multi_step::MultiStep;
pub use multi_step_multi_gamma::MultiStepMultiGamma;
pub use one_cycle::{Anneal, OneCycle};
pub use per_epoch::PerEpoch;
pub use plateau::{Mode, Plateau, Threshold};
pub use polynomial::Polynomial;
pub use step::Step;
pub use warm_up::WarmUp;

use crate::StateError;

/// A learning-rate schedule: the multiple of the base rate at a position in the run.
///
/// ```text
/// learning rate = base rate * factor(epochs)
/// ```
///
/// The position is the number of epochs since the beginning of the run. It may be fractional, as returned by
/// [`Clock::epochs`](crate::Clock::epochs). One schedule can serve several parameter groups with different base rates.
/// The schedules of this crate treat positions below 0 as 0.
///
/// Schedules with steps change exactly at whole epochs; the others change with every step. To change any schedule only
/// between epochs, wrap it in [`PerEpoch`].
///
/// # Schedules that adapt
///
/// [`factor`](Self::factor) is pure. A schedule that adapts to training does so in [`observe`](Self::observe), which
/// the training loop calls at the end of each epoch with the validation metric. [`state`](Self::state) returns what has
/// to be saved in a checkpoint, and [`restore`](Self::restore) restores it bit for bit. The default implementations are
/// for schedules without state.
///
/// # Implementations
///
/// Closures and functions `Fn(f64) -> f64` are schedules; declare the type of the parameter, as in `|epochs: f64|
/// 0.9_f64.powf(epochs)`. Boxes of and mutable references to `dyn LearningRate` (also with `+ Send` and `+ Send +
/// Sync`) are schedules, too, and so are pairs, whose factors are multiplied. Shared references are not, because they
/// cannot observe a metric.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{LearningRate, rate};
///
/// /// Halves the rate each time the metric is worse than the time before.
/// struct Bold {
///     factor: f64,
///     metric: f64,
/// }
///
/// impl LearningRate for Bold {
///     fn factor(&self, _epochs: f64) -> f64 {
///         self.factor
///     }
///
///     fn observe(&mut self, metric: f64) {
///         if self.metric < metric {
///             self.factor /= 2.0;
///         }
///         self.metric = metric;
///     }
///
///     fn state(&self) -> Vec<f64> {
///         vec![self.factor, self.metric]
///     }
///
///     fn restore(&mut self, state: &[f64]) -> Result<(), calcine_schedule::StateError> {
///         let &[factor, metric] = state else {
///             return Err(calcine_schedule::StateError::Length {
///                 schedule: "bold",
///                 expected: "2",
///                 found: state.len(),
///             });
///         };
///         (self.factor, self.metric) = (factor, metric);
///         Ok(())
///     }
/// }
///
/// let mut schedule: Box<dyn LearningRate> =
///     Box::new((rate::WarmUp::new(2.0)?, Bold { factor: 1.0, metric: 9.0 }));
/// schedule.observe(4.0);
/// assert_eq!(schedule.factor(1.0), 0.5);
/// schedule.observe(5.0);
/// assert_eq!(schedule.factor(2.0), 0.5);
/// # Ok::<(), calcine_schedule::RateError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a learning-rate schedule",
    note = "a closure is one if its parameter has a type: `|epochs: f64| ...`",
    note = "shared references are not schedules, because they cannot observe a metric"
)]
pub trait LearningRate {
    /// The multiple of the base rate at the position `epochs`.
    fn factor(&self, epochs: f64) -> f64;

    /// Receives the validation metric of an epoch that has ended. It is called once per epoch; the default does
    /// nothing.
    fn observe(&mut self, metric: f64) {
        let _ = metric;
    }

    /// The state that a checkpoint has to contain. The default has none.
    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Restores what [`state`](Self::state) returned, so that the schedule continues bit for bit like the one that was
    /// saved.
    ///
    /// # Errors
    ///
    /// If this kind of schedule cannot have saved the state; the schedule is then unchanged. The default accepts only
    /// the empty state.
    fn restore(&mut self, state: &[f64]) -> Result<(), StateError> {
        if state.is_empty() {
            return Ok(());
        }
        Err(StateError::Length {
            schedule: "non-adapting",
            expected: "0",
            found: state.len(),
        })
    }
}

impl<F: Fn(f64) -> f64> LearningRate for F {
    fn factor(&self, epochs: f64) -> f64 {
        self(epochs)
    }
}

macro_rules! forward {
    ($($pointer:ty),* $(,)?) => {$(
        impl LearningRate for $pointer {
            fn factor(&self, epochs: f64) -> f64 {
                (**self).factor(epochs)
            }

            fn observe(&mut self, metric: f64) {
                (**self).observe(metric);
            }

            fn state(&self) -> Vec<f64> {
                (**self).state()
            }

            fn restore(&mut self, state: &[f64]) -> Result<(), StateError> {
                (**self).restore(state)
            }
        }
    )*};
}

forward!(
    Box<dyn LearningRate + '_>,
    Box<dyn LearningRate + Send + '_>,
    Box<dyn LearningRate + Send + Sync + '_>,
    &mut (dyn LearningRate + '_),
    &mut (dyn LearningRate + Send + '_),
    &mut (dyn LearningRate + Send + Sync + '_),
);

/// The product of two schedules, as in `(WarmUp, Step)`. Both observe the metric.
///
/// The state consists of the length of the first state, and then both states.
impl<A: LearningRate, B: LearningRate> LearningRate for (A, B) {
    fn factor(&self, epochs: f64) -> f64 {
        self.0.factor(epochs) * self.1.factor(epochs)
    }

    fn observe(&mut self, metric: f64) {
        self.0.observe(metric);
        self.1.observe(metric);
    }

    fn state(&self) -> Vec<f64> {
        let (first, second) = (self.0.state(), self.1.state());
        if first.is_empty() && second.is_empty() {
            return Vec::new();
        }
        let mut state = vec![first.len() as f64];
        state.extend(first);
        state.extend(second);
        state
    }

    fn restore(&mut self, state: &[f64]) -> Result<(), StateError> {
        let (first, second) = halves(state)?;
        let before = self.0.state();
        self.0.restore(first)?;
        if let Err(error) = self.1.restore(second) {
            self.0.restore(&before)?;
            return Err(error);
        }
        Ok(())
    }
}

/// The states of the two schedules of a pair.
fn halves(state: &[f64]) -> Result<(&[f64], &[f64]), StateError> {
    let Some((&length, rest)) = state.split_first() else {
        return Ok((&[], &[]));
    };
    if 0.0 <= length && length <= rest.len() as f64 && length.fract() == 0.0 {
        return Ok(rest.split_at(length as usize));
    }
    Err(StateError::Value {
        schedule: "pair",
        index: 0,
        value: length,
        valid: "the number of values of the first schedule's state",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plateau() -> Plateau {
        Plateau::new(Mode::Min).with_patience(0)
    }

    #[test]
    fn closures_boxes_mutable_references_and_pairs_are_schedules() {
        fn at_two<R: LearningRate>(pair: &(R, Constant)) -> f64 {
            pair.factor(2.0)
        }
        let mut step = Step::new(1, 0.5).unwrap();
        let plain: Box<dyn LearningRate> = Box::new(step.clone());
        let shared: Box<dyn LearningRate + Send + Sync> = Box::new(step.clone());
        assert_eq!(at_two(&(|epochs: f64| epochs / 4.0, Constant(1.0))), 0.5);
        assert_eq!(
            at_two(&(&mut step as &mut dyn LearningRate, Constant(1.0))),
            0.25
        );
        assert_eq!(at_two(&((plain, shared), Constant(1.0))), 0.0625);
    }

    #[test]
    fn a_pair_passes_metrics_and_state_to_both() {
        let mut pair = (plateau(), (plateau(), Constant(0.5)));
        for metric in [1.0, 2.0] {
            pair.observe(metric);
        }
        assert!((pair.factor(0.0) - 0.1 * 0.1 * 0.5).abs() < 1e-15);
        let mut fresh = (plateau(), (plateau(), Constant(0.5)));
        fresh.restore(&pair.state()).unwrap();
        assert_eq!(fresh, pair);
    }

    #[test]
    fn a_pair_that_remembers_nothing_has_an_empty_state() {
        let mut pair = (Constant(1.0), Constant(2.0));
        assert_eq!(pair.state(), [] as [f64; 0]);
        pair.restore(&[]).unwrap();
    }

    #[test]
    fn a_foreign_state_is_refused_and_changes_nothing() {
        let mut seen = plateau();
        seen.observe(3.0);
        let mut pair = (seen.clone(), plateau());
        let before = pair.clone();
        let mut fresh = (plateau(), Constant(1.0));
        for foreign in [vec![9.0, 1.0], vec![-1.0], vec![0.5, 1.0], fresh.state()] {
            assert!(pair.restore(&foreign).is_err(), "{foreign:?}");
            assert_eq!(pair, before);
        }
        let error = fresh.restore(&[0.0, 1.0]).unwrap_err();
        assert!(error.to_string().contains("plateau"), "{error}");
        let error = Constant(1.0).restore(&[1.0]).unwrap_err();
        assert!(
            error.to_string().contains("has 1 values where 0 are valid"),
            "{error}"
        );
    }
}
