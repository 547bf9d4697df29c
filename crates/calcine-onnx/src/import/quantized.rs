//! `QuantizeLinear`, `DequantizeLinear` and `DynamicQuantizeLinear`, and operators that move or clip integers that stand for floats.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, Source, ValueId};

use super::host::Host;
use super::importer::{Attributes, Importer, Known, Operand, Reason, axis_of};
use super::layers::{Read, needs};
use super::quantizer::{FileQuantizer, bounds};
use crate::proto::data_type;

/// Integers of a graph: the floats that they represent, and their quantizer.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    pub(crate) floats: ValueId,
    pub(crate) quantizer: Rc<FileQuantizer>,
}

impl Importer {
    /// `DequantizeLinear`.
    pub(crate) fn dequantized(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Known, Reason> {
        let operand = needs(x, 0)?;
        let (rank, kind) = match &operand {
            Operand::Host(host) => (host.shape.len(), host.data_type),
            Operand::Value(id) => (self.file_shape(*id).len(), data_type::UINT8),
        };
        let along = (a.int("axis", 1)?, a.int("block_size", 0)?);
        let quantizer = self.quantizer(x, [1, 2], rank, along, kind)?;
        match (operand, quantizer) {
            (Operand::Host(host), Some(quantizer)) => {
                let floats = quantizer.decoded(&host)?;
                self.spend(floats.len() as u128)?;
                if let Some(name) = &host.name {
                    self.weight_quantizers
                        .insert(name.clone(), Rc::new(quantizer));
                }
                Ok(Known::Host(Rc::new(floats)))
            }
            (Operand::Value(id), quantizer) => {
                if let (Some(codes), Some(quantizer)) = (self.codes.get(&id), &quantizer)
                    && codes.quantizer.scales == quantizer.scales
                    && codes.quantizer.zeros == quantizer.zeros
                    && codes.quantizer.axis == quantizer.axis
                    && codes.quantizer.block == quantizer.block
                {
                    return Ok(Known::Value(codes.floats));
                }
                let floats = self.cast(id, ElementKind::Float);
                let centred = self.with_vector(Arithmetic::Subtract, floats, x, 2, along)?;
                self.with_vector(Arithmetic::Multiply, centred, x, 1, along)
                    .map(Known::Value)
            }
            (Operand::Host(host), None) => {
                let id = self.setting(&Operand::Host(host))?;
                let floats = self.cast(id, ElementKind::Float);
                let centred = self.with_vector(Arithmetic::Subtract, floats, x, 2, along)?;
                self.with_vector(Arithmetic::Multiply, centred, x, 1, along)
                    .map(Known::Value)
            }
        }
    }

    /// Combines a tensor with scales or zero points: one, one for each index of an axis, or one for each block along
    /// it.
    pub(super) fn with_vector(
        &mut self,
        arithmetic: Arithmetic,
        value: ValueId,
        x: &[Option<Operand>],
        at: usize,
        (axis, block): (i64, i64),
    ) -> Read {
        let Some(vector) = x.get(at).cloned().flatten() else {
            return Ok(value);
        };
        if let Operand::Host(host) = &vector
            && let Some(number) = host.scalar()
            && block == 0
        {
            return Ok(self.scalar(arithmetic, value, number));
        }
        let vector = match vector {
            Operand::Host(host) => self.tensor(&Self::unnamed(&host), "", "constant")?,
            Operand::Value(id) => id,
        };
        let vector = self.cast(vector, ElementKind::Float);
        let shape = self.shape(value);
        let count = self
            .shape(vector)
            .iter()
            .map(|e| e.fixed)
            .product::<usize>();
        if count == 1 && block == 0 {
            let one = self.reshaped(vector, vec![Extent::fixed(1); shape.len()]);
            return self.both(arithmetic, value, one);
        }
        let axis = axis_of(axis, shape.len())?;
        if block == 0 {
            let mut spread = vec![Extent::fixed(1); shape.len()];
            spread[axis] = count.into();
            let vector = self.reshaped(vector, spread);
            return self.both(arithmetic, value, vector);
        }
        let block = usize::try_from(block).unwrap_or(0);
        let length = super::windows::fixed(shape[axis])?;
        if !length.is_multiple_of(block) || shape.len() > 5 {
            return Err(format!("blocks of {block} of an axis of length {length}"));
        }
        let mut blocks = shape.clone();
        blocks[axis] = (length / block).into();
        blocks.insert(axis + 1, block.into());
        let mut each = self.shape(vector);
        if each.len() != shape.len() {
            return Err("scales of blocks with another number of axes".to_owned());
        }
        each.insert(axis + 1, 1.into());
        let (value, vector) = (self.reshaped(value, blocks), self.reshaped(vector, each));
        let result = self.both(arithmetic, value, vector)?;
        Ok(self.reshaped(result, shape))
    }

    /// `QuantizeLinear`. The integers are recorded as a representation of their floats. A zero point that is the
    /// smallest integer of the type removes negative numbers, so exporters drop a relu before it.
    pub(crate) fn quantized(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Known, Reason> {
        let operand = needs(x, 0)?;
        let rank = match &operand {
            Operand::Host(host) => host.shape.len(),
            Operand::Value(id) => self.file_shape(*id).len(),
        };
        let along = (a.int("axis", 1)?, a.int("block_size", 0)?);
        let kind = match a.int("output_dtype", 0)? {
            0 => data_type::UINT8,
            own => own,
        };
        let quantizer = self.quantizer(x, [1, 2], rank, along, kind)?;
        match (operand, quantizer) {
            (Operand::Host(host), Some(quantizer)) => {
                let codes = quantizer.encoded(&host)?;
                self.spend(codes.len() as u128)?;
                Ok(Known::Host(Rc::new(codes)))
            }
            (operand, Some(quantizer)) => {
                let floats = self.value(&operand)?;
                self.encoded(floats, quantizer).map(Known::Value)
            }
            (operand, None) => {
                // The scales are not constant.
                let floats = self.value(&operand)?;
                let kind = match x.get(2) {
                    Some(Some(Operand::Host(zero))) => zero.data_type,
                    Some(Some(Operand::Value(zero))) => {
                        self.data_types.get(zero).copied().unwrap_or(kind)
                    }
                    _ => kind,
                };
                let [low, high] = bounds(kind)?;
                let divided = self.with_vector(Arithmetic::Divide, floats, x, 1, along)?;
                let rounded = self.map(Map::Round, divided);
                let moved = self.with_vector(Arithmetic::Add, rounded, x, 2, along)?;
                Ok(Known::Value(self.clamped(moved, low, high)))
            }
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "bounds of small integers")]
    fn clamped(&mut self, x: ValueId, low: i64, high: i64) -> ValueId {
        let (low, high) = (low as f64, high as f64);
        let clamped = self.map(Map::Clamp { low, high }, x);
        self.cast(clamped, ElementKind::Int)
    }

    /// Quantizes a value of the graph. Integers that only `DequantizeLinear` reads are removed later.
    pub(crate) fn encoded(&mut self, floats: ValueId, quantizer: FileQuantizer) -> Read {
        let [low, high] = quantizer.bounds()?;
        let is_least = quantizer.zeros.iter().all(|zero| *zero == low);
        let mut floats = floats;
        if is_least && self.may_be_negative(floats) {
            floats = self.map(Map::Relu, floats);
        }
        // The quantizers of a network's activations have one scale. Quantizers with a scale for each index are computed
        // by operations of the graph.
        let is_whole = quantizer.axis.is_none();
        // A value has at most one quantizer. A copy of the value can have another one.
        match self.quantizers.get(&floats) {
            Some(own) if is_whole && **own != quantizer => {
                let (shape, kind) = (self.shape(floats), self.kind(floats));
                floats = self.push(Op::Reshape, vec![floats], shape, kind);
            }
            _ => {}
        }
        let quantizer = Rc::new(quantizer);
        if is_whole {
            self.quantizers.insert(floats, Rc::clone(&quantizer));
        }
        let host = |values: Vec<f32>| {
            Operand::Host(Rc::new(Host::floats(quantizer.shape.clone(), values)))
        };
        #[allow(clippy::cast_precision_loss, reason = "zero points of small integers")]
        let zeros = quantizer.zeros.iter().map(|zero| *zero as f32).collect();
        let x = [
            None,
            Some(host(quantizer.scales.clone())),
            Some(host(zeros)),
        ];
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let along = (quantizer.axis.map_or(0, signed), signed(quantizer.block));
        let divided = self.with_vector(Arithmetic::Divide, floats, &x, 1, along)?;
        let rounded = self.map(Map::Round, divided);
        let moved = self.with_vector(Arithmetic::Add, rounded, &x, 2, along)?;
        let codes = self.clamped(moved, low, high);
        if is_whole {
            self.codes.insert(codes, Codes { floats, quantizer });
        }
        Ok(codes)
    }

    /// `Clip` of integers that represent floats and that no other node reads: it narrows the range of their quantizer.
    /// Returns `None` for other operands.
    pub(crate) fn clipped_codes(
        &mut self,
        id: ValueId,
        low: Option<f64>,
        high: Option<f64>,
    ) -> Result<Option<ValueId>, Reason> {
        let Some(Codes { floats, quantizer }) = self.codes.get(&id).cloned() else {
            return Ok(None);
        };
        let owns = |own: &Rc<FileQuantizer>| Rc::ptr_eq(own, &quantizer);
        if !self.single_use.contains(&id) || !self.quantizers.get(&floats).is_some_and(owns) {
            return Ok(None);
        }
        let [least, most] = quantizer.bounds()?;
        // Bounds outside of the type have no effect.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "clamped to the type's integers"
        )]
        let bound = |bound: Option<f64>, end: i64| match bound {
            Some(bound) => bound.clamp(least as f64, most as f64) as i64,
            None => end,
        };
        let clip = [bound(low, least), bound(high, most)];
        if clip[0] > clip[1] {
            return Ok(None);
        }
        let narrowed = FileQuantizer {
            clip: Some(clip),
            ..(*quantizer).clone()
        };
        self.quantizers.remove(&floats);
        self.codes.remove(&id);
        self.encoded(floats, narrowed).map(Some)
    }

