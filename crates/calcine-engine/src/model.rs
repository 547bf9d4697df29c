//! The network that an engine runs, float or quantized.

use std::collections::{BTreeMap, HashSet};

use calcine_format::{
    Array, IntegerWeights, NetworkData, NetworkFile, Numbers, QuantizedFile, Quantizer, Uses,
};
use calcine_graph::{Graph, ValueId};

/// A tensor whose elements are stored as floats, whatever their kind is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Vec<f32>,
}

/// A network, float or quantized.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) graph: Graph,
    pub(crate) quantizers: Vec<Option<Quantizer>>,
    pub(crate) layers: BTreeMap<usize, IntegerWeights>,
    /// Parameters and constants, by value.
    pub(crate) tensors: BTreeMap<usize, Tensor>,
}

impl Model {
    pub(crate) fn new(network: NetworkData) -> Self {
        match network {
            NetworkData::Float(NetworkFile { graph, tensors }) => Self {
                quantizers: vec![None; graph.values.len()],
                layers: BTreeMap::new(),
                tensors: tensors
                    .into_iter()
                    .map(|(id, array)| (id, array.into()))
                    .collect(),
                graph,
            },
            NetworkData::Quantized(network) => {
                let QuantizedFile {
                    graph,
                    quantizers,
                    layers,
                    floats,
                    ..
                } = network;
                let floats = floats.into_iter();
                Self {
                    graph,
                    quantizers,
                    layers,
                    tensors: floats.map(|(id, float)| (id, float.array.into())).collect(),
                }
            }
        }
    }

    /// Drops the elements of the weights that only these layers read, which have packed them.
    pub(crate) fn drop_weights(&mut self, packed: &HashSet<usize>) {
        let uses = Uses::new(&self.graph);
        for index in packed {
            if let Some(layer) = self.layers.get_mut(index) {
                layer.ints = Vec::new();
                continue;
            }
            let Some(id) = self.graph.nodes[*index].inputs.get(1) else {
                continue;
            };
            let own = uses.consumers(*id).iter().all(|user| packed.contains(user));
            if own
                && !uses.is_output(*id)
                && let Some(tensor) = self.tensors.get_mut(&id.0)
            {
                tensor.numbers = Vec::new();
            }
        }
    }

    /// The number of bytes of the weights and of all other parameters and constants.
    pub(crate) fn bytes(&self) -> usize {
        let ints = self
            .layers
            .values()
            .map(|layer| size_of_val(&layer.ints[..]));
        let floats = self
            .tensors
            .values()
            .map(|tensor| size_of_val(&tensor.numbers[..]));
        ints.chain(floats).sum()
    }

    pub(crate) fn is_quantized(&self) -> bool {
        self.quantizers.iter().any(Option::is_some) || !self.layers.is_empty()
    }

    pub(crate) fn quantizer(&self, id: ValueId) -> Option<Quantizer> {
        self.quantizers[id.0]
    }
}

impl From<Array> for Tensor {
    #[allow(clippy::cast_precision_loss, reason = "positions of axes")]
    fn from(array: Array) -> Self {
        let numbers = match array.numbers {
            Numbers::Floats(floats) => floats,
            Numbers::Ints(ints) => ints.into_iter().map(|int| int as f32).collect(),
            Numbers::Bools(bools) => bools.into_iter().map(|b| f32::from(u8::from(b))).collect(),
        };
        Self {
            shape: array.shape,
            numbers,
        }
    }
}
