mod apply;
mod cut;
mod error;
mod pick;
mod shrink;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

pub use apply::Thinned;
pub use cut::Cut;
pub use error::PlanError;
pub use pick::weakest;

use crate::axes::{Axes, UnitId};

/// The indices to remove from a network, by the paths of its parameters.
///
/// A plan is a list of steps, each of which is a list of [`Cut`]s that remove whole units. It is created for a graph
/// and is valid for every copy of the network with the same shapes: a checkpoint contains it, and the full network is
/// thinned to the same shapes before the record is loaded. [`apply`](Self::apply) thins the graph, and
/// [`cuts`](Self::cuts) returns the indices to keep of each tensor.
///
/// A plan contains the lengths before and after. A graph that is already thinned is recognized and not changed, one to
/// which only the first steps have been applied gets the remaining ones, and any other graph is an error.
///
/// # Examples
///
/// Half of a hidden layer, as text:
///
/// ```
/// use calcine_graph::ThinningPlan;
///
/// let text = r#"[[
///     {"parameter": "fc1.weight", "axis": 1, "length": 4, "keep": [0, 3]},
///     {"parameter": "fc1.bias", "axis": 0, "length": 4, "keep": [0, 3]},
///     {"parameter": "fc2.weight", "axis": 0, "length": 4, "keep": [0, 3]}
/// ]]"#;
/// let plan: ThinningPlan = serde_json::from_str(text).unwrap();
/// assert_eq!(plan.cuts()[2].parameter, "fc2.weight");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<Cut>>", into = "Vec<Vec<Cut>>")]
pub struct ThinningPlan {
    steps: Vec<Vec<Cut>>,
}

impl ThinningPlan {
    /// The plan that removes these units; it is empty if there are none.
    ///
    /// # Errors
    ///
    /// If a unit does not exist, or an axis would become empty.
    pub fn removing(
        axes: &Axes,
        units: impl IntoIterator<Item = UnitId>,
    ) -> Result<Self, PlanError> {
        let units: HashSet<UnitId> = units.into_iter().collect();
        let mut roots = HashSet::new();
        for &id in &units {
            roots.insert(
                axes.root_of(id)
                    .ok_or_else(|| PlanError::unknown_unit(axes, id))?,
            );
        }
        axes.leaves_something(&roots)?;
        let mut gone: BTreeMap<(usize, usize), (usize, HashSet<usize>)> = BTreeMap::new();
        let mut names: BTreeMap<(usize, usize), &str> = BTreeMap::new();
        for &id in &units {
            let group = &axes.groups()[id.group];
            for (member, indices) in group.members.iter().zip(&group.units[id.unit].indices) {
                let at = (axes.place_of(&member.path), member.axis);
                names.insert(at, &member.path);
                gone.entry(at)
                    .or_insert((member.length, HashSet::new()))
                    .1
                    .extend(indices);
            }
        }
        let cuts: Vec<Cut> = gone
            .into_iter()
            .map(|(at, (length, gone))| Cut {
                parameter: names[&at].to_owned(),
                axis: at.1,
                length,
                keep: (0..length).filter(|index| !gone.contains(index)).collect(),
            })
            .collect();
        Ok(Self {
            steps: if cuts.is_empty() {
                Vec::new()
            } else {
                vec![cuts]
            },
        })
    }

    /// Combines this plan with one that was created for the graph after it.
    ///
    /// # Errors
    ///
    /// If the other plan expects other lengths than those after this one.
    pub fn then(mut self, next: Self) -> Result<Self, PlanError> {
        self.steps.extend(next.steps);
        Self::try_from(self.steps)
    }

    /// Whether the plan removes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps; each contains the cuts of one thinning.
    #[must_use]
    pub fn steps(&self) -> &[Vec<Cut>] {
        &self.steps
    }

    /// The indices of the original tensors to keep: one cut for each axis that changes, with all steps combined,
    /// ordered by path and axis.
    #[must_use]
    pub fn cuts(&self) -> Vec<Cut> {
        let mut all: BTreeMap<(&str, usize), Cut> = BTreeMap::new();
        for cut in self.steps.iter().flatten() {
            all.entry(cut.place())
                .and_modify(|before| {
                    before.keep = cut.keep.iter().map(|&index| before.keep[index]).collect();
                })
                .or_insert_with(|| cut.clone());
        }
        all.into_values().collect()
    }
}

impl TryFrom<Vec<Vec<Cut>>> for ThinningPlan {
    type Error = PlanError;

    /// Checks that each cut is valid, that no step contains an axis twice, and that the lengths of consecutive steps
    /// match.
    fn try_from(steps: Vec<Vec<Cut>>) -> Result<Self, PlanError> {
        let mut lengths: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for step in &steps {
            let mut seen = HashSet::new();
            for cut in step {
                cut.check()?;
                if !seen.insert(cut.place()) {
                    return Err(PlanError::Twice {
                        parameter: cut.parameter.clone(),
                        axis: cut.axis,
                    });
                }
                match lengths.insert(cut.place(), cut.keep.len()) {
                    Some(left) if left != cut.length => {
                        return Err(PlanError::Length {
                            parameter: cut.parameter.clone(),
                            axis: cut.axis,
                            found: left,
                            valid: vec![cut.length],
                        });
                    }
                    _ => {}
                }
            }
        }
        Ok(Self {
            steps: steps.into_iter().filter(|step| !step.is_empty()).collect(),
        })
    }
}

impl From<ThinningPlan> for Vec<Vec<Cut>> {
    fn from(plan: ThinningPlan) -> Self {
        plan.steps
    }
}
