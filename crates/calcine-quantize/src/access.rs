//! What an exporter needs to know of a quantized network.

use calcine_graph::ValueId;
use calcine_trace::AnyTensor;

use crate::layer::{Bias, Layer, scale_index};
use crate::parts::taken_over;
use crate::{IntegerLayer, Quantized, Quantizer};

impl Quantized {
    /// The quantizer of a value of the graph; `None` if it has none.
    #[must_use]
    pub fn quantizer_of(&self, id: ValueId) -> Option<Quantizer> {
        self.quantizers.get(id.0).copied().flatten()
    }

    /// The layer with integer weights that the node at this position is; `None` of other nodes.
    #[must_use]
    pub fn layer_at(&self, position: usize) -> Option<IntegerLayer<'_>> {
        self.layers.get(&position).map(IntegerLayer::of)
    }

    /// Whether the node at this position is a batch norm that the layer before it computes: its result is its operand.
    #[must_use]
    pub fn is_folded(&self, position: usize) -> bool {
        taken_over(&self.graph, &self.uses, &self.layers, position)
    }

    /// The parameter or constant that a node needs as it is; `None` of values that are computed, and of weights that are
    /// integers.
    #[must_use]
    pub fn tensor(&self, id: ValueId) -> Option<AnyTensor> {
        self.floats.get(&id.0).map(|float| float.tensor.clone())
    }
}

impl<'a> IntegerLayer<'a> {
    pub(crate) fn of(layer: &'a Layer) -> Self {
        let (bias, float_bias) = match &layer.bias {
            Bias::Ints(bias) => (Some(&bias[..]), None),
            Bias::Floats(bias) => (None, Some(&bias[..])),
        };
        Self {
            name: &layer.name,
            bits: layer.bits,
            weight: &layer.ints,
            shape: &layer.shape,
            output_axis: layer.axis,
            scales: &layer.scales,
            zero_points: &layer.zero_points,
            group: layer.group,
            bias,
            float_bias,
            dynamic: layer.dynamic.map(|dynamic| (dynamic.bits, dynamic.scheme)),
        }
    }

    /// Which of [`scales`](Self::scales) the element of the weight at this position has.
    #[must_use]
    pub fn scale_index(&self, position: usize) -> usize {
        scale_index(
            position,
            self.shape,
            self.output_axis,
            self.group,
            self.scales.len(),
        )
    }
}
