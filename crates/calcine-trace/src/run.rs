use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};
use calcine_graph::{Graph, Node, Source, ValueId};

use crate::apply::apply;
use crate::chains::Chain;
use crate::error::ForwardError;
use crate::leaf::Held;
use crate::network::Network;
use crate::record::caught;
use crate::tensor::{AnyTensor, Tensors, with_rank};

/// Converts the outputs of a network to the tensors that the caller asks for.
///
/// # Errors
///
/// If their number, kinds or ranks differ: [`ForwardError::Outputs`].
pub fn typed_outputs<O: Tensors>(outputs: Vec<AnyTensor>) -> Result<O, ForwardError> {
    let given = outputs.iter().map(describe).collect::<Vec<_>>().join(", ");
    O::from_any(outputs).ok_or_else(|| ForwardError::Outputs {
        given,
        asked: O::expected(),
    })
}

/// Calls a function that computes a node, and returns an error with the name of the node if Burn panics, for example
/// because an index is out of range: Burn's operations have no other way to report it.
///
/// # Errors
///
/// If the function panics.
pub fn try_compute<T>(node: &Node, compute: impl FnOnce() -> T) -> Result<T, ForwardError> {
    caught(compute).map_err(|message| ForwardError::Operation {
        node: node.name.clone(),
        message,
    })
}

impl Network {
    /// Computes the outputs of the model. On an autodiff device, the pass is recorded on the tape, and batch norms use
    /// and update the statistics of the batch, as in the model.
    ///
    /// The device is read only where elements are sorted ([`Op::ArgSort`](calcine_graph::Op::ArgSort)).
    ///
    /// # Panics
    ///
    /// If the inputs or the requested outputs do not fit; [`try_forward`](Self::try_forward) returns an error instead.
    pub fn forward<I: Tensors, O: Tensors>(&self, inputs: I) -> O {
        match self.try_forward(inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`forward`](Self::forward), but returns an error for tensors that do not fit.
    ///
    /// # Errors
    ///
    /// If the number, kinds or shapes of the inputs do not fit, if an operation cannot be computed, or if the requested
    /// outputs are not those of the network.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        let inputs = inputs.into_any();
        let batch = batch_size(&self.graph, &inputs)?;
        typed_outputs(Pass::new(self, inputs, batch).run(&mut Nobody)?)
    }

    /// Executes a pass in which the result of every node is passed to a function, which may inspect it, store it, or
    /// return another tensor of the same shape and kind in its place.
    ///
    /// # Errors
    ///
    /// If the number, kinds or shapes of the inputs do not fit, or if an operation cannot be computed, such as a lookup
    /// beyond the end of a table. Panics of `observe` are not caught.
    pub fn run(
        &self,
        inputs: Vec<AnyTensor>,
        observe: &mut dyn FnMut(&Node, AnyTensor) -> AnyTensor,
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        self.run_observed(inputs, &mut Everything(observe))
    }

    /// Executes a pass with an [`Observer`]. Nodes that the observer does not ask for are computed as fast as without
    /// one.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_observed(
        &self,
        inputs: Vec<AnyTensor>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        let batch = batch_size(&self.graph, &inputs)?;
        Pass::new(self, inputs, batch).run(observer)
    }
}

/// Inspects and changes the results of nodes during a pass.
pub trait Observer {
    /// Whether the result of a node is passed to [`observe`](Self::observe). Other nodes may be computed together with
    /// the nodes that follow them.
    fn wants(&self, node: &Node) -> bool;

    /// Numbers that are added to the result of a node before it is observed, one for each position along an axis.
    fn shift(&mut self, _node: &Node) -> Option<(usize, Tensor<1>)> {
        None
    }

    /// Returns the tensor that replaces the result of a node, with the same shape and kind.
    fn observe(&mut self, node: &Node, result: AnyTensor) -> AnyTensor;
}

/// Observes no node.
struct Nobody;

