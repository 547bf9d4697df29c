use burn::module::Module;
use burn::tensor::Transaction;
use calcine_graph::{ConstantSlices, Graph, Stored, ValueId};
use calcine_trace::{AnyTensor, Network, evaluate};

/// The values of a network's parameters and constants, and of everything that is computed from them alone, in host
/// memory.
pub(crate) struct Host {
    stored: Vec<Option<Stored>>,
}

impl Host {
    /// Reads all values, with one read of the device.
    pub(crate) fn new(network: &Network) -> Self {
        let network = network.valid();
        let graph = network.graph();
        let tensors = stored_tensors(&network);
        let floats: Vec<(usize, Vec<usize>, _)> = tensors
            .into_iter()
            .enumerate()
            .filter_map(|(id, tensor)| {
                let tensor = tensor?;
                let shape = tensor.shape();
                Some((id, shape, tensor.flat()?))
            })
            .collect();
        let mut stored = vec![None; graph.values.len()];
        let mut read = Transaction::default();
        let mut places = Vec::with_capacity(floats.len());
        for (id, shape, tensor) in floats {
            places.push((id, shape));
            read = read.register(tensor);
        }
        for ((id, shape), data) in places.into_iter().zip(read.execute()) {
            stored[id] = Some(Stored {
                shape,
                values: data.iter::<f32>().collect(),
            });
        }
        Self { stored }
    }

    /// The values of this tensor, if they do not depend on the inputs.
    pub(crate) fn get(&self, id: ValueId) -> Option<&Stored> {
        self.stored[id.0].as_ref()
    }

    /// What is initially known about a tensor.
    pub(crate) fn slices(&self, graph: &Graph, id: ValueId) -> ConstantSlices {
        match self.get(id) {
            Some(stored) => stored.slices(),
            None => ConstantSlices::unknown(graph.value(id).shape.len()),
        }
    }
}

/// Parameters, constants, and the results of nodes that depend on nothing else.
fn stored_tensors(network: &Network) -> Vec<Option<AnyTensor>> {
    let graph = network.graph();
    let mut tensors: Vec<Option<AnyTensor>> = (0..graph.values.len())
        .map(|id| network.tensor(ValueId(id)))
        .collect();
    for node in &graph.nodes {
        let output = graph.value(node.output);
        let operands: Option<Vec<AnyTensor>> =
            node.inputs.iter().map(|id| tensors[id.0].clone()).collect();
        if let Some(operands) = operands
            && !operands.is_empty()
            && output.shape.iter().all(|extent| extent.is_fixed())
        {
            tensors[node.output.0] = Some(evaluate(graph, node, operands, 1));
        }
    }
    tensors
}
