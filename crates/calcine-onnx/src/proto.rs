//! The messages of an ONNX file that a network needs. They are read in place: names and weights borrow the bytes of the
//! file.

use std::borrow::Cow;

use crate::error::Malformed;
use crate::wire::{Field, Fields, Message};

/// The types of tensor elements, as numbers of ONNX.
pub(crate) mod data_type {
    pub(crate) const FLOAT: i64 = 1;
    pub(crate) const UINT8: i64 = 2;
    pub(crate) const INT8: i64 = 3;
    pub(crate) const UINT16: i64 = 4;
    pub(crate) const INT16: i64 = 5;
    pub(crate) const INT32: i64 = 6;
    pub(crate) const INT64: i64 = 7;
    pub(crate) const BOOL: i64 = 9;
    pub(crate) const FLOAT16: i64 = 10;
    pub(crate) const DOUBLE: i64 = 11;
    pub(crate) const UINT32: i64 = 12;
    pub(crate) const UINT64: i64 = 13;
    pub(crate) const BFLOAT16: i64 = 16;
    pub(crate) const UINT4: i64 = 21;
    pub(crate) const INT4: i64 = 22;
    pub(crate) const UINT2: i64 = 25;
    pub(crate) const INT2: i64 = 26;
}

/// The metadata key of a node that contains [`Node::modules`].
const MODULES: &str = "pkg.torch.onnx.name_scopes";

#[derive(Debug, Default)]
pub(crate) struct Model<'a> {
    pub(crate) ir_version: i64,
    pub(crate) producer: (Cow<'a, str>, Cow<'a, str>),
    pub(crate) opsets: Vec<(Cow<'a, str>, i64)>,
    pub(crate) metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(crate) graph: Graph<'a>,
    /// The number of functions that the model defines.
    pub(crate) functions: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Graph<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) initializers: Vec<Tensor<'a>>,
    pub(crate) inputs: Vec<ValueInfo<'a>>,
    pub(crate) outputs: Vec<ValueInfo<'a>>,
    /// The number of sparse initializers.
    pub(crate) sparse: usize,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Node<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) op_type: Cow<'a, str>,
    pub(crate) domain: Cow<'a, str>,
    pub(crate) inputs: Vec<Cow<'a, str>>,
    pub(crate) outputs: Vec<Cow<'a, str>>,
    pub(crate) attributes: Vec<Attribute<'a>>,
    /// PyTorch's list of the modules that contain the node, from the outermost to the node's own name: `['', 'layer1',
    /// 'layer1.0', 'add']`.
    pub(crate) modules: Cow<'a, str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Attribute<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: AttributeValue<'a>,
}

#[derive(Debug, Clone)]
pub(crate) enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(Cow<'a, [u8]>),
    Tensor(Box<Tensor<'a>>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<Cow<'a, [u8]>>),
    /// Graphs, and other kinds that no supported operator has.
    Other,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Tensor<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) dims: Vec<i64>,
    pub(crate) data_type: i64,
    pub(crate) data: Data<'a>,
}

