//! Accessors for exporters of quantized networks.

use calcine_graph::{ElementKind, ValueId};
use calcine_trace::AnyTensor;

use crate::layer::{Bias, Layer, scale_index};
use crate::parts::is_folded_norm;
use crate::{FloatType, IntegerLayer, Quantized, Quantizer};

impl Quantized {
    /// The quantizer of a value of the graph, if it has one.
    #[must_use]
    pub fn quantizer_of(&self, id: ValueId) -> Option<Quantizer> {
        self.quantizers.get(id.0).copied().flatten()
    }

    /// The integer layer at the node with this position; `None` if the node has no integer weights.
    #[must_use]
    pub fn layer_at(&self, position: usize) -> Option<IntegerLayer<'_>> {
        self.layers.get(&position).map(IntegerLayer::new)
    }

    /// Whether the node at this position is a batch norm that is folded into the layer before it, so that its result is
    /// its operand.
    #[must_use]
    pub fn is_folded(&self, position: usize) -> bool {
        is_folded_norm(&self.graph, &self.uses, &self.layers, position)
    }

    /// A parameter or constant that a node uses in float; `None` for values that are computed, and for weights that are
    /// stored as integers.
    #[must_use]
    pub fn tensor(&self, id: ValueId) -> Option<AnyTensor> {
        self.floats.get(&id.0).map(|float| float.tensor.clone())
    }

    /// The type whose numbers the [`tensor`](Self::tensor) of this value has; `None` if it is none of floats.
    #[must_use]
    pub fn float_type(&self, id: ValueId) -> Option<FloatType> {
        let float = self.floats.get(&id.0)?;
        (float.tensor.kind() == ElementKind::Float).then_some(float.kept)
    }
}

impl<'a> IntegerLayer<'a> {
    pub(crate) fn new(layer: &'a Layer) -> Self {
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

    /// The index into [`scales`](Self::scales) for the element of the weight at this position.
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
