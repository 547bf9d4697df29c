//! Windows: the moments at which something happens.

use std::fmt;

use crate::WindowError;

/// The moments at which something fires: a range with a distance, or an explicit list.
///
/// ```text
/// range    start, start + every, ... < end
/// span     floor((end - start - 1) / every) * every          distance of first and last firing
/// progress (t - start) / span, clamped to [0, 1]             range
///          index of the last firing up to t / (count - 1)    list
/// ```
///
/// Moments are numbers of epochs or steps, whichever the caller counts. A [`Curve`](crate::Curve) is evaluated at the
/// progress, which is 0 at the first firing and exactly 1 at the last, so that a ramp reaches its last value within the
/// window (as automated gradual pruning is implemented in Distiller). Before the first firing, the progress is 0. In a
/// window that fires only once, the progress is 1 from that firing on.
///
/// Between firings, the progress of a range continues to grow, and that of a list does not change.
///
/// # Examples
///
/// ```
/// use calcine_schedule::Window;
///
/// let window = Window::new(10, 20, 4)?;
/// assert_eq!(window.firings().collect::<Vec<_>>(), [10, 14, 18]);
/// assert!(window.contains(11) && !window.fires(11));
/// assert_eq!(window.progress(14), 0.5);
/// assert_eq!(window.progress(18), 1.0);
///
/// let listed = Window::list(vec![0, 3, 5])?;
/// assert_eq!(listed.progress(4), 0.5);
///
/// let error = Window::new(3, 3, 1).unwrap_err();
/// assert!(error.to_string().contains("must be at least 4"));
/// # Ok::<(), calcine_schedule::WindowError>(())
/// ```
///
/// With the feature `serde`, a window is written as `{ start, end, every }` or `{ at = [..] }`. Keys of both forms, or
/// a missing key of the first form, are an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "form::Form", into = "form::Form"))]
pub struct Window {
    moments: Moments,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Moments {
    /// `start < end` and `0 < every <= end - start`.
    Range { start: u64, end: u64, every: u64 },
    /// Not empty, strictly ascending.
    List(Vec<u64>),
}

impl Window {
    /// The window that fires at `start` and every `every` moments after it, before `end`.
    ///
    /// # Errors
    ///
    /// Unless `start < end` and `0 < every <= end - start`.
    pub fn new(start: u64, end: u64, every: u64) -> Result<Self, WindowError> {
        if end <= start {
            return Err(WindowError::Empty { start, end });
        }
        if every == 0 || end - start < every {
            return Err(WindowError::Every { start, end, every });
        }
        Ok(Self {
            moments: Moments::Range { start, end, every },
        })
    }

    /// The window that fires exactly at these moments.
    ///
    /// # Errors
    ///
    /// If the list is empty or not strictly ascending.
    pub fn list(moments: Vec<u64>) -> Result<Self, WindowError> {
        if moments.is_empty() {
            return Err(WindowError::NoMoments);
        }
        for (index, pair) in moments.windows(2).enumerate() {
            let (previous, found) = (pair[0], pair[1]);
            if found <= previous {
                return Err(WindowError::NotAscending {
                    index: index + 1,
                    previous,
                    found,
                });
            }
        }
        Ok(Self {
            moments: Moments::List(moments),
        })
    }

    /// The window that fires only at `moment`.
    #[must_use]
    pub fn once(moment: u64) -> Self {
        Self {
            moments: Moments::List(vec![moment]),
        }
    }

    /// Whether the window is open at `t`: from the first firing to [`end`](Self::end) (exclusive), including the
    /// moments between firings.
    #[must_use]
    pub fn contains(&self, t: u64) -> bool {
        match &self.moments {
            Moments::Range { start, end, .. } => *start <= t && t < *end,
            Moments::List(_) => self.first() <= t && t <= self.last(),
        }
    }

    /// Whether the window fires at `t`.
    #[must_use]
    pub fn fires(&self, t: u64) -> bool {
        match &self.moments {
            Moments::Range { start, every, .. } => {
                self.contains(t) && (t - start).is_multiple_of(*every)
            }
            Moments::List(list) => list.binary_search(&t).is_ok(),
        }
    }

