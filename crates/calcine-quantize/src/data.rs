//! Quantized networks as plain data.

use calcine_format::{IntegerWeights, NetworkData, QuantizedFile, StoredFloat};

use crate::Quantized;
use crate::layer::Layer;

/// The graph, the quantizers, the integer weights and the parameters in float, which are read from the device: what
/// [`Quantized::to_bytes`] stores, without the file. `calcine_engine::Engine::compile` takes it.
impl From<&Quantized> for QuantizedFile {
    fn from(network: &Quantized) -> Self {
        let layers = network.layers.iter();
        let floats = network.floats.iter();
        Self {
            graph: network.graph.clone(),
            quantizers: network.quantizers.clone(),
            layers: layers.map(|(node, layer)| (*node, layer.into())).collect(),
            floats: floats
                .map(|(id, float)| {
                    let array = float.tensor.to_array();
                    let kept = float.kept;
                    (*id, StoredFloat { array, kept })
                })
                .collect(),
            metadata: network.metadata().clone(),
        }
    }
}

/// As [`QuantizedFile`].
impl From<&Quantized> for NetworkData {
    fn from(network: &Quantized) -> Self {
        Self::Quantized(network.into())
    }
}

impl From<&Layer> for IntegerWeights {
    fn from(layer: &Layer) -> Self {
        let Layer {
            name,
            bits,
            ints,
            shape,
            axis,
            scales,
            zero_points,
            group,
            bias,
            dynamic,
        } = layer.clone();
        Self {
            name,
            bits,
            ints,
            shape,
            axis,
            scales,
            zero_points,
            group,
            bias,
            dynamic,
        }
    }
}
