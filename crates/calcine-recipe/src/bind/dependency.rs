//! `dependency = "auto"`: the dependency groups of the channels of parameters.

use calcine_criteria::Aggregation;
use calcine_fold::Granularity;
use calcine_graph::{Axes, Group as Channels, Member, Role};
use calcine_params::Parameter;
use calcine_train::{Group, Unit};

use super::Bound;
use crate::amount::Amount;
use crate::pruner::Pruner;
use crate::section::At;

/// The dependency groups of the channels that these parameters produce, each once. `taken` are the groups that already
/// have a decision, with its amount: another amount for the same group is a problem.
pub(super) fn groups<'a>(
    pruner: &Pruner,
    aggregation: Aggregation,
    (parameters, amount): (Vec<&Parameter>, &'a At<Amount>),
    taken: &mut Vec<(usize, &'a At<Amount>)>,
    bound: &Bound<'_>,
    unit: &dyn Fn(&Parameter, &At<Granularity>) -> Option<Unit>,
) -> Vec<Group> {
    let span = &pruner.granularity.span;
    let Some(axes) = bound.axes else {
        let message = "`dependency = \"auto\"` needs a traced network, `Recipe::bind_traced`: because only its \
                       graph defines which channels are removed together";
        bound.problems.add(span, message);
        return Vec::new();
    };
    let mut found = Vec::new();
    for parameter in parameters {
        let path = &parameter.path;
        let Some(axis) = parameter.output_axis() else {
            let message =
                format!("`{path}` produces no channels, which `dependency = \"auto\"` requires");
            bound.problems.add(span, message);
            continue;
        };
        if parameter.shape[axis] == 1 {
            continue;
        }
        let of = axes.groups_of(path, axis);
        if of.is_empty() {
            let why = axes.pinned(path, axis).map(ToString::to_string);
            let why = why.unwrap_or_else(|| "it is not in the graph".to_owned());
            let message = format!("no channels of `{path}` can be removed: {why}");
            bound.problems.add(span, message);
        }
        for position in of {
            match taken.iter().find(|(other, _)| *other == position) {
                Some((_, other)) if other.value != amount.value => {
                    let producers = axes.groups()[position].of_role(Role::Output);
                    let producers = producers.map(|(_, producer)| format!("`{}`", producer.path));
                    let producers = producers.collect::<Vec<_>>().join(", ");
                    let message = format!(
                        "the channels of `{path}` already have another amount: {producers} are removed together, with one amount"
                    );
                    bound.problems.add(&amount.span, message);
                }
                Some(_) => {}
                None => {
                    taken.push((position, amount));
                    let channels = &axes.groups()[position];
                    found.extend(group(channels, aggregation, axes, pruner, bound, unit));
                }
            }
        }
    }
    found
}

/// The row-major indices of the elements at these indices of an axis, for each unit.
fn elements(shape: &[usize], axis: usize, units: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let elements = |indices: &Vec<usize>| {
        let rows = (0..outer).flat_map(|row| {
            let indices = indices.iter();
            indices.map(move |&index| (row * shape[axis] + index) * inner)
        });
        rows.flat_map(|first| first..first + inner).collect()
    };
    units.iter().map(elements).collect()
}

/// All parameters that produce these channels, and those that are masked with them.
fn group(
    channels: &Channels,
    aggregation: Aggregation,
    axes: &Axes,
    pruner: &Pruner,
    bound: &Bound<'_>,
    unit: &dyn Fn(&Parameter, &At<Granularity>) -> Option<Unit>,
) -> Option<Group> {
    let indices = |position: usize| -> Vec<Vec<usize>> {
        let units = channels.units.iter();
        units.map(|unit| unit.indices[position].clone()).collect()
    };
    let granularity =
        |granularity: Granularity| At::new(granularity, pruner.granularity.span.clone());
    let filters = |parameter: &Parameter| match parameter.layer.as_str() {
        "Linear" | "Embedding" => granularity(Granularity::FcOutput),
        _ => granularity(Granularity::Filter),
    };
    let producer = |position: usize, member: &Member| {
        let parameter = bound.inventory.get(&member.path)?;
        let unit = unit(parameter, &filters(parameter))?;
        let indices = indices(position);
        let each = indices.first().map_or(1, Vec::len) as u64;
        let cost = unit.cost * each;
        Some(unit.tied(&indices)?.with_cost(cost))
    };
    let follower = |(position, member): (usize, &Member)| {
        let parameter = bound.inventory.get(&member.path)?;
        let indices = indices(position);
        match member.role {
            Role::Channelwise => bound.unit(parameter, &filters(parameter))?.tied(&indices),
            Role::Bias | Role::Norm | Role::Elementwise => {
                let elements = elements(&parameter.shape, member.axis, &indices);
                bound
                    .unit(parameter, &granularity(Granularity::Element))?
                    .tied(&elements)
            }
            _ => None,
        }
    };
    let mut producers = Vec::new();
    for (position, member) in channels.of_role(Role::Output) {
        match producer(position, member) {
            Some(unit) => producers.push(unit),
            None => {
                let several = axes.groups_of(&member.path, member.axis).len();
                let message = format!(
                    "the channels of `{}` belong to {several} dependency groups, which one decision cannot \
                     covers",
                    member.path
                );
                bound.problems.add(&pruner.granularity.span, message);
                return None;
            }
        }
    }
    let followers = channels.members.iter().enumerate().filter_map(follower);
    Group::shared(producers, aggregation)?.with_followers(followers.collect())
}
