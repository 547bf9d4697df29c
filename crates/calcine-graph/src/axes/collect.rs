//! Collects the groups that a walk has found.

use std::collections::HashMap;

use super::group::{Group, Member, Role, Unit};
use super::walk::Walk;
use crate::graph::ValueId;

/// An axis of a parameter, and the indices that belong to a unit.
type Part = ((ValueId, usize), Vec<usize>);

/// The groups, and for each of them the root labels of its units.
pub(super) fn collect(walk: &Walk<'_>) -> (Vec<Group>, Vec<Vec<usize>>) {
    let mut positions: HashMap<Vec<(ValueId, usize)>, usize> = HashMap::new();
    let (mut groups, mut roots) = (Vec::<Group>::new(), Vec::<Vec<usize>>::new());
    for (root, parts) in parts_by_unit(walk) {
        let (members, indices): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let position = *positions.entry(members).or_insert_with_key(|members| {
            let members = members
                .iter()
                .map(|&(value, axis)| member(walk, value, axis))
                .collect();
            groups.push(Group {
                members,
                units: Vec::new(),
            });
            roots.push(Vec::new());
            groups.len() - 1
        });
        groups[position].units.push(Unit { indices });
        roots[position].push(root);
    }
    (groups, roots)
}

/// The parts of each unit, in the order in which units are found.
fn parts_by_unit(walk: &Walk<'_>) -> Vec<(usize, Vec<Part>)> {
    let mut positions: HashMap<usize, usize> = HashMap::new();
    let mut units: Vec<(usize, Vec<Part>)> = Vec::new();
    for (value, _) in walk.graph.parameters() {
        for (axis, span) in walk.labels.spans(value).iter().enumerate() {
            for (index, label) in span.labels().enumerate() {
                if walk.labels.settled_pin(label).is_some() {
                    continue;
                }
                let root = walk.labels.settled(label);
                let position = *positions.entry(root).or_insert_with(|| {
                    units.push((root, Vec::new()));
                    units.len() - 1
                });
                let parts = &mut units[position].1;
                match parts.last_mut() {
                    Some((at, indices)) if *at == (value, axis) => indices.push(index),
                    _ => parts.push(((value, axis), vec![index])),
                }
            }
        }
    }
    units
}

fn member(walk: &Walk<'_>, id: ValueId, axis: usize) -> Member {
    let value = walk.graph.value(id);
    Member {
        path: value.name.clone(),
        axis,
        length: value.shape[axis].fixed,
        role: walk
            .roles
            .get(&(id, axis))
            .copied()
            .unwrap_or(Role::Elementwise),
    }
}
