//! How a pruner selects: the key of the amount, and the keys that belong to it.

use std::ops::RangeInclusive;

use calcine_criteria::{
    AtLeast, Bernoulli, Count, DrawnLevel, GlobalLevel, Gradient, Hysteresis, Level, NOfM, Random,
    Regrow, Rounding, Score, Select, Sensitivity, Threshold,
};
use calcine_fold::Granularity;

use crate::amount::{Amount, Amounts};
use crate::section::{At, Section, number};

/// How a pruner selects, and its amount.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) kind: Kind,
    pub(crate) amounts: Amounts,
    /// The key of the amounts.
    pub(crate) key: &'static str,
    count: Count,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Level,
    DrawnLevel { width: f64 },
    GlobalLevel,
    NOfM { of: usize },
    Threshold,
    Sensitivity { refreshed: bool },
    Hysteresis { low: f64, high: f64, growth: f64 },
    Bernoulli,
    Regrow { level: f64, by: Growth },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    Gradient,
    Random,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scope {
    Layer,
    Global,
}

/// The keys of the amount. A pruner has exactly one of them.
const KEYS: [&str; 6] = [
    "level",
    "threshold",
    "sensitivity",
    "hysteresis",
    "bernoulli",
    "n_of_m",
];

impl Selection {
    pub(crate) fn read(section: &Section<'_>, granularity: &mut At<Granularity>) -> Option<Self> {
        let count = count(section);
        let scope = section.word(
            "scope",
            &[("layer", Scope::Layer), ("global", Scope::Global)],
        );
        let growths = [("gradient", Growth::Gradient), ("random", Growth::Random)];
        let regrow = section.word("regrow", &growths);
        let drop = section.get("drop");
        let refreshed = section.flag("refresh");
        let hysteresis = hysteresis(section);
        let (key, value) = key(section)?;
        let mut amounts = match key {
            "n_of_m" => n_of_m(section, granularity),
            _ => Amounts::read(value, section.problems),
        }?;
        let problems = section.problems;
        let global = scope.filter(|scope| scope.value == Scope::Global);
        let only = |found: bool, span: &std::ops::Range<usize>, word: &str, needs: &str| {
            if found {
                problems.add(span, format!("`{word}` needs {needs}"));
            }
        };
        if let Some(flag) = &refreshed {
            only(key != "sensitivity", &flag.span, "refresh", "`sensitivity`");
        }
        if let Some(scope) = &global {
            let by_pattern = matches!(amounts, Amounts::ByPattern(_));
            if key != "level" || by_pattern {
                let message = "`scope = \"global\"` needs one `level` for all parameters";
                problems.add(&scope.span, message);
            }
        }
        if let Some(regrow) = &regrow {
            only(key != "level", &regrow.span, "regrow", "`level`");
        }
        if let (Some(_), Some(scope)) = (&regrow, &global) {
            let message = "`regrow` keeps the level of each layer constant, so it excludes `scope = \"global\"`";
            problems.add(&scope.span, message);
        }
        let by_groups = matches!(granularity.value, Granularity::Group { .. });
        let plain = matches!(key, "level" | "n_of_m") && global.is_none() && regrow.is_none();
        if by_groups && !plain {
            let message = "the granularity `group(M)` needs a `level` without a scope, or `n_of_m`";
            problems.add(&granularity.span, message);
        }
        // Limits and rounding apply only if there is a number of units.
        let counted = key == "level" && !by_groups;
        for key in ["rounding", "multiple", "at_least"] {
            let Some(value) = section.get(key) else {
                continue;
            };
            let global_too = key == "at_least";
            if !counted {
                problems.add(
                    &value.span(),
                    format!("`{key}` needs a `level` and another granularity than `group(M)`"),
                );
            } else if global.is_some() && !global_too {
                let message = format!(
                    "`{key}` is for a `level` of each layer, so it excludes `scope = \"global\"`"
                );
                problems.add(&value.span(), message);
            }
        }
        if let (Some(drop), None) = (drop, &regrow) {
            problems.add(
                &drop.span(),
                "`drop` needs `regrow`, the score of the units that are regrown",
            );
        }
        let valid: RangeInclusive<f64> = match key {
            "level" | "bernoulli" | "n_of_m" => 0.0..=1.0,
            // The threshold, the mean plus s deviations, may be below the mean.
            "hysteresis" => -1e6..=1e6,
            _ => 0.0..=f64::INFINITY,
        };
        amounts.check(key, &valid, problems);
        let kind = match (key, granularity.value) {
            ("level", _) if regrow.is_some() => {
                let by = regrow?.value;
                let level = constant(section, &amounts)?;
                let drop = drop.map(|drop| Amounts::read(drop, problems));
                let drop = section.need(
                    "drop",
                    "the share of active units that is exchanged",
                    drop.flatten().map(|amounts| At::new(amounts, 0..0)),
                );
                amounts = drop?.value;
                amounts.check("drop", &(0.0..=1.0), problems);
                Kind::Regrow { level, by }
            }
            ("level", _) if global.is_some() => Kind::GlobalLevel,
            ("level", _) if width(&amounts).is_some() => Kind::DrawnLevel {
                width: width(&amounts)?,
            },
            ("level" | "n_of_m", Granularity::Group { of }) => Kind::NOfM { of },
            ("level" | "n_of_m", _) => Kind::Level,
            ("threshold", _) => Kind::Threshold,
            ("sensitivity", _) => Kind::Sensitivity {
                refreshed: refreshed.is_some_and(|flag| flag.value),
            },
            ("hysteresis", _) => hysteresis,
            _ => Kind::Bernoulli,
        };
        let ranges = amounts.all().into_iter();
        for amount in ranges.filter(|amount| matches!(amount.value, Amount::Range { .. })) {
            let drawn = matches!(kind, Kind::DrawnLevel { .. });
            only(
                !drawn,
                &amount.span,
                "range",
                "`level`, the same for all parameters",
            );
        }
        Some(Self {
            kind,
            amounts,
            key,
            count: count?,
        })
    }

