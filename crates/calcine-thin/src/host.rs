use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::Transaction;
use calcine_graph::{Graph, Source, ValueId};
use calcine_params::{Inventory, flat};
use calcine_trace::Network;

/// The values of a network's parameters, on the host.
pub(crate) struct Host {
    tensors: HashMap<String, Stored>,
}

/// One parameter.
pub(crate) struct Stored {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Host {
    /// Reads all parameters, in one read of the device.
    pub(crate) fn of(network: &Network) -> Self {
        let network = network.valid();
        let inventory = Inventory::of(&network);
        let read = flat(&network, inventory.iter())
            .into_iter()
            .fold(Transaction::default(), Transaction::register);
        let stored = inventory
            .iter()
            .zip(read.execute())
            .map(|(parameter, data)| {
                let stored = Stored {
                    shape: parameter.shape.clone(),
                    values: data.iter::<f32>().collect(),
                };
                (parameter.path.clone(), stored)
            });
        Self {
            tensors: stored.collect(),
        }
    }

    /// The parameter that is this operand, if it is one.
    pub(crate) fn get(&self, graph: &Graph, id: ValueId) -> Option<&Stored> {
        let value = graph.value(id);
        let stored = value.source == Source::Parameter;
        stored.then(|| self.tensors.get(&value.name)).flatten()
    }
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
