use std::fmt;

use calcine_schedule::{Clock, LearningRate, StateError, Window};

use crate::WindowUnit;

/// The learning rate over a run: a base rate and the schedules that scale it.
///
/// In each step, the schedule whose window began last defines the rate: `base × factor(position)`. The position is the
/// epoch of the run, as in PyTorch, so milestones are epochs of the run, independently of the beginning of the window.
/// It is a whole number if the window counts epochs, and fractional if it counts steps. Before the first window, the
/// rate is the base rate; after the last window, it keeps its last value.
#[derive(Debug)]
pub struct RatePlan {
    base: f64,
    entries: Vec<RateEntry>,
}

/// A schedule, and when it defines the rate.
pub struct RateEntry {
    /// The schedule.
    pub schedule: Box<dyn LearningRate + Send>,
    /// The window in which it defines the rate.
    pub window: Window,
    /// The unit of the window.
    pub unit: WindowUnit,
}

impl fmt::Debug for RateEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateEntry")
            .field("window", &self.window)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}

impl RatePlan {
    /// A constant rate.
    #[must_use]
    pub fn constant(base: f64) -> Self {
        Self {
            base,
            entries: Vec::new(),
        }
    }

    /// Adds a schedule.
    #[must_use]
    pub fn with_schedule(mut self, entry: RateEntry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The rate of a step.
    #[must_use]
    pub fn rate(&self, clock: &Clock) -> f64 {
        let begun = self
            .entries
            .iter()
            .filter(|entry| entry.now(clock) >= entry.window.first());
        let latest = begun.max_by_key(|entry| match entry.unit {
            WindowUnit::Epochs => entry.window.first().saturating_mul(clock.steps_per_epoch),
            WindowUnit::Steps => entry.window.first(),
        });
        latest.map_or(self.base, |entry| {
            self.base * entry.schedule.factor(entry.position(clock))
        })
    }

    /// Passes the validation metric of an epoch to the schedules, for plateau schedules.
    pub fn observe(&mut self, metric: f64) {
        for entry in &mut self.entries {
            entry.schedule.observe(metric);
        }
    }

    /// The state that a checkpoint has to contain: that of each schedule.
    #[must_use]
    pub fn state(&self) -> Vec<Vec<f64>> {
        self.entries
            .iter()
            .map(|entry| entry.schedule.state())
            .collect()
    }

    /// Restores the state that [`state`](Self::state) returned.
    ///
    /// # Errors
    ///
    /// If the state belongs to another plan.
    pub fn restore(&mut self, state: &[Vec<f64>]) -> Result<(), StateError> {
        for (entry, state) in self.entries.iter_mut().zip(state) {
            entry.schedule.restore(state)?;
        }
        Ok(())
    }
}

impl RateEntry {
    fn now(&self, clock: &Clock) -> u64 {
        match self.unit {
            WindowUnit::Epochs => clock.epoch,
            WindowUnit::Steps => clock.global_step(),
        }
    }

    /// The position in epochs, which stays at the last moment of the window after the window is over.
    fn position(&self, clock: &Clock) -> f64 {
        let now = self.now(clock).min(self.window.end() - 1) as f64;
        match self.unit {
            WindowUnit::Epochs => now,
            WindowUnit::Steps => now / clock.steps_per_epoch as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calcine_schedule::rate::MultiStep;

    fn rates(plan: &RatePlan, epochs: u64) -> Vec<f64> {
        (0..epochs)
            .map(|epoch| {
                plan.rate(&Clock {
                    epoch,
                    step: 0,
                    steps_per_epoch: 4,
                })
            })
            .collect()
    }

    fn entry(start: u64, end: u64) -> RateEntry {
        RateEntry {
            schedule: Box::new(MultiStep::new([2, 4, 7], 0.1).unwrap()),
            window: Window::new(start, end, 1).unwrap(),
            unit: WindowUnit::Epochs,
        }
    }

    #[test]
    fn milestones_are_epochs_of_the_run_and_the_rate_freezes_after_the_window() {
        let plan = RatePlan::constant(1.0).with_schedule(entry(3, 6));
        let expected = [1.0, 1.0, 1.0, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01];
        for (rate, expected) in rates(&plan, 9).into_iter().zip(expected) {
            approx::assert_relative_eq!(rate, expected, max_relative = 1e-12);
        }
    }

    #[test]
    fn the_window_that_began_last_decides() {
        let constant = RateEntry {
            schedule: Box::new(|_: f64| 0.5),
            window: Window::new(5, 9, 1).unwrap(),
            unit: WindowUnit::Epochs,
        };
        let plan = RatePlan::constant(2.0)
            .with_schedule(constant)
            .with_schedule(entry(0, 4));
        assert_eq!(rates(&plan, 7), [2.0, 2.0, 0.2, 0.2, 0.2, 1.0, 1.0]);
    }
}