    pub(crate) fn build(&self) -> Box<dyn Select + Send> {
        let count = self.count;
        match self.kind {
            Kind::Level => Box::new(Level { count }),
            Kind::DrawnLevel { width } => Box::new(DrawnLevel { width, count }),
            Kind::GlobalLevel => Box::new(GlobalLevel {
                at_least: count.at_least,
            }),
            Kind::NOfM { of } => Box::new(NOfM { of }),
            Kind::Threshold => Box::new(Threshold),
            Kind::Sensitivity { refreshed: false } => Box::new(Sensitivity::FROZEN),
            Kind::Sensitivity { refreshed: true } => Box::new(Sensitivity::REFRESHED),
            Kind::Hysteresis { low, high, .. } => Box::new(Hysteresis { low, high }),
            Kind::Bernoulli => Box::new(Bernoulli),
            Kind::Regrow { level, .. } => Box::new(Regrow { level, count }),
        }
    }

    pub(crate) fn growth_score(&self) -> Option<Box<dyn Score + Send>> {
        match self.kind {
            Kind::Regrow {
                by: Growth::Gradient,
                ..
            } => Some(Box::new(Gradient)),
            Kind::Regrow {
                by: Growth::Random, ..
            } => Some(Box::new(Random)),
            _ => None,
        }
    }

    /// The growth of the amount per epoch, as a share of its initial value.
    pub(crate) fn growth(&self) -> f64 {
        match self.kind {
            Kind::Hysteresis { growth, .. } => growth,
            _ => 0.0,
        }
    }
}

/// The key of the amount, and its value.
fn key<'a>(
    section: &Section<'a>,
) -> Option<(&'static str, &'a toml::Spanned<toml::de::DeValue<'a>>)> {
    let found: Vec<_> = KEYS
        .into_iter()
        .filter_map(|key| Some((key, section.get(key)?)))
        .collect();
    let words = || KEYS.map(|key| format!("`{key}`")).join(", ");
    match found.as_slice() {
        [one] => Some(*one),
        [] => {
            let message = format!("how much to prune is missing: one of {}", words());
            section.problems.add(&section.span, message);
            None
        }
        [_, (key, value), ..] => {
            let message = format!("`{key}`: expected only one of {}", words());
            section.problems.add(&value.span(), message);
            None
        }
    }
}

