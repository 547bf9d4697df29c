//! The quantizers of a forward pass on the device: weights, activations, biases.

use std::collections::BTreeMap;

use burn::module::ParamId;
use burn::tensor::{Bool, Tensor};
use calcine_graph::{Op, ValueId};
use calcine_params::Edit;
use calcine_quant::{
    Method, dorefa_weight, fake_quantize, fake_quantize_between, lsq, lsq_along, pact,
    quantizer_between, unit_activation, value_range, wrpn_weight,
};
use calcine_trace::AnyTensor;

use super::plan::{ActivationMethod, ActivationPlan, WeightPlan};
use super::{LEAST, QatNetwork};
use crate::layer::outputs_axis;
use crate::weights::fake_quantized;

/// How a weight is fake-quantized.
pub(super) struct WeightQuantizer {
    method: Method,
    axis: usize,
    bits: u8,
    per_channel: bool,
    top: f64,
    /// The learned scales, if there are any.
    scales: Option<Tensor<1>>,
    /// The factors of the norm for the outputs, if the quantizer is that of the folded weight.
    factors: Option<Tensor<1>>,
}

impl WeightQuantizer {
    fn apply<const D: usize>(&self, weight: Tensor<D>) -> Tensor<D> {
        let mut shape = [1; D];
        shape[self.axis] = weight.dims()[self.axis];
        let factors = self.factors.clone().map(|factors| factors.reshape(shape));
        let folded = match &factors {
            Some(factors) => weight * factors.clone(),
            None => weight,
        };
        let fake_quantized = match (self.method, &self.scales) {
            (Method::Lsq, Some(scales)) => {
                lsq_along(folded, scales.clone(), self.axis, -self.top, self.top)
            }
            (Method::Dorefa | Method::Pact, _) => dorefa_weight(folded, self.bits),
            (Method::Wrpn, _) => wrpn_weight(folded, self.bits),
            _ => fake_quantized(folded, self.per_channel.then_some(self.axis), self.bits),
        };
        match factors {
            Some(factors) => fake_quantized / factors,
            None => fake_quantized,
        }
    }
}

/// Fake-quantizes weights, by parameter.
#[derive(Default)]
pub(super) struct FakeQuantize(BTreeMap<ParamId, WeightQuantizer>);

impl FakeQuantize {
    pub(super) fn add(&mut self, id: ParamId, quantizer: WeightQuantizer) {
        self.0.insert(id, quantizer);
    }
}

impl Edit for FakeQuantize {
    fn wants(&self, id: ParamId) -> bool {
        self.0.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        match self.0.get(&id) {
            Some(quantizer) => quantizer.apply(value),
            None => value,
        }
    }
}

impl QatNetwork {
    pub(super) fn weight_quantizer(&self, weight: &WeightPlan) -> WeightQuantizer {
        let method = self.plan.method;
        let folded = weight.is_folded(method);
        WeightQuantizer {
            method,
            axis: weight.axis,
            bits: weight.bits,
            per_channel: weight.per_channel,
            top: weight.top(),
            scales: weight.scale.and_then(|scale| self.learned(scale)),
            factors: folded.then(|| self.factors(weight)).flatten(),
        }
    }

    /// Fake-quantizes an activation, if activations are quantized at this stage.
    pub(super) fn fake_quantized(&self, plan: &ActivationPlan, x: Tensor<1>) -> Tensor<1> {
        let moved = self.moved(plan, &x);
        if !self.stage.activations {
            return x;
        }
        let [low, high] = plan.quantizer.centred().map(f64::from);
        let of = &plan.settings;
        match plan.method {
            ActivationMethod::LearnedScale(scale) => match self.learned(scale) {
                Some(scale) => lsq(x, scale, low, high),
                None => x,
            },
            ActivationMethod::LearnedClip(clip) => match self.learned(clip) {
                Some(clip) => pact(x, clip, of.bits),
                None => x,
            },
            ActivationMethod::Unit => unit_activation(x, of.bits),
            ActivationMethod::Moving(_) => match moved {
                Some(ends) => fake_quantize_between(x, ends, of.bits, of.scheme),
                None => x,
            },
            ActivationMethod::Fixed => fake_quantize(x, &plan.quantizer),
        }
    }

