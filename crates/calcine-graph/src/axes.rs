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

/// The dependency groups of a network: which indices of which axes have to be removed together.
///
/// Every index of every axis has a label, and every operation defines which labels are equal. For example, filter 3 of
/// a convolution is channel 3 of its result, which is entry 3 of the scale of the following batch norm, channel 3 of a
/// tensor that is added, and input 3 of the convolution that consumes the sum. An operation that needs all indices of
/// an axis pins them: outputs of the network, positions along which windows slide, features that are normalised. All
/// labels that are equal to a pinned label are pinned, too, and the operation is recorded as the [`Reason`].
///
/// Labels that are not pinned can be removed: if all producers of a unit are set to zero ([`Role::is_zeroed`]), its
/// consumers read zeros, or a constant that the bias of the consumer can compensate. A softmax that is written as
/// `exp(x) / Σ exp(x)` is therefore pinned, and a sum of squares is not.
///
/// If a reshape merges or splits axes, indices are removed along one factor: the outermost one, or, if that is pinned,
/// the next. Attention is therefore reduced by heads, a flattened feature map by channels, and grouped normalisation by
/// groups.
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
    /// The unit of each root label.
    units: HashMap<usize, UnitId>,
    /// The root labels of each unit.
    roots: Vec<Vec<usize>>,
    reasons: HashMap<u32, Reason>,
    parameters: HashMap<String, ValueId>,
    roles: HashMap<(ValueId, usize), Role>,
    names: Vec<String>,
}

impl Graph {
    /// Computes which indices of which axes have to be removed together.
    ///
    /// The time is proportional to the sum of the lengths of all axes.
    ///
    /// # Errors
    ///
    /// If the graph does not pass [`check`](Self::check), or shapes do not match an operation.
    pub fn axes(&self) -> Result<Axes, GraphError> {
        self.axes_with(NormFeatures::Pinned)
    }

    /// Like [`axes`](Self::axes); `norms` decides whether features of norms can be removed.
    ///
    /// # Errors
    ///
    /// Those of [`axes`](Self::axes).
    pub fn axes_with(&self, norms: NormFeatures) -> Result<Axes, GraphError> {
        self.check()?;
        let mut follows = HashMap::new();
        loop {
            let mut walk = Walk::new(self, &follows, norms)?;
            match follow::reconsider(&mut walk) {
                Some(next) => follows = next,
                None => return Ok(Axes::new(walk)),
            }
        }
    }
}

impl Axes {
    /// The dependency groups, in the order of the parameters of the graph.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The unit with this id.
    #[must_use]
    pub fn unit(&self, id: UnitId) -> Option<&Unit> {
        self.groups.get(id.group)?.units.get(id.unit)
    }

    /// The unit of an index of a parameter's axis; `None` if the index is pinned or unknown.
    #[must_use]
    pub fn unit_of(&self, path: &str, axis: usize, index: usize) -> Option<UnitId> {
        let span = self.parameter_span(path, axis)?;
        let label = (index < span.length).then(|| span.label(index))?;
        self.units.get(&self.labels.settled(label)).copied()
    }

    /// The unit of an index of any tensor's axis; `None` if the index is pinned or unknown.
    #[must_use]
    pub fn unit_at(&self, value: ValueId, axis: usize, index: usize) -> Option<UnitId> {
        let span = self.labels.spans(value).get(axis)?;
        let label = (index < span.length).then(|| span.label(index))?;
        self.units.get(&self.labels.settled(label)).copied()
    }

    /// The positions of the groups that contain indices of an axis of a parameter, in ascending order. There are none
    /// if the whole axis is pinned, and several if its channels come from different producers, for example after a
    /// concatenation.
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

    /// Why an axis of a parameter, or a part of it, cannot be removed; `None` if all indices can be removed, and for
    /// axes of length 1, from which nothing can be removed.
    #[must_use]
    pub fn pinned(&self, path: &str, axis: usize) -> Option<&Reason> {
        let span = self.parameter_span(path, axis)?;
        span.labels().find_map(|label| self.reason(label))
    }

    /// Why one index of a parameter's axis cannot be removed.
    #[must_use]
    pub fn pinned_at(&self, path: &str, axis: usize, index: usize) -> Option<&Reason> {
        let span = self.parameter_span(path, axis)?;
        (index < span.length).then(|| self.reason(span.label(index)))?
    }

    /// The role of an axis of a parameter for the channels along it, if it is known; pinned axes have a role, too.
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

    /// The position of a parameter among the values.
    pub(crate) fn place_of(&self, path: &str) -> usize {
        self.parameters.get(path).map_or(usize::MAX, |id| id.0)
    }

    /// The root of the labels that are equal to this one.
    pub(crate) fn root(&self, label: usize) -> usize {
        self.labels.settled(label)
    }

    pub(crate) fn root_of(&self, id: UnitId) -> Option<usize> {
        self.roots.get(id.group)?.get(id.unit).copied()
    }

    fn new(mut walk: Walk<'_>) -> Self {
        walk.labels.settle();
        let mut reasons = HashMap::new();
        for label in 0..walk.labels.count() {
            // The pin of equal labels is that of their root.
            if walk.labels.settled(label) == label
                && let Some(number) = walk.labels.settled_pin(label)
            {
                reasons.entry(number).or_insert_with(|| walk.reason(number));
            }
        }
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
