//! Quantization operators: floats, what quantizes them, and integers where a file computes with these.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, Source, ValueId};

use super::host::{Elements, Host, Number, strides};
use super::importer::{Attributes, Importer, Known, Operand, Reason, axis_of};
use super::layers::{Read, needs};
use crate::proto::data_type;

/// How a file turns floats into integers: `q = clamp(round(x / scale) + zero)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileQuantizer {
    /// One, or one for each position of an axis, or for each block along it.
    pub(crate) scales: Vec<f32>,
    /// As many as scales.
    pub(crate) zeros: Vec<i64>,
    /// The shape of scales.
    pub(crate) shape: Vec<usize>,
    /// The integers' type, by ONNX's number.
    pub(crate) data_type: i64,
    /// The axis with more than one scale.
    pub(crate) axis: Option<usize>,
    /// How many positions of the axis share a scale; 0: each has one.
    pub(crate) block: usize,
    /// The least and the largest integer, if a `Clip` leaves fewer than the type has.
    pub(crate) clip: Option<[i64; 2]>,
}

/// Integers of a graph, and the floats that they stand for.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    pub(crate) floats: ValueId,
    pub(crate) quantizer: Rc<FileQuantizer>,
}

/// The least and the largest integer of a type.
pub(crate) fn bounds(kind: i64) -> Result<[i64; 2], Reason> {
    Ok(match kind {
        data_type::UINT2 => [0, 3],
        data_type::INT2 => [-2, 1],
        data_type::UINT4 => [0, 15],
        data_type::INT4 => [-8, 7],
        data_type::UINT8 => [0, 255],
        data_type::INT8 => [-128, 127],
        data_type::UINT16 => [0, 65_535],
        data_type::INT16 => [-32_768, 32_767],
        data_type::INT32 => [i32::MIN.into(), i32::MAX.into()],
        other => {
            return Err(format!(
                "codes of ONNX's type {other}; valid are integers of 2, 4, 8, 16 and 32 bits"
            ));
        }
    })
}

impl FileQuantizer {
    /// The least and the largest integer.
    pub(crate) fn bounds(&self) -> Result<[i64; 2], Reason> {
        match self.clip {
            Some(clip) => Ok(clip),
            None => bounds(self.data_type),
        }
    }

    /// Which scale an element of a tensor of this shape has.
    fn scale_at(&self, shape: &[usize]) -> Result<Box<dyn Fn(usize) -> usize>, Reason> {
        let Some(axis) = self.axis else {
            return Ok(Box::new(|_| 0));
        };
        let steps = strides(shape);
        let (step, length) = match (steps.get(axis), shape.get(axis)) {
            (Some(step), Some(length)) => (*step, *length),
            _ => return Err(format!("axis {axis} of a tensor of {} axes", shape.len())),
        };
        if self.block == 0 {
            return match self.scales.len() == length {
                true => Ok(Box::new(move |at| at / step % length)),
                false => Err(format!(
                    "{} scales for {length} positions",
                    self.scales.len()
                )),
            };
        }
        let blocks = length.div_ceil(self.block);
        let fits = self.shape.len() == shape.len()
            && (0..shape.len())
                .all(|at| self.shape[at] == if at == axis { blocks } else { shape[at] });
        if !fits {
            return Err(format!(
                "scales of shape {:?} for blocks of {} in {shape:?}",
                self.shape, self.block
            ));
        }
        let (own, shape, block) = (strides(&self.shape), shape.to_vec(), self.block);
        Ok(Box::new(move |at| {
            let place = |axis_at: usize| {
                let index = at / steps[axis_at] % shape[axis_at];
                if axis_at == axis {
                    index / block
                } else {
                    index
                }
            };
            (0..shape.len()).map(|at| place(at) * own[at]).sum()
        }))
    }

    /// The integers of known floats.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "clamped to the type's integers"
    )]
    fn encoded(&self, host: &Host) -> Result<Host, Reason> {
        let Elements::Floats(values) = &host.elements else {
            return Err("elements that are not floats".to_owned());
        };
        let [low, high] = self.bounds()?;
        let of = self.scale_at(&host.shape)?;
        let codes = values.iter().enumerate().map(|(at, value)| {
            let scale = of(at);
            let whole = f64::from((value / self.scales[scale]).round_ties_even());
            let code = (whole + self.zeros[scale] as f64).clamp(low as f64, high as f64);
            Number::fixed(code as i64)
        });
        Ok(Host {
            elements: Elements::Ints(codes.collect()),
            data_type: self.data_type,
            ..host.clone()
        })
    }

    /// The floats of known integers.
    pub(crate) fn decoded(&self, host: &Host) -> Result<Host, Reason> {
        let values = host.known().ok_or("elements that are not integers")?;
        let of = self.scale_at(&host.shape)?;
        let floats = values.iter().enumerate().map(|(at, value)| {
            let scale = of(at);
            #[allow(clippy::cast_precision_loss, reason = "integers of a weight")]
            let centred = value.saturating_sub(self.zeros[scale]) as f32;
            centred * self.scales[scale]
        });
        Ok(Host {
            elements: Elements::Floats(floats.collect()),
            data_type: data_type::FLOAT,
            ..host.clone()
        })
    }
}