    /// The moving range of an activation, which is updated with this batch in training.
    fn moved(&self, plan: &ActivationPlan, x: &Tensor<1>) -> Option<Tensor<1>> {
        let ActivationMethod::Moving(at) = plan.method else {
            return None;
        };
        let (_, range) = &self.ranges[at];
        let before = range.value_sync();
        let Method::Linear { decay } = self.plan.method else {
            return Some(before);
        };
        if !(x.is_autodiff() && self.stage.ranges) {
            return Some(before);
        }
        let observed = value_range(x);
        let moved = (before.mul_scalar(decay) + observed.mul_scalar(1.0 - decay)).detach();
        range.update(moved.clone());
        Some(moved)
    }

    /// The scale of the quantizer of an activation.
    pub(super) fn activation_scale(&self, plan: &ActivationPlan) -> Option<Tensor<1>> {
        let levels = f64::from((1_u32 << plan.settings.bits) - 1);
        Some(match plan.method {
            ActivationMethod::LearnedScale(scale) => self.settled(scale)?,
            ActivationMethod::LearnedClip(clip) => self.settled(clip)?.div_scalar(levels),
            ActivationMethod::Moving(at) => {
                let ends = self.ranges[at].1.value_sync().without_autodiff();
                let [scale, _, _] =
                    quantizer_between(ends, plan.settings.bits, plan.settings.scheme);
                scale
            }
            ActivationMethod::Unit => self.number(1.0 / levels)?,
            ActivationMethod::Fixed => self.number(f64::from(plan.quantizer.scale))?,
        })
    }

    /// The scales of a weight with its norm folded in: one, or one for each output.
    pub(super) fn weight_scales(&self, weight: &WeightPlan) -> Option<Tensor<1>> {
        let method = self.plan.method;
        let factors = self.factors(weight);
        let own = match method {
            Method::Lsq => self.settled(weight.scale?)?,
            Method::Dorefa | Method::Pact if weight.bits == 1 => self.weight(weight)?.abs().mean(),
            Method::Dorefa | Method::Pact => {
                self.number(1.0 / f64::from((1_u32 << weight.bits) - 1))?
            }
            Method::Wrpn => self.number(1.0 / weight.top())?,
            Method::Linear { .. } => {
                let rows = self.weight(weight)?;
                let rows = match &factors {
                    Some(factors) => rows * factors.clone().reshape([-1, 1]),
                    None => rows,
                };
                let largest = rows.abs().max_dim(1).reshape([-1]);
                let largest = if weight.per_channel {
                    largest
                } else {
                    largest.max()
                };
                let scale = largest.div_scalar(weight.top());
                let none = scale.clone().lower_elem(f32::MIN_POSITIVE);
                return Some(scale.mask_fill(none, 1.0));
            }
        };
        match factors.filter(|_| !weight.is_folded(method)) {
            Some(factors) => Some(own * factors.abs()),
            None => Some(own),
        }
    }

    /// The rounding error of the bias of a layer, and the axis of its outputs; `None` if sums are in float.
    pub(super) fn bias_error(&self, weight: &WeightPlan) -> Option<(usize, Tensor<1>)> {
        if !(self.stage.activations && self.stage.biases) {
            return None;
        }
        let graph = &self.plan.graph;
        let node = &graph.nodes[weight.node];
        let scale = self.input_scale(node.inputs[0])?;
        let scales = self.weight_scales(weight)?;
        let unit = (scale * scales.clone()).clamp_min(f32::MIN_POSITIVE);
        let bias = node.inputs.get(2).and_then(|id| self.vector(*id));
        let bias = match (weight.norm, bias) {
            (None, None) => return None,
            (None, Some(bias)) => bias,
            (Some(norm), bias) => {
                let [beta, mean] = [2, 3].map(|at| self.vector(graph.nodes[norm].inputs[at]));
                let (beta, mean, factors) = (beta?, mean?, self.factors(weight)?);
                let off = match bias {
                    Some(bias) => bias - mean,
                    None => mean.neg(),
                };
                beta + off * factors
            }
        };
        let axis = outputs_axis(graph, node);
        let units = bias.clone() / unit.clone();
        // Beyond this limit, units are finer than the precision of `f32`, and scales are enlarged.
        let fine = units.clone().abs().greater_elem(f64::from(1 << 24));
        let fine = match self.empty(weight, &scales) {
            Some(empty) => fine.bool_or(empty),
            None => fine,
        };
        let error = (units.round() * unit - bias).mask_fill(fine, 0.0);
        Some((axis, error))
    }