/// The elements of a tensor, or where they are.
#[derive(Debug, Default, Clone)]
pub(crate) enum Data<'a> {
    #[default]
    None,
    /// In little-endian order; for 4-bit types, the first element is in the lower half of a byte.
    Raw(Cow<'a, [u8]>),
    Floats(Vec<f32>),
    /// From `int32_data`, `int64_data` or `uint64_data`.
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    /// The fields `location`, `offset` and `length`.
    External(Box<External<'a>>),
    Texts,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct External<'a> {
    pub(crate) location: Cow<'a, str>,
    pub(crate) offset: Option<u64>,
    pub(crate) length: Option<u64>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct ValueInfo<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The element type; 0 if the value is not a tensor.
    pub(crate) data_type: i64,
    /// The shape; `None` if the file does not contain it.
    pub(crate) shape: Option<Vec<Dimension<'a>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dimension<'a> {
    Fixed(i64),
    Named(Cow<'a, str>),
    Unknown,
}

fn each<'a>(
    message: &'a [u8],
    mut take: impl FnMut(u64, Field<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for field in Fields::of(message) {
        let (number, field) = field?;
        take(number, field)?;
    }
    Ok(())
}

fn text(field: Field<'_>) -> Result<Cow<'_, str>, Malformed> {
    field.text().map(Cow::Borrowed)
}

/// A key of metadata and its value.
fn pair(field: Field<'_>) -> Result<(Cow<'_, str>, Cow<'_, str>), Malformed> {
    let mut pair = (Cow::Borrowed(""), Cow::Borrowed(""));
    each(field.bytes()?, |number, field| {
        match number {
            1 => pair.0 = text(field)?,
            2 => pair.1 = text(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(pair)
}

impl<'a> Model<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut model = Self::default();
        let mut graphs = 0;
        each(bytes, |number, field| {
            match number {
                1 => model.ir_version = field.integer()?,
                2 => model.producer.0 = text(field)?,
                3 => model.producer.1 = text(field)?,
                7 => {
                    graphs += 1;
                    model.graph = Graph::read(field.bytes()?)?;
                }
                8 => {
                    let mut opset = (Cow::Borrowed(""), 0);
                    each(field.bytes()?, |number, field| {
                        match number {
                            1 => opset.0 = text(field)?,
                            2 => opset.1 = field.integer()?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    model.opsets.push(opset);
                }
                14 => model.metadata.push(pair(field)?),
                25 => model.functions += 1,
                _ => {}
            }
            Ok(())
        })?;
        match graphs {
            1 => Ok(model),
            0 => Err(Malformed("it has no graph")),
            _ => Err(Malformed("it has more than one graph")),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Message::default();
        out.integer(1, self.ir_version);
        out.text(2, &self.producer.0);
        out.text(3, &self.producer.1);
        out.message(7, |graph| self.graph.write(graph));
        for (domain, version) in &self.opsets {
            out.message(8, |opset| {
                opset.text(1, domain);
                opset.integer(2, *version);
            });
        }
        for (key, value) in &self.metadata {
            out.message(14, |pair| {
                pair.text(1, key);
                pair.text(2, value);
            });
        }
        out.0
    }
}

impl<'a> Graph<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut graph = Self::default();
        each(bytes, |number, field| {
            match number {
                1 => graph.nodes.push(Node::read(field.bytes()?)?),
                2 => graph.name = text(field)?,
                5 => {
                    let tensor = Tensor::read(field.bytes()?)?;
                    if tensor.name.is_empty() {
                        return Err(Malformed("it has an initializer without a name"));
                    }
                    graph.initializers.push(tensor);
                }
                11 => graph.inputs.push(ValueInfo::read(field.bytes()?)?),
                12 => graph.outputs.push(ValueInfo::read(field.bytes()?)?),
                15 => graph.sparse += 1,
                _ => {}
            }
            Ok(())
        })?;
        Ok(graph)
    }

    fn write(&self, out: &mut Message) {
        for node in &self.nodes {
            out.message(1, |message| node.write(message));
        }
        out.text(2, &self.name);
        for tensor in &self.initializers {
            out.message(5, |message| tensor.write(message));
        }
        for input in &self.inputs {
            out.message(11, |message| input.write(message));
        }
        for output in &self.outputs {
            out.message(12, |message| output.write(message));
        }
    }
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut node = Self::default();
        each(bytes, |number, field| {
            match number {
                1 => node.inputs.push(text(field)?),
                2 => node.outputs.push(text(field)?),
                3 => node.name = text(field)?,
                4 => node.op_type = text(field)?,
                5 => node.attributes.push(Attribute::read(field.bytes()?)?),
                7 => node.domain = text(field)?,
                9 => {
                    let (key, value) = pair(field)?;
                    if key == MODULES {
                        node.modules = value;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        // This limits the memory of a graph by the number of its bytes in the file.
        match node.op_type.is_empty() || node.outputs.is_empty() {
            true => Err(Malformed("it has a node without an operator or an output")),
            false => Ok(node),
        }
    }

    fn write(&self, out: &mut Message) {
        for input in &self.inputs {
            out.bytes(1, input.as_bytes());
        }
        for output in &self.outputs {
            out.bytes(2, output.as_bytes());
        }
        out.text(3, &self.name);
        out.text(4, &self.op_type);
        for attribute in &self.attributes {
            out.message(5, |message| attribute.write(message));
        }
        out.text(7, &self.domain);
        if !self.modules.is_empty() {
            out.message(9, |pair| {
                pair.text(1, MODULES);
                pair.text(2, &self.modules);
            });
        }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&AttributeValue<'a>> {
        let found = self.attributes.iter().find(|own| own.name == name);
        found.map(|own| &own.value)
    }
}

impl<'a> Attribute<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut name = Cow::Borrowed("");
        let mut kind = 0;
        let (mut float, mut int, mut string, mut tensor) = (None, None, None, None);
        let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        each(bytes, |number, field| {
            match number {
                1 => name = text(field)?,
                2 => float = Some(field.float()?),
                3 => int = Some(field.integer()?),
                4 => string = Some(field.bytes()?),
                5 => tensor = Some(Tensor::read(field.bytes()?)?),
                7 => field.floats(&mut floats)?,
                8 => field.integers(&mut ints)?,
                9 => texts.push(Cow::Borrowed(field.bytes()?)),
                20 => kind = field.integer()?,
                _ => {}
            }
            Ok(())
        })?;
        if name.is_empty() {
            return Err(Malformed("it has an attribute without a name"));
        }
        // Files of the first versions do not contain the kind.
        let value = match kind {
            1 => AttributeValue::Float(float.unwrap_or_default()),
            2 => AttributeValue::Int(int.unwrap_or_default()),
            3 => AttributeValue::Text(Cow::Borrowed(string.unwrap_or_default())),
            4 => AttributeValue::Tensor(Box::new(tensor.unwrap_or_default())),
            6 => AttributeValue::Floats(floats),
            7 => AttributeValue::Ints(ints),
            8 => AttributeValue::Texts(texts),
            0 => match (float, int, string, tensor) {
                (Some(float), ..) => AttributeValue::Float(float),
                (_, Some(int), ..) => AttributeValue::Int(int),
                (_, _, Some(string), _) => AttributeValue::Text(Cow::Borrowed(string)),
                (.., Some(tensor)) => AttributeValue::Tensor(Box::new(tensor)),
                _ if !floats.is_empty() => AttributeValue::Floats(floats),
                _ if !ints.is_empty() => AttributeValue::Ints(ints),
                _ => AttributeValue::Other,
            },
            _ => AttributeValue::Other,
        };
        Ok(Self { name, value })
    }

    fn write(&self, out: &mut Message) {
        out.text(1, &self.name);
        let kind = match &self.value {
            AttributeValue::Float(value) => {
                out.float(2, *value);
                1
            }
            AttributeValue::Int(value) => {
                out.integer(3, *value);
                2
            }
            AttributeValue::Text(value) => {
                out.bytes(4, value);
                3
            }
            AttributeValue::Tensor(value) => {
                out.message(5, |message| value.write(message));
                4
            }
            AttributeValue::Floats(values) => {
                out.floats(7, values);
                6
            }
            AttributeValue::Ints(values) => {
                // Not packed, as in the schema.
                values.iter().for_each(|value| out.integer(8, *value));
                7
            }
            // No operator that is written has such an attribute.
            AttributeValue::Texts(_) | AttributeValue::Other => 0,
        };
        out.integer(20, kind);
    }
}

impl<'a> Tensor<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut tensor = Self::default();
        let mut external = External::default();
        let mut is_external = false;
        let mut raw = None;
        let (mut floats, mut ints, mut doubles) = (Vec::new(), Vec::new(), Vec::new());
        let mut texts = false;
        each(bytes, |number, field| {
            match number {
                1 => field.integers(&mut tensor.dims)?,
                2 => tensor.data_type = field.integer()?,
                4 => field.floats(&mut floats)?,
                5 | 7 | 11 => field.integers(&mut ints)?,
                6 => texts = true,
                8 => tensor.name = text(field)?,
                9 => raw = Some(field.bytes()?),
                10 => match field {
                    Field::Bytes(bytes) => {
                        let (chunks, rest) = bytes.as_chunks::<8>();
                        if !rest.is_empty() {
                            return Err(Malformed("a list of doubles ends within a double"));
                        }
                        doubles.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
                    }
                    Field::Fixed64(bits) => doubles.push(f64::from_bits(bits)),
                    _ => return Err(Malformed("something else stands where a double should")),
                },
                13 => external.add(field.bytes()?)?,
                14 => is_external = field.integer()? == 1,
                _ => {}
            }
            Ok(())
        })?;
        if tensor.data_type == 0 {
            return Err(Malformed("it has a tensor whose type is not told"));
        }
        tensor.data = match raw {
            _ if is_external => Data::External(Box::new(external)),
            Some(raw) => Data::Raw(Cow::Borrowed(raw)),
            None if !floats.is_empty() => Data::Floats(floats),
            None if !ints.is_empty() => Data::Ints(ints),
            None if !doubles.is_empty() => Data::Doubles(doubles),
            None if texts => Data::Texts,
            None => Data::None,
        };
        Ok(tensor)
    }

    fn write(&self, out: &mut Message) {
        self.dims.iter().for_each(|dim| out.integer(1, *dim));
        out.integer(2, self.data_type);
        out.text(8, &self.name);
        match &self.data {
            Data::Raw(raw) => out.bytes(9, raw),
            Data::External(external) => {
                let mut pair = |key: &str, value: &str| {
                    out.message(13, |pair| {
                        pair.text(1, key);
                        pair.text(2, value);
                    });
                };
                pair("location", &external.location);
                if let Some(offset) = external.offset {
                    pair("offset", &offset.to_string());
                }
                if let Some(length) = external.length {
                    pair("length", &length.to_string());
                }
                out.integer(14, 1);
            }
            // Data is only written in raw form.
            _ => {}
        }
    }
}

impl<'a> External<'a> {
    fn add(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let (mut key, mut value) = ("", "");
        each(bytes, |number, field| {
            match number {
                1 => key = field.text()?,
                2 => value = field.text()?,
                _ => {}
            }
            Ok(())
        })?;
        let number = || {
            let number = value.parse();
            number.map_err(|_| Malformed("a place in external data is not a number"))
        };
        match key {
            "location" => self.location = Cow::Borrowed(value),
            "offset" => self.offset = Some(number()?),
            "length" => self.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> ValueInfo<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut info = Self::default();
        each(bytes, |number, field| {
            match number {
                1 => info.name = text(field)?,
                2 => each(field.bytes()?, |number, field| match number {
                    1 => info.read_tensor(field.bytes()?),
                    _ => Ok(()),
                })?,
                _ => {}
            }
            Ok(())
        })?;
        match info.name.is_empty() {
            true => Err(Malformed("it has an input or output without a name")),
            false => Ok(info),
        }
    }

    fn read_tensor(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        each(bytes, |number, field| {
            match number {
                1 => self.data_type = field.integer()?,
                2 => {
                    let shape = self.shape.get_or_insert_default();
                    each(field.bytes()?, |number, field| {
                        if number != 1 {
                            return Ok(());
                        }
                        let mut dimension = Dimension::Unknown;
                        each(field.bytes()?, |number, field| {
                            match number {
                                1 => dimension = Dimension::Fixed(field.integer()?),
                                2 => dimension = Dimension::Named(text(field)?),
                                _ => {}
                            }
                            Ok(())
                        })?;
                        shape.push(dimension);
                        Ok(())
                    })?;
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn write(&self, out: &mut Message) {
        out.text(1, &self.name);
        out.message(2, |kind| {
            kind.message(1, |tensor| {
                tensor.integer(1, self.data_type);
                let Some(shape) = &self.shape else { return };
                tensor.message(2, |message| {
                    for dimension in shape {
                        message.message(1, |out| match dimension {
                            Dimension::Fixed(length) => out.integer(1, *length),
                            Dimension::Named(name) => out.text(2, name),
                            Dimension::Unknown => {}
                        });
                    }
                });
            });
        });
    }
}
