//! Networks as plain data.

use std::collections::BTreeMap;

use burn::module::Module;
use calcine_format::{NetworkData, NetworkFile};

use crate::network::Network;

/// The graph and all parameters and constants, which are read from the device: what [`Network::to_bytes`] stores, without
/// the file. `calcine_engine::Engine::compile` takes it.
impl From<&Network> for NetworkFile {
    fn from(network: &Network) -> Self {
        let network = network.valid();
        let places = network.plan().places.iter().zip(&network.constants);
        let tensors = places.enumerate().filter_map(|(index, (place, constant))| {
            let tensor = match place {
                Some((leaf, part)) => network.leaves.0[*leaf].held.part(*part),
                None => constant.clone()?,
            };
            Some((index, tensor.to_array()))
        });
        let tensors: BTreeMap<_, _> = tensors.collect();
        Self {
            tensors,
            graph: network.graph().clone(),
        }
    }
}

/// As [`NetworkFile`].
impl From<&Network> for NetworkData {
    fn from(network: &Network) -> Self {
        Self::Float(network.into())
    }
}
