//! Operators on integers with their scales and zero points: `QLinearConv`, `MatMulInteger`, and those that ONNX Runtime adds.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Map, ValueId};

use super::host::{Elements, Host};
use super::importer::{Attributes, Importer, Known, Operand, Reason, axis_of};
use super::layers::needs;
use super::quantizer::{FileQuantizer, known, zeros_of};
use crate::proto::data_type;

impl Importer {
    /// Dequantizes an operand whose scale and zero point are the two operands after it.
    fn floats_of(
        &mut self,
        x: &[Option<Operand>],
        at: usize,
        axis: i64,
    ) -> Result<Operand, Reason> {
        let node = crate::proto::Node::default();
        let mut operands = vec![x.get(at).cloned().flatten()];
        operands.push(x.get(at + 1).cloned().flatten());
        operands.push(x.get(at + 2).cloned().flatten());
        let rank = match &operands[0] {
            Some(Operand::Host(host)) => host.shape.len(),
            Some(Operand::Value(id)) => self.file_shape(*id).len(),
            None => return Err(format!("its operand {at} is missing")),
        };
        // Negative axes are the rows and columns of a matrix.
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let axis = if axis < 0 {
            axis.saturating_add(signed)
        } else {
            axis
        };
        let attribute = crate::proto::Attribute {
            name: "axis".into(),
            value: crate::proto::AttributeValue::Int(axis.max(0)),
        };
        let node = crate::proto::Node {
            attributes: vec![attribute],
            ..node
        };
        Ok(match self.dequantized(&Attributes(&node), &operands)? {
            Known::Host(host) => Operand::Host(host),
            Known::Value(id) => Operand::Value(id),
            Known::Broken => return Err("an operand that could not be read".to_owned()),
        })
    }

    /// Quantizes a result with the scale and zero point at these operands.
    fn result_codes(
        &mut self,
        floats: ValueId,
        x: &[Option<Operand>],
        at: [usize; 2],
    ) -> Result<Known, Reason> {
        let rank = self.rank(floats);
        let quantizer = self.quantizer(x, at, rank, (0, 0), data_type::UINT8)?;
        let quantizer = quantizer.ok_or("a scale that is computed from inputs")?;
        self.encoded(floats, quantizer).map(Known::Value)
    }

    /// Dequantizes a bias, whose scale is the input scale times the weight scale.
    fn float_bias(
        &mut self,
        bias: &Operand,
        input: Option<&Host>,
        weight: Option<&Host>,
    ) -> Result<Operand, Reason> {
        let (Operand::Host(bias), Some(input), Some(weight)) = (bias, input, weight) else {
            return Err("a bias or a scale that is computed from inputs".to_owned());
        };
        let (Elements::Floats(weight), Some(input)) = (&weight.elements, input.scalar()) else {
            return Err("scales that are no floats".to_owned());
        };
        #[allow(clippy::cast_possible_truncation, reason = "it is of an f32")]
        let scales: Vec<f32> = weight.iter().map(|weight| input as f32 * weight).collect();
        let quantizer = FileQuantizer {
            zeros: vec![0; scales.len()],
            shape: vec![scales.len()],
            axis: (scales.len() > 1).then_some(0),
            scales,
            data_type: data_type::INT32,
            block: 0,
            clip: None,
        };
        Ok(Operand::Host(Rc::new(quantizer.decoded(bias)?)))
    }