    /// Reads an operator that moves or selects elements, on integers that represent floats: it is applied to the
    /// floats. Returns `None` for other operators and operands.
    pub(crate) fn moved_codes(
        &mut self,
        node: &crate::proto::Node<'_>,
        x: &[Option<Operand>],
    ) -> Result<Option<Vec<Known>>, Reason> {
        let moves = [
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Transpose",
            "MaxPool",
            "Slice",
            "Expand",
            "Identity",
            "DepthToSpace",
            "SpaceToDepth",
            "Split",
            "Concat",
            "Tile",
        ];
        if !moves.contains(&&*node.op_type) {
            return Ok(None);
        }
        let all = if node.op_type == "Concat" { x.len() } else { 1 };
        let mut floats = x.to_vec();
        let mut quantizer: Option<Rc<FileQuantizer>> = None;
        for operand in floats.iter_mut().take(all) {
            let Some(Operand::Value(id)) = operand else {
                return Ok(None);
            };
            let Some(codes) = self.codes.get(id) else {
                return Ok(None);
            };
            if codes.quantizer.axis.is_some()
                || quantizer
                    .as_ref()
                    .is_some_and(|own| *own != codes.quantizer)
            {
                return Ok(None);
            }
            quantizer = Some(Rc::clone(&codes.quantizer));
            *operand = Some(Operand::Value(codes.floats));
        }
        let Some(quantizer) = quantizer else {
            return Ok(None);
        };
        let mut results = Vec::new();
        for known in self.read_node(node, &floats)? {
            results.push(match known {
                Known::Value(id) => Known::Value(self.encoded(id, (*quantizer).clone())?),
                other => other,
            });
        }
        Ok(Some(results))
    }

