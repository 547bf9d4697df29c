use burn::module::Module;
use burn::tensor::Device;
use calcine_graph::{Node, Source, ValueId};

use crate::apply::apply;
use crate::leaf::Held;
use crate::record::caught;
use crate::tensor::{AnyTensor, with_rank};
use crate::{ForwardError, Network};

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

/// One forward pass.
pub(crate) struct Pass<'a> {
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
    pub(crate) fn new(network: &'a Network, inputs: Vec<AnyTensor>, batch: usize) -> Self {
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

    pub(crate) fn run(
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

    fn computed(&mut self, index: usize, node: &Node) -> AnyTensor {
        if let Some(leaf) = self.network.plan().norms[index] {
            return self.norm(leaf, node.inputs[0]);
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

    /// A batch norm as Burn's own layer does it, in training too.
    fn norm(&mut self, leaf: usize, input: ValueId) -> AnyTensor {
        let input = self.take(input);
        let Held::Norm(norm) = &self.network.leaves.0[leaf].held else {
            unreachable!("the plan names batch norms only");
        };
        with_rank!(input.rank(), D => norm.forward::<D>(input.of()).into())
    }
}

fn present(tensor: Option<AnyTensor>) -> AnyTensor {
    tensor.expect("nodes are in an order in which they can run")
}
