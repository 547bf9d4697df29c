use calcine_schedule::{Clock, Window};

/// When a policy acts: a window, what it counts, and whether it acts again inside an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The moments.
    pub window: Window,
    /// What they are.
    pub unit: WindowUnit,
    /// In epochs at which the window fires, fire again at every multiple of this many steps of the run.
    /// Progress stays that of the epoch.
    pub again_every: Option<u64>,
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowUnit {
    /// Epochs: it fires before an epoch's first step.
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

    /// A window over either.
    #[must_use]
    pub fn new(window: Window, unit: WindowUnit) -> Self {
        Self {
            window,
            unit,
            again_every: None,
        }
    }

    /// Whether it can fire again as it says.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.again_every {
            Some(0) => Err("it fires again every 0 steps: expected at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    /// The progress at which it fires before this step, if it does.
    #[must_use]
    pub fn fires(&self, clock: &Clock) -> Option<f64> {
        let again = |every| clock.global_step().is_multiple_of(every);
        let at_this_step = match self.unit {
            WindowUnit::Epochs => clock.step == 0 || self.again_every.is_some_and(again),
            WindowUnit::Steps => true,
        };
        self.active(clock).filter(|_| at_this_step)
    }

    /// The progress of a moment at which it fires, in every step of that moment: of an epoch, all its
    /// steps.
    #[must_use]
    pub fn active(&self, clock: &Clock) -> Option<f64> {
        let moment = self.moment(clock);
        let fires = self.window.fires(moment);
        fires.then(|| self.window.progress(moment))
    }

    /// How many of its moments have come in a run whose next step would be the clock's. A moment has come when
    /// its first step is done.
    #[must_use]
    pub fn come(&self, clock: &Clock) -> u64 {
        let begun = match self.unit {
            WindowUnit::Epochs => clock.epoch + u64::from(clock.step > 0),
            WindowUnit::Steps => clock.global_step(),
        };
        self.window.count_before(begun)
    }

    /// A moment of it in words: `epoch 7`.
    pub(crate) fn named(&self, moment: u64) -> String {
        let word = match self.unit {
            WindowUnit::Epochs => "epoch",
            WindowUnit::Steps => "step",
        };
        format!("{word} {moment}")
    }

    /// Why the last of its moments has not come, if it has not.
    pub(crate) fn missed(&self, clock: &Clock) -> Option<String> {
        let (come, all) = (self.come(clock), self.window.count());
        let end = match self.unit {
            WindowUnit::Epochs => clock.epoch,
            WindowUnit::Steps => clock.global_step(),
        };
        (come < all).then(|| {
            format!(
                "its last moment is {}, and the run ended at {}",
                self.named(self.window.last()),
                self.named(end)
            )
        })
    }

    /// Whether it will not be open in the step after this one.
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
