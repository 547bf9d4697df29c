use calcine_schedule::{Clock, Window};

/// When a policy acts: a window, its unit, and whether the policy acts again within an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The moments at which the policy acts.
    pub window: Window,
    /// The unit of the moments.
    pub unit: WindowUnit,
    /// In epochs at which the window fires, the policy acts again at every multiple of this number of steps of the run.
    /// The progress is that of the epoch.
    pub again_every: Option<u64>,
}

/// The unit of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowUnit {
    /// Epochs: the window fires before the first step of an epoch.
    #[default]
    Epochs,
    /// Steps since the run began.
    Steps,
}

impl When {
    /// A window over epochs.
    #[must_use]
    pub fn epochs(window: Window) -> Self {
        Self::new(window, WindowUnit::Epochs)
    }

    /// A window over steps of the run.
    #[must_use]
    pub fn steps(window: Window) -> Self {
        Self::new(window, WindowUnit::Steps)
    }

    /// A window over epochs or steps.
    #[must_use]
    pub fn new(window: Window, unit: WindowUnit) -> Self {
        Self {
            window,
            unit,
            again_every: None,
        }
    }

    /// Checks that the window is valid.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.again_every {
            Some(0) => Err("it fires again every 0 steps: expected at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    /// The progress if the window fires before this step.
    #[must_use]
    pub fn fires(&self, clock: &Clock) -> Option<f64> {
        let again = |every| clock.global_step().is_multiple_of(every);
        let at_this_step = match self.unit {
            WindowUnit::Epochs => clock.step == 0 || self.again_every.is_some_and(again),
            WindowUnit::Steps => true,
        };
        self.active(clock).filter(|_| at_this_step)
    }

    /// The progress if the window fires at the moment of this step: for a window over epochs, in all steps of the
    /// epoch.
    #[must_use]
    pub fn active(&self, clock: &Clock) -> Option<f64> {
        let moment = self.moment(clock);
        let fires = self.window.fires(moment);
        fires.then(|| self.window.progress(moment))
    }

    /// The number of moments that have passed in a run whose next step is at this clock. A moment has passed when its
    /// first step is done.
    #[must_use]
    pub fn moments_passed(&self, clock: &Clock) -> u64 {
        let begun = match self.unit {
            WindowUnit::Epochs => clock.epoch + u64::from(clock.step > 0),
            WindowUnit::Steps => clock.global_step(),
        };
        self.window.count_before(begun)
    }

    /// A moment in words: `epoch 7`.
    pub(crate) fn named(&self, moment: u64) -> String {
        let word = match self.unit {
            WindowUnit::Epochs => "epoch",
            WindowUnit::Steps => "step",
        };
        format!("{word} {moment}")
    }

    /// Why the last moment has not been reached, if it has not.
    pub(crate) fn missed(&self, clock: &Clock) -> Option<String> {
        let (passed, all) = (self.moments_passed(clock), self.window.count());
        let end = match self.unit {
            WindowUnit::Epochs => clock.epoch,
            WindowUnit::Steps => clock.global_step(),
        };
        (passed < all).then(|| {
            format!(
                "its last moment is {}, and the run ended at {}",
                self.named(self.window.last()),
                self.named(end)
            )
        })
    }

    /// Whether the window is over after this step.
    #[must_use]
    pub fn is_over_after(&self, clock: &Clock) -> bool {
        let mut next = *clock;
        next.tick();
        self.window.end() <= self.moment(&next)
    }

    /// Whether this step is the last in which it is [`active`](Self::active).
    #[must_use]
    pub fn is_last_active(&self, clock: &Clock) -> bool {
        let last_step = match self.unit {
            WindowUnit::Epochs => clock.step + 1 == clock.steps_per_epoch,
            WindowUnit::Steps => true,
        };
        last_step && self.moment(clock) == self.window.last()
    }

    fn moment(&self, clock: &Clock) -> u64 {
        match self.unit {
            WindowUnit::Epochs => clock.epoch,
            WindowUnit::Steps => clock.global_step(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(when: &When, ask: impl Fn(&When, &Clock) -> bool) -> Vec<u64> {
        let clock = |step| Clock::at_global_step(3, step);
        (0..15).filter(|step| ask(when, &clock(*step))).collect()
    }

    #[test]
    fn epochs_fire_at_their_first_step_and_again_if_asked() {
        let mut when = When::epochs(Window::new(1, 4, 2).unwrap());
        assert_eq!(steps(&when, |w, c| w.fires(c).is_some()), [3, 9]);
        assert_eq!(
            steps(&when, |w, c| w.active(c).is_some()),
            [3, 4, 5, 9, 10, 11]
        );
        when.again_every = Some(2);
        assert_eq!(
            steps(&when, |w, c| w.fires(c).is_some()),
            [3, 4, 9, 10],
            "also at even steps of those epochs"
        );
        let progress = |step| when.fires(&Clock::at_global_step(3, step));
        assert_eq!((progress(3), progress(4)), (Some(0.0), Some(0.0)));
        assert_eq!(progress(10), Some(1.0));
    }

    #[test]
    fn a_window_is_over_after_its_last_step() {
        let epochs = When::epochs(Window::new(1, 3, 1).unwrap());
        let over = |when: &When| steps(when, When::is_over_after);
        assert_eq!(over(&epochs)[0], 8);
        assert_eq!(over(&When::steps(Window::once(4)))[0], 4);
        assert_eq!(steps(&epochs, When::is_last_active), [8]);
        let listed = When::epochs(Window::list(vec![0, 2]).unwrap());
        assert_eq!(steps(&listed, When::is_last_active), [8]);
        let sparse = When::epochs(Window::new(0, 4, 3).unwrap());
        assert_eq!(steps(&sparse, When::is_last_active), [11]);
    }
}
