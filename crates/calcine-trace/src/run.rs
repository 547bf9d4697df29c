use burn::module::Module;
use burn::tensor::{Device, activation};
use calcine_graph::{Graph, Node, Source, ValueId};

use crate::apply::apply;
use crate::chains::Chain;
use crate::error::ForwardError;
use crate::leaf::Held;
use crate::network::Network;
use crate::record::caught;
use crate::tensor::{AnyTensor, Tensors, with_rank};

/// The outputs of a network as the tensors that the caller asks for.
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

/// What the function computes for a node, or an error that names the node if Burn panics on the values that it is given, as
/// on an index beyond a table: Burn's operations have no other way to say so.
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
    /// What the model computes. On the tape if the network is on an autodiff device, where batch norms
    /// also use and update statistics of the batch, as in the model.
    ///
    /// The device is not read, but where elements are put in order ([`Op::ArgSort`](calcine_graph::Op::ArgSort)).
    ///
    /// # Panics
    ///
    /// If the inputs or the outputs do not fit; [`try_forward`](Self::try_forward) returns an error.
    pub fn forward<I: Tensors, O: Tensors>(&self, inputs: I) -> O {
        match self.try_forward(inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`forward`](Self::forward), with an error for tensors that do not fit.
    ///
    /// # Errors
    ///
    /// If number, kind or shape of the inputs are others than the model's, if an operation cannot be computed, or if other
    /// outputs are asked for.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        let inputs = inputs.into_any();
        let batch = batch_size(&self.graph, &inputs)?;
        typed_outputs(Pass::new(self, inputs, batch).together()?)
    }

    /// A pass in which every node's result goes through a function, which may look at it, keep it, or
    /// give another of the same shape and kind in its place.
    ///
    /// # Errors
    ///
    /// If number, kind or shape of the inputs are others than the model's, or if an operation cannot be computed, as a look-up
    /// beyond the end of a table. A panic of `observe` is not caught.
    pub fn run(
        &self,
        inputs: Vec<AnyTensor>,
        observe: &mut dyn FnMut(&Node, AnyTensor) -> AnyTensor,
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        let batch = batch_size(&self.graph, &inputs)?;
        Pass::new(self, inputs, batch).run(observe)
    }
}

/// How many samples a batch has, if it fits the inputs of a graph: as many tensors, of the same kinds and shapes, all of
/// equally many samples, and of at least one. What runs a graph checks its inputs by this.
///
/// # Errors
///
/// If it does not fit; with the input's name, and what would fit.
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
    /// Where tensors that are made of nothing are put.
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

    fn run(
        mut self,
        observe: &mut dyn FnMut(&Node, AnyTensor) -> AnyTensor,
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        let graph = &self.network.graph;
        for (index, node) in graph.nodes.iter().enumerate() {
            let output = try_compute(node, || self.computed(index, node))?;
            self.values[node.output.0] = Some(observe(node, output));
        }
        Ok(graph.outputs.iter().map(|&id| self.take(id)).collect())
    }

    /// The outputs alone: nodes of a chain are computed together.
    fn together(mut self) -> Result<Vec<AnyTensor>, ForwardError> {
        let graph = &self.network.graph;
        let chains = &self.network.plan().chains;
        for (index, node) in graph.nodes.iter().enumerate() {
            if chains.within[index] {
                continue;
            }
            let output = try_compute(node, || match &chains.ends[index] {
                Some(chain) => self.chain(chain),
                None => self.computed(index, node),
            })?;
            self.values[node.output.0] = Some(output);
        }
        Ok(graph.outputs.iter().map(|&id| self.take(id)).collect())
    }

    fn computed(&mut self, index: usize, node: &Node) -> AnyTensor {
        if let Some(leaf) = self.network.plan().norms[index] {
            return self.chain(&Chain {
                leaf,
                x: node.inputs[0],
                other: None,
                relu: false,
            });
        }
        let operands = node.inputs.iter().map(|&id| self.take(id)).collect();
        let output = self.network.graph.value(node.output);
        let shape = output.shape_at(self.batch);
        apply(node, operands, self.batch, &shape, output.kind, || {
            self.device.clone()
        })
    }

    /// The value, which is forgotten with its last use so that Burn may compute in place.
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

    /// A batch norm as Burn's own layer does it, in training too, and what is behind it.
    fn chain(&mut self, chain: &Chain) -> AnyTensor {
        let (x, other) = (self.take(chain.x), chain.other.map(|id| self.take(id)));
        let Held::Norm(norm) = &self.network.leaves.0[chain.leaf].held else {
            unreachable!("the plan names batch norms only");
        };
        #[cfg(feature = "flex")]
        if let Some(y) = crate::kernels::norm(norm, &x, other.as_ref(), chain.relu) {
            return y;
        }
        with_rank!(x.rank(), D => {
            let mut y = norm.forward::<D>(x.of());
            if let Some(other) = other {
                y = y + other.of();
            }
            match chain.relu {
                true => activation::relu(y).into(),
                false => y.into(),
            }
        })
    }
}

fn present(tensor: Option<AnyTensor>) -> AnyTensor {
    tensor.expect("nodes are in an order in which they can run")
}
