use calcine_criteria::Aggregation;
use calcine_criteria::Needs;
use calcine_fold::Granularity;
use calcine_train::{Batches, Reconstruct};

use crate::amount::Amounts;
use crate::score::{ScoreName, batches};
use crate::section::{At, Section, Texts, count, describe};
use crate::selection::{Kind, Selection};

/// A `[pruner.NAME]` table.
#[derive(Debug, Clone)]
pub(crate) struct Pruner {
    pub(crate) name: At<String>,
    pub(crate) params: Params,
    /// Whether all producers of the same channels are pruned together, and how their scores are aggregated.
    pub(crate) dependency: Option<At<Aggregation>>,
    pub(crate) score: At<ScoreName>,
    pub(crate) noise: f64,
    pub(crate) batches: Batches,
    /// Whether norms are folded into weights before they are scored.
    pub(crate) fold_norm: Option<At<bool>>,
    /// Whether and how the remaining weights are refitted after a selection.
    pub(crate) reconstruct: Option<At<Reconstruct>>,
    pub(crate) granularity: At<Granularity>,
    pub(crate) selection: Selection,
    pub(crate) cost: Cost,
}

/// The parameters of a pruner.
#[derive(Debug, Clone)]
pub(crate) enum Params {
    /// Those that match the patterns of the amounts.
    ByAmount,
    /// Parameters that are pruned separately.
    Each(Vec<At<String>>),
    /// Groups that share a decision.
    Groups(Vec<Texts>, Aggregation),
}

/// The cost of a unit under a global level.
#[derive(Debug, Clone)]
pub(crate) enum Cost {
    Units,
    Bytes,
    ByPattern(Vec<(At<String>, u64)>),
}

impl Pruner {
    /// Whether it needs the traced network.
    pub(crate) fn needs_network(&self) -> bool {
        self.dependency.is_some()
            || self.reconstruct.is_some()
            || self.score.value.is_of_activations()
            || self.score.value == ScoreName::NormScale
            || self.fold_norm.as_ref().is_some_and(|fold| fold.value)
    }

    /// Whether it ranks or regrows by gradients.
    pub(crate) fn needs_gradients(&self) -> bool {
        let growth = self.selection.growth_score().map(|score| score.needs());
        self.score.value.needs() == Needs::Gradient || growth == Some(Needs::Gradient)
    }

    pub(crate) fn read(name: At<String>, section: Section<'_>) -> Option<Self> {
        let score = ScoreName::read(&section);
        let noise = section.number_in("noise", 0.0..=1.0);
        let batches = batches(&section);
        let fold_norm = section.flag("fold_norm");
        let reconstruct = reconstruct(&section);
        let mut granularity = granularity(&section);
        let given = granularity.is_some();
        // After a problem with the granularity, the other keys are still checked.
        let mut fallback = At::new(Granularity::Element, section.span.clone());
        let selection = Selection::read(&section, granularity.as_mut().unwrap_or(&mut fallback));
        let cost = cost(&section, selection.as_ref());
        let dependency = dependency(&section, granularity.as_ref());
        let params = params(&section, selection.as_ref(), dependency.is_some());
        if let (Some(score), Some(granularity)) = (&score, &granularity)
            && score.value.is_of_outputs()
            && granularity.value != Granularity::Filter
        {
            let linear = granularity.value == Granularity::FcOutput;
            if score.value == ScoreName::NormScale {
                let message =
                    "`norm_scale` has one score per filter: use `granularity = \"filter\"`";
                section.problems.add(&score.span, message);
            } else if !linear {
                let message = "a score of activations has one value per filter or output of a linear \
                               layer: use `granularity = \"filter\"` or `\"fc_output\"`";
                section.problems.add(&score.span, message);
            }
        }
        if let (Some(reconstruct), Some(granularity)) = (&reconstruct, &granularity)
            && !matches!(
                granularity.value,
                Granularity::Channel | Granularity::FcInput
            )
        {
            let message = "`reconstruct` compensates for dropped inputs: use `granularity = \"channel\"` or \
                           `\"fc_input\"`";
            section.problems.add(&reconstruct.span, message);
        }
        if let (Some(score), Some(selection), Some(batches)) = (&score, &selection, &batches)
            && !score.value.looks_at_batches()
            && selection
                .growth_score()
                .is_none_or(|score| score.needs() != Needs::Gradient)
        {
            let message = "`batches` is only for scores of gradients or activations, but this score needs only weights";
            section.problems.add(&batches.span, message);
        }
        section.close();
        let (score, granularity) = (score?, granularity.filter(|_| given)?);
        Some(Self {
            name,
            params: params?,
            dependency,
            batches: batches.map_or(score.value.batches(), |batches| batches.value),
            score,
            noise: noise.map_or(0.0, |noise| noise.value),
            fold_norm,
            reconstruct,
            granularity,
            selection: selection?,
            cost: cost?,
        })
    }
}

/// The granularity, by default `element`; `None` after a problem.
pub(crate) fn granularity(section: &Section<'_>) -> Option<At<Granularity>> {
    if section.get("granularity").is_none() {
        return Some(At::new(Granularity::Element, section.span.clone()));
    }
    let text = section.text("granularity")?;
    match text.value.parse() {
        Ok(granularity) => Some(At::new(granularity, text.span)),
        Err(error) => {
            section.problems.add(&text.span, error);
            None
        }
    }
}

const AGGREGATIONS: [(&str, Aggregation); 4] = [
    ("sum", Aggregation::Sum),
    ("mean", Aggregation::Mean),
    ("max", Aggregation::Max),
    ("first", Aggregation::First),
];