impl Observer for Nobody {
    fn wants(&self, _: &Node) -> bool {
        false
    }

    fn observe(&mut self, _: &Node, result: AnyTensor) -> AnyTensor {
        result
    }
}

/// Observes all nodes.
struct Everything<'a>(&'a mut dyn FnMut(&Node, AnyTensor) -> AnyTensor);

impl Observer for Everything<'_> {
    fn wants(&self, _: &Node) -> bool {
        true
    }

    fn observe(&mut self, node: &Node, result: AnyTensor) -> AnyTensor {
        (self.0)(node, result)
    }
}

/// The batch size of these inputs, if they fit the inputs of the graph: the same number of tensors, of the same kinds
/// and shapes, all with the same batch size of at least one. Everything that executes a graph checks its inputs with
/// this function.
///
/// # Errors
///
/// If an input does not fit; the error has its name and the expected shape.
pub fn batch_size(graph: &Graph, inputs: &[AnyTensor]) -> Result<usize, ForwardError> {
    if inputs.len() != graph.inputs.len() {
        return Err(ForwardError::Inputs {
            expected: graph.inputs.len(),
            given: inputs.len(),
        });
    }
    let mut batch = None;
    for (&id, given) in graph.inputs.iter().zip(inputs) {
        let value = graph.value(id);
        let shape = given.shape();
        let mut fits = given.kind() == value.kind && shape.len() == value.shape.len();
        for (&length, extent) in shape.iter().zip(&value.shape) {
            if extent.is_fixed() {
                fits &= length == extent.fixed;
                continue;
            }
            let samples = length.saturating_sub(extent.fixed) / extent.per_sample;
            fits &= extent.length_for(samples) == length && samples > 0;
            fits &= *batch.get_or_insert(samples) == samples;
        }
        if !fits {
            let axes: Vec<String> = value.shape.iter().map(ToString::to_string).collect();
            return Err(ForwardError::Input {
                input: value.name.clone(),
                given: describe(given),
                expected: format!("{:?} [{}]", value.kind, axes.join(", ")),
            });
        }
    }
    Ok(batch.unwrap_or(1))
}

fn describe(tensor: &AnyTensor) -> String {
    format!("{:?} {:?}", tensor.kind(), tensor.shape())
}

/// One forward pass.
struct Pass<'a> {
    network: &'a Network,
    batch: usize,
    /// The device for tensors that are created without operands.
    device: Device,
    /// The results so far, each until its last use.
    values: Vec<Option<AnyTensor>>,
    /// How often each value will still be used.
    uses: Vec<usize>,
}

impl<'a> Pass<'a> {
    fn new(network: &'a Network, inputs: Vec<AnyTensor>, batch: usize) -> Self {
        let device = inputs.first().map(AnyTensor::device);
        let device = device.or_else(|| network.devices().into_iter().next());
        let mut values = vec![None; network.graph.values.len()];
        for (id, input) in network.graph.inputs.iter().zip(inputs) {
            values[id.0] = Some(input);
        }
        Self {
            network,
            batch,
            device: device.unwrap_or_default(),
            values,
            uses: network.plan().uses.clone(),
        }
    }

    fn run(mut self, observer: &mut dyn Observer) -> Result<Vec<AnyTensor>, ForwardError> {
        let graph = &self.network.graph;
        let chains = &self.network.plan().chains;
        let mut is_inner = vec![false; graph.nodes.len()];
        let together = |chain: &&Chain| {
            let mut inner = chain.inner.iter();
            !inner.any(|index| observer.wants(&graph.nodes[*index]))
        };
        let ends = chains.ends.iter().map(|end| end.as_ref().filter(together));
        let ends: Vec<Option<&Chain>> = ends.collect();
        for index in ends.iter().flatten().flat_map(|chain| &chain.inner) {
            is_inner[*index] = true;
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            if is_inner[index] {
                continue;
            }
            let mut output = match ends[index] {
                Some(chain) => {
                    let norm = chain.inner.first().copied().unwrap_or(index);
                    let shift = observer.shift(&graph.nodes[norm]);
                    try_compute(node, || self.chain(chain, shift))?
                }
                None => self.alone(index, node, observer)?,
            };
            if ends[index].is_some_and(|chain| !chain.inner.is_empty())
                && let Some((axis, by)) = observer.shift(node)
            {
                output = output.shifted(axis, by);
            }
            if observer.wants(node) {
                output = observer.observe(node, output);
            }
            self.values[node.output.0] = Some(output);
        }
        Ok(graph.outputs.iter().map(|&id| self.take(id)).collect())
    }

