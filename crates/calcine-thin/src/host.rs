use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use calcine_graph::{Graph, ValueId};
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
        let tensors = flat(&network, inventory.iter());
        let mut values = read(tensors).into_iter();
        let stored = inventory.iter().map(|parameter| {
            let values = values.by_ref().take(parameter.numel()).collect();
            let stored = Stored {
                shape: parameter.shape.clone(),
                values,
            };
            (parameter.path.clone(), stored)
        });
        Self {
            tensors: stored.collect(),
        }
    }

    /// The parameter that is this operand, if it is one.
    pub(crate) fn get(&self, graph: &Graph, id: ValueId) -> Option<&Stored> {
        self.tensors.get(&graph.value(id).name)
    }
}

fn read(tensors: Vec<Tensor<1>>) -> Vec<f32> {
    if tensors.is_empty() {
        return Vec::new();
    }
    let data: TensorData = Tensor::cat(tensors, 0).into_data();
    data.convert::<f32>().try_into_vec().unwrap_or_default()
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
