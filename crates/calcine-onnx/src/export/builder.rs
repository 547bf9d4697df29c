//! A file's graph being written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use calcine_graph::{ElementKind, Extent, Graph, ValueId};
use calcine_quantize::FloatType;
use calcine_trace::AnyTensor;

use crate::error::UnsupportedNode;
use crate::proto::{
    self, Attribute, AttributeValue, Data, Dimension, Tensor, ValueInfo, data_type,
};

/// A file's graph, and what is known of its names.
pub(crate) struct Builder<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) opset: i64,
    nodes: Vec<proto::Node<'static>>,
    initializers: Vec<Tensor<'static>>,
    taken: HashSet<String>,
    /// Constants that were made before, by type, shape and bytes.
    constants: HashMap<(i64, Vec<usize>, Vec<u8>), String>,
    /// The name of the batch's size, an integer of shape `[1]`, if it was needed.
    batch: Option<String>,
    problems: Vec<UnsupportedNode>,
    layer: String,
}

/// Numbers as an initializer keeps them.
pub(crate) enum Numbers<'a> {
    Float(&'a [f32]),
    Int64(&'a [i64]),
    /// Integers of another type.
    Int(i64, &'a [i32]),
    /// Numbers of 16 bits.
    Half(FloatType, &'a [f32]),
    Bool(&'a [bool]),
}

impl Numbers<'_> {
    fn data_type(&self) -> i64 {
        match self {
            Self::Float(_) => data_type::FLOAT,
            Self::Int64(_) => data_type::INT64,
            Self::Int(kind, _) => *kind,
            Self::Half(FloatType::Bf16, _) => data_type::BFLOAT16,
            Self::Half(..) => data_type::FLOAT16,
            Self::Bool(_) => data_type::BOOL,
        }
    }

    /// Little endian, as `raw_data` has it.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "integers are of the type's range"
    )]
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Float(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Int64(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Bool(values) => values.iter().map(|x| u8::from(*x)).collect(),
            Self::Half(kind, values) => {
                let half = |x: &f32| match kind {
                    FloatType::Bf16 => half::bf16::from_f32(*x).to_le_bytes(),
                    _ => half::f16::from_f32(*x).to_le_bytes(),
                };
                values.iter().flat_map(half).collect()
            }
            Self::Int(kind, values) => match *kind {
                data_type::INT4 | data_type::UINT4 => values
                    .chunks(2)
                    .map(|pair| {
                        let high = pair.get(1).copied().unwrap_or_default();
                        (pair[0] & 15) as u8 | ((high & 15) as u8) << 4
                    })
                    .collect(),
                data_type::INT8 | data_type::UINT8 => values.iter().map(|x| *x as u8).collect(),
                data_type::INT16 | data_type::UINT16 => {
                    let values = values.iter();
                    values.flat_map(|x| (*x as u16).to_le_bytes()).collect()
                }
                _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            },
        }
    }
}

pub(crate) fn int(name: &'static str, value: usize) -> Attribute<'static> {
    integer(name, i64::try_from(value).unwrap_or(i64::MAX))
}

pub(crate) fn integer(name: &'static str, value: i64) -> Attribute<'static> {
    Attribute {
        name: Cow::Borrowed(name),
        value: AttributeValue::Int(value),
    }
}

pub(crate) fn ints(
    name: &'static str,
    values: impl IntoIterator<Item = usize>,
) -> Attribute<'static> {
    let values = values.into_iter();
    let values = values.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    Attribute {
        name: Cow::Borrowed(name),
        value: AttributeValue::Ints(values.collect()),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "attributes of ONNX are 32-bit floats"
)]
pub(crate) fn float(name: &'static str, value: f64) -> Attribute<'static> {
    Attribute {
        name: Cow::Borrowed(name),
        value: AttributeValue::Float(value as f32),
    }
}

pub(crate) fn word(name: &'static str, value: &'static str) -> Attribute<'static> {
    Attribute {
        name: Cow::Borrowed(name),
        value: AttributeValue::Text(Cow::Borrowed(value.as_bytes())),
    }
}

pub(crate) fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl<'a> Builder<'a> {
    pub(crate) fn new(graph: &'a Graph, opset: i64) -> Self {
        let values = graph.values.iter().map(|value| value.name.clone());
        Self {
            graph,
            opset,
            nodes: Vec::new(),
            initializers: Vec::new(),
            taken: values.collect(),
            constants: HashMap::new(),
            batch: None,
            problems: Vec::new(),
            layer: String::new(),
        }
    }

    /// The name that a value of the graph has in the file.
    pub(crate) fn name(&self, id: ValueId) -> String {
        self.graph.value(id).name.clone()
    }

    /// A name that no other value of the file has.
    pub(crate) fn fresh(&mut self, hint: &str) -> String {
        let numbered = (2..).map(|count| format!("{hint}_{count}"));
        let mut names = std::iter::once(hint.to_owned()).chain(numbered);
        let name = names.find(|name| !self.taken.contains(name));
        let name = name.unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    /// Which layer the nodes to come are behind, for messages.
    pub(crate) fn behind(&mut self, layer: &str) {
        layer.clone_into(&mut self.layer);
    }

    pub(crate) fn unsupported(&mut self, node: &str, operator: &str, reason: impl Into<String>) {
        self.problems.push(UnsupportedNode {
            node: node.to_owned(),
            operator: operator.to_owned(),
            opset: self.opset,
            layer: self.layer.clone(),
            reason: reason.into(),
        });
    }

    /// A node whose result has this name, which is the node's too.
    pub(crate) fn node(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<Attribute<'static>>,
    ) {
        self.node_of_several(op, inputs, &[output], attributes);
    }

    /// A node whose results have these names, the last of which is the node's too.
    pub(crate) fn node_of_several(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<Attribute<'static>>,
    ) {
        let name = outputs.last().copied().unwrap_or_default();
        let outputs = outputs.iter().map(|name| Cow::Owned((*name).to_owned()));
        let inputs = inputs.iter().map(|name| Cow::Owned((*name).to_owned()));
        self.nodes.push(proto::Node {
            name: Cow::Owned(name.to_owned()),
            op_type: Cow::Borrowed(op),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            attributes,
            ..proto::Node::default()
        });
    }

    /// A node whose result gets a name like the hint; returns it.
    pub(crate) fn helper(
        &mut self,
        op: &'static str,
        inputs: &[&str],
        hint: &str,
        attributes: Vec<Attribute<'static>>,
    ) -> String {
        let output = self.fresh(hint);
        self.node(op, inputs, &output, attributes);
        output
    }

    /// An initializer of this very name.
    pub(crate) fn initializer(&mut self, name: &str, dims: &[usize], numbers: &Numbers<'_>) {
        self.initializers.push(Tensor {
            name: Cow::Owned(name.to_owned()),
            dims: dims.iter().map(|&dim| signed(dim)).collect(),
            data_type: numbers.data_type(),
            data: Data::Raw(Cow::Owned(numbers.bytes())),
        });
    }

    /// An initializer with a name like the hint, or an equal one that is there already; returns its name.
    pub(crate) fn constant(&mut self, hint: &str, dims: &[usize], numbers: &Numbers<'_>) -> String {
        let key = (numbers.data_type(), dims.to_vec(), numbers.bytes());
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.fresh(hint);
        self.initializer(&name, dims, numbers);
        self.constants.insert(key, name.clone());
        name
    }

    /// A float of shape `[]`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "tensors are of 32-bit floats"
    )]
    pub(crate) fn scalar(&mut self, hint: &str, value: f64) -> String {
        self.constant(hint, &[], &Numbers::Float(&[value as f32]))
    }

    /// A number of shape `[]` of a kind.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "numbers of integers are whole"
    )]
    pub(crate) fn number(&mut self, hint: &str, value: f64, kind: ElementKind) -> String {
        match kind {
            ElementKind::Float => self.scalar(hint, value),
            ElementKind::Int => self.constant(hint, &[], &Numbers::Int64(&[value as i64])),
            ElementKind::Bool => self.constant(hint, &[], &Numbers::Bool(&[value != 0.0])),
        }
    }

    /// Integers of shape `[n]`.
    pub(crate) fn list(&mut self, hint: &str, values: &[i64]) -> String {
        self.constant(hint, &[values.len()], &Numbers::Int64(values))
    }

    /// A parameter or constant of the network, under its own name. Reads the device.
    pub(crate) fn tensor(&mut self, name: &str, tensor: AnyTensor) {
        let dims = tensor.shape();
        let kind = tensor.kind();
        let data = tensor.into_data();
        match kind {
            ElementKind::Float => {
                let values: Vec<f32> = data.iter::<f32>().collect();
                self.initializer(name, &dims, &Numbers::Float(&values));
            }
            ElementKind::Int => {
                let values: Vec<i64> = data.iter::<i64>().collect();
                self.initializer(name, &dims, &Numbers::Int64(&values));
            }
            ElementKind::Bool => {
                let values: Vec<bool> = data.iter::<bool>().collect();
                self.initializer(name, &dims, &Numbers::Bool(&values));
            }
        }
    }

    /// Floats as an initializer of numbers of 16 bits.
    pub(crate) fn half(&mut self, name: &str, tensor: AnyTensor, kept: FloatType) {
        let dims = tensor.shape();
        let values: Vec<f32> = tensor.into_data().iter::<f32>().collect();
        self.initializer(name, &dims, &Numbers::Half(kept, &values));
    }

    /// The size of the batch as an integer of shape `[1]`; `None` if no input tells it.
    fn batch(&mut self) -> Option<String> {
        if let Some(name) = &self.batch {
            return Some(name.clone());
        }
        let graph = self.graph;
        let inputs = graph.inputs.iter().map(|&id| graph.value(id));
        let axes = inputs.flat_map(|value| {
            let axes = value.shape.iter().enumerate();
            axes.map(move |(axis, extent)| (value, axis, *extent))
        });
        let (value, axis, extent) = axes
            .filter(|(_, _, extent)| !extent.is_fixed())
            .min_by_key(|(_, _, extent)| (extent.fixed, extent.per_sample))?;
        let shape = self.helper("Shape", &[&value.name], "batch/shape", Vec::new());
        let axis = self.list("batch/axis", &[signed(axis)]);
        let mut size = self.helper(
            "Gather",
            &[&shape, &axis],
            "batch/size",
            vec![integer("axis", 0)],
        );
        if extent.fixed > 0 {
            let fixed = self.list("batch/fixed", &[signed(extent.fixed)]);
            size = self.helper("Sub", &[&size, &fixed], "batch/grown", Vec::new());
        }
        if extent.per_sample > 1 {
            let each = self.list("batch/each", &[signed(extent.per_sample)]);
            size = self.helper("Div", &[&size, &each], "batch/count", Vec::new());
        }
        self.batch = Some(size.clone());
        Some(size)
    }

    /// A length as an integer of shape `[1]`.
    fn length(&mut self, extent: Extent, hint: &str) -> Option<String> {
        if extent.is_fixed() {
            return Some(self.list(hint, &[signed(extent.fixed)]));
        }
        let mut size = self.batch()?;
        if extent.per_sample > 1 {
            let each = self.list(hint, &[signed(extent.per_sample)]);
            size = self.helper("Mul", &[&size, &each], hint, Vec::new());
        }
        if extent.fixed > 0 {
            let fixed = self.list(hint, &[signed(extent.fixed)]);
            size = self.helper("Add", &[&size, &fixed], hint, Vec::new());
        }
        Some(size)
    }

    /// Lengths as integers of shape `[n]`, computed from the batch where they depend on it.
    pub(crate) fn lengths(&mut self, extents: &[Extent], hint: &str) -> String {
        let fixed = extents.iter().all(|extent| extent.is_fixed());
        if fixed || extents.is_empty() {
            let lengths: Vec<i64> = extents.iter().map(|extent| signed(extent.fixed)).collect();
            return self.list(hint, &lengths);
        }
        let parts: Vec<Option<String>> = extents
            .iter()
            .map(|extent| self.length(*extent, hint))
            .collect();
        let Some(parts) = parts.into_iter().collect::<Option<Vec<_>>>() else {
            self.unsupported(
                hint,
                "shape",
                "its size depends on a batch that no input has",
            );
            return String::new();
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.helper("Concat", &parts, hint, vec![integer("axis", 0)])
    }

    /// The target of a reshape: with −1 where one axis depends on the batch.
    pub(crate) fn target(&mut self, extents: &[Extent], hint: &str) -> String {
        let dynamic = extents.iter().filter(|extent| !extent.is_fixed()).count();
        if dynamic > 1 {
            return self.lengths(extents, hint);
        }
        let lengths = extents.iter().map(|extent| match extent.is_fixed() {
            true => signed(extent.fixed),
            false => -1,
        });
        let lengths: Vec<i64> = lengths.collect();
        self.list(hint, &lengths)
    }

    /// A node over axes, which older opsets have as an attribute and newer ones as an operand.
    pub(crate) fn over_axes(
        &mut self,
        op: &'static str,
        x: &str,
        axes: &[usize],
        output: &str,
        mut attributes: Vec<Attribute<'static>>,
    ) {
        let operand_since = match op {
            "ReduceSum" | "Squeeze" | "Unsqueeze" => 13,
            _ => 18,
        };
        if self.opset < operand_since {
            attributes.push(ints("axes", axes.iter().copied()));
            return self.node(op, &[x], output, attributes);
        }
        let axes: Vec<i64> = axes.iter().map(|&axis| signed(axis)).collect();
        let axes = self.list(&format!("{output}/axes"), &axes);
        self.node(op, &[x, &axes], output, attributes);
    }

    fn info(&self, name: String, id: ValueId) -> ValueInfo<'static> {
        let value = self.graph.value(id);
        let dimension = |extent: &Extent| match (extent.per_sample, extent.fixed) {
            (0, fixed) => Dimension::Fixed(signed(fixed)),
            (1, 0) => Dimension::Named(Cow::Borrowed("batch")),
            (each, 0) => Dimension::Named(Cow::Owned(format!("{each}*batch"))),
            (each, fixed) => Dimension::Named(Cow::Owned(format!("{each}*batch+{fixed}"))),
        };
        ValueInfo {
            name: Cow::Owned(name),
            data_type: match value.kind {
                ElementKind::Float => data_type::FLOAT,
                ElementKind::Int => data_type::INT64,
                ElementKind::Bool => data_type::BOOL,
            },
            shape: Some(value.shape.iter().map(dimension).collect()),
        }
    }

    /// The graph, with these names for its outputs; or what could not be written.
    pub(crate) fn finish(
        mut self,
        outputs: &[String],
    ) -> Result<proto::Graph<'static>, Vec<UnsupportedNode>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        // An output is what a node gives, and each but once.
        let mut given: HashSet<String> = HashSet::new();
        let mut names = Vec::with_capacity(outputs.len());
        for output in outputs {
            let made = self
                .nodes
                .iter()
                .any(|node| node.outputs.contains(&Cow::Borrowed(output.as_str())));
            if made && given.insert(output.clone()) {
                names.push(output.clone());
                continue;
            }
            let name = self.helper(
                "Identity",
                &[output],
                &format!("{output}/output"),
                Vec::new(),
            );
            given.insert(name.clone());
            names.push(name);
        }
        let graph = self.graph;
        let inputs = graph.inputs.iter().map(|&id| self.info(self.name(id), id));
        let inputs = inputs.collect();
        let infos = names.into_iter().zip(&graph.outputs);
        let infos = infos.map(|(name, &id)| self.info(name, id)).collect();
        Ok(proto::Graph {
            name: Cow::Borrowed("calcine"),
            nodes: self.nodes,
            initializers: self.initializers,
            inputs,
            outputs: infos,
            sparse: 0,
        })
    }
}
