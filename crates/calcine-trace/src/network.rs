use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, ParamId};
use burn::tensor::Device;
use calcine_graph::{ElementKind, Graph, Op, Source, ValueId};
use calcine_params::{tell_aliases, tell_groups};

use crate::chains::Chains;
use crate::error::RewriteError;
use crate::leaf::{AddedParameter, Held, Leaf, Leaves, Part};
use crate::record::caught;
use crate::tensor::{AnyTensor, MAX_RANK};

/// The prefix of the metadata keys that name other paths of parameters.
const ALIAS: &str = "calcine.alias.";

/// A traced model: its graph, and its parameters under the model's own paths.
///
/// A network is a Burn [`Module`]: it can be trained, moved between devices, saved and loaded like the model, and
/// everything that works on parameters works on it. It computes the same as the model, operation by operation, and
/// because the operations are data, it can also be observed, measured and rewritten.
///
/// The batch size is free: a network that was traced with two images runs with any number of them.
#[derive(Clone)]
pub struct Network {
    pub(crate) graph: Arc<Graph>,
    pub(crate) leaves: Leaves,
    /// The tensors that the model creates without inputs or parameters, indexed by the values of the graph.
    pub(crate) constants: Vec<Option<AnyTensor>>,
    plan: Arc<Plan>,
    metadata: Arc<BTreeMap<String, String>>,
}

/// A tensor that belongs to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkTensor<'a> {
    /// The parameter with this path.
    Parameter(&'a str),
    /// The constant with this id in the graph.
    Constant(ValueId),
}

/// What a forward pass needs to know about the values and nodes of the graph.
pub(crate) struct Plan {
    /// For each value, the leaf and the part that it is, if it is a parameter.
    pub(crate) places: Vec<Option<(usize, Part)>>,
    /// For each node, its leaf, if it is one of Burn's batch norms.
    pub(crate) norms: Vec<Option<usize>>,
    /// How many nodes use each value; an output counts as one more use.
    pub(crate) uses: Vec<usize>,
    /// Nodes that can be computed together if no observer asks for the results between them.
    pub(crate) chains: Chains,
}

impl Network {
    pub(crate) fn new(graph: Graph, mut leaves: Leaves, constants: Vec<Option<AnyTensor>>) -> Self {
        let mut paths = HashMap::new();
        for (index, leaf) in leaves.0.iter().enumerate() {
            for (part, path) in leaf.parts() {
                paths.entry(path).or_insert((index, part));
            }
        }
        let places: Vec<Option<(usize, Part)>> = graph
            .values
            .iter()
            .map(|value| match value.source {
                Source::Parameter => paths.get(&value.name).copied(),
                _ => None,
            })
            .collect();
        let mut norms = vec![None; graph.nodes.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            let Op::BatchNorm { epsilon, momentum } = node.op else {
                continue;
            };
            let operands: Vec<_> = node.inputs[1..].iter().map(|id| places[id.0]).collect();
            let Some((leaf, _)) = operands[0] else {
                continue;
            };
            let parts = [Part::Gamma, Part::Beta, Part::Mean, Part::Variance];
            let own = parts.map(|part| Some((leaf, part)));
            if let Held::Norm(norm) = &mut leaves.0[leaf].held
                && operands == own
            {
                norm.momentum = momentum;
                norm.epsilon = epsilon;
                norms[index] = Some(leaf);
            }
        }
        let mut uses = vec![0; graph.values.len()];
        let operands = graph.nodes.iter().flat_map(|node| &node.inputs);
        for id in operands.chain(&graph.outputs) {
            uses[id.0] += 1;
        }
        Self {
            plan: Arc::new(Plan {
                chains: Chains::of(&graph, &norms, &uses),
                places,
                norms,
                uses,
            }),
            graph: Arc::new(graph),
            leaves,
            constants,
            metadata: Arc::default(),
        }
    }

