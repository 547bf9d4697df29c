use std::collections::{BTreeMap, HashMap};

use burn::module::Module;
use burn::tensor::Transaction;
use calcine_graph::{Graph, Kind, Op, Source, ValueId};
use calcine_params::{Inventory, flat};
use calcine_trace::{AnyTensor, Network};

/// The values of a network's parameters, and of the weights that it computes from them, on the host.
pub(crate) struct Host {
    tensors: HashMap<String, Stored>,
    computed: HashMap<ValueId, Stored>,
}

/// One parameter.
pub(crate) struct Stored {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Host {
    /// Reads all of them, in one read of the device.
    pub(crate) fn of(network: &Network) -> Self {
        let network = network.valid();
        let inventory = Inventory::of(&network);
        let computed = computed_weights(&network);
        let weights = computed
            .iter()
            .filter_map(|(_, weight)| weight.clone().flat());
        let read = flat(&network, inventory.iter())
            .into_iter()
            .chain(weights)
            .fold(Transaction::default(), Transaction::register);
        let mut read = read.execute().into_iter();
        let mut next = |shape: Vec<usize>| {
            let data = read.next().expect("one answer for each tensor registered");
            Stored {
                shape,
                values: data.iter::<f32>().collect(),
            }
        };
        let tensors = inventory.iter();
        let tensors = tensors.map(|p| (p.path.clone(), next(p.shape.clone())));
        let tensors = tensors.collect();
        let computed = computed.into_iter();
        let computed = computed.map(|(id, weight)| (id, next(weight.shape())));
        Self {
            tensors,
            computed: computed.collect(),
        }
    }

    /// The parameter that is this operand, or what is computed from parameters alone, if it is one of them.
    pub(crate) fn get(&self, graph: &Graph, id: ValueId) -> Option<&Stored> {
        let value = graph.value(id);
        match value.source {
            Source::Parameter => self.tensors.get(&value.name),
            Source::Node(_) => self.computed.get(&id),
            _ => None,
        }
    }
}

/// The weights and biases that layers compute from parameters, as `x.matmul(w.transpose())` does.
fn computed_weights(network: &Network) -> BTreeMap<ValueId, AnyTensor> {
    let graph = network.graph();
    let layers = graph.nodes.iter().filter(|node| {
        matches!(
            node.op,
            Op::Linear | Op::Convolution(_) | Op::TransposedConvolution { .. }
        )
    });
    let operands = layers.flat_map(|node| node.inputs.iter().skip(1).copied());
    let computed = operands.filter(|id| matches!(graph.value(*id).source, Source::Node(_)));
    let tensors = computed.filter_map(|id| Some((id, network.computed(id)?)));
    tensors
        .filter(|(_, tensor)| tensor.kind() == Kind::Float)
        .collect()
}

impl Stored {
    /// The elements of one row, where the axes after the first `axes` are taken together.
    ///
    /// `at` has an index for each of those axes.
    pub(crate) fn row(&self, at: &[usize]) -> &[f32] {
        let length: usize = self.shape[at.len()..].iter().product();
        let place = at
            .iter()
            .zip(&self.shape)
            .fold(0, |place, (&index, &axis)| place * axis + index);
        &self.values[place * length..(place + 1) * length]
    }
}

/// Whether all are zero.
pub(crate) fn zero(row: &[f32]) -> bool {
    row.iter().all(|&weight| weight == 0.0)
}

/// Their sum.
pub(crate) fn sum(row: &[f32]) -> f64 {
    row.iter().map(|&weight| f64::from(weight)).sum()
}

/// The sum of their absolute values.
pub(crate) fn absolute(row: &[f32]) -> f64 {
    row.iter().map(|&weight| f64::from(weight).abs()).sum()
}
