use std::collections::{BTreeMap, HashMap, HashSet};

use super::ThinningPlan;
use super::cut::Cut;
use super::error::PlanError;
use super::shrink::shrink;
use crate::axes::{Axes, NormFeatures};
use crate::graph::{Graph, Source, ValueId};

/// A thinned graph, and the remaining indices of its constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Thinned {
    /// The graph; the ids of values and the positions of nodes are those of the original.
    pub graph: Graph,
    /// The indices to keep of the axes of constant tensors, like [`ThinningPlan::cuts`] for parameters.
    pub constants: BTreeMap<(ValueId, usize), Vec<usize>>,
}

impl ThinningPlan {
    /// The graph without the indices that the plan removes.
    ///
    /// All shapes are reduced, and with them the groups of depthwise convolutions, the ranges of slices and the widths
    /// of padding. A graph that is already thinned is returned unchanged.
    ///
    /// # Errors
    ///
    /// If the parameters of the graph do not have the lengths of the plan, or if the plan removes indices that must be
    /// kept, a part of a unit, or a whole axis.
    pub fn apply(&self, graph: &Graph) -> Result<Graph, PlanError> {
        self.thin(graph).map(|thinned| thinned.graph)
    }

    /// Like [`apply`](Self::apply), and also returns the remaining indices of constants.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Self::apply).
    pub fn thin(&self, graph: &Graph) -> Result<Thinned, PlanError> {
        let done = self.done(graph)?;
        let mut thinned = Thinned {
            graph: graph.clone(),
            constants: BTreeMap::new(),
        };
        for step in &self.steps[done..] {
            let (axes, gone) = step_on(&thinned.graph, step)?;
            axes.leaves_something(&gone)?;
            keep_constants(&mut thinned, &axes, &gone);
            thinned.graph = shrink(&thinned.graph, &axes, &gone);
        }
        Ok(thinned)
    }

    /// The number of steps that have already been applied to a graph, according to the lengths of its parameters.
    fn done(&self, graph: &Graph) -> Result<usize, PlanError> {
        let found = self.found(graph)?;
        let mut expected: HashMap<(&str, usize), usize> = HashMap::new();
        for cut in self.steps.iter().flatten() {
            expected.entry(cut.place()).or_insert(cut.length);
        }
        let mut done = 0;
        loop {
            let wrong = expected
                .iter()
                .find(|(place, length)| found[*place] != **length);
            let Some(step) = self.steps.get(done).filter(|_| wrong.is_some()) else {
                return match wrong {
                    None => Ok(done),
                    Some(_) => Err(self.misfit(&found)),
                };
            };
            done += 1;
            expected.extend(step.iter().map(|cut| (cut.place(), cut.keep.len())));
        }
    }

    /// The lengths of all axes that the plan changes.
    fn found(&self, graph: &Graph) -> Result<HashMap<(&str, usize), usize>, PlanError> {
        let parameters: HashMap<&str, &crate::graph::Value> = graph
            .parameters()
            .map(|(_, value)| (value.name.as_str(), value))
            .collect();
        let mut found = HashMap::new();
        for cut in self.steps.iter().flatten() {
            let (parameter, axis) = (cut.parameter.clone(), cut.axis);
            let Some(value) = parameters.get(cut.parameter.as_str()) else {
                return Err(PlanError::Parameter { parameter });
            };
            let Some(extent) = value.shape.get(cut.axis) else {
                return Err(PlanError::Axis {
                    parameter,
                    axis,
                    rank: value.shape.len(),
                });
            };
            found.insert(cut.place(), extent.length_for(1));
        }
        Ok(found)
    }

    /// The error for the first axis whose length matches no stage; if each matches some stage, for the first that does
    /// not match the first stage.
    fn misfit(&self, found: &HashMap<(&str, usize), usize>) -> PlanError {
        let mut stages: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
        for cut in self.steps.iter().flatten() {
            stages
                .entry(cut.place())
                .or_insert_with(|| vec![cut.length])
                .push(cut.keep.len());
        }
        let strange =
            |(place, valid): &(&(&str, usize), &Vec<usize>)| !valid.contains(&found[*place]);
        let early = |(place, valid): &(&(&str, usize), &Vec<usize>)| valid[0] != found[*place];
        let worst = stages
            .iter()
            .find(strange)
            .or_else(|| stages.iter().find(early));
        let (place, valid) = worst.expect("some axis differs from the first stage");
        let valid = if valid.contains(&found[place]) {
            vec![valid[0]]
        } else {
            valid.clone()
        };
        PlanError::Length {
            parameter: place.0.to_owned(),
            axis: place.1,
            found: found[place],
            valid,
        }
    }
}

/// Finds what a step removes from a graph. A plan that removes features of norms was created for a network that is
/// trained further.
fn step_on(graph: &Graph, step: &[Cut]) -> Result<(Axes, HashSet<usize>), PlanError> {
    let axes = graph.axes()?;
    let error = match removed(&axes, step) {
        Ok(gone) => return Ok((axes, gone)),
        Err(error) => error,
    };
    let axes = graph.axes_with(NormFeatures::Removable)?;
    match removed(&axes, step) {
        Ok(gone) => Ok((axes, gone)),
        Err(_) => Err(error),
    }
}

/// The roots of all labels that a step removes, if they are whole units.
fn removed(axes: &Axes, step: &[Cut]) -> Result<HashSet<usize>, PlanError> {
    let gone: HashMap<(&str, usize), HashSet<usize>> = step
        .iter()
        .map(|cut| (cut.place(), cut.gone().collect()))
        .collect();
    let mut roots = HashSet::new();
    for cut in step {
        for index in cut.gone() {
            let (parameter, axis) = (cut.parameter.clone(), cut.axis);
            if let Some(reason) = axes.pinned_at(&cut.parameter, axis, index) {
                let reason = reason.clone();
                return Err(PlanError::Pinned {
                    parameter,
                    axis,
                    index,
                    reason,
                });
            }
            let Some(id) = axes.unit_of(&cut.parameter, axis, index) else {
                continue;
            };
            if !axes.root_of(id).is_some_and(|root| roots.insert(root)) {
                continue;
            }
            let group = &axes.groups()[id.group];
            for (member, indices) in group.members.iter().zip(&group.units[id.unit].indices) {
                let place = (member.path.as_str(), member.axis);
                let stays = |at: &&usize| gone.get(&place).is_none_or(|gone| !gone.contains(at));
                if let Some(&other_index) = indices.iter().find(stays) {
                    return Err(PlanError::Part {
                        parameter,
                        axis,
                        index,
                        other: member.path.clone(),
                        other_axis: member.axis,
                        other_index,
                    });
                }
            }
        }
    }
    Ok(roots)
}

fn keep_constants(thinned: &mut Thinned, axes: &Axes, gone: &HashSet<usize>) {
    let constants = thinned.graph.values.iter().enumerate();
    for (id, _) in constants.filter(|(_, value)| value.source == Source::Constant) {
        for (axis, span) in axes.spans(ValueId(id)).iter().enumerate() {
            let stays = |index: &usize| !gone.contains(&axes.root(span.label(*index)));
            let keep: Vec<usize> = (0..span.length).filter(stays).collect();
            if keep.len() < span.length {
                thinned
                    .constants
                    .entry((ValueId(id), axis))
                    .and_modify(|all| *all = keep.iter().map(|&index| all[index]).collect())
                    .or_insert(keep);
            }
        }
    }
}
