use calcine_criteria::{
    GlobalLevel, Level, Magnitude, Norm, Score, Select, Sensitivity, Threshold,
};
use calcine_fold::Grain;

use crate::amount::Amounts;
use crate::section::{At, Section};

/// `[pruner.NAME]`.
#[derive(Debug, Clone)]
pub(crate) struct Pruner {
    pub(crate) name: At<String>,
    pub(crate) params: Vec<At<String>>,
    pub(crate) score: ScoreName,
    pub(crate) grain: At<Grain>,
    pub(crate) select: SelectName,
    pub(crate) amounts: Amounts,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ScoreName {
    Magnitude,
    L1,
    L2,
    Max,
}

/// Adding a criterion to recipes is adding a line here and in [`ScoreName::build`].
const SCORES: [(&str, ScoreName); 4] = [
    ("magnitude", ScoreName::Magnitude),
    ("l1", ScoreName::L1),
    ("l2", ScoreName::L2),
    ("max", ScoreName::Max),
];

impl ScoreName {
    pub(crate) fn build(self) -> Box<dyn Score + Send> {
        match self {
            Self::Magnitude => Box::new(Magnitude),
            Self::L1 => Box::new(Norm::L1),
            Self::L2 => Box::new(Norm::L2),
            Self::Max => Box::new(Norm::MAX),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum SelectName {
    Level,
    GlobalLevel,
    Threshold,
    Sensitivity,
}

impl SelectName {
    pub(crate) fn build(self) -> Box<dyn Select + Send> {
        match self {
            Self::Level => Box::new(Level),
            Self::GlobalLevel => Box::new(GlobalLevel),
            Self::Threshold => Box::new(Threshold),
            Self::Sensitivity => Box::new(Sensitivity),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scope {
    Layer,
    Global,
}

impl Pruner {
    pub(crate) fn read(name: At<String>, section: Section<'_>) -> Option<Self> {
        let problems = section.problems;
        let score = section.word("score", &SCORES);
        let score = section.need("score", "magnitude, l1, l2 or max", score);
        let grain = grain(&section);
        let scope = section.word(
            "scope",
            &[("layer", Scope::Layer), ("global", Scope::Global)],
        );
        let amounts = amounts(&section);
        let params = section.texts("params");
        let span = section.span.clone();
        section.close();
        let (key, amounts) = amounts?;
        let params = match (&amounts, params) {
            (Amounts::One(_), None) => {
                problems.add(
                    &span,
                    "`params` is missing: the names or globs of what to prune",
                );
                None
            }
            (Amounts::One(_), Some(params)) => {
                if params.value.is_empty() {
                    problems.add(&params.span, "`params` is empty: name what to prune");
                }
                Some(params.value)
            }
            (Amounts::ByPattern(_), Some(params)) => {
                let message =
                    format!("`params` and a table of `{key}` by parameter exclude each other");
                problems.add(&params.span, message);
                None
            }
            (Amounts::ByPattern(_), None) => Some(Vec::new()),
        };
        let select = match (key, scope.as_ref().map(|scope| scope.value)) {
            ("level", Some(Scope::Global)) => SelectName::GlobalLevel,
            ("level", _) => SelectName::Level,
            ("threshold", _) => SelectName::Threshold,
            _ => SelectName::Sensitivity,
        };
        if let Some(scope) = scope.filter(|scope| scope.value == Scope::Global) {
            let by_pattern = matches!(amounts, Amounts::ByPattern(_));
            if key != "level" || by_pattern {
                let message = "`scope = \"global\"` needs one `level` for all parameters";
                problems.add(&scope.span, message);
            }
        }
        for amount in amounts.all() {
            let valid = if key == "level" {
                0.0..=1.0
            } else {
                0.0..=f64::INFINITY
            };
            if let Some(bad) = amount
                .value
                .values()
                .into_iter()
                .find(|x| !valid.contains(x))
            {
                let bound = if key == "level" {
                    "between 0 and 1"
                } else {
                    "0 or more"
                };
                problems.add(&amount.span, format!("`{key}` is {bad}, expected {bound}"));
            }
        }
        let (params, score, grain) = (params?, score?.value, grain?);
        Some(Self {
            name,
            params,
            score,
            grain,
            select,
            amounts,
        })
    }
}

/// `element` unless said otherwise; `None` after a problem.
fn grain(section: &Section<'_>) -> Option<At<Grain>> {
    if section.get("grain").is_none() {
        return Some(At::new(Grain::Element, section.span.clone()));
    }
    let text = section.text("grain")?;
    match text.value.parse() {
        Ok(grain) => Some(At::new(grain, text.span)),
        Err(error) => {
            section.problems.add(&text.span, error);
            None
        }
    }
}

/// The one amount and its key.
fn amounts(section: &Section<'_>) -> Option<(&'static str, Amounts)> {
    let keys = ["level", "threshold", "sensitivity"];
    let found: Vec<_> = keys
        .into_iter()
        .filter_map(|key| Some((key, section.get(key)?)))
        .collect();
    match found.as_slice() {
        [(key, value)] => Some((key, Amounts::read(value, section.problems)?)),
        [] => {
            let message =
                "how much to prune is missing: one of `level`, `threshold`, `sensitivity`";
            section.problems.add(&section.span, message);
            None
        }
        [_, (key, value), ..] => {
            let message =
                format!("`{key}`: give one of `level`, `threshold`, `sensitivity`, not two");
            section.problems.add(&value.span(), message);
            None
        }
    }
}
