use thiserror::Error;

use crate::axes::{Axes, Reason, UnitId};
use crate::error::GraphError;

/// Why a plan cannot be applied to a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The graph is not valid.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A unit does not exist in the graph.
    #[error("there is no unit {unit} of group {group}: there are {count} {what}, from 0")]
    Unit {
        /// The requested group.
        group: usize,
        /// The requested unit.
        unit: usize,
        /// The number of groups, or of units in the group.
        count: usize,
        /// Whether groups or units are missing.
        what: &'static str,
    },
    /// All indices of an axis would be removed.
    #[error(
        "removing all {length} indices of axis {axis} of {place} leaves nothing: keep at least one"
    )]
    Empty {
        /// The parameter or tensor that would be empty.
        place: String,
        /// The axis.
        axis: usize,
        /// The number of indices.
        length: usize,
    },
    /// A parameter does not exist in the graph.
    #[error("the plan cuts {parameter}, but the graph has no parameter of that name")]
    Parameter {
        /// The path.
        parameter: String,
    },
    /// An axis does not exist.
    #[error("the plan cuts axis {axis} of {parameter}, which has {rank} axes, from 0")]
    Axis {
        /// The parameter.
        parameter: String,
        /// The requested axis.
        axis: usize,
        /// The number of axes.
        rank: usize,
    },
    /// An axis has neither its length before the plan nor a length after a step.
    #[error("axis {axis} of {parameter} has length {found}; the plan is for {}", lengths(.valid))]
    Length {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The length.
        found: usize,
        /// The valid lengths.
        valid: Vec<usize>,
    },
    /// The indices of a cut are not valid.
    #[error(
        "the plan must keep at least one and not all of the {length} indices of axis {axis} of \
         {parameter}, in ascending order"
    )]
    Keep {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The length before the cut.
        length: usize,
    },
    /// A step contains an axis twice.
    #[error("one step of the plan cuts axis {axis} of {parameter} twice: valid is once")]
    Twice {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
    },
    /// An index that must be kept would be removed.
    #[error("index {index} of axis {axis} of {parameter} has to stay: {reason}")]
    Pinned {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The index.
        index: usize,
        /// Why it must be kept.
        reason: Reason,
    },
    /// Only a part of a unit would be removed.
    #[error(
        "index {index} of axis {axis} of {parameter} goes, but index {other_index} of axis \
         {other_axis} of {other} stays: they can only go together"
    )]
    Part {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The index that would be removed.
        index: usize,
        /// The parameter with another index of the unit.
        other: String,
        /// The axis of that parameter.
        other_axis: usize,
        /// The index that would be kept.
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
