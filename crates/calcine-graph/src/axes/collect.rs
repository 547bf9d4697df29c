//! Collects the groups that a walk has found.

use std::collections::HashMap;

use super::group::{Group, Member, Role, Unit};
use super::walk::Walk;
use crate::graph::ValueId;

/// An axis of a parameter.
type Axis = (ValueId, usize);

/// No unit, or no set.
const NONE: u32 = u32::MAX;

/// The units of a network, numbered in the order in which their first index is found.
struct Units {
    /// For each root label, the number of its unit, or `NONE`.
    numbers: Vec<u32>,
    /// The root label of each unit.
    roots: Vec<usize>,
    /// For each unit, which of `sets` is the set of axes that have indices of it.
    set_of: Vec<u32>,
    /// The sets of axes: another set, or `NONE`, and the axis that comes after those.
    sets: Vec<(u32, Axis)>,
}

/// The groups, and for each of them the root labels of its units. The units of a group have indices in the same axes.
///
/// The time is proportional to the sum of the lengths of the axes of all parameters.
pub(super) fn collect(walk: &Walk<'_>) -> (Vec<Group>, Vec<Vec<usize>>) {
    let units = Units::new(walk);
    let mut group_of = vec![NONE; units.sets.len()];
    let (mut groups, mut roots) = (Vec::<Group>::new(), Vec::<Vec<usize>>::new());
    let mut axes: Vec<Vec<Axis>> = Vec::new();
    // The group of each unit, and its position in the group.
    let mut places = Vec::with_capacity(units.roots.len());
    for (&root, &set) in units.roots.iter().zip(&units.set_of) {
        let group = &mut group_of[set as usize];
        if *group == NONE {
            *group = groups.len() as u32;
            let own = units.axes(set);
            groups.push(Group {
                members: own.iter().map(|&axis| member(walk, axis)).collect(),
                units: Vec::new(),
            });
            axes.push(own);
            roots.push(Vec::new());
        }
        let group = *group as usize;
        places.push((group, groups[group].units.len()));
        groups[group].units.push(Unit {
            indices: Vec::with_capacity(axes[group].len()),
        });
        roots[group].push(root);
    }
    for (axis, labels) in axes_of_parameters(walk) {
        for (index, label) in labels.enumerate() {
            let unit = units.numbers[walk.labels.settled(label)];
            if unit == NONE {
                continue;
            }
            let (group, place) = places[unit as usize];
            let indices = &mut groups[group].units[place].indices;
            let last = indices.len().checked_sub(1);
            match last.filter(|&last| axes[group][last] == axis) {
                Some(last) => indices[last].push(index),
                None => indices.push(vec![index]),
            }
        }
    }
    (groups, roots)
}

impl Units {
    fn new(walk: &Walk<'_>) -> Self {
        let mut units = Self {
            numbers: vec![NONE; walk.labels.count()],
            roots: Vec::new(),
            set_of: Vec::new(),
            sets: Vec::new(),
        };
        // The sets that get this axis, and the sets that they become.
        let mut larger: HashMap<u32, u32> = HashMap::new();
        for (axis, labels) in axes_of_parameters(walk) {
            larger.clear();
            // Neighbours mostly have the same set.
            let mut latest = (NONE, NONE);
            for label in labels.filter(|&label| walk.labels.settled_pin(label).is_none()) {
                let unit = units.number(walk.labels.settled(label));
                let before = units.set_of[unit];
                if before != NONE && units.sets[before as usize].1 == axis {
                    continue;
                }
                if latest.1 == NONE || latest.0 != before {
                    let sets = &mut units.sets;
                    let after = *larger.entry(before).or_insert_with(|| {
                        sets.push((before, axis));
                        (sets.len() - 1) as u32
                    });
                    latest = (before, after);
                }
                units.set_of[unit] = latest.1;
            }
        }
        units
    }

    /// The number of the unit with this root label, which may be a new one.
    fn number(&mut self, root: usize) -> usize {
        let number = &mut self.numbers[root];
        if *number == NONE {
            *number = self.roots.len() as u32;
            self.roots.push(root);
            self.set_of.push(NONE);
        }
        *number as usize
    }

    /// The axes of a set, in the order of the parameters.
    fn axes(&self, mut set: u32) -> Vec<Axis> {
        let mut axes = Vec::new();
        while let Some(&(without, axis)) = self.sets.get(set as usize) {
            axes.push(axis);
            set = without;
        }
        axes.reverse();
        axes
    }
}

/// All axes of parameters, with their labels.
fn axes_of_parameters<'w>(
    walk: &'w Walk<'_>,
) -> impl Iterator<Item = (Axis, std::ops::Range<usize>)> + 'w {
    walk.graph.parameters().flat_map(|(value, _)| {
        let spans = walk.labels.spans(value).iter().enumerate();
        spans.map(move |(axis, span)| ((value, axis), span.labels()))
    })
}

fn member(walk: &Walk<'_>, (id, axis): Axis) -> Member {
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
