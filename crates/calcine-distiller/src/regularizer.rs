//! Regularizers: from a class and its arguments to `[regularizer.NAME]`.

use calcine_fold::Granularity;

use crate::fields::Fields;
use crate::node::At;
use crate::pruner::regime::{Regime, named_by_granularity, regimes, warn_of_means};
use crate::schedule::Instance;
use crate::text::{Entry, Table, float};
use calcine_names::suggest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    L1,
    GroupLasso,
    GroupVariance,
}

const CLASSES: [(&str, Class); 3] = [
    ("L1Regularizer", Class::L1),
    ("GroupLassoRegularizer", Class::GroupLasso),
    ("GroupVarianceRegularizer", Class::GroupVariance),
];

/// What Distiller adds under the root of a channel's norm.
const SMOOTHING: f64 = 1e-8;

/// What a regularizer becomes.
#[derive(Debug)]
pub(crate) struct Regularizer {
    pub(crate) tables: Vec<Table>,
    /// Whether it zeroes what is small.
    pub(crate) has_threshold: bool,
}

/// The regularizer; `None` after a problem.
pub(crate) fn convert(instance: &Instance<'_>) -> Option<Regularizer> {
    let fields = instance.fields.afresh();
    let notes = fields.notes;
    let class = &instance.class;
    let Some((_, kind)) = CLASSES.into_iter().find(|(word, _)| *word == class.value) else {
        let hint = suggest(&class.value, CLASSES.iter().map(|(word, _)| *word));
        let message = format!("unknown regularizer class `{}`; {hint}", class.value);
        notes.problem(&class.span, message);
        return None;
    };
    fields.text("class");
    // One without thresholds does not know the argument.
    let threshold = match kind {
        Class::GroupVariance => Some(None),
        _ => threshold(&fields),
    };
    let tables = match kind {
        Class::L1 => l1(instance, &fields),
        Class::GroupLasso => groups(instance, &fields, "group_lasso"),
        Class::GroupVariance => groups(instance, &fields, "group_variance"),
    };
    fields.close();
    let (threshold, mut tables) = (threshold?, tables?);
    if let Some(threshold) = &threshold {
        for (table, _) in &mut tables {
            let criterion = threshold.value.to_lowercase();
            table
                .entries
                .push(Entry::text("threshold", &criterion, &threshold.span));
        }
        let text =
            "the strength is the threshold too, as in Distiller; `threshold_at` would part them";
        notes.warn(&threshold.span, text);
        let regimes: Vec<Regime> = tables
            .iter()
            .filter_map(|(_, regime)| regime.clone())
            .collect();
        warn_of_means(&regimes, threshold, notes);
        let failed = |regime: &Regime| regime.granularity == Granularity::Layer;
        if regimes.iter().any(failed) {
            let text = "a threshold of whole layers failed in Distiller; here it acts";
            notes.warn(&threshold.span, text);
        }
    }
    Some(Regularizer {
        has_threshold: threshold.is_some(),
        tables: tables.into_iter().map(|(table, _)| table).collect(),
    })
}

/// `threshold_criteria`; the outer `None` after a problem.
fn threshold(fields: &Fields<'_>) -> Option<Option<At<String>>> {
    let Some(node) = fields.get("threshold_criteria") else {
        return Some(None);
    };
    let word = fields.text("threshold_criteria")?;
    if matches!(word.value.as_str(), "Mean_Abs" | "Max") {
        return Some(Some(word));
    }
    let message = format!(
        "`threshold_criteria` is `{}`, expected Mean_Abs or Max",
        word.value
    );
    fields.notes.problem(&node.span, message);
    None
}

type Made = Vec<(Table, Option<Regime>)>;

fn table(instance: &Instance<'_>, name: String, kind: &str) -> Table {
    let class = &instance.class;
    Table {
        name,
        about: class.value.clone(),
        entries: vec![Entry::text("type", kind, &class.span)],
        by_name: None,
        span: instance.name.span.clone(),
    }
}

fn l1(instance: &Instance<'_>, fields: &Fields<'_>) -> Option<Made> {
    let strengths = fields.number_by_name("reg_regims");
    let strengths = fields.need("reg_regims", "a strength for each parameter", strengths)?;
    let each = |(name, number): &(At<String>, At<f64>)| {
        Entry::of_parameter(&name.value, float(number.value), &number.span)
    };
    let mut table = table(instance, instance.name.value.clone(), "l1");
    table.by_name = Some(("strength", strengths.iter().map(each).collect()));
    Some(vec![(table, None)])
}

fn groups(instance: &Instance<'_>, fields: &Fields<'_>, kind: &str) -> Option<Made> {
    let regimes = regimes(fields)?;
    let variance = kind == "group_variance";
    if let Some(other) = regimes
        .iter()
        .find(|r| variance && r.granularity != Granularity::Channel)
    {
        let message = "group variance is of Channels";
        fields.notes.problem(&other.granularity_span, message);
        return None;
    }
    let of_regime = |name: String, regime: &Regime| {
        let mut table = table(instance, name, kind);
        let granularity = regime.granularity.to_string();
        table.entries.push(Entry::text(
            "granularity",
            &granularity,
            &regime.granularity_span,
        ));
        if regime.granularity == Granularity::Channel {
            let smoothing = At::new(SMOOTHING, regime.granularity_span.clone());
            table.entries.push(Entry::number("smoothing", &smoothing));
        }
        table.by_name = Some(("strength", regime.entries.clone()));
        table
    };
    let tables = named_by_granularity(&instance.name.value, &regimes, of_regime);
    Some(
        tables
            .into_iter()
            .zip(regimes.into_iter().map(Some))
            .collect(),
    )
}
