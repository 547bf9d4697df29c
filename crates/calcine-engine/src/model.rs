//! The network that an engine runs, float or quantized.

use std::collections::BTreeMap;

use calcine_format::{
    Array, IntegerWeights, NetworkData, NetworkFile, Numbers, QuantizedFile, Quantizer,
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