    /// `DynamicQuantizeLinear`: quantizes a tensor with the quantizer of its own range. The results are the integers,
    /// the scale and the zero point.
    pub(crate) fn dynamic_codes(&mut self, x: &[Option<Operand>]) -> Result<Vec<Known>, Reason> {
        let input = self.value(&needs(x, 0)?)?;
        let mut ends = Vec::new();
        for reduction in [calcine_graph::Reduction::Min, calcine_graph::Reduction::Max] {
            let op = Op::ReduceAll(reduction);
            let end = self.push(op, vec![input], vec![1.into()], ElementKind::Float);
            ends.push(match reduction {
                calcine_graph::Reduction::Min => self.map(Map::ClampMax(0.0), end),
                _ => self.map(Map::ClampMin(0.0), end),
            });
        }
        let range = self.both(Arithmetic::Subtract, ends[1], ends[0])?;
        let scale = self.scalar(Arithmetic::Divide, range, 255.0);
        // If all elements are zero, any scale is correct.
        let none = self.compared_with(calcine_graph::Comparison::Equal, scale, 0.0);
        let scale = self.with_number_where(scale, none, 1.0)?;
        let steps = self.both(Arithmetic::Divide, ends[0], scale)?;
        let steps = self.map(Map::Negate, steps);
        let steps = self.map(
            Map::Clamp {
                low: 0.0,
                high: 255.0,
            },
            steps,
        );
        let zero = self.map(Map::Round, steps);
        let divided = self.both(Arithmetic::Divide, input, scale)?;
        let rounded = self.map(Map::Round, divided);
        let moved = self.both(Arithmetic::Add, rounded, zero)?;
        let codes = self.clamped(moved, 0, 255);
        let zero = self.cast(zero, ElementKind::Int);
        for scalar in [scale, zero] {
            self.mark_scalar(scalar);
        }
        Ok([codes, scale, zero].map(Known::Value).to_vec())
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use burn::tensor::{Device, Tensor};

    use crate::proto::{
        Attribute, AttributeValue, Data, Dimension, Graph, Model, Node, Tensor as Initializer,
        ValueInfo, data_type,
    };
    use crate::{ImportOptions, import_file};

    /// Activations with a scale for each channel, as NNCF writes them before depthwise convolutions, are rounded as in the file.
    #[test]
    fn activations_with_a_scale_for_each_channel_are_rounded() {
        const SCALES: [f32; 2] = [0.1, 0.7];
        const ZEROS: [u8; 2] = [128, 3];
        let names =
            |names: &[&'static str]| names.iter().map(|name| Cow::Borrowed(*name)).collect();
        let node = |op: &'static str, input, output| Node {
            op_type: op.into(),
            inputs: names(&[input, "scale", "zero"]),
            outputs: names(&[output]),
            attributes: vec![Attribute {
                name: "axis".into(),
                value: AttributeValue::Int(1),
            }],
            ..Node::default()
        };
        let value = |name: &'static str| ValueInfo {
            name: name.into(),
            data_type: data_type::FLOAT,
            shape: Some(vec![
                Dimension::Named("batch".into()),
                Dimension::Fixed(2),
                Dimension::Fixed(3),
            ]),
        };
        let vector = |name: &'static str, data_type, data| Initializer {
            name: name.into(),
            dims: vec![2],
            data_type,
            data,
        };
        let scales = SCALES.iter().flat_map(|scale| scale.to_le_bytes());
        let model = Model {
            ir_version: 8,
            opsets: vec![("".into(), 17)],
            graph: Graph {
                nodes: vec![
                    node("QuantizeLinear", "x", "codes"),
                    node("DequantizeLinear", "codes", "y"),
                ],
                initializers: vec![
                    vector("scale", data_type::FLOAT, Data::Raw(scales.collect())),
                    vector("zero", data_type::UINT8, Data::Raw(Cow::Borrowed(&ZEROS))),
                ],
                inputs: vec![value("x")],
                outputs: vec![value("y")],
                ..Graph::default()
            },
            ..Model::default()
        };
        let folder = tempfile::tempdir().expect("there is a place for it");
        let file = folder.path().join("channels.onnx");
        std::fs::write(&file, model.write()).expect("it can be written");
        let device = Device::flex();
        let imported = import_file(&file, &ImportOptions::default(), &device).expect("it is read");
        assert!(imported.parameters.is_empty() && imported.left_out.is_empty());

        let x = [-20.0, -0.26, 0.14, -2.2, 1.0, 400.0];
        let input = Tensor::<1>::from_floats(x, &device).reshape([1, 2, 3]);
        let found: Tensor<3> = imported.network.forward(input);
        let expected = x.iter().enumerate().map(|(at, x)| {
            let (scale, zero) = (SCALES[at / 3], f32::from(ZEROS[at / 3]));
            let code = ((x / scale).round_ties_even() + zero).clamp(0.0, 255.0);
            (code - zero) * scale
        });
        let found: Vec<f32> = found.to_data().iter::<f32>().collect();
        assert_eq!(found, expected.collect::<Vec<f32>>());
    }
}