/// Reads `dependency = "auto"`, and how scores are aggregated.
fn dependency(
    section: &Section<'_>,
    granularity: Option<&At<Granularity>>,
) -> Option<At<Aggregation>> {
    let auto = section.word("dependency", &[("auto", true), ("none", false)])?;
    if !auto.value {
        return None;
    }
    if let Some(granularity) = granularity.filter(|granularity| {
        !matches!(
            granularity.value,
            Granularity::Filter | Granularity::FcOutput
        )
    }) {
        let message = "`dependency = \"auto\"` prunes channels in all layers that produce them: \
                       use `granularity = \"filter\"` or `\"fc_output\"`";
        section.problems.add(&granularity.span, message);
    }
    let aggregation = section.word("aggregate", &AGGREGATIONS);
    Some(At::new(
        aggregation.map_or(Aggregation::Sum, |aggregation| aggregation.value),
        auto.span,
    ))
}

/// Reads `reconstruct = true` or `reconstruct = { positions = 10, batches = 8 }`.
fn reconstruct(section: &Section<'_>) -> Option<At<Reconstruct>> {
    let value = section.get("reconstruct")?;
    let span = value.span();
    let usual = Reconstruct::default();
    if let Some(wanted) = value.get_ref().as_bool() {
        return wanted.then(|| At::new(usual, span));
    }
    if value.get_ref().as_table().is_none() {
        let found = describe(value.get_ref());
        let message = format!("`reconstruct` is {found}, expected true, false or a table");
        section.problems.add(&span, message);
        return None;
    }
    let table = section.table("reconstruct")?;
    let positions = table.positive("positions");
    let batches = batches(&table);
    table.close();
    let read = Reconstruct {
        positions: positions.map_or(usual.positions, |positions| positions.value as usize),
        batches: batches.map_or(usual.batches, |batches| batches.value),
    };
    Some(At::new(read, span))
}

/// Reads `params`, `groups` and `aggregate`.
fn params(section: &Section<'_>, selection: Option<&Selection>, auto: bool) -> Option<Params> {
    let problems = section.problems;
    let params = section.texts("params");
    let groups = section.text_lists("groups");
    if let (Some(groups), true) = (&groups, auto) {
        let message = "`groups` and `dependency = \"auto\"`, which finds them, exclude each other";
        problems.add(&groups.span, message);
    }
    // With automatic dependencies, groups are found in the graph.
    let aggregate = if auto {
        None
    } else {
        section.word("aggregate", &AGGREGATIONS)
    };
    let by_pattern = selection.filter(|s| matches!(s.amounts, Amounts::ByPattern(_)));
    if let Some(selection) = by_pattern {
        let spans = [
            params.map(|params| params.span),
            groups.map(|groups| groups.span),
        ];
        for (key, span) in ["params", "groups"].into_iter().zip(spans) {
            if let Some(span) = span {
                let message = format!(
                    "`{key}` and a table of `{}` by parameter exclude each other",
                    selection.key
                );
                problems.add(&span, message);
            }
        }
        if let Some(aggregate) = aggregate {
            problems.add(&aggregate.span, "`aggregate` needs `params` or `groups`");
        }
        return Some(Params::ByAmount);
    }
    match (params, groups, aggregate) {
        (Some(params), Some(_), _) => {
            problems.add(&params.span, "`params` and `groups` exclude each other");
            None
        }
        (Some(params), None, _) if params.value.is_empty() => {
            problems.add(
                &params.span,
                "`params` is empty: expected names or patterns of parameters",
            );
            None
        }
        (Some(params), None, None) => Some(Params::Each(params.value)),
        (Some(params), None, Some(aggregation)) => {
            Some(Params::Groups(vec![params], aggregation.value))
        }
        (None, Some(groups), Some(aggregation)) => {
            Some(Params::Groups(groups.value, aggregation.value))
        }
        (None, Some(groups), None) => {
            let message = "`groups` needs `aggregate`: \"sum\", \"mean\", \"max\" or \"first\"";
            problems.add(&groups.span, message);
            None
        }
        (None, None, _) => {
            // If the amount could not be read, it is not known whether its table names the parameters.
            if selection.is_some() && !section.has("params") && !section.has("groups") {
                let message = "`params` is missing: names or patterns of the parameters to prune";
                problems.add(&section.span, message);
            }
            None
        }
    }
}

/// Reads `cost = "units"`, `"bytes"` or a table by parameter.
fn cost(section: &Section<'_>, selection: Option<&Selection>) -> Option<Cost> {
    let Some(value) = section.get("cost") else {
        return Some(Cost::Units);
    };
    let problems = section.problems;
    if selection.is_some_and(|selection| selection.kind != Kind::GlobalLevel) {
        problems.add(&value.span(), "`cost` needs `scope = \"global\"`");
    }
    if let Some(table) = value.get_ref().as_table() {
        let entry = |(pattern, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
            let pattern: &toml::Spanned<std::borrow::Cow<'_, str>> = pattern;
            let value: &toml::Spanned<toml::de::DeValue<'_>> = value;
            match count(value.get_ref()).filter(|cost| *cost > 0) {
                Some(cost) => {
                    let pattern = At::new(pattern.get_ref().to_string(), pattern.span());
                    Some((pattern, cost))
                }
                None => {
                    let found = describe(value.get_ref());
                    let message = format!("a cost is a whole number above 0, not {found}");
                    problems.add(&value.span(), message);
                    None
                }
            }
        };
        return Some(Cost::ByPattern(table.iter().filter_map(entry).collect()));
    }
    match value.get_ref().as_str() {
        Some("units") => Some(Cost::Units),
        Some("bytes") => Some(Cost::Bytes),
        _ => {
            let found = describe(value.get_ref());
            let message =
                format!("`cost` is {found}, expected \"units\", \"bytes\" or a table by parameter");
            problems.add(&value.span(), message);
            None
        }
    }
}