    /// The progress at `t`, in `[0, 1]`; see the formula above.
    #[must_use]
    pub fn progress(&self, t: u64) -> f64 {
        if t < self.first() {
            return 0.0;
        }
        if self.last() <= t {
            return 1.0;
        }
        match &self.moments {
            Moments::Range { start, .. } => (t - start) as f64 / (self.last() - start) as f64,
            Moments::List(list) => {
                let fired = list.partition_point(|moment| *moment <= t);
                (fired - 1) as f64 / (list.len() - 1) as f64
            }
        }
    }

    /// The first firing.
    #[must_use]
    pub fn first(&self) -> u64 {
        match &self.moments {
            Moments::Range { start, .. } => *start,
            Moments::List(list) => list[0],
        }
    }

    /// The last firing.
    #[must_use]
    pub fn last(&self) -> u64 {
        match &self.moments {
            Moments::Range { start, end, every } => start + (end - start - 1) / every * every,
            Moments::List(list) => list[list.len() - 1],
        }
    }

    /// The first moment after the window: the end of a range, or the moment after the last one of a list.
    #[must_use]
    pub fn end(&self) -> u64 {
        match &self.moments {
            Moments::Range { end, .. } => *end,
            Moments::List(_) => self.last().saturating_add(1),
        }
    }

    /// The distance between firings; `None` for an explicit list.
    #[must_use]
    pub fn every(&self) -> Option<u64> {
        match &self.moments {
            Moments::Range { every, .. } => Some(*every),
            Moments::List(_) => None,
        }
    }

    /// The number of firings, at least 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.moments {
            Moments::Range { start, end, every } => (end - start - 1) / every + 1,
            Moments::List(list) => list.len() as u64,
        }
    }

    /// All firings in ascending order.
    #[must_use]
    pub fn firings(&self) -> Firings<'_> {
        Firings {
            window: self,
            next: 0,
        }
    }

    /// The number of firings before the moment `t`, computed without iterating over them.
    ///
    /// ```
    /// use calcine_schedule::Window;
    ///
    /// let window = Window::new(2, 20, 3)?; // 2, 5, 8, 11, 14, 17
    /// assert_eq!(window.count_before(9), 3);
    /// # Ok::<(), calcine_schedule::WindowError>(())
    /// ```
    #[must_use]
    pub fn count_before(&self, t: u64) -> u64 {
        match &self.moments {
            Moments::Range { start, end, every } => {
                let past = t.min(*end);
                if past <= *start {
                    0
                } else {
                    (past - start - 1) / every + 1
                }
            }
            Moments::List(list) => list.partition_point(|moment| *moment < t) as u64,
        }
    }

    /// The firing with this index, from 0, if there is one.
    fn firing(&self, index: u64) -> Option<u64> {
        match &self.moments {
            Moments::Range { start, every, .. } => {
                (index < self.count()).then(|| start + index * every)
            }
            Moments::List(list) => usize::try_from(index)
                .ok()
                .and_then(|i| list.get(i))
                .copied(),
        }
    }
}

/// Displays a window as `10..40 every 2`, or `at 0, 3, 5`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.moments {
            Moments::Range { start, end, every } => write!(f, "{start}..{end} every {every}"),
            Moments::List(list) => {
                write!(f, "at {}", list[0])?;
                list[1..]
                    .iter()
                    .try_for_each(|moment| write!(f, ", {moment}"))
            }
        }
    }
}

impl<'a> IntoIterator for &'a Window {
    type Item = u64;
    type IntoIter = Firings<'a>;

    fn into_iter(self) -> Firings<'a> {
        self.firings()
    }
}

/// An iterator over the firings of a [`Window`] in ascending order; see [`Window::firings`].
#[derive(Debug, Clone)]
pub struct Firings<'a> {
    window: &'a Window,
    next: u64,
}

impl Iterator for Firings<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let moment = self.window.firing(self.next)?;
        self.next += 1;
        Some(moment)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = usize::try_from(self.window.count() - self.next).ok();
        (rest.unwrap_or(usize::MAX), rest)
    }
}

impl std::iter::FusedIterator for Firings<'_> {}

#[cfg(feature = "serde")]
mod form {
    //! The serialized form of a window.

    use super::{Moments, Window, WindowError};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Form {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Vec<u64>>,
    }

    impl TryFrom<Form> for Window {
        type Error = WindowError;

        fn try_from(form: Form) -> Result<Self, WindowError> {
            match form {
                Form {
                    start: Some(start),
                    end: Some(end),
                    every: Some(every),
                    at: None,
                } => Self::new(start, end, every),
                Form {
                    start: None,
                    end: None,
                    every: None,
                    at: Some(at),
                } => Self::list(at),
                other => Err(WindowError::Form {
                    found: other.keys(),
                }),
            }
        }
    }

