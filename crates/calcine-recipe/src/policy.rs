use calcine_schedule::Window;
use calcine_train::{GradientMasks, WindowUnit};

use crate::section::{At, Section};

/// `[[policy]]`.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) kind: Kind,
    /// The instance it refers to.
    pub(crate) name: At<String>,
    pub(crate) when: At<When>,
    pub(crate) gradients: GradientMasks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pruner,
    Rate,
}

/// When a policy acts, before the run's length is known.
#[derive(Debug, Clone)]
pub(crate) enum When {
    Always,
    Window(Window, Count),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Epochs,
    Steps,
    Percent,
}

impl When {
    /// The window in a run of this length.
    pub(crate) fn resolve(
        &self,
        kind: Kind,
        epochs: u64,
        steps_per_epoch: u64,
    ) -> (Window, WindowUnit) {
        let steps = epochs.saturating_mul(steps_per_epoch);
        match self {
            Self::Always => (whole(steps), WindowUnit::Steps),
            Self::Window(window, Count::Epochs) => (window.clone(), WindowUnit::Epochs),
            Self::Window(window, Count::Steps) => (window.clone(), WindowUnit::Steps),
            Self::Window(window, Count::Percent) => {
                let moment = |percent| (u128::from(percent) * u128::from(steps) / 100) as u64;
                if kind == Kind::Rate {
                    // A rate moves in every step of its window.
                    let (start, end) = (moment(window.first()), moment(window.end()));
                    let window = Window::new(start, end.max(start + 1), 1);
                    return (window.expect("it begins before it ends"), WindowUnit::Steps);
                }
                let mut moments: Vec<u64> = window.firings().map(moment).collect();
                moments.dedup();
                let window = Window::list(moments).expect("moments of a window ascend");
                (window, WindowUnit::Steps)
            }
        }
    }
}

/// How many moments of a run there are in a unit.
pub(crate) fn length(unit: WindowUnit, epochs: u64, steps_per_epoch: u64) -> u64 {
    match unit {
        WindowUnit::Epochs => epochs,
        WindowUnit::Steps => epochs.saturating_mul(steps_per_epoch),
    }
}

/// How many firings of a window a run of this length does not come to.
pub(crate) fn missed(window: &Window, run: u64) -> u64 {
    let Some(every) = window.every() else {
        return window.firings().filter(|moment| *moment >= run).count() as u64;
    };
    // By division: a recipe may say `end = 9000000000000000000`.
    let (first, last) = (window.first(), window.last());
    if last < run {
        0
    } else {
        (last - run.max(first)) / every + 1
    }
}

/// The window of a whole run.
fn whole(steps: u64) -> Window {
    Window::new(0, steps.max(1), 1).expect("a run has at least one step")
}

/// What a policy says it uses.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) kind: Kind,
    pub(crate) name: At<String>,
}

impl Policy {
    /// Also notes what it uses, whatever else may be wrong with it.
    pub(crate) fn read(section: Section<'_>, uses: &mut Vec<Use>) -> Option<Self> {
        let problems = section.problems;
        let kinds = [
            (Kind::Pruner, section.text("pruner")),
            (Kind::Rate, section.text("lr")),
        ];
        let mut named = kinds
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name?)));
        let first = named.next();
        if let Some((kind, second)) = named.next() {
            problems.add(&second.span, "a policy has one of `pruner`, `lr`, not both");
            uses.push(Use { kind, name: second });
        }
        if first.is_none() {
            problems.add(
                &section.span,
                "a policy names what acts: `pruner = …` or `lr = …`",
            );
        }
        let when = when(&section, first.as_ref().map(|(kind, _)| *kind));
        let mask_gradients = section.flag("mask_gradients");
        if let (Some(At { span, .. }), Some((Kind::Rate, _))) = (&mask_gradients, &first) {
            problems.add(
                span,
                "`mask_gradients` is for pruners: a learning rate has no masks",
            );
        }
        let gradients = match mask_gradients {
            Some(At { value: true, .. }) => GradientMasks::On,
            _ => GradientMasks::Off,
        };
        section.close();
        let (kind, name) = first?;
        uses.push(Use {
            kind,
            name: name.clone(),
        });
        Some(Self {
            kind,
            name,
            when: when?,
            gradients,
        })
    }
}

/// A range, a list, or for a learning rate nothing at all.
fn when(section: &Section<'_>, kind: Option<Kind>) -> Option<At<When>> {
    let problems = section.problems;
    let units = [
        ("epochs", Count::Epochs),
        ("steps", Count::Steps),
        ("percent", Count::Percent),
    ];
    let unit = section.word("unit", &units);
    let start = section.count("start");
    let end = section.count("end");
    let every = section.positive("every");
    let lists = [
        (Count::Epochs, section.counts("epochs")),
        (Count::Steps, section.counts("steps")),
    ];
    let mut lists = lists
        .into_iter()
        .filter_map(|(unit, list)| Some((unit, list?)));
    let list = lists.next();
    if let Some((_, second)) = lists.next() {
        problems.add(
            &second.span,
            "a policy has one list, `epochs` or `steps`, not both",
        );
        return None;
    }
    if let (Some(unit), true) = (&unit, list.is_some()) {
        problems.add(
            &unit.span,
            "a list is in the unit of its name: `epochs` or `steps`",
        );
    }
    let span = section.span.clone();
    let has_range = start.is_some() || end.is_some() || every.is_some();
    match (list, has_range) {
        (Some((_, list)), true) => {
            problems.add(
                &list.span,
                "a list of moments excludes `start`, `end` and `every`",
            );
            None
        }
        (Some((count, list)), false) => {
            let span = list.span;
            match Window::list(list.value) {
                Ok(window) => Some(At::new(When::Window(window, count), span)),
                Err(error) => {
                    problems.add(&span, error);
                    None
                }
            }
        }
        (None, false) if kind == Some(Kind::Rate) => Some(At::new(When::Always, span)),
        (None, _) => {
            let end = section.need("end", "the first moment after the window", end)?;
            let start = start.map_or(0, |start| start.value);
            let every = every.map_or(1, |every| every.value);
            let count = unit.map_or(Count::Epochs, |unit| unit.value);
            if count == Count::Percent && end.value > 100 {
                problems.add(
                    &end.span,
                    format!("`end` is {} percent, at most 100", end.value),
                );
                return None;
            }
            match Window::new(start, end.value, every) {
                Ok(window) => Some(At::new(When::Window(window, count), span)),
                Err(error) => {
                    problems.add(&end.span, error);
                    None
                }
            }
        }
    }
}
