//! Several amounts in one instance.

use calcine_fold::Granularity;

use crate::fields::Fields;
use crate::group::{Reader, granularities};
use crate::node::At;
use crate::notes::Notes;
use crate::text::{Entry, Table, float};

/// Parameters of `reg_regims` with one granularity.
#[derive(Debug, Clone)]
pub(crate) struct Regime {
    pub(crate) granularity: Granularity,
    pub(crate) granularity_span: std::ops::Range<usize>,
    pub(crate) entries: Vec<Entry>,
}

/// `reg_regims: {parameter: [number, group]}` by group.
pub(crate) fn regimes(fields: &Fields<'_>) -> Option<Vec<Regime>> {
    let words = "parameter: [number, group]";
    let entries = fields.entries("reg_regims");
    let entries = fields.need("reg_regims", words, entries)?.value;
    let notes = fields.notes;
    let mut regimes: Vec<Regime> = Vec::new();
    let mut sound = true;
    for (name, node) in entries {
        let pair = node.value.as_list().and_then(|list| match list {
            [number, group] => Some((number.value.as_number()?, group, group.value.as_text()?)),
            _ => None,
        });
        let Some((number, group, word)) = pair else {
            let message = format!("`{}` is to be [number, group]", name.value);
            notes.problem(&node.span, message);
            sound = false;
            continue;
        };
        let word = At::new(word.to_owned(), group.span.clone());
        let Some(granularities) = granularities(&word, Reader::Regularizing, notes) else {
            sound = false;
            continue;
        };
        for granularity in granularities {
            let entry = Entry::of_parameter(&name.value, float(number), &node.span);
            match regimes
                .iter_mut()
                .find(|regime| regime.granularity == granularity)
            {
                Some(regime) => regime.entries.push(entry),
                None => regimes.push(Regime {
                    granularity,
                    granularity_span: group.span.clone(),
                    entries: vec![entry],
                }),
            }
        }
    }
    sound.then_some(regimes)
}

/// A table for each granularity, with the granularity in its name if there are several.
pub(crate) fn named_by_granularity(
    name: &str,
    regimes: &[Regime],
    table: impl Fn(String, &Regime) -> Table,
) -> Vec<Table> {
    let several = regimes.len() > 1;
    let named = |regime: &Regime| match several {
        true => table(format!("{name}_{}", regime.granularity), regime),
        false => table(name.to_owned(), regime),
    };
    regimes.iter().map(named).collect()
}

/// Means of a matrix were divided by the other axis.
pub(crate) fn warn_of_means(regimes: &[Regime], criterion: &At<String>, notes: &Notes) {
    let linear = |regime: &Regime| {
        matches!(
            regime.granularity,
            Granularity::FcInput | Granularity::FcOutput
        )
    };
    if criterion.value.starts_with("Mean_") && regimes.iter().any(linear) {
        let text = "the mean of a linear layer's row or column is over its members; Distiller divided \
                    by the number of rows or columns, which differs where the weight is not square";
        notes.warn(&criterion.span, text);
    }
}
