//! Which nodes become one step: a layer together with the batch norm, sum and clamp that follow it.

use calcine_format::{Quantizer, has_weights, is_folded_norm};
use calcine_graph::{Arithmetic, Map, Op, Source, ValueId};

use super::{Compiler, is_byte, layers};
use crate::form::Image;

/// A layer with the operations that are applied to its sums in the same step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    pub(super) layer: usize,
    pub(super) norm: Option<usize>,
    /// The node of a sum, and its other operand.
    pub(super) sum: Option<(usize, ValueId)>,
    /// The node that clamps the result.
    pub(super) clamp: Option<usize>,
    pub(super) output: ValueId,
}

/// What computes the sums of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sums {
    Codes,
    Floats,
    /// Loops without vector instructions.
    Plain,
}

impl Compiler<'_> {
    /// The node that reads a value, if it is the only use of the value.
    fn only_user(&self, id: ValueId) -> Option<usize> {
        match self.uses.consumers(id) {
            [user] if !self.uses.is_output(id) => Some(*user),
            _ => None,
        }
    }

    pub(super) fn find_chains(&mut self) {
        let graph = &self.model.graph;
        // The last layer before a sum computes it, because its other operand exists by then.
        for index in (0..graph.nodes.len()).rev() {
            let sums = self.sums_of(index);
            if sums == Some(Sums::Plain) || sums.is_none() {
                continue;
            }
            let mut chain = Chain {
                layer: index,
                norm: None,
                sum: None,
                clamp: None,
                output: graph.nodes[index].output,
            };
            let mut last = index;
            if let Some(norm) = self.norm_of(index) {
                chain.norm = Some(norm);
                chain.output = graph.nodes[norm].output;
                last = norm;
            }
            let codes = sums == Some(Sums::Codes);
            if let Some(user) = self.only_user(chain.output)
                && !self.chained[user]
                && let Some(other) = self.sum_of(user, chain.output, index, codes)
            {
                chain.sum = Some((user, other));
                chain.output = graph.nodes[user].output;
                last = user;
            }
            if let Some(user) = self.only_user(chain.output)
                && !self.chained[user]
                && self.clamp_of(user, chain.output, index, codes).is_some()
            {
                chain.clamp = Some(user);
                chain.output = graph.nodes[user].output;
                last = user;
            }
            self.chained[index] = true;
            let sum = chain.sum.map(|(sum, _)| sum);
            for node in [chain.norm, sum, chain.clamp].into_iter().flatten() {
                self.chained[node] = true;
            }
            self.chains.insert(last, chain);
        }
    }

    /// The batch norm that is folded into a layer.
    fn norm_of(&self, index: usize) -> Option<usize> {
        let graph = &self.model.graph;
        let user = self.only_user(graph.nodes[index].output)?;
        let node = &graph.nodes[user];
        if !matches!(node.op, Op::BatchNorm { .. }) || node.inputs[0] != graph.nodes[index].output {
            return None;
        }
        if self.model.layers.contains_key(&index) {
            let is_layer = |at| self.model.layers.contains_key(&at);
            return is_folded_norm(graph, &self.uses, user, is_layer).then_some(user);
        }
        let known = node.inputs[1..].iter().all(|id| self.tensor(*id).is_some());
        let fits = graph.nodes[index].op != Op::Linear || self.shape(node.output).len() == 2;
        let float = self.model.quantizer(graph.nodes[index].output).is_none();
        (known && fits && float).then_some(user)
    }

    /// The other operand of a node that adds something to a value, if the layer can compute the sum.
    fn sum_of(&self, user: usize, id: ValueId, layer: usize, codes: bool) -> Option<ValueId> {
        let node = &self.model.graph.nodes[user];
        let &[a, b] = &node.inputs[..] else {
            return None;
        };
        let other = if a == id { b } else { a };
        let fits = node.op == Op::Zip(Arithmetic::Add)
            && a != b
            && self.shape(a) == self.shape(b)
            && self.tensor(other).is_none()
            && Self::image_rank(self.shape(other), self.is_linear(layer));
        let own = self.model.quantizer(self.model.graph.nodes[layer].output);
        let quantizers = [
            own,
            self.model.quantizer(other),
            self.model.quantizer(node.output),
        ];
        let fits = fits
            && match codes {
                true => quantizers.iter().all(|q| q.is_some_and(|q| is_byte(&q))),
                false => {
                    quantizers.iter().all(Option::is_none) && self.model.quantizer(id).is_none()
                }
            };
        fits.then_some(other)
    }

    fn image_rank(shape: &[usize], linear: bool) -> bool {
        Image::from_shape(shape, linear).is_some()
    }

    fn is_linear(&self, layer: usize) -> bool {
        self.model.graph.nodes[layer].op == Op::Linear
    }

    /// The range of a clamp: integers minus the zero point if the value is quantized, otherwise numbers.
    fn clamp_of(&self, user: usize, id: ValueId, layer: usize, codes: bool) -> Option<[f32; 2]> {
        let node = &self.model.graph.nodes[user];
        if node.inputs.first() != Some(&id) {
            return None;
        }
        if !codes {
            let float = self.model.quantizer(node.output).is_none()
                && self.model.quantizer(id).is_none()
                && self
                    .model
                    .quantizer(self.model.graph.nodes[layer].output)
                    .is_none();
            return float.then(|| clamp(&node.op)).flatten();
        }
        // The sum and the output of the layer both have quantizers.
        let own = match self.model.graph.value(id).source {
            Source::Node(node)
                if matches!(self.model.graph.nodes[node].op, Op::BatchNorm { .. }) =>
            {
                self.model.quantizer(self.model.graph.nodes[layer].output)
            }
            _ => self.model.quantizer(id),
        };
        let own = own?;
        (self.model.quantizer(node.output) == Some(own))
            .then(|| self.integer_clamp(user, own))
            .flatten()
    }

    /// The range of a relu or a clamp from zero, as integers minus the zero point.
    pub(super) fn integer_clamp(&self, index: usize, quantizer: Quantizer) -> Option<[f32; 2]> {
        let node = &self.model.graph.nodes[index];
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "bounds become integers of a quantizer"
        )]
        match node.op {
            Op::Map(Map::Relu) => Some([0.0, f32::INFINITY]),
            Op::Map(Map::Clamp { high, .. }) if self.uses.clamps[index] => {
                let high = quantizer.quantize(high as f32) - quantizer.zero_point;
                Some([0.0, high as f32])
            }
            Op::Map(Map::ClampMin(_)) if self.uses.clamps[index] => Some([0.0, f32::INFINITY]),
            _ => None,
        }
    }

    /// What computes the sums of a node, if it is a layer.
    pub(super) fn sums_of(&self, index: usize) -> Option<Sums> {
        let graph = &self.model.graph;
        let node = &graph.nodes[index];
        let layer = match &node.op {
            Op::Convolution(_) | Op::Linear => true,
            Op::TransposedConvolution { .. } => has_weights(graph, node),
            _ => false,
        };
        if !layer {
            return None;
        }
        let x = node.inputs[0];
        if self.tensor(x).is_some() {
            return None;
        }
        let images = matches!(&node.op, Op::Convolution(_) | Op::Linear)
            && Self::image_rank(self.shape(x), node.op == Op::Linear)
            && Self::image_rank(self.shape(node.output), node.op == Op::Linear);
        let Some(weights) = self.model.layers.get(&index) else {
            let known = node.inputs[1..].iter().all(|id| self.tensor(*id).is_some());
            return match known {
                true if images => Some(Sums::Floats),
                // Like any other operation.
                _ => None,
            };
        };
        let output = self.model.quantizer(node.output);
        Some(match self.model.quantizer(x) {
            Some(input) => {
                // Affine weights of 8 bits are up to 255 in magnitude.
                let bytes =
                    weights.bits <= 8 || weights.ints.iter().all(|int| i8::try_from(*int).is_ok());
                let fits = images
                    && bytes
                    && is_byte(&input)
                    && output.is_none_or(|output| is_byte(&output));
                if fits { Sums::Codes } else { Sums::Plain }
            }
            None if weights.dynamic.is_some() || !images => Sums::Plain,
            None => Sums::Floats,
        })
    }

    /// The borders that the windows of layers need around their inputs.
    pub(super) fn find_borders(&mut self) {
        for (index, node) in self.model.graph.nodes.iter().enumerate() {
            let Op::Convolution(options) = &node.op else {
                continue;
            };
            if !matches!(self.sums_of(index), Some(Sums::Codes | Sums::Floats)) {
                continue;
            }
            let window = layers::window(
                options,
                &self.model.graph.value(node.inputs[1]).shape_at(1)[2..],
            );
            let images =
                [node.inputs[0], node.output].map(|id| Image::from_shape(self.shape(id), false));
            let [Some(x), Some(y)] = images else { continue };
            let needed = window.border(
                [x.plane.height, x.plane.width],
                [y.plane.height, y.plane.width],
            );
            self.widen_border(node.inputs[0], needed);
        }
        // A clamp that changes nothing is not computed: both values are the same images.
        for (index, node) in self.model.graph.nodes.iter().enumerate().rev() {
            let is_layer = |at| self.model.layers.contains_key(&at);
            let clamps = self.model.quantizer(node.output);
            let clamps = clamps.is_some_and(|own| self.integer_clamp(index, own).is_some());
            if clamps || is_folded_norm(&self.model.graph, &self.uses, index, is_layer) {
                self.widen_border(node.inputs[0], self.borders[node.output.0]);
            }
        }
    }

    /// Widens the border of a value to at least the needed width.
    fn widen_border(&mut self, id: ValueId, needed: [[usize; 2]; 2]) {
        for (own, needed) in self.borders[id.0].iter_mut().zip(needed) {
            for (own, needed) in own.iter_mut().zip(needed) {
                *own = needed.max(*own);
            }
        }
    }
}

/// The range that an operation clamps to.
#[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
pub(super) fn clamp(op: &Op) -> Option<[f32; 2]> {
    match op {
        Op::Map(Map::Relu) => Some([0.0, f32::INFINITY]),
        Op::Map(Map::Clamp { low, high }) => Some([*low as f32, *high as f32]),
        Op::Map(Map::ClampMin(low)) => Some([*low as f32, f32::INFINITY]),
        Op::Map(Map::ClampMax(high)) => Some([f32::NEG_INFINITY, *high as f32]),
        _ => None,
    }
}