    /// The metadata that is saved and loaded with the network and kept by rewriting, by key: for example the
    /// normalization of the images that it was trained with.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The network with one more entry of [`metadata`](Self::metadata), which replaces an entry with the same key.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.metadata).insert(key.into(), value.into());
        self
    }

    /// The network with another path for a parameter, by which patterns and recipes also find it: the path of the same
    /// parameter in another module of the model, such as an output layer that shares the table of an embedding.
    ///
    /// The path becomes an [alias](calcine_params::Parameter::aliases) in inventories, unless it is already the path of
    /// a parameter. It is stored in the [`metadata`](Self::metadata), under the key `calcine.alias.` followed by the
    /// alias.
    #[must_use]
    pub fn with_alias(self, path: &str, alias: &str) -> Self {
        self.with_metadata(format!("{ALIAS}{alias}"), path)
    }

    /// The other paths of parameters, by parameter.
    fn aliases(&self) -> Vec<(ParamId, String)> {
        let aliases = self.metadata.iter().filter_map(|(key, path)| {
            let alias = key.strip_prefix(ALIAS)?;
            let mut parameters = self.graph.parameters();
            let (id, _) = parameters.find(|(_, value)| value.name == *path)?;
            Some((self.parameter_id(id)?, alias.to_owned()))
        });
        aliases.collect()
    }

    /// The network with exactly these entries of metadata.
    pub(crate) fn with_all_metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.metadata = Arc::new(metadata);
        self
    }

    /// The graph of the network.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The tensor of a parameter or constant of the graph; `None` for any other value. Does not read the device.
    #[must_use]
    pub fn tensor(&self, id: ValueId) -> Option<AnyTensor> {
        match self.graph.value(id).source {
            Source::Parameter => {
                let (leaf, part) = self.plan.places[id.0]?;
                Some(self.leaves.0[leaf].held.part(part))
            }
            Source::Constant => self.constants[id.0].clone(),
            _ => None,
        }
    }

    /// The instruction set of the kernels with which a training pass of this network computes its convolutions and batch norms; `None` if
    /// Burn computes them: on devices other than flex, without the feature `flex`, and on CPUs without AVX2. Does not read the device.
    #[must_use]
    pub fn training_kernels(&self) -> Option<String> {
        #[cfg(feature = "flex")]
        {
            let mut parameters = self.graph.parameters();
            let tensor = parameters.find_map(|(id, _)| self.tensor(id))?;
            crate::kernels::of_training(tensor)
        }
        #[cfg(not(feature = "flex"))]
        None
    }

    /// The id of the parameter that a value of the graph is, by which gradients and edits know it; `None` of running statistics
    /// and of any other value.
    #[must_use]
    pub fn parameter_id(&self, id: ValueId) -> Option<ParamId> {
        let (leaf, part) = self.plan.places[id.0]?;
        self.leaves.0[leaf].held.id(part)
    }

    /// The tensor of a parameter or constant, or of a value that depends only on these, such as a weight that is stored
    /// transposed; `None` if the value depends on an input. Does not read the device.
    #[must_use]
    pub fn computed(&self, id: ValueId) -> Option<AnyTensor> {
        let Source::Node(position) = self.graph.value(id).source else {
            return self.tensor(id);
        };
        self.graph.made_of(id)?;
        let node = &self.graph.nodes[position];
        let operands = node.inputs.iter().map(|&id| self.computed(id));
        let operands = operands.collect::<Option<Vec<_>>>()?;
        caught(|| crate::evaluate(&self.graph, node, operands, 1)).ok()
    }

    /// The same network with another graph, and other tensors for its parameters and constants.
    ///
    /// `change` is called with each parameter and constant, and returns its tensor in the new graph. The values of the
    /// graph keep their ids; new values follow them. `added` lists the parameters of the new graph that the old one
    /// does not have: each is inserted after the parameter that it names. The ids of parameters, and whether they are
    /// trained, do not change.
    ///
    /// # Errors
    ///
    /// If a parameter of the new graph is missing, or has another shape than in the graph.
    pub fn rewritten(
        self,
        graph: Graph,
        change: &mut dyn FnMut(NetworkTensor<'_>, AnyTensor) -> AnyTensor,
        added: Vec<AddedParameter>,
    ) -> Result<Self, RewriteError> {
        graph.check()?;
        let mut constants = Vec::with_capacity(graph.values.len());
        for id in (0..graph.values.len()).map(ValueId) {
            let constant = self.constants.get(id.0).cloned().flatten();
            constants.push(constant.map(|constant| change(NetworkTensor::Constant(id), constant)));
        }
        let mut leaves = Leaves::default();
        for leaf in self.leaves.0 {
            let paths: Vec<(Part, String)> = leaf.parts();
            let held = leaf.held.replaced(|part, tensor| {
                let path = paths.iter().find(|(known, _)| *known == part);
                change(
                    NetworkTensor::Parameter(path.map_or("", |(_, path)| path)),
                    tensor,
                )
            });
            leaves.0.push(Leaf {
                walk: leaf.walk,
                held,
            });
        }
        for added in added {
            leaves.insert(added)?;
        }
        let network = Self {
            metadata: self.metadata,
            ..Self::new(graph, leaves, constants)
        };
        network.as_its_graph_says()?;
        Ok(network)
    }

    /// The same network without unused values, which a rewritten graph may contain, and without the parameters among
    /// them. The remaining values get new ids.
    #[must_use]
    pub fn compacted(self) -> Self {
        let graph = &*self.graph;
        let mut used = vec![false; graph.values.len()];
        let ends = graph.inputs.iter().chain(&graph.outputs).copied();
        let operands = graph.nodes.iter().flat_map(|node| &node.inputs).copied();
        let results = graph.nodes.iter().map(|node| node.output);
        ends.chain(operands)
            .chain(results)
            .for_each(|id| used[id.0] = true);
        let mut count = 0;
        let places = used.iter().map(|used| {
            count += usize::from(*used);
            ValueId(count.saturating_sub(1))
        });
        let places: Vec<ValueId> = places.collect();
        let mut compact = graph.clone();
        let all = |ids: &mut Vec<ValueId>| ids.iter_mut().for_each(|id| *id = places[id.0]);
        all(&mut compact.inputs);
        all(&mut compact.outputs);
        for node in &mut compact.nodes {
            all(&mut node.inputs);
            node.output = places[node.output.0];
        }
        let mut at = used.iter();
        compact.values.retain(|_| at.next() == Some(&true));
        let constants = self.constants.into_iter().zip(&used);
        let constants = constants.filter_map(|(constant, used)| used.then_some(constant));
        let paths = |graph: &Graph| -> HashSet<String> {
            let parameters = graph.parameters();
            parameters.map(|(_, value)| value.name.clone()).collect()
        };
        let (before, after) = (paths(graph), paths(&compact));
        let is_dead = |path: &str| before.contains(path) && !after.contains(path);
        let leaves = self.leaves.0.into_iter();
        let leaves = leaves.filter(|leaf| !leaf.parts().iter().all(|(_, path)| is_dead(path)));
        let leaves = Leaves(leaves.collect());
        let constants = constants.collect();
        Self {
            metadata: self.metadata,
            ..Self::new(compact, leaves, constants)
        }
    }

    /// Checks that every parameter and constant exists and has the shape that the graph defines.
    pub(crate) fn as_its_graph_says(&self) -> Result<(), RewriteError> {
        for (index, value) in self.graph.values.iter().enumerate() {
            let rank = value.shape.len();
            if !(1..=MAX_RANK).contains(&rank) {
                let path = value.name.clone();
                return Err(RewriteError::Rank { path, rank });
            }
            let tensor = match (value.source, self.plan.places[index]) {
                (Source::Parameter, Some((leaf, part))) => {
                    Some(self.leaves.0[leaf].held.part(part))
                }
                (Source::Constant, _) => self.constants[index].clone(),
                (Source::Parameter, None) => None,
                _ => continue,
            };
            let path = value.name.clone();
            if value.kind != ElementKind::Float && value.source == Source::Parameter {
                return Err(RewriteError::Kind { path });
            }
            let Some(tensor) = tensor else {
                return Err(RewriteError::Missing { path });
            };
            if tensor.kind() != value.kind {
                return Err(RewriteError::Kind { path });
            }
            let (found, expected) = (tensor.shape(), value.shape_at(1));
            if found != expected || !value.shape.iter().all(|extent| extent.is_fixed()) {
                return Err(RewriteError::Shape {
                    path,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// The network with batch norms that do not update their running statistics, not even in training. Scales and
    /// shifts are trained as before.
    #[must_use]
    pub fn with_frozen_statistics(mut self) -> Self {
        for leaf in &mut self.leaves.0 {
            if let Held::Norm(norm) = &mut leaf.held {
                norm.training = norm.training.clone().with_value(false);
            }
        }
        self
    }

    /// The weight of each convolution, with its number of groups.
    fn groups(&self) -> Vec<(ParamId, usize)> {
        let groups = self.graph.nodes.iter().filter_map(|node| match &node.op {
            Op::Convolution(convolution) | Op::TransposedConvolution { convolution, .. } => {
                Some((self.parameter_id(node.inputs[1])?, convolution.groups))
            }
            _ => None,
        });
        groups.collect()
    }

    /// Sets the momentum of the batch norm that these nodes compute.
    pub(crate) fn set_momentum(&mut self, leaf: usize, nodes: &[usize], measured: f64) {
        if let Held::Norm(norm) = &mut self.leaves.0[leaf].held {
            norm.momentum = measured;
        }
        let graph = Arc::make_mut(&mut self.graph);
        for &node in nodes {
            if let Op::BatchNorm { momentum, .. } = &mut graph.nodes[node].op {
                *momentum = measured;
            }
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl Module for Network {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.leaves.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self {
            leaves: self.leaves.fork(device),
            constants: moved(&self.constants, device),
            ..self
        }
    }

    fn to_device(self, device: &Device) -> Self {
        Self {
            leaves: self.leaves.moved(device),
            constants: moved(&self.constants, device),
            ..self
        }
    }

    fn train(self) -> Self {
        Self {
            leaves: self.leaves.train(),
            ..self
        }
    }

    fn valid(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            leaves: self.leaves.valid(),
            constants: self.constants.clone(),
            plan: self.plan.clone(),
            metadata: self.metadata.clone(),
        }
    }

    fn materialize(self) -> Self {
        Self {
            leaves: self.leaves.materialize(),
            ..self
        }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        tell_groups(|| self.groups());
        tell_aliases(|| self.aliases());
        self.leaves.visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self {
            leaves: self.leaves.map(mapper),
            ..self
        }
    }
}

/// Moves constants to a device. They are never on the autodiff tape.
fn moved(constants: &[Option<AnyTensor>], device: &Device) -> Vec<Option<AnyTensor>> {
    let device = &device.clone().without_autodiff();
    let constants = constants.iter().cloned();
    constants
        .map(|constant| Some(constant?.to_device(device)))
        .collect()
}

/// Shows the graph, and the paths of the parameters.
impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.leaves.0.iter().flat_map(Leaf::parts);
        let paths: Vec<String> = parts.map(|(_, path)| path).collect();
        f.debug_struct("Network")
            .field("graph", &self.graph)
            .field("parameters", &paths)
            .finish_non_exhaustive()
    }
}