/// A known operand's integers, or so many zeros.
fn zeros_of(host: Option<&Rc<Host>>, count: usize) -> Result<Vec<i64>, Reason> {
    let zeros = match host {
        Some(host) => host.known().ok_or("a zero point that is not an integer")?,
        None => vec![0; count],
    };
    match zeros.len() {
        len if len == count => Ok(zeros),
        1 => Ok(vec![zeros[0]; count]),
        len => Err(format!("{len} zero points for {count} scales")),
    }
}

fn known(x: &[Option<Operand>], at: usize) -> Option<Rc<Host>> {
    match x.get(at) {
        Some(Some(Operand::Host(host))) => Some(Rc::clone(host)),
        _ => None,
    }
}

impl Importer {
    /// The quantizer of known scales and zero points; `None` if they are computed.
    fn quantizer(
        &self,
        x: &[Option<Operand>],
        [scale, zero]: [usize; 2],
        rank: usize,
        (axis, block): (i64, i64),
        default: i64,
    ) -> Result<Option<FileQuantizer>, Reason> {
        if matches!(x.get(zero), Some(Some(Operand::Value(_)))) {
            return Ok(None);
        }
        let host = match x.get(scale) {
            Some(Some(Operand::Host(host))) => host,
            Some(Some(Operand::Value(_))) => return Ok(None),
            _ => return Err("its scale is missing".to_owned()),
        };
        let Elements::Floats(scales) = &host.elements else {
            return Err("a scale that is not of floats".to_owned());
        };
        if scales.is_empty() {
            return Err("a scale without elements".to_owned());
        }
        let zero = known(x, zero);
        let one = scales.len() == 1 && block == 0;
        Ok(Some(FileQuantizer {
            zeros: zeros_of(zero.as_ref(), scales.len())?,
            scales: scales.clone(),
            shape: host.shape.clone(),
            data_type: zero.as_ref().map_or(default, |zero| zero.data_type),
            axis: if one {
                None
            } else {
                Some(axis_of(axis, rank)?)
            },
            block: usize::try_from(block).unwrap_or(0),
            clip: None,
        }))
    }

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

    /// A tensor combined with scales or zero points: one, one for each position of an axis, or one for each block.
    fn with_vector(
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
        let length = super::layers::fixed(shape[axis])?;
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

    /// `QuantizeLinear`: integers, which stand for the floats that they are made of. A zero point that is the type's least integer
    /// leaves no negative number; exporters drop a relu before it.
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
                // Scales that are computed.
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

    /// The integers of floats. Those that nothing but `DequantizeLinear` reads are never computed.
    pub(crate) fn encoded(&mut self, floats: ValueId, quantizer: FileQuantizer) -> Read {
        let [low, high] = quantizer.bounds()?;
        let is_least = quantizer.zeros.iter().all(|zero| *zero == low);
        let mut floats = floats;
        if is_least && self.may_be_negative(floats) {
            floats = self.map(Map::Relu, floats);
        }
        // A network has quantizers of whole values. Scales for each position of an axis stay as the file computes with them.
        let is_whole = quantizer.axis.is_none();
        // A value has one quantizer; the same numbers elsewhere may have another.
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

    /// `Clip` of integers that stand for floats and that no other node reads: their quantizer with fewer integers. `None` for others.
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
        // Bounds beyond the type change nothing.
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

    /// An operator that moves elements or picks some, on integers that stand for floats: on the floats.
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

    /// The floats of an operand of integers with its scale and zero point behind it.
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
        // Rows of a matrix, or columns.
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

    /// The integers of a result, by the scale and zero point at these operands.
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

    /// A bias of integers in units of the input's scale times the weight's.
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

    /// The operators on integers with their scales, ONNX's and those that `ONNX Runtime` adds.
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

    /// Integers less their zero point, as floats.
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

    /// `DynamicQuantizeLinear`: integers by the range of the tensor itself, their scale and their zero point.
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
        // All zeros: any scale does.
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
