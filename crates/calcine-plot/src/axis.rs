//! Axes, and the linear scales that map numbers to positions.

/// An axis: its title, its unit, and the numbers that it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The quantity.
    pub title: String,
    /// The unit; may be empty.
    pub unit: String,
    /// Numbers that the axis must cover, in addition to the points.
    pub covers: Vec<f64>,
    /// Whether numbers decrease to the right, or upwards.
    pub descending: bool,
}

impl Axis {
    /// An axis that is as long as its points require.
    #[must_use]
    pub fn new(title: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            unit: unit.into(),
            covers: Vec::new(),
            descending: false,
        }
    }

    /// Extends the axis so that it covers at least this range.
    #[must_use]
    pub fn with_range(mut self, from: f64, to: f64) -> Self {
        self.covers = vec![from, to];
        self
    }

    /// Makes numbers decrease along the axis.
    ///
    /// Labels are at the right end of a chart, so use it for lines that meet at the largest number.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// `title (unit)`.
    pub(crate) fn heading(&self) -> String {
        if self.unit.is_empty() {
            self.title.clone()
        } else {
            format!("{} ({})", self.title, self.unit)
        }
    }
}

/// The numbers at which a scale ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The smallest and the largest number.
    Tight,
    /// The ticks below and above them.
    Ticks,
}

/// A linear scale with ticks at multiples of 1, 2 or 5 times a power of ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    from: f64,
    to: f64,
    step: f64,
    descending: bool,
}

impl Scale {
    /// The scale that covers these numbers, with about `ticks` ticks. Numbers that are not finite are ignored.
    pub(crate) fn new(
        numbers: impl IntoIterator<Item = f64>,
        axis: &Axis,
        ends: Ends,
        ticks: usize,
    ) -> Self {
        let all = numbers.into_iter().chain(axis.covers.iter().copied());
        let (mut from, mut to) = all
            .filter(|number| number.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                (low.min(number), high.max(number))
            });
        if from > to {
            (from, to) = (0.0, 1.0);
        }
        // A single number is placed in the middle of a short scale.
        let least = f64::max(from.abs().max(to.abs()) * 1e-6, 1e-12);
        if to - from < least {
            let half = if from == 0.0 { 0.5 } else { from.abs() * 0.05 };
            (from, to) = (from - half, to + half);
        }
        // Both ends are halved, so that the span of two huge numbers does not overflow.
        let step = round_step((to / 2.0 - from / 2.0) / ticks as f64 * 2.0);
        if ends == Ends::Ticks {
            from = ((from / step + 1e-9).floor() * step).max(f64::MIN);
            to = ((to / step - 1e-9).ceil() * step).min(f64::MAX);
        }
        Self {
            from,
            to,
            step,
            descending: axis.descending,
        }
    }

    /// The position of a number: 0 at the beginning of the scale and 1 at its end.
    pub(crate) fn place(&self, number: f64) -> f64 {
        let place = (number / 2.0 - self.from / 2.0) / (self.to / 2.0 - self.from / 2.0);
        if self.descending { 1.0 - place } else { place }
    }

    /// The ticks and their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.from / self.step - 1e-9).ceil();
        let last = (self.to / self.step + 1e-9).floor();
        let count = (last - first) as usize + 1;
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        let number = |index: usize| (first + index as f64) * self.step;
        (0..count)
            // Minus zero is written as zero.
            .map(|index| number(index) + 0.0)
            .map(|tick| (tick, write(tick, decimals)))
            .collect()
    }
}

/// The smallest number of the form 1, 2 or 5 · 10ⁿ that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| step <= factor * power * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

fn write(tick: f64, decimals: usize) -> String {
    if tick.abs() >= 1e7 {
        format!("{tick:e}")
    } else {
        format!("{tick:.decimals$}").replace('-', "−")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(numbers: &[f64], ends: Ends) -> Vec<String> {
        let scale = Scale::new(numbers.iter().copied(), &Axis::new("", ""), ends, 5);
        scale.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(
            labels(&[0.0, 95.0], Ends::Tight),
            ["0", "20", "40", "60", "80"]
        );
        assert_eq!(labels(&[0.0, 95.0], Ends::Ticks).last().unwrap(), "100");
        assert_eq!(labels(&[0.31, 0.32], Ends::Tight)[1], "0.312");
        assert_eq!(
            labels(&[-1.0, 1.0], Ends::Ticks),
            ["−1.0", "−0.5", "0.0", "0.5", "1.0"]
        );
    }

    #[test]
    fn ticks_never_leave_the_scale_and_are_few() {
        for exponent in -9..12 {
            for (low, high) in [(0.0, 1.0), (-3.3, 7.1), (0.999, 1.001), (5.0, 5.0)] {
                let size = 10_f64.powi(exponent);
                let numbers = [low * size, high * size];
                for ends in [Ends::Tight, Ends::Ticks] {
                    let scale = Scale::new(numbers, &Axis::new("", ""), ends, 5);
                    let ticks = scale.ticks();
                    assert!(
                        (1..=8).contains(&ticks.len()),
                        "{numbers:?} {ends:?}: {ticks:?}"
                    );
                    for (tick, _) in ticks {
                        let place = scale.place(tick);
                        assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{numbers:?}: {tick}");
                    }
                    for number in numbers {
                        assert!((-1e-6..=1.0 + 1e-6).contains(&scale.place(number)));
                    }
                }
            }
        }
    }

    #[test]
    fn odd_numbers_make_a_scale_all_the_same() {
        for numbers in [
            vec![],
            vec![f64::NAN],
            vec![f64::MAX, f64::MIN],
            vec![0.0],
            vec![1e300],
        ] {
            let scale = Scale::new(numbers.clone(), &Axis::new("", ""), Ends::Ticks, 5);
            assert!(
                (1..=9).contains(&scale.ticks().len()),
                "{numbers:?}: {scale:?}"
            );
        }
    }

    #[test]
    fn a_descending_axis_ends_at_its_smallest_number() {
        let axis = Axis::new("bits", "").descending();
        let scale = Scale::new([2.0, 8.0], &axis, Ends::Tight, 5);
        assert_eq!((scale.place(8.0), scale.place(2.0)), (0.0, 1.0));
        assert_eq!(scale.ticks()[0].1, "2");
    }

    #[test]
    fn an_axis_covers_what_it_is_told_to() {
        let axis = Axis::new("top-1", "%").with_range(0.0, 100.0);
        let scale = Scale::new([40.0, 60.0], &axis, Ends::Tight, 5);
        assert_eq!((scale.place(0.0), scale.place(100.0)), (0.0, 1.0));
        assert_eq!(axis.heading(), "top-1 (%)");
    }
}
