use serde::{Deserialize, Serialize};

use super::error::PlanError;

/// The indices of one axis of a parameter that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The path of the parameter.
    pub parameter: String,
    /// The axis.
    pub axis: usize,
    /// The length of the axis before the cut.
    pub length: usize,
    /// The indices to keep, in ascending order; at least one, and not all.
    pub keep: Vec<usize>,
}

impl Cut {
    pub(super) fn place(&self) -> (&str, usize) {
        (&self.parameter, self.axis)
    }

    /// Checks that the cut is valid.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let ascending = self.keep.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = self.keep.last().is_some_and(|&last| last < self.length);
        if ascending && inside && self.keep.len() < self.length {
            return Ok(());
        }
        Err(PlanError::Keep {
            parameter: self.parameter.clone(),
            axis: self.axis,
            length: self.length,
        })
    }

    /// The indices to remove, in ascending order.
    pub(super) fn gone(&self) -> impl Iterator<Item = usize> {
        let mut keep = self.keep.iter().peekable();
        (0..self.length).filter(move |index| keep.next_if_eq(&index).is_none())
    }
}
