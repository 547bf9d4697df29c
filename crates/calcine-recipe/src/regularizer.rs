use calcine_fold::Granularity;
use calcine_regularize::{
    Criterion, ElasticNet, GroupLasso, GroupVariance, L1, L2, Regularizer as Penalty, Scale,
    SparseGroupLasso,
};
use calcine_train::Apply;

use crate::amount::Amounts;
use crate::pruner::granularity;
use crate::score::ScoreName;
use crate::section::{At, Section};

/// A `[regularizer.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct Regularizer {
    pub(crate) name: At<String>,
    /// Empty if the table of strengths names the parameters.
    pub(crate) params: Vec<At<String>>,
    pub(crate) granularity: At<Granularity>,
    pub(crate) strength: Amounts,
    pub(crate) apply: Apply,
    /// The criterion, and its value if that is not the strength.
    pub(crate) threshold: Option<(Criterion, Option<f64>)>,
    /// The score and the level, if only the weakest units are penalized.
    pub(crate) weakest: Option<(ScoreName, f64)>,
    kind: Kind,
    lasso: GroupLasso,
    share: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    L1,
    L2,
    ElasticNet,
    GroupLasso,
    SparseGroupLasso,
    GroupVariance,
}

impl Kind {
    /// The types that have this key.
    fn with(key: &str) -> &'static [Self] {
        match key {
            "scale" => &[Self::GroupLasso, Self::SparseGroupLasso],
            "smoothing" => &[
                Self::GroupLasso,
                Self::SparseGroupLasso,
                Self::GroupVariance,
            ],
            _ => &[Self::ElasticNet, Self::SparseGroupLasso],
        }
    }
}

const KINDS: [(&str, Kind); 6] = [
    ("l1", Kind::L1),
    ("l2", Kind::L2),
    ("elastic_net", Kind::ElasticNet),
    ("group_lasso", Kind::GroupLasso),
    ("sparse_group_lasso", Kind::SparseGroupLasso),
    ("group_variance", Kind::GroupVariance),
];

const APPLIES: [(&str, Apply); 3] = [
    ("gradient", Apply::Gradient),
    ("loss", Apply::Loss),
    ("proximal", Apply::Proximal),
];

impl Regularizer {
    pub(crate) fn read(name: At<String>, section: Section<'_>) -> Option<Self> {
        let kind = section.word("type", &KINDS);
        let kind = section.need("type", "l1, l2, group_lasso, …", kind);
        let granularity = granularity(&section);
        let strength = section.get("strength");
        let strength = match strength {
            Some(value) => Amounts::read(value, section.problems),
            None => {
                let message = "`strength` is missing: a number or curve λ, or a table by parameter";
                section.problems.add(&section.span, message);
                None
            }
        };
        let params = params(&section, strength.as_ref());
        let scales = [("none", Scale::None), ("sqrt_size", Scale::SqrtSize)];
        let scale = section.word("scale", &scales);
        let smoothing = section.number_in("smoothing", 0.0..=1.0);
        let share = section.number_in("share", 0.0..=1.0);
        let apply = section.word("apply", &APPLIES);
        if let Some(kind) = &kind {
            let keys = [
                ("scale", scale.as_ref().map(|at| &at.span)),
                ("smoothing", smoothing.as_ref().map(|at| &at.span)),
                ("share", share.as_ref().map(|at| &at.span)),
            ];
            for (key, span) in keys {
                let valid = Kind::with(key);
                if let (Some(span), false) = (span, valid.contains(&kind.value)) {
                    let names = KINDS.iter().filter(|(_, kind)| valid.contains(kind));
                    let names: Vec<String> = names.map(|(name, _)| format!("`{name}`")).collect();
                    let message = format!("`{key}` is for the types {}", names.join(", "));
                    section.problems.add(span, message);
                }
            }
        }
        let threshold = threshold(&section);
        let weakest = weakest(&section);
        if let Some(strength) = &strength {
            strength.check("strength", &(0.0..=f64::INFINITY), section.problems);
        }
        let regularizer = |kind: At<Kind>| Self {
            name,
            params: Vec::new(),
            granularity: At::new(Granularity::Element, 0..0),
            strength: Amounts::ByPattern(Vec::new()),
            apply: apply.as_ref().map_or(Apply::default(), |apply| apply.value),
            threshold,
            weakest,
            kind: kind.value,
            lasso: GroupLasso {
                scale: scale.map_or(Scale::None, |scale| scale.value),
                smoothing: smoothing.map_or(0.0, |smoothing| smoothing.value),
            },
            share: share.map_or(0.5, |share| share.value),
        };
        let regularizer = kind.map(regularizer);
        if let (Some(regularizer), Some(apply)) = (&regularizer, &apply)
            && apply.value == Apply::Proximal
            && !regularizer.has_proximal_step()
        {
            let message = "this regularizer has no proximal step: use `apply = \"gradient\"` or `\"loss\"`, or \
                           take its smoothing away";
            section.problems.add(&apply.span, message);
        }
        section.close();
        Some(Self {
            params: params?,
            granularity: granularity?,
            strength: strength?,
            ..regularizer?
        })
    }