    /// The outputs whose fake-quantized weights are all zero, which have the finest units for biases.
    fn empty(&self, weight: &WeightPlan, scales: &Tensor<1>) -> Option<Tensor<1, Bool>> {
        if matches!(self.plan.method, Method::Dorefa | Method::Pact) {
            // None of the levels of this method is zero.
            return None;
        }
        let sizes: Tensor<1> = self.weight(weight)?.abs().max_dim(1).reshape([-1]);
        let sizes = match self.factors(weight) {
            Some(factors) => sizes * factors.abs(),
            None => sizes,
        };
        let sizes = match scales.dims()[0] {
            1 => sizes.clone().max().expand(sizes.dims()),
            _ => sizes,
        };
        let half = scales.clone().mul_scalar(0.5).expand(sizes.dims());
        Some(sizes.lower_equal(half))
    }

    /// The scale of the quantizer of a value.
    fn input_scale(&self, id: ValueId) -> Option<Tensor<1>> {
        let plan = &*self.plan;
        let producer = plan.producers[id.0]?;
        match plan
            .activations
            .get(&plan.uses.final_value(&plan.graph, producer))
        {
            Some(activation) => self.activation_scale(activation),
            None => self.number(f64::from(plan.quantizers[id.0]?.scale)),
        }
    }

    /// The factors of the norm after a layer for each output, without autodiff; never exactly zero.
    pub(super) fn factors(&self, weight: &WeightPlan) -> Option<Tensor<1>> {
        let norm = &self.plan.graph.nodes[weight.norm?];
        let Op::BatchNorm { epsilon, .. } = norm.op else {
            unreachable!("only batch norms are folded");
        };
        let [gamma, variance] = [1, 4].map(|at| self.vector(norm.inputs[at]));
        let factors = gamma? / variance?.add_scalar(epsilon).sqrt();
        let signs = factors.clone().lower_elem(0.0);
        let sizes = factors.abs().clamp_min(LEAST);
        Some(sizes.clone().mask_where(signs, sizes.neg()))
    }

    /// A learned scale or clipping value, made positive.
    pub(super) fn learned(&self, id: ValueId) -> Option<Tensor<1>> {
        let value = self.network.tensor(id).and_then(AnyTensor::flat)?;
        Some(value.abs().clamp_min(LEAST))
    }

    /// Like [`learned`](Self::learned), without autodiff.
    fn settled(&self, id: ValueId) -> Option<Tensor<1>> {
        Some(self.vector(id)?.abs().clamp_min(LEAST))
    }

    /// The values of a parameter, without autodiff.
    fn vector(&self, id: ValueId) -> Option<Tensor<1>> {
        let value = self.network.tensor(id).and_then(AnyTensor::flat)?;
        Some(value.without_autodiff())
    }

    /// The rows of a weight, one for each output, without autodiff.
    fn weight(&self, weight: &WeightPlan) -> Option<Tensor<2>> {
        let id = self.plan.graph.nodes[weight.node].inputs[1];
        let rows = self.network.tensor(id)?.rows(weight.axis)?;
        Some(rows.without_autodiff())
    }

    /// A number on the device of the network.
    #[allow(clippy::cast_possible_truncation, reason = "scales are f32 everywhere")]
    fn number(&self, number: f64) -> Option<Tensor<1>> {
        use burn::module::Module as _;
        let device = self.network.devices().into_iter().next()?;
        let device = device.without_autodiff();
        Some(Tensor::from_floats([number as f32], &device))
    }
}
