//! Finds outputs that are zero and cannot be removed, with the nodes that need them.

use calcine_graph::{Axes, Graph, Role, UnitId};
use calcine_trace::Network;

use crate::error::ThinError;
use crate::host::Host;
use crate::options::ThinOptions;
use crate::report::KeptZeros;
use crate::survey::{Survey, survey};

const LAST: &str = "it is the last one: something has to stay";
const PART: &str = "it goes only with others that are not zero";

/// Returns the outputs of a network's weights that are zero and that [`thin`](crate::thin) would not remove, each with
/// the reason. After thinning, these are all outputs that are zero. All parameters are read from the device.
///
/// # Errors
///
/// If the graph of the network cannot be analysed.
pub fn zeros_that_stay(
    network: &Network,
    options: ThinOptions,
) -> Result<Vec<KeptZeros>, ThinError> {
    let axes = network.graph().axes_with(options.norm_features)?;
    let host = Host::new(network);
    let survey = survey(network.graph(), &axes, &host, options);
    Ok(kept(network.graph(), &axes, &host, &survey))
}

/// Returns the outputs of weights that are zero and were not removed, each with the reason.
///
/// The survey is that of the remaining network.
pub(crate) fn kept(graph: &Graph, axes: &Axes, host: &Host, survey: &Survey) -> Vec<KeptZeros> {
    let mut all: Vec<KeptZeros> = Vec::new();
    for (id, value) in graph.parameters() {
        let Some(slices) = host.get(id).map(|stored| stored.slices()) else {
            continue;
        };
        for (axis, extent) in value.shape.iter().enumerate() {
            let role = axes.role(&value.name, axis);
            if !matches!(role, Some(Role::Output | Role::Channelwise)) {
                continue;
            }
            let zero = (0..extent.fixed).filter(|&index| {
                let unit = axes.unit_of(&value.name, axis, index);
                let goes = unit.is_some_and(|unit| survey.dead.contains(&unit));
                slices.value_at(axis, index) == Some(0.0) && !goes
            });
            for index in zero {
                let (needed_by, reason) =
                    reason(graph, axes, host, survey, &value.name, axis, index);
                let known = all.iter_mut().find(|kept| {
                    kept.parameter == value.name
                        && kept.axis == axis
                        && kept.needed_by == needed_by
                        && kept.reason == reason
                });
                match known {
                    Some(kept) => kept.zeros += 1,
                    None => all.push(KeptZeros {
                        parameter: value.name.clone(),
                        axis,
                        length: extent.fixed,
                        zeros: 1,
                        needed_by,
                        reason,
                    }),
                }
            }
        }
    }
    all
}

/// The node that needs this index of a weight's axis, and a sentence with the reason.
fn reason(
    graph: &Graph,
    axes: &Axes,
    host: &Host,
    survey: &Survey,
    path: &str,
    axis: usize,
    index: usize,
) -> (Option<String>, String) {
    if let Some(pinned) = axes.pinned_at(path, axis, index) {
        return (pinned.node().map(str::to_owned), pinned.to_string());
    }
    let Some(unit) = axes.unit_of(path, axis, index) else {
        return (None, LAST.to_owned());
    };
    let Some(&(position, phrase)) = survey.needed.get(&unit) else {
        return (None, LAST.to_owned());
    };
    let node = &graph.nodes[position];
    let reason = match other_maker(graph, axes, host, unit, path) {
        Some(other) if other == path => PART.to_owned(),
        Some(other) => format!("`{other}` makes the same channel and is not zero"),
        None => format!("`{}` at {} {phrase}", node.op.name(), node.name),
    };
    (Some(node.name.clone()), reason)
}

/// A weight that also produces the unit and is not zero: first the weight itself, then others.
fn other_maker(graph: &Graph, axes: &Axes, host: &Host, id: UnitId, path: &str) -> Option<String> {
    let (group, unit) = (&axes.groups()[id.group], axes.unit(id)?);
    let mut producers: Vec<(usize, &str)> = group
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| matches!(member.role, Role::Output | Role::Channelwise))
        .map(|(position, member)| (position, member.path.as_str()))
        .collect();
    producers.sort_by_key(|(position, producer)| (*producer != path, *position));
    let live = |(position, producer): &(usize, &str)| {
        let stored = graph.parameter(producer).and_then(|id| host.get(id));
        let slices = stored.map(|stored| stored.slices());
        let axis = group.members[*position].axis;
        slices.is_some_and(|slices| {
            let mut indices = unit.indices[*position].iter();
            indices.any(|&index| slices.value_at(axis, index) != Some(0.0))
        })
    };
    producers
        .into_iter()
        .find(live)
        .map(|(_, producer)| producer.to_owned())
}
