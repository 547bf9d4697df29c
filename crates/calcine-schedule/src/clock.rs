//! The position in a training run.

/// Position in a training run: the epoch, and the step within it.
///
/// ```text
/// global_step = epoch * steps_per_epoch + step
/// epochs      = epoch + step / steps_per_epoch
/// ```
///
/// The fields are public because any position is a valid one to resume from, provided that `step`
/// is below `steps_per_epoch`.
///
/// # Examples
///
/// ```
/// use calcine_schedule::Clock;
///
/// let mut clock = Clock::new(4);
/// let ended: Vec<bool> = (0..6).map(|_| clock.tick()).collect();
/// assert_eq!(ended, [false, false, false, true, false, false]);
/// assert_eq!((clock.epoch, clock.step), (1, 2));
/// assert_eq!(clock.global_step(), 6);
/// assert_eq!(clock.epochs(), 1.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Clock {
    /// Epochs completed.
    pub epoch: u64,
    /// Steps completed in the current epoch, below `steps_per_epoch`.
    pub step: u64,
    /// Steps of one epoch, at least 1.
    pub steps_per_epoch: u64,
}

impl Clock {
    /// The clock at the beginning of a run with `steps_per_epoch` steps per epoch.
    ///
    /// # Panics
    ///
    /// If `steps_per_epoch` is 0: an epoch without steps never ends.
    #[must_use]
    pub fn new(steps_per_epoch: u64) -> Self {
        Self::at_global_step(steps_per_epoch, 0)
    }

    /// The clock after `global_step` steps: the inverse of [`global_step`](Self::global_step).
    ///
    /// # Panics
    ///
    /// If `steps_per_epoch` is 0: an epoch without steps never ends.
    #[must_use]
    pub fn at_global_step(steps_per_epoch: u64, global_step: u64) -> Self {
        assert!(
            0 < steps_per_epoch,
            "steps_per_epoch is 0: an epoch needs at least one step (is the data set empty?)"
        );
        Self {
            epoch: global_step / steps_per_epoch,
            step: global_step % steps_per_epoch,
            steps_per_epoch,
        }
    }

    /// Steps completed since the beginning of the run.
    #[must_use]
    pub fn global_step(&self) -> u64 {
        self.epoch * self.steps_per_epoch + self.step
    }

    /// The position in epochs, including the fraction of the current epoch; a whole number exactly at the beginning of
    /// an epoch.
    ///
    /// This is the position that [`LearningRate::factor`](crate::LearningRate::factor) expects.
    #[must_use]
    pub fn epochs(&self) -> f64 {
        if self.step == 0 {
            return self.epoch as f64;
        }
        self.epoch as f64 + self.step as f64 / self.steps_per_epoch as f64
    }

    /// Counts one completed step, and returns whether that step ended an epoch.
    pub fn tick(&mut self) -> bool {
        self.step += 1;
        let ended = self.steps_per_epoch <= self.step;
        if ended {
            self.epoch += 1;
            self.step = 0;
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_clock_stands_at_zero() {
        let clock = Clock::new(7);
        assert_eq!((clock.epoch, clock.step, clock.global_step()), (0, 0, 0));
        assert_eq!(clock.epochs(), 0.0);
    }

    #[test]
    fn with_one_step_an_epoch_every_tick_ends_one() {
        let mut clock = Clock::new(1);
        assert!(clock.tick() && clock.tick());
        assert_eq!(clock.epochs(), 2.0);
    }

    #[test]
    fn an_epoch_without_steps_is_refused_with_a_reason() {
        let panic = std::panic::catch_unwind(|| Clock::new(0)).unwrap_err();
        let message = panic.downcast_ref::<&str>().unwrap();
        assert!(message.starts_with("steps_per_epoch is 0"), "{message}");
    }
}
