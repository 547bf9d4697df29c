mod block;
mod collect;
mod convolution;
mod follow;
mod group;
mod labels;
mod norm_features;
mod places;
mod reason;
mod reshape;
mod rules;
mod walk;
mod zeroed;

use std::collections::HashMap;

pub use group::{Group, Member, Role, Unit, UnitId};
pub(crate) use labels::Span;
pub use norm_features::NormFeatures;
pub use reason::Reason;
pub(crate) use reshape::{Run, runs};

use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use labels::Labels;
use walk::Walk;

/// Which indices of which axes have to be removed together, for a whole network.
///
/// Every index of every axis has a label, and every operation says which of them are the same: a
/// convolution's filter 3 is channel 3 of its result, which is entry 3 of the next batch-norm's scale,
/// channel 3 of what is added to it, and input 3 of the convolution that reads it. What some operation
/// needs whole is pinned: the network's outputs, places that windows slide along, what is normalised. All
/// that is equal to a pinned label is pinned too, and the operation remembered.
///
/// What is not pinned can be removed: if all that makes a unit is zeroed ([`Role::is_zeroed`]), then what reads it
/// reads zeros, or a constant that the reader's bias can make up for. So a softmax that is written as `exp(x) / Σ exp(x)`
/// is pinned, and a sum of squares is not.
///
/// Where a reshape merges or splits axes, the cut follows one factor: the outermost, or, if that is
/// pinned, the next. So attention is cut by heads, a flattened feature map by channels, and grouped
/// normalisation by groups.
///
/// # Examples
///
/// ```
/// use calcine_graph::Graph;
/// # fn look(graph: &Graph) -> Result<(), calcine_graph::GraphError> {
/// let axes = graph.axes()?;
/// for group in axes.groups() {
///     let (path, axis) = group.name();
///     println!("{path} axis {axis}: {} units, {} axes", group.units.len(), group.members.len());
/// }
/// if let Some(reason) = axes.pinned("fc.weight", 1) {
///     println!("fc keeps its outputs: {reason}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Axes {
    labels: Labels,
    groups: Vec<Group>,
    /// The unit that a label's root stands for.
    units: HashMap<usize, UnitId>,
    /// The other way round.
    roots: Vec<Vec<usize>>,
    reasons: HashMap<u32, Reason>,
    parameters: HashMap<String, ValueId>,
    roles: HashMap<(ValueId, usize), Role>,
    names: Vec<String>,
}

impl Graph {
    /// Which indices of which axes have to be removed together.
    ///
    /// Costs time in proportion to the sum, not the product, of the tensors' lengths.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Self::check), or shapes do not fit an operation.
    pub fn axes(&self) -> Result<Axes, GraphError> {
        self.axes_with(NormFeatures::Pinned)
    }

    /// As [`axes`](Self::axes), with features of norms that can go if asked for.
    ///
    /// # Errors
    ///
    /// Those of [`axes`](Self::axes).
    pub fn axes_with(&self, norms: NormFeatures) -> Result<Axes, GraphError> {
        self.check()?;
        let mut follows = HashMap::new();
        loop {
            let mut walk = Walk::over(self, &follows, norms)?;
            match follow::reconsider(&mut walk) {
                Some(next) => follows = next,
                None => return Ok(Axes::of(walk)),
            }
        }
    }
}

impl Axes {
    /// What can be removed, in the order in which the graph's parameters show it.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The unit of this id.
    #[must_use]
    pub fn unit(&self, id: UnitId) -> Option<&Unit> {
        self.groups.get(id.group)?.units.get(id.unit)
    }

    /// The unit that an index of a parameter's axis belongs to; none if the index is pinned or unknown.
    #[must_use]
    pub fn unit_of(&self, path: &str, axis: usize, index: usize) -> Option<UnitId> {
        let span = self.parameter_span(path, axis)?;
        let label = (index < span.length).then(|| span.label(index))?;
        self.units.get(&self.labels.settled(label)).copied()
    }

    /// The unit that an index of any tensor's axis belongs to; none if the index is pinned or unknown.
    #[must_use]
    pub fn unit_at(&self, value: ValueId, axis: usize, index: usize) -> Option<UnitId> {
        let span = self.labels.spans(value).get(axis)?;
        let label = (index < span.length).then(|| span.label(index))?;
        self.units.get(&self.labels.settled(label)).copied()
    }

    /// The groups that cut an axis of a parameter, ascending: none if all of it is pinned, several if
    /// it reads channels of different origin, as after a concatenation.
    #[must_use]
    pub fn groups_of(&self, path: &str, axis: usize) -> Vec<usize> {
        let Some(span) = self.parameter_span(path, axis) else {
            return Vec::new();
        };
        let units = span
            .labels()
            .filter_map(|label| self.units.get(&self.labels.settled(label)));
        let mut groups: Vec<usize> = units.map(|id| id.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Why a parameter's axis, or part of it, has to stay; none if all of it can be cut, and for axes of
    /// length 1, which nothing can be cut from.
    #[must_use]
    pub fn pinned(&self, path: &str, axis: usize) -> Option<&Reason> {
        let span = self.parameter_span(path, axis)?;
        span.labels().find_map(|label| self.reason(label))
    }

    /// Why one index of a parameter's axis has to stay.
    #[must_use]
    pub fn pinned_at(&self, path: &str, axis: usize, index: usize) -> Option<&Reason> {
        let span = self.parameter_span(path, axis)?;
        (index < span.length).then(|| self.reason(span.label(index)))?
    }

    /// What an axis of a parameter is to the channels along it, if it was said; pinned axes have a role too.
    #[must_use]
    pub fn role(&self, path: &str, axis: usize) -> Option<Role> {
        self.roles
            .get(&(*self.parameters.get(path)?, axis))
            .copied()
    }

    fn reason(&self, label: usize) -> Option<&Reason> {
        self.reasons.get(&self.labels.settled_pin(label)?)
    }

    fn parameter_span(&self, path: &str, axis: usize) -> Option<Span> {
        self.labels
            .spans(*self.parameters.get(path)?)
            .get(axis)
            .copied()
    }

    pub(crate) fn spans(&self, value: ValueId) -> &[Span] {
        self.labels.spans(value)
    }

    /// The names of all values.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// A parameter's place among the values.
    pub(crate) fn place_of(&self, path: &str) -> usize {
        self.parameters.get(path).map_or(usize::MAX, |id| id.0)
    }

    /// The label that stands for all that go with this one.
    pub(crate) fn root(&self, label: usize) -> usize {
        self.labels.settled(label)
    }

    pub(crate) fn root_of(&self, id: UnitId) -> Option<usize> {
        self.roots.get(id.group)?.get(id.unit).copied()
    }

    fn of(mut walk: Walk<'_>) -> Self {
        walk.labels.settle();
        let reasons = (0..walk.labels.count())
            .filter_map(|label| walk.labels.settled_pin(label))
            .map(|number| (number, walk.reason(number)))
            .collect();
        let (groups, roots) = collect::collect(&walk);
        let units = roots.iter().enumerate().flat_map(|(group, roots)| {
            let ids = roots.iter().enumerate();
            ids.map(move |(unit, &root)| (root, UnitId { group, unit }))
        });
        let units = units.collect();
        let parameters = walk.graph.parameters();
        let parameters = parameters
            .map(|(id, value)| (value.name.clone(), id))
            .collect();
        let names = walk
            .graph
            .values
            .iter()
            .map(|value| value.name.clone())
            .collect();
        Self {
            names,
            groups,
            units,
            roots,
            reasons,
            parameters,
            roles: walk.roles,
            labels: walk.labels,
        }
    }
}