/// Reads `n_of_m = "2:4"`, which is the granularity `group(4)` with a level of 1 − 2/4.
fn n_of_m(section: &Section<'_>, granularity: &mut At<Granularity>) -> Option<Amounts> {
    let text = section.text("n_of_m")?;
    let parts = text.value.split_once(':').and_then(|(n, m)| {
        let (n, m): (usize, usize) = (n.trim().parse().ok()?, m.trim().parse().ok()?);
        (0 < n && n < m).then_some((n, m))
    });
    let Some((n, m)) = parts else {
        let message = format!(
            "`n_of_m` is \"{}\", expected N:M (N of every M are kept), such as \"2:4\"",
            text.value
        );
        section.problems.add(&text.span, message);
        return None;
    };
    if section.has("granularity") {
        let message = "`n_of_m` implies a granularity: remove `granularity`";
        section.problems.add(&granularity.span, message);
    }
    *granularity = At::new(Granularity::Group { of: m }, text.span.clone());
    let level = (m - n) as f64 / m as f64;
    Some(Amounts::One(At::new(Amount::Constant(level), text.span)))
}

/// Reads `low`, `high` and `growth`.
fn hysteresis(section: &Section<'_>) -> Kind {
    let default = Hysteresis::default();
    let keys = ["low", "high", "growth"];
    let numbers = keys.map(|key| section.number_in(key, 0.0..=f64::INFINITY));
    if !section.has("hysteresis") {
        for (key, number) in keys.into_iter().zip(&numbers) {
            if let Some(number) = number {
                let message = format!("`{key}` needs `hysteresis`");
                section.problems.add(&number.span, message);
            }
        }
    }
    let [low, high, growth] = numbers;
    let kind = Kind::Hysteresis {
        low: low.map_or(default.low, |low| low.value),
        high: high.as_ref().map_or(default.high, |high| high.value),
        growth: growth.map_or(0.0, |growth| growth.value),
    };
    if let (Kind::Hysteresis { low, high: top, .. }, Some(high)) = (kind, high)
        && top < low
    {
        let message = format!("`high` is {top}, expected at least `low`, {low}");
        section.problems.add(&high.span, message);
    }
    kind
}

/// Reads `rounding`, `multiple` and `at_least`; `None` after a problem.
fn count(section: &Section<'_>) -> Option<Count> {
    let roundings = [
        ("floor", Rounding::Floor),
        ("ceil", Rounding::Ceil),
        ("round", Rounding::Round),
    ];
    let rounding = section.word("rounding", &roundings);
    let multiple = section.positive("multiple");
    let at_least = match section.get("at_least") {
        None => AtLeast::Unset,
        Some(value) => {
            let whole = value.get_ref().as_integer().is_some();
            match number(value.get_ref()) {
                Some(units) if whole && units >= 0.0 => AtLeast::Units(units as usize),
                Some(share) if !whole && (0.0..=1.0).contains(&share) => AtLeast::Share(share),
                _ => {
                    let message = "`at_least` must be a whole number of units, or a share of them \
                                   between 0.0 and 1.0";
                    section.problems.add(&value.span(), message);
                    return None;
                }
            }
        }
    };
    Some(Count {
        rounding: rounding.map_or(Rounding::Floor, |rounding| rounding.value),
        multiple: multiple.map_or(1, |multiple| multiple.value as usize),
        at_least,
    })
}

/// The width, if the amount is a range.
fn width(amounts: &Amounts) -> Option<f64> {
    match amounts {
        Amounts::One(At {
            value: Amount::Range { low, high },
            ..
        }) => Some(high - low),
        _ => None,
    }
}

/// The constant level of a selection that regrows units.
fn constant(section: &Section<'_>, amounts: &Amounts) -> Option<f64> {
    match amounts {
        Amounts::One(At {
            value: Amount::Constant(level),
            ..
        }) => Some(*level),
        _ => {
            let span = amounts
                .all()
                .first()
                .map_or(section.span.clone(), |a| a.span.clone());
            let message = "with `regrow`, the level must be one number; `drop` may be a curve";
            section.problems.add(&span, message);
            None
        }
    }
}
