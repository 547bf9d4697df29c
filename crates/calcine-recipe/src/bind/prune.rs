//! Binds `[pruner.NAME]` and its policy.

use calcine_criteria::Aggregation;
use calcine_fold::Granularity;
use calcine_params::Parameter;
use calcine_schedule::Curve;
use calcine_train::{After, Group, Hold, Lifetime, Prune, Target, Unit, WindowUnit};

use super::norms::Behind;
use super::{Bound, dependency};
use crate::amount::Amount;
use crate::policy::Policy;
use crate::pruner::{Cost, Params, Pruner};
use crate::score::ScoreName;
use crate::section::At;
use crate::selection::Kind;

/// The number of bytes of an element.
const ELEMENT: u64 = 4;

pub(super) fn bind(pruner: &Pruner, policy: &Policy, bound: Bound<'_>) -> Option<Prune> {
    let before = bound.problems.len();
    let targets = targets(pruner, &bound)?;
    let found = targets.iter().any(|target| !target.groups.is_empty());
    let masks = policy.masks;
    if pruner.selection.kind == Kind::Bernoulli
        && (masks.hold, masks.lifetime) == (Hold::Always, Lifetime::Window)
    {
        let message = "a Bernoulli selection is random: use masks that last one step (`lifetime = \"step\"`) or that \
                       only the forward pass uses (`hold = \"shadow\"`)";
        bound.problems.add(&policy.name.span, message);
    }
    let after = masks.after.unwrap_or(match masks.hold {
        Hold::Always => After::Hold,
        Hold::Forward | Hold::Shadow => After::Release,
    });
    let mut prune = Prune::new(
        pruner.name.value.as_str(),
        targets,
        pruner.score.value.with_noise(pruner.noise),
        pruner.selection.build(),
        bound.when,
    )
    .with_hold(masks.hold)
    .with_gradient_masks(masks.gradients)
    .with_after(after)
    .with_lifetime(masks.lifetime)
    .with_first(masks.first)
    .with_batches(pruner.batches)
    .with_seed(bound.seed);
    if found && prune.most_dropped() == Some(0) && asks(pruner) {
        let message = format!(
            "`{}` never drops anything: its amount is less than one unit, or all units have \
             to be kept",
            pruner.name.value
        );
        bound.problems.add(&pruner.name.span, message);
    }
    let emptied = prune.emptied();
    if bound.thins && !emptied.is_empty() && pruner.granularity.value != Granularity::Element {
        let message = format!(
            "`{}` drops all units of {emptied:?}, but `[thin]` cannot remove a whole layer: use a level below 1.0",
            pruner.name.value
        );
        bound.problems.add(&pruner.name.span, message);
    }
    if pruner.fold_norm.as_ref().is_some_and(|fold| fold.value) {
        prune = prune.with_folded_norms();
    }
    if let Some(reconstruct) = &pruner.reconstruct {
        if (masks.hold, masks.lifetime) != (Hold::Always, Lifetime::Window) {
            let message = "`reconstruct` refits stored weights, so it needs masks that are always applied \
                           (`hold = \"always\"` and `lifetime = \"window\"`)";
            bound.problems.add(&reconstruct.span, message);
        }
        prune = prune.with_reconstruction(reconstruct.value);
    }
    if let Some(growth) = pruner.selection.growth_score() {
        prune = prune.with_growth(growth);
    }
    // Problems that were found here have a more precise position.
    if let (true, Err(error)) = (bound.problems.len() == before, prune.check()) {
        bound.problems.add(&pruner.name.span, error);
    }
    Some(prune)
}

/// Whether any amount is above 0.
fn asks(pruner: &Pruner) -> bool {
    let regrows = matches!(pruner.selection.kind, Kind::Regrow { level, .. } if level > 0.0);
    let amounts = pruner.selection.amounts.all();
    regrows
        || amounts
            .iter()
            .any(|amount| amount.value.values().iter().any(|value| *value > 0.0))
}

