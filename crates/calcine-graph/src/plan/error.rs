use thiserror::Error;

use crate::axes::{Axes, Reason, UnitId};
use crate::error::GraphError;

/// Why a network cannot be thinned as a plan says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The graph itself is wrong.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A unit that the graph does not have.
    #[error("there is no unit {unit} of group {group}: there are {count} {what}, from 0")]
    Unit {
        /// The group asked for.
        group: usize,
        /// The unit asked for.
        unit: usize,
        /// How many there are of what is not there.
        count: usize,
        /// Groups, or units in the group.
        what: &'static str,
    },
    /// Everything would go.
    #[error(
        "removing all {length} indices of axis {axis} of {place} leaves nothing: keep at least one"
    )]
    Empty {
        /// The parameter, or the tensor, that would be empty.
        place: String,
        /// Its axis.
        axis: usize,
        /// How many indices there are.
        length: usize,
    },
    /// A path that no parameter of the graph has.
    #[error("the plan cuts {parameter}, but the graph has no parameter of that name")]
    Parameter {
        /// The path.
        parameter: String,
    },
    /// An axis beyond the last.
    #[error("the plan cuts axis {axis} of {parameter}, which has {rank} axes, from 0")]
    Axis {
        /// The parameter.
        parameter: String,
        /// The axis asked for.
        axis: usize,
        /// How many there are.
        rank: usize,
    },
    /// An axis that is neither as long as before nor as after the plan.
    #[error("axis {axis} of {parameter} has length {found}; the plan is for {}", lengths(.valid))]
    Length {
        /// The parameter.
        parameter: String,
        /// Its axis.
        axis: usize,
        /// How long it is.
        found: usize,
        /// How long it may be.
        valid: Vec<usize>,
    },
    /// Indices that are not a cut.
    #[error(
        "the plan must keep at least one and not all of the {length} indices of axis {axis} of \
         {parameter}, in ascending order"
    )]
    Keep {
        /// The parameter.
        parameter: String,
        /// Its axis.
        axis: usize,
        /// How long it is before.
        length: usize,
    },
    /// An axis that one step cuts twice.
    #[error("one step of the plan cuts axis {axis} of {parameter} twice: valid is once")]
    Twice {
        /// The parameter.
        parameter: String,
        /// Its axis.
        axis: usize,
    },
    /// An index that has to stay.
    #[error("index {index} of axis {axis} of {parameter} has to stay: {reason}")]
    Pinned {
        /// The parameter.
        parameter: String,
        /// Its axis.
        axis: usize,
        /// The index.
        index: usize,
        /// What needs it.
        reason: Reason,
    },
    /// Part of a unit.
    #[error(
        "index {index} of axis {axis} of {parameter} goes, but index {other_index} of axis \
         {other_axis} of {other} stays: they can only go together"
    )]
    Part {
        /// The parameter.
        parameter: String,
        /// Its axis.
        axis: usize,
        /// The index that goes.
        index: usize,
        /// The parameter that has more of the unit.
        other: String,
        /// Its axis.
        other_axis: usize,
        /// The index that stays.
        other_index: usize,
    },
}

impl PlanError {
    pub(super) fn unknown_unit(axes: &Axes, id: UnitId) -> Self {
        let (count, what) = match axes.groups().get(id.group) {
            Some(group) => (group.units.len(), "units in this group"),
            None => (axes.groups().len(), "groups"),
        };
        Self::Unit {
            group: id.group,
            unit: id.unit,
            count,
            what,
        }
    }
}

fn lengths(valid: &[usize]) -> String {
    let texts: Vec<String> = valid.iter().map(usize::to_string).collect();
    texts.join(" or ")
}