    /// The result of a node that is not part of a chain, or of a chain with observed nodes before its end.
    fn alone(
        &mut self,
        index: usize,
        node: &Node,
        observer: &mut dyn Observer,
    ) -> Result<AnyTensor, ForwardError> {
        let shift = observer.shift(node);
        if let Some(leaf) = self.network.plan().norms[index] {
            let norm = Chain {
                inner: Vec::new(),
                leaf,
                x: node.inputs[0],
                other: None,
                ends: None,
            };
            return try_compute(node, || self.chain(&norm, shift));
        }
        let output = try_compute(node, || self.computed(node))?;
        Ok(match shift {
            Some((axis, by)) => output.shifted(axis, by),
            None => output,
        })
    }

    fn computed(&mut self, node: &Node) -> AnyTensor {
        let operands = node.inputs.iter().map(|&id| self.take(id)).collect();
        let output = self.network.graph.value(node.output);
        let shape = output.shape_at(self.batch);
        apply(node, operands, self.batch, &shape, output.kind, || {
            self.device.clone()
        })
    }

    /// Takes a value, and drops it after its last use, so that Burn can compute in place.
    fn take(&mut self, id: ValueId) -> AnyTensor {
        self.uses[id.0] -= 1;
        let network = self.network;
        match network.graph.value(id).source {
            Source::Parameter => {
                let (leaf, part) =
                    network.plan().places[id.0].expect("a network has its graph's parameters");
                network.leaves.0[leaf].held.part(part)
            }
            Source::Constant => present(network.constants[id.0].clone()),
            Source::Input | Source::Node(_) if self.uses[id.0] == 0 => {
                present(self.values[id.0].take())
            }
            Source::Input | Source::Node(_) => present(self.values[id.0].clone()),
        }
    }

    /// Computes a batch norm like Burn's own layer, in training too, together with the addition and the clamp that
    /// follow it.
    fn chain(&mut self, chain: &Chain, shift: Option<(usize, Tensor<1>)>) -> AnyTensor {
        let (x, other) = (self.take(chain.x), chain.other.map(|id| self.take(id)));
        let Held::Norm(norm) = &self.network.leaves.0[chain.leaf].held else {
            unreachable!("the plan names batch norms only");
        };
        #[cfg(feature = "flex")]
        {
            // Channels are the second axis.
            let fits = shift.as_ref().is_none_or(|(axis, _)| *axis == 1);
            let by = shift.as_ref().map(|(_, by)| by);
            if fits && let Some(y) = crate::kernels::norm(norm, &x, by, other.as_ref(), chain.ends)
            {
                return y;
            }
        }
        with_rank!(x.rank(), D => {
            let y = AnyTensor::from(norm.forward::<D>(x.of()));
            let y = match shift {
                Some((axis, by)) => y.shifted(axis, by),
                None => y,
            };
            let mut y: Tensor<D> = y.of();
            if let Some(other) = other {
                y = y + other.of();
            }
            match chain.ends {
                Some([0.0, f64::INFINITY]) => activation::relu(y).into(),
                Some([low, high]) => y.clamp(low, high).into(),
                None => y.into(),
            }
        })
    }
}

fn present(tensor: Option<AnyTensor>) -> AnyTensor {
    tensor.expect("nodes are in an order in which they can run")
}
