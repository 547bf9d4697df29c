//! Quantization operators of a file, read as the floats that their integers stand for.

use std::rc::Rc;

use calcine_graph::{Map, Op, Source, ValueId};

use super::host::{Elements, Host, strides};
use super::importer::{Attributes, Importer, Known, Operand, Reason, axis_of};

impl Importer {
    /// `DequantizeLinear`: integers that are known become floats, others are floats already.
    pub(crate) fn dequantized(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Known, Reason> {
        let host = match self.operand(x, 0)? {
            Operand::Value(id) => return Ok(Known::Value(id)),
            Operand::Host(host) => host,
        };
        let vector = |at: usize| match x.get(at) {
            Some(Some(Operand::Host(host))) => Ok(Some(Rc::clone(host))),
            Some(Some(Operand::Value(_))) => Err("a scale that is computed from inputs".to_owned()),
            _ => Ok(None),
        };
        let scales = vector(1)?.ok_or("its scale is missing")?;
        let zeros = vector(2)?;
        let Elements::Floats(scale) = &scales.elements else {
            return Err("a scale that is not of floats".to_owned());
        };
        if scale.is_empty() {
            return Err("a scale without elements".to_owned());
        }
        let values = match &host.elements {
            // Floats that were quantized and dequantized in one.
            Elements::Floats(_) => return Ok(Known::Host(host)),
            _ => host.known().ok_or("elements that are not integers")?,
        };
        let zeros = match &zeros {
            Some(zeros) => zeros.known().ok_or("a zero point that is not an integer")?,
            None => vec![0; scale.len()],
        };
        let block = usize::try_from(a.int("block_size", 0)?).unwrap_or(0);
        let rank = host.shape.len();
        let of: Box<dyn Fn(usize) -> usize> = if scale.len() == 1 {
            Box::new(|_| 0)
        } else {
            let axis = axis_of(a.int("axis", 1)?, rank)?;
            let steps = strides(&host.shape);
            let (step, length) = (steps[axis], host.shape[axis]);
            if block == 0 {
                Box::new(move |at| at / step % length)
            } else {
                let own = scales.shape.clone();
                let shape = host.shape.clone();
                let scale_steps = strides(&own);
                if own.len() != rank {
                    return Err("scales of blocks with another number of axes".to_owned());
                }
                Box::new(move |at| {
                    let place = |axis_at: usize| {
                        let index = at / steps[axis_at] % shape[axis_at];
                        if axis_at == axis {
                            index / block
                        } else {
                            index
                        }
                    };
                    (0..shape.len()).map(|at| place(at) * scale_steps[at]).sum()
                })
            }
        };
        let each = values.iter().enumerate().map(|(at, value)| {
            let at = of(at);
            let (scale, zero) = (scale.get(at)?, zeros.get(at).or(zeros.first())?);
            #[allow(clippy::cast_precision_loss, reason = "integers of a weight")]
            let centred = value.checked_sub(*zero)? as f32;
            Some(centred * scale)
        });
        let each: Option<Vec<f32>> = each.collect();
        let floats = each.ok_or("scales that do not fit its shape")?;
        self.spend(floats.len() as u128)?;
        Ok(Known::Host(Rc::new(Host {
            elements: Elements::Floats(floats),
            ..(*host).clone()
        })))
    }

    /// `QuantizeLinear`: nothing in floats, but that a zero point that is the type's least integer leaves no negative
    /// number. Exporters drop a relu before it.
    pub(crate) fn quantized(&mut self, x: &[Option<Operand>]) -> Result<Known, Reason> {
        let value = match self.operand(x, 0)? {
            Operand::Host(host) => return Ok(Known::Host(host)),
            Operand::Value(id) => id,
        };
        let is_least = match x.get(2) {
            Some(Some(Operand::Host(host))) => {
                let zeros = host.known().unwrap_or_default();
                let least = |zero: &i64| match host.unsigned {
                    true => *zero == 0,
                    false => matches!(zero, -8 | -128 | -32_768),
                };
                !zeros.is_empty() && zeros.iter().all(least)
            }
            // Without a zero point, integers are unsigned and zero is 0.
            _ => true,
        };
        match is_least && self.may_be_negative(value) {
            true => Ok(Known::Value(self.same(Op::Map(Map::Relu), value))),
            false => Ok(Known::Value(value)),
        }
    }

    fn may_be_negative(&self, id: ValueId) -> bool {
        let Source::Node(at) = self.graph.value(id).source else {
            return false;
        };
        let node = &self.graph.nodes[at];
        match &node.op {
            Op::Map(
                Map::Relu
                | Map::Sigmoid
                | Map::Abs
                | Map::Exp
                | Map::Sqrt
                | Map::HardSigmoid { .. },
            )
            | Op::Softmax(_) => false,
            Op::Map(Map::Clamp { low, .. } | Map::ClampMin(low)) => *low < 0.0,
            Op::MaxPool(_)
            | Op::AveragePool { .. }
            | Op::AdaptiveAveragePool
            | Op::Reshape
            | Op::Permute(_)
            | Op::Slice(_) => self.may_be_negative(node.inputs[0]),
            Op::Concat(_) => node.inputs.iter().any(|&id| self.may_be_negative(id)),
            _ => true,
        }
    }
}
