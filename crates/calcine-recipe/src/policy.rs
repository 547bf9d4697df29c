use calcine_schedule::Window;
use calcine_train::{After, First, GradientMasks, Hold, Lifetime, When as Moments, WindowUnit};

use crate::section::{At, Section};

/// A `[[policy]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) kind: Kind,
    /// The pruner, regularizer or schedule that it uses.
    pub(crate) name: At<String>,
    pub(crate) when: At<When>,
    /// The number of steps after which it fires again within an epoch.
    pub(crate) again_every: Option<u64>,
    pub(crate) masks: Masks,
}

/// How the masks of a policy are applied, and how long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Masks {
    pub(crate) hold: Hold,
    pub(crate) gradients: GradientMasks,
    /// By default, only hard masks are kept after their window.
    pub(crate) after: Option<After>,
    pub(crate) lifetime: Lifetime,
    pub(crate) first: First,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pruner,
    Regularizer,
    Rate,
}

impl Kind {
    /// The keys by which a policy names what it uses.
    pub(crate) const KEYS: [(&'static str, Self); 3] = [
        ("pruner", Self::Pruner),
        ("regularizer", Self::Regularizer),
        ("lr", Self::Rate),
    ];
}

/// When a policy acts, independently of the length of the run.
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
                if kind != Kind::Pruner {
                    // Learning rates and penalties act in every step of their window.
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

/// The window of a whole run.
fn whole(steps: u64) -> Window {
    Window::new(0, steps.max(1), 1).expect("a run has at least one step")
}

/// What a policy uses.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) kind: Kind,
    pub(crate) name: At<String>,
}

impl Policy {
    /// Also records what the policy uses, even if it has other problems.
    pub(crate) fn read(section: Section<'_>, uses: &mut Vec<Use>) -> Option<Self> {
        let problems = section.problems;
        let named = Kind::KEYS.map(|(key, kind)| (kind, section.text(key)));
        let mut named = named
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name?)));
        let first = named.next();
        if let Some((kind, second)) = named.next() {
            let message = "a policy must have exactly one of `pruner`, `regularizer` and `lr`";
            problems.add(&second.span, message);
            uses.push(Use { kind, name: second });
        }
        if first.is_none() {
            problems.add(
                &section.span,
                "a policy must name what it uses: `pruner = …`, `regularizer = …` or `lr = …`",
            );
        }
        let kind = first.as_ref().map(|(kind, _)| *kind);
        let when = when(&section, kind);
        let again_every = section.positive("again_every");
        if let (Some(again), Some(when)) = (&again_every, &when)
            && !matches!(when.value, When::Window(_, Count::Epochs))
        {
            let message =
                "`again_every` needs a window in epochs, because it fires again within epochs";
            problems.add(&again.span, message);
        }
        let masks = masks(&section, kind, again_every.as_ref());
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
            again_every: again_every.map(|every| every.value),
            masks,
        })
    }

    /// The moments at which the policy acts in a run of this length.
    pub(crate) fn moments(&self, epochs: u64, steps_per_epoch: u64) -> Moments {
        let (window, unit) = self.when.value.resolve(self.kind, epochs, steps_per_epoch);
        let mut when = Moments::new(window, unit);
        when.again_every = self.again_every;
        when
    }
}

/// Reads the keys that only some kinds of policies have.
fn masks(section: &Section<'_>, kind: Option<Kind>, again_every: Option<&At<u64>>) -> Masks {
    let holds = [
        ("always", Hold::Always),
        ("forward", Hold::Forward),
        ("shadow", Hold::Shadow),
    ];
    let hold = section.word("hold", &holds);
    let gradients = section.flag("mask_gradients");
    let lifetimes = [("window", Lifetime::Window), ("step", Lifetime::Step)];
    let lifetime = section.word("lifetime", &lifetimes);
    let firsts = [("at_once", First::AtOnce), ("next_step", First::NextStep)];
    let first = section.word("first", &firsts);
    let afters = [("hold", After::Hold), ("release", After::Release)];
    let after = section.word("after", &afters);
    let pruners = [
        ("hold", hold.as_ref().map(|at| &at.span)),
        ("mask_gradients", gradients.as_ref().map(|at| &at.span)),
        ("lifetime", lifetime.as_ref().map(|at| &at.span)),
        ("first", first.as_ref().map(|at| &at.span)),
        ("again_every", again_every.map(|at| &at.span)),
    ];
    let refuse = |key: &str, span: Option<&std::ops::Range<usize>>, valid: &str| {
        if let Some(span) = span {
            section
                .problems
                .add(span, format!("`{key}` is for {valid}"));
        }
    };
    if matches!(kind, Some(Kind::Rate | Kind::Regularizer)) {
        for (key, span) in pruners {
            refuse(key, span, "pruners");
        }
    }
    if kind == Some(Kind::Rate) {
        let span = after.as_ref().map(|after| &after.span);
        refuse("after", span, "pruners and regularizers");
    }
    if let (
        Some(At {
            value: Lifetime::Step,
            ..
        }),
        Some(At {
            value: After::Hold,
            span,
        }),
    ) = (&lifetime, &after)
    {
        let message = "masks that last one step (`lifetime = \"step\"`) do not exist after the window: nothing is \
                       left to `hold`";
        section.problems.add(span, message);
    }
    Masks {
        hold: hold.map_or(Hold::Always, |hold| hold.value),
        gradients: match gradients {
            Some(At { value: true, .. }) => GradientMasks::On,
            _ => GradientMasks::Off,
        },
        after: after.map(|after| after.value),
        lifetime: lifetime.map_or(Lifetime::Window, |lifetime| lifetime.value),
        first: first.map_or(First::AtOnce, |first| first.value),
    }
}

/// Reads a range, a list, or for a learning rate neither.
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
            "a policy can have one list, `epochs` or `steps`, not both",
        );
        return None;
    }
    if let (Some(unit), true) = (&unit, list.is_some()) {
        problems.add(
            &unit.span,
            "`unit` is not possible with a list, whose unit is its name: `epochs` or `steps`",
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