    impl From<Window> for Form {
        fn from(window: Window) -> Self {
            match window.moments {
                Moments::Range { start, end, every } => Self {
                    start: Some(start),
                    end: Some(end),
                    every: Some(every),
                    at: None,
                },
                Moments::List(at) => Self {
                    start: None,
                    end: None,
                    every: None,
                    at: Some(at),
                },
            }
        }
    }

    impl Form {
        fn keys(&self) -> String {
            let keys = [
                self.start.map(|_| "`start`"),
                self.end.map(|_| "`end`"),
                self.every.map(|_| "`every`"),
                self.at.as_ref().map(|_| "`at`"),
            ];
            let found: Vec<&str> = keys.into_iter().flatten().collect();
            if found.is_empty() {
                "none of them".to_owned()
            } else {
                found.join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_not_one_past_a_firing_does_not_move_the_last_firing() {
        let window = Window::new(0, 20, 7).unwrap();
        assert_eq!((window.last(), window.end(), window.count()), (14, 20, 3));
        assert_eq!(window.progress(14), 1.0);
        assert!(window.contains(19));
    }

    #[test]
    fn a_window_that_fires_once_steps_from_zero_to_one() {
        for window in [Window::new(4, 6, 2).unwrap(), Window::once(4)] {
            assert_eq!(window.count(), 1);
            let progress: Vec<f64> = (3..6).map(|t| window.progress(t)).collect();
            assert_eq!(progress, [0.0, 1.0, 1.0], "{window}");
        }
    }

    #[test]
    fn a_list_stands_still_between_its_moments() {
        let window = Window::list(vec![2, 3, 9]).unwrap();
        let progress: Vec<f64> = [1, 2, 3, 8, 9, 20].map(|t| window.progress(t)).to_vec();
        assert_eq!(progress, [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]);
        assert_eq!((window.end(), window.every()), (10, None));
    }

    #[test]
    fn firings_before_a_moment_are_those_that_come_earlier() {
        let windows = [
            Window::new(0, 1, 1).unwrap(),
            Window::new(2, 20, 3).unwrap(),
            Window::new(5, 12, 7).unwrap(),
            Window::list(vec![0, 3, 4, 9]).unwrap(),
        ];
        for window in windows {
            for t in 0..25 {
                let earlier = window.firings().filter(|moment| *moment < t).count() as u64;
                assert_eq!(window.count_before(t), earlier, "{window} before {t}");
            }
        }
        let long = Window::new(0, u64::MAX, 1).unwrap();
        assert_eq!(long.count_before(u64::MAX), u64::MAX);
    }

    #[test]
    fn windows_at_the_end_of_time_do_not_overflow() {
        let range = Window::new(0, u64::MAX, u64::MAX).unwrap();
        assert_eq!(range.firings().collect::<Vec<_>>(), [0]);
        let late = Window::once(u64::MAX);
        assert!(late.contains(u64::MAX) && late.fires(u64::MAX));
        assert_eq!(late.firings().size_hint(), (1, Some(1)));
    }

    #[test]
    fn errors_name_the_numbers_and_what_would_be_valid() {
        let message = |window: Result<Window, WindowError>| window.unwrap_err().to_string();
        assert_eq!(
            message(Window::new(5, 3, 1)),
            "window 5..3 is empty: the start (5) is inclusive and the end (3) exclusive, so the end \
             must be at least 6"
        );
        assert_eq!(
            message(Window::new(0, 3, 4)),
            "window 0..3 cannot fire every 4: valid are 1 to 3"
        );
        assert_eq!(
            message(Window::new(0, 3, 0)),
            "window 0..3 cannot fire every 0: valid are 1 to 3"
        );
        assert_eq!(
            message(Window::list(vec![1, 4, 4])),
            "moment 4 at index 2 of the list follows 4: moments must ascend, each at most once"
        );
        assert_eq!(
            message(Window::list(vec![])),
            "the list of moments is empty: give at least one"
        );
    }

    #[test]
    fn a_window_displays_as_a_plan_would_print_it() {
        assert_eq!(
            Window::new(10, 40, 2).unwrap().to_string(),
            "10..40 every 2"
        );
        assert_eq!(
            Window::list(vec![0, 3, 5]).unwrap().to_string(),
            "at 0, 3, 5"
        );
    }
}