    /// Reads an operator on integers with their scales, of ONNX or of `ONNX Runtime`; returns `None` for other
    /// operators.
    pub(crate) fn on_codes(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Option<Known>, Reason> {
        let unary =
            |it: &mut Self| -> Result<Option<Operand>, Reason> { it.floats_of(x, 0, 0).map(Some) };
        Ok(Some(match op {
            "QLinearConv" => {
                let input = self.floats_of(x, 0, 0)?;
                let weight = self.floats_of(x, 3, 0)?;
                let bias = match x.get(8).cloned().flatten() {
                    Some(bias) => {
                        let scales = (known(x, 1), known(x, 4));
                        Some(self.float_bias(&bias, scales.0.as_deref(), scales.1.as_deref())?)
                    }
                    None => None,
                };
                let y = self.convolution(a, &[Some(input), Some(weight), bias])?;
                self.result_codes(y, x, [6, 7])?
            }
            "QLinearMatMul" => {
                let (left, right) = (self.floats_of(x, 0, -2)?, self.floats_of(x, 3, -1)?);
                let y = self.matmul(&[Some(left), Some(right)])?;
                self.result_codes(y, x, [6, 7])?
            }
            "QGemm" => {
                let turned = a.int("transB", 0)? != 0;
                let (left, right) = (
                    self.floats_of(x, 0, -2)?,
                    self.floats_of(x, 3, if turned { -2 } else { -1 })?,
                );
                let bias = match x.get(6).cloned().flatten() {
                    Some(bias) => {
                        let scales = (known(x, 1), known(x, 4));
                        Some(self.float_bias(&bias, scales.0.as_deref(), scales.1.as_deref())?)
                    }
                    None => None,
                };
                let y = self.gemm(a, &[Some(left), Some(right), bias])?;
                match x.get(7) {
                    Some(Some(_)) => self.result_codes(y, x, [7, 8])?,
                    _ => Known::Value(y),
                }
            }
            "QLinearAdd" | "QLinearMul" => {
                let (left, right) = (self.floats_of(x, 0, 0)?, self.floats_of(x, 3, 0)?);
                let arithmetic = match op {
                    "QLinearAdd" => Arithmetic::Add,
                    _ => Arithmetic::Multiply,
                };
                let y = self.arithmetic(arithmetic, &left, &right)?;
                self.result_codes(y, x, [6, 7])?
            }
            "QLinearConcat" => {
                let mut parts = Vec::new();
                for at in (2..x.len()).step_by(3) {
                    parts.push(Some(self.floats_of(x, at, 0)?));
                }
                let y = self.concat(a, &parts)?;
                self.result_codes(y, x, [0, 1])?
            }
            "QLinearGlobalAveragePool" if a.int("channels_last", 0)? == 0 => {
                let x0 = unary(self)?.ok_or("its operand 0 is missing")?;
                let x0 = self.value(&x0)?;
                let y = self.global_average(x0)?;
                self.result_codes(y, x, [3, 4])?
            }
            "QLinearAveragePool" if a.int("channels_last", 0)? == 0 => {
                let x0 = unary(self)?;
                let y = self.pool(a, &[x0], false)?;
                self.result_codes(y, x, [3, 4])?
            }
            "QLinearSigmoid" | "QLinearLeakyRelu" => {
                let x0 = unary(self)?.ok_or("its operand 0 is missing")?;
                let x0 = self.value(&x0)?;
                let map = match op {
                    "QLinearSigmoid" => Map::Sigmoid,
                    _ => Map::LeakyRelu(a.float("alpha", 0.01)?),
                };
                let y = self.map(map, x0);
                self.result_codes(y, x, [3, 4])?
            }
            "QLinearSoftmax" => {
                let x0 = unary(self)?.ok_or("its operand 0 is missing")?;
                let x0 = self.value(&x0)?;
                let y = self.softmax(a, x0, false)?;
                self.result_codes(y, x, [3, 4])?
            }
            "ConvInteger" => {
                let (input, weight) = (self.centred(x, [0, 2], 0)?, self.centred(x, [1, 3], 0)?);
                let y = self.convolution(a, &[Some(input), Some(weight)])?;
                Known::Value(self.cast(y, ElementKind::Int))
            }
            "MatMulInteger" => {
                let (left, right) = (self.centred(x, [0, 2], -2)?, self.centred(x, [1, 3], -1)?);
                let y = self.matmul(&[Some(left), Some(right)])?;
                Known::Value(self.cast(y, ElementKind::Int))
            }
            _ => return Ok(None),
        }))
    }

    /// An integer operand minus its zero point, as floats.
    fn centred(
        &mut self,
        x: &[Option<Operand>],
        [at, zero]: [usize; 2],
        axis: i64,
    ) -> Result<Operand, Reason> {
        let operand = needs(x, at)?;
        let rank = match &operand {
            Operand::Host(host) => host.shape.len(),
            Operand::Value(id) => self.rank(*id),
        };
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let axis = if axis < 0 {
            axis.saturating_add(signed).max(0)
        } else {
            axis
        };
        if let (Operand::Host(host), false) = (
            &operand,
            matches!(x.get(zero), Some(Some(Operand::Value(_)))),
        ) {
            let zero = known(x, zero);
            let count = zero.as_ref().map_or(1, |zero| zero.len());
            let quantizer = FileQuantizer {
                scales: vec![1.0; count],
                zeros: zeros_of(zero.as_ref(), count)?,
                shape: vec![count],
                data_type: host.data_type,
                axis: (count > 1).then_some(axis_of(axis, rank)?),
                block: 0,
                clip: None,
            };
            let floats = quantizer.decoded(host)?;
            self.spend(floats.len() as u128)?;
            return Ok(Operand::Host(Rc::new(floats)));
        }
        let id = self.setting(&operand)?;
        let floats = self.cast(id, ElementKind::Float);
        self.with_vector(Arithmetic::Subtract, floats, x, zero, (axis, 0))
            .map(Operand::Value)
    }
}
