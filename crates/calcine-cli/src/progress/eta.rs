//! The time left.

use std::collections::VecDeque;
use std::time::Duration;

/// Estimates the time left from the duration of the last steps and everything between them: validation, checkpoints,
/// thinning.
#[derive(Debug, Default)]
pub(super) struct Eta {
    /// The numbers of steps done, with their times.
    marks: VecDeque<(u64, Duration)>,
}

impl Eta {
    /// The time for the rest of `total` at the speed of the last `window` steps; unknown until the second call.
    pub(super) fn left(
        &mut self,
        done: u64,
        total: u64,
        window: u64,
        now: Duration,
    ) -> Option<Duration> {
        self.marks.push_back((done, now));
        // Keeps one mark that is at least as old as the window.
        while self.marks.len() > 2 && self.marks[1].0 + window <= done {
            self.marks.pop_front();
        }
        let (first, then) = *self.marks.front()?;
        let each = match done.checked_sub(first)? {
            0 => return None,
            steps => now.saturating_sub(then).as_secs_f64() / steps as f64,
        };
        Some(Duration::from_secs_f64(
            each * total.saturating_sub(done) as f64,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Ten steps a second, but for the end of each epoch of 100 steps, where validation takes five more.
    #[test]
    fn the_time_left_counts_what_is_done_between_steps() {
        let mut eta = Eta::default();
        let at = |done: u64| seconds(done / 10 + 5 * (done / 100));
        assert_eq!(eta.left(10, 300, 100, at(10)), None);
        assert_eq!(eta.left(20, 300, 100, at(20)), Some(seconds(28)));
        for done in (30..200).step_by(10) {
            eta.left(done, 300, 100, at(done));
        }
        // From step 100 to 200: ten seconds of steps, five of validation.
        assert_eq!(eta.left(200, 300, 100, at(200)), Some(seconds(15)));
        assert_eq!(eta.left(300, 300, 100, at(300)), Some(seconds(0)));
    }

    /// A thinned network is faster, and the dense one's steps are forgotten after an epoch.
    #[test]
    fn the_time_left_follows_a_change_of_speed() {
        let mut eta = Eta::default();
        for done in 0..=100 {
            eta.left(done, 1000, 50, seconds(10 * done));
        }
        for done in 101..150 {
            let left = eta.left(done, 1000, 50, seconds(1000 + done - 100));
            assert!(left.unwrap() > seconds(1000 - done), "{done}: {left:?}");
        }
        let left = eta.left(150, 1000, 50, seconds(1050));
        assert_eq!(left, Some(seconds(850)));
    }

    /// A resumed run does not count the steps of the process before.
    #[test]
    fn a_resumed_run_goes_by_its_own_steps() {
        let mut eta = Eta::default();
        assert_eq!(eta.left(510, 1000, 100, seconds(0)), None);
        assert_eq!(eta.left(520, 1000, 100, seconds(20)), Some(seconds(960)));
    }
}