fn targets(pruner: &Pruner, bound: &Bound<'_>) -> Option<Vec<Target>> {
    let costs = Costs::new(pruner, bound);
    let unit = |parameter: &Parameter, granularity: &At<Granularity>| {
        if !trains(pruner, parameter, bound) {
            return None;
        }
        let unit = bound.unit(parameter, granularity)?;
        let unit = with_norm(pruner, unit, bound)?;
        let cost = costs.of_unit(&unit);
        Some(unit.with_cost(cost))
    };
    let units = |parameters: Vec<&Parameter>| -> Vec<Unit> {
        let each = parameters.into_iter();
        each.filter_map(|parameter| unit(parameter, &pruner.granularity))
            .collect()
    };
    let amounts = &pruner.selection.amounts;
    let mut taken = Vec::new();
    let groups = match &pruner.params {
        Params::Groups(groups, aggregation) => {
            let amount = amounts.all().first().copied()?;
            let mut joined = Vec::new();
            for At { value, span } in groups {
                let units = units(match aggregation {
                    Aggregation::First => bound.select_from(value),
                    Aggregation::Sum | Aggregation::Mean | Aggregation::Max => bound.select(value),
                });
                let counts: Vec<_> = units.iter().map(|unit| unit.fold.units()).collect();
                match Group::shared(units, *aggregation) {
                    Some(group) => joined.push(group),
                    None => {
                        let message = format!(
                            "parameters that share a decision must have the same number of units, found \
                             {counts:?}"
                        );
                        bound.problems.add(span, message);
                    }
                }
            }
            vec![(joined, amount)]
        }
        Params::ByAmount | Params::Each(_) => {
            let patterns: &[_] = match &pruner.params {
                Params::Each(patterns) => patterns,
                _ => &[],
            };
            let each = bound.with_amounts(amounts, patterns).into_iter();
            each.map(|(parameters, amount)| {
                let groups = match &pruner.dependency {
                    Some(aggregation) => dependency::groups(
                        pruner,
                        aggregation.value,
                        (parameters, amount),
                        &mut taken,
                        bound,
                        &unit,
                    ),
                    None => units(parameters).into_iter().map(Group::single).collect(),
                };
                (groups, amount)
            })
            .collect()
        }
    };
    let target = |(groups, amount): (Vec<Group>, &At<Amount>)| {
        let amount = curve(pruner, amount, bound)?;
        Some(Target { groups, amount })
    };
    groups.into_iter().map(target).collect()
}

/// The amount over the window. An amount with a growth per epoch grows from the first firing on.
fn curve(
    pruner: &Pruner,
    amount: &At<Amount>,
    bound: &Bound<'_>,
) -> Option<Box<dyn Curve + Send + Sync>> {
    let window = &bound.when.window;
    let curve = match amount.value.curve(window) {
        Ok(curve) => curve,
        Err(error) => {
            bound.problems.add(&amount.span, error);
            return None;
        }
    };
    let growth = pruner.selection.growth();
    if growth == 0.0 {
        return Some(curve);
    }
    let span = (window.last() - window.first()) as f64;
    let epochs = match bound.when.unit {
        WindowUnit::Epochs => span,
        WindowUnit::Steps => span / bound.steps_per_epoch as f64,
    };
    Some(Box::new(move |progress: f64| {
        curve.value_at(progress) * (1.0 + growth * epochs * progress)
    }))
}

/// The unit with the norm that its score or its folding needs; `None` if a score requires the norm and there is none,
/// or it is not known which one it is.
fn with_norm(pruner: &Pruner, unit: Unit, bound: &Bound<'_>) -> Option<Unit> {
    let scored = pruner.score.value == ScoreName::NormScale;
    let folded = pruner.fold_norm.as_ref().filter(|fold| fold.value);
    let span = match folded {
        Some(fold) if !scored => &fold.span,
        None if !scored => return Some(unit),
        _ => &pruner.score.span,
    };
    let path = unit.parameter.path.clone();
    let message = match bound.norm_behind(&unit.parameter) {
        Behind::Norm(norm) => return Some(unit.with_norm(*norm)),
        // A layer without a norm is ranked by its stored weights.
        Behind::Nothing if !scored => return Some(unit),
        Behind::Nothing => {
            format!("no batch norm follows `{path}`, but `norm_scale` needs its scale")
        }
        Behind::Unknown(why) if scored => {
            format!("the batch norm after `{path}` is not known: {why}")
        }
        Behind::Unknown(why) => format!("`fold_norm` of `{path}`: {why}"),
    };
    bound.problems.add(span, message);
    None
}

/// Whether a parameter can be ranked: it must be trained if the score needs gradients.
fn trains(pruner: &Pruner, parameter: &Parameter, bound: &Bound<'_>) -> bool {
    if !pruner.needs_gradients() || !bound.frozen.contains(&parameter.id) {
        return true;
    }
    let message = format!(
        "`{}` is frozen and has no gradient: exclude it (`\"!{}\"` in `params`), or use a \
         score of weights",
        parameter.path, parameter.path
    );
    bound.problems.add(&pruner.score.span, message);
    false
}

/// The costs of units.
enum Costs {
    Units,
    Bytes,
    ByPath(Vec<(String, u64)>),
}

impl Costs {
    fn new(pruner: &Pruner, bound: &Bound<'_>) -> Self {
        match &pruner.cost {
            Cost::Units => Self::Units,
            Cost::Bytes => Self::Bytes,
            Cost::ByPattern(table) => {
                let costs = bound.by_pattern(table).into_iter();
                let each = |(parameters, cost): (Vec<&Parameter>, &u64)| {
                    let paths = parameters.into_iter().map(|p| p.path.clone());
                    paths.map(|path| (path, *cost)).collect::<Vec<_>>()
                };
                Self::ByPath(costs.flat_map(each).collect())
            }
        }
    }

    fn of_unit(&self, unit: &Unit) -> u64 {
        match self {
            Self::Units => 1,
            Self::Bytes => ELEMENT * unit.fold.members() as u64,
            Self::ByPath(costs) => {
                let path = &unit.parameter.path;
                let found = costs.iter().find(|(known, _)| known == path);
                found.map_or(1, |(_, cost)| *cost)
            }
        }
    }
}
