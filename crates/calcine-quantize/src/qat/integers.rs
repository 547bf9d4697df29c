//! Converts a network to integers after quantization-aware training.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_quant::{Method, Quantizer, dorefa_weight};

use super::QatNetwork;
use super::plan::{ActivationMethod, ActivationPlan, WeightPlan};
use crate::layer::{Accumulator, FloatLayer, Layer, output_index};
use crate::parts::assembled;
use crate::{QuantizeError, Quantized, Scheme, WeightSettings};

impl QatNetwork {
    /// Converts the network to integers. Reads from the device.
    ///
    /// The levels of `Dorefa` and `Pact` are odd multiples of `1 / (2^b − 1)`, so their integers have one bit more than
    /// the number of bits of the levels.
    ///
    /// # Errors
    ///
    /// Those of [`quantize`](crate::quantize).
    pub fn quantized(&self) -> Result<Quantized, QuantizeError> {
        let qat = self.valid();
        let plan = &*qat.plan;
        let mut learned = BTreeMap::new();
        for activation in plan.activations.values() {
            learned.insert(activation.producer, qat.quantizer(activation)?);
        }
        let quantizers = plan.quantizers.iter().zip(&plan.producers);
        let quantizers = quantizers.map(|(quantizer, producer)| {
            let own = producer.and_then(|producer| learned.get(&producer).copied());
            own.or(*quantizer)
        });
        let quantizers: Vec<Option<Quantizer>> = quantizers.collect();
        let mut layers = BTreeMap::new();
        for weight in &plan.weights {
            let node = &plan.graph.nodes[weight.node];
            let float = FloatLayer::new(&qat.network, &plan.uses, node)?;
            let input = quantizers[node.inputs[0].0].as_ref();
            let accumulator = Accumulator {
                input,
                settings: &plan.accumulator,
            };
            let scales = read(qat.weight_scales(weight));
            let layer = match plan.method {
                Method::Dorefa | Method::Pact => {
                    let (ints, bits) = qat.levels(weight, &float);
                    Layer::exact(&node.name, &float, ints, bits, scales, accumulator)?
                }
                _ => {
                    let quantizer = |scale: &f32| symmetric(*scale, weight.top());
                    let own: Vec<Quantizer> = scales.iter().map(quantizer).collect();
                    let settings = WeightSettings {
                        bits: weight.bits,
                        ..WeightSettings::default()
                    };
                    Layer::nearest(&node.name, &float, &own, &settings, accumulator)?
                }
            };
            layer.fits(input, &plan.accumulator)?;
            layers.insert(weight.node, layer);
        }
        let graph = plan.graph.clone();
        let report = plan.report.clone();
        assembled(
            &qat.network,
            graph,
            &plan.uses,
            quantizers,
            layers,
            &plan.kept,
            report,
        )
    }

    /// The quantizer that an activation has learned.
    fn quantizer(&self, plan: &ActivationPlan) -> Result<Quantizer, QuantizeError> {
        let over = |low: f64, high: f64, scheme| {
            Quantizer::from_range(low, high, plan.settings.bits, scheme)
                .map_err(QuantizeError::from)
        };
        match plan.method {
            ActivationMethod::Fixed => Ok(plan.quantizer),
            ActivationMethod::LearnedScale(_) => {
                let scale = read(self.activation_scale(plan)).first().copied();
                let scale = scale.unwrap_or(plan.quantizer.scale);
                Ok(Quantizer {
                    scale,
                    ..plan.quantizer
                })
            }
            ActivationMethod::LearnedClip(clip) => {
                let clip = read(self.learned(clip)).first().copied();
                over(0.0, f64::from(clip.unwrap_or(1.0)), Scheme::Affine)
            }
            ActivationMethod::Unit => over(0.0, 1.0, Scheme::Affine),
            ActivationMethod::Moving(at) => {
                let ends = read(Some(self.ranges[at].1.value_sync()));
                over(ends[0].into(), ends[1].into(), plan.settings.scheme)
            }
        }
    }

    /// The integers of the levels of `DoReFa`, negated where the factor of the norm is negative, and their number of
    /// bits.
    #[allow(clippy::cast_possible_truncation, reason = "levels are few")]
    fn levels(&self, weight: &WeightPlan, float: &FloatLayer) -> (Vec<i32>, u8) {
        let id = self.plan.graph.nodes[weight.node].inputs[1];
        let flat = self.network.tensor(id).and_then(|weight| weight.flat());
        let levels = read(flat.map(|flat| dorefa_weight(flat, weight.bits)));
        let (unit, bits) = match weight.bits {
            1 => (None, 2),
            bits => (Some(((1_u32 << bits) - 1) as f32), bits + 1),
        };
        let int = |(at, level): (usize, &f32)| {
            let int = match unit {
                Some(unit) => (level * unit).round_ties_even() as i32,
                None => level.signum() as i32,
            };
            let factor = float.factors[output_index(at, &float.shape, float.axis)];
            if factor < 0.0 { -int } else { int }
        };
        (levels.iter().enumerate().map(int).collect(), bits)
    }
}

/// A symmetric quantizer with this scale.
#[allow(clippy::cast_possible_truncation, reason = "of 16 bits")]
fn symmetric(scale: f32, top: f64) -> Quantizer {
    let top = top as i32;
    Quantizer {
        scale,
        zero_point: 0,
        low: -top,
        high: top,
    }
}

fn read(tensor: Option<Tensor<1>>) -> Vec<f32> {
    tensor.map_or(Vec::new(), |tensor| {
        tensor.into_data().iter::<f32>().collect()
    })
}