    pub(crate) fn build(&self) -> Box<dyn Penalty + Send> {
        let (lasso, share) = (self.lasso, self.share);
        match self.kind {
            Kind::L1 => Box::new(L1),
            Kind::L2 => Box::new(L2),
            Kind::ElasticNet => Box::new(ElasticNet { share }),
            Kind::GroupLasso => Box::new(lasso),
            Kind::SparseGroupLasso => Box::new(SparseGroupLasso { share, lasso }),
            Kind::GroupVariance => Box::new(GroupVariance {
                smoothing: lasso.smoothing,
            }),
        }
    }

    fn has_proximal_step(&self) -> bool {
        match self.kind {
            Kind::L1 | Kind::L2 | Kind::ElasticNet => true,
            Kind::GroupLasso | Kind::SparseGroupLasso => self.lasso.smoothing == 0.0,
            Kind::GroupVariance => false,
        }
    }
}

fn params(section: &Section<'_>, strength: Option<&Amounts>) -> Option<Vec<At<String>>> {
    let params = section.texts("params");
    let problems = section.problems;
    match (strength, params) {
        (Some(Amounts::ByPattern(_)), Some(params)) => {
            let message = "`params` and a table of `strength` by parameter exclude each other";
            problems.add(&params.span, message);
            None
        }
        (Some(Amounts::ByPattern(_)), None) => Some(Vec::new()),
        (_, Some(params)) if params.value.is_empty() => {
            problems.add(
                &params.span,
                "`params` is empty: expected names or patterns of parameters",
            );
            None
        }
        (_, Some(params)) => Some(params.value),
        (Some(Amounts::One(_)), None) => {
            if !section.has("params") {
                let message =
                    "`params` is missing: names or patterns of the parameters to penalize";
                problems.add(&section.span, message);
            }
            None
        }
        (None, None) => None,
    }
}

/// Reads `threshold = "mean_abs"` and `threshold_at`.
fn threshold(section: &Section<'_>) -> Option<(Criterion, Option<f64>)> {
    let word = section.text("threshold");
    let value = section.number_in("threshold_at", 0.0..=f64::INFINITY);
    match (word, value) {
        (None, Some(value)) => {
            let message = "`threshold_at` needs `threshold`, the norm that is compared with it";
            section.problems.add(&value.span, message);
            None
        }
        (None, None) => None,
        (Some(word), value) => match word.value.parse() {
            Ok(criterion) => Some((criterion, value.map(|value| value.value))),
            Err(error) => {
                section.problems.add(&word.span, error);
                None
            }
        },
    }
}

/// Reads `weakest = { score = "l1", level = 0.5 }`.
fn weakest(section: &Section<'_>) -> Option<(ScoreName, f64)> {
    let value = section.get("weakest")?;
    let Some(table) = value.get_ref().as_table() else {
        let message = "expected `weakest` to be a table, such as { score = \"l1\", level = 0.5 }";
        section.problems.add(&value.span(), message);
        return None;
    };
    let inner = Section::new(table, value.span(), section.problems);
    let score = ScoreName::read(&inner);
    let level = inner.number_in("level", 0.0..=1.0);
    let level = inner.need("level", "the share of units that is penalized", level);
    inner.close();
    let score = score?;
    if score.value.needs_more_than_weights() {
        let message = "`weakest` needs a score that uses only weights";
        section.problems.add(&score.span, message);
    }
    Some((score.value, level?.value))
}
