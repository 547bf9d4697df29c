//! The state of an import: the graph that is built while a file is read.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use calcine_graph::{
    Arithmetic, Comparison, ElementKind, Extent, Graph, Map, Node, Op, Source, Value, ValueId,
};

use super::host::{Elements, Host, Number};
use super::quantized::Codes;
use super::quantizer::FileQuantizer;
use crate::proto::{self, AttributeValue};

/// Why a node is not supported, as the end of a sentence.
pub(crate) type Reason = String;

/// The value of a name in the file.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// A tensor that does not depend on inputs.
    Host(Rc<Host>),
    /// A value of the graph.
    Value(ValueId),
    /// The result of a node that is not supported.
    Broken,
}

/// An operand of a node.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Host(Rc<Host>),
    Value(ValueId),
}

/// A parameter of the network.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) value: ValueId,
    pub(crate) layer: &'static str,
    pub(crate) host: Rc<Host>,
}

pub(crate) struct Importer {
    pub(crate) opset: i64,
    pub(crate) graph: Graph,
    pub(crate) known: HashMap<String, Known>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) constants: Vec<(ValueId, Rc<Host>)>,
    /// The existing parameters, by initializer, shape, and whether they are transposed.
    stored: HashMap<(String, Vec<usize>, bool), ValueId>,
    paths: HashSet<String>,
    /// Values without axes in the file, which have one axis of length 1 in the graph.
    scalars: HashSet<ValueId>,
    /// The types of inputs, as ONNX's type numbers.
    pub(crate) data_types: HashMap<ValueId, i64>,
    /// Integers that represent floats.
    pub(crate) codes: HashMap<ValueId, Codes>,
    /// The quantizers of values.
    pub(crate) quantizers: HashMap<ValueId, Rc<FileQuantizer>>,
    /// The quantizers of initializers.
    pub(crate) weight_quantizers: HashMap<String, Rc<FileQuantizer>>,
    /// The batch size for which the file was made, if that size is replaced by a free batch.
    pub(crate) fixed_batch: Option<usize>,
    /// Names that only one node of the file reads.
    pub(crate) single_use: HashSet<ValueId>,
    /// The number of elements that constants may still have.
    pub(crate) budget: u128,
    /// The module path of the current node, for parameters without a name.
    pub(crate) scope: String,
    /// The module that first read a parameter of a layer, and what it is there.
    first_read: HashMap<ValueId, (String, String)>,
    /// The paths of parameters in other modules that read them.
    pub(crate) aliases: Vec<(ValueId, String)>,
}

/// The attributes of a node.
pub(crate) struct Attributes<'n, 'a>(pub(crate) &'n proto::Node<'a>);

impl Attributes<'_, '_> {
    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64, Reason> {
        match self.0.attribute(name) {
            None => Ok(default),
            Some(AttributeValue::Int(value)) => Ok(*value),
            Some(_) => Err(format!("its attribute `{name}` is not an integer")),
        }
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> Result<f64, Reason> {
        match self.0.attribute(name) {
            None => Ok(default),
            // The nearest double that prints as the file's float, so that 0.1 is 0.1.
            Some(AttributeValue::Float(value)) => Ok(shortest(*value)),
            Some(_) => Err(format!("its attribute `{name}` is not a float")),
        }
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Reason> {
        match self.0.attribute(name) {
            None => Ok(None),
            Some(AttributeValue::Ints(values)) => Ok(Some(values.clone())),
            Some(_) => Err(format!("its attribute `{name}` is not a list of integers")),
        }
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> Result<String, Reason> {
        match self.0.attribute(name) {
            None => Ok(default.to_owned()),
            Some(AttributeValue::Text(value)) => Ok(String::from_utf8_lossy(value).into_owned()),
            Some(_) => Err(format!("its attribute `{name}` is not a text")),
        }
    }
}

/// Converts a float to the number with the shortest decimal representation of the same float.
pub(crate) fn shortest(value: f32) -> f64 {
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| f64::from(value))
}

/// An axis; negative ones count from the end.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Result<usize, Reason> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let counted = if axis < 0 {
        axis.saturating_add(signed)
    } else {
        axis
    };
    let found = usize::try_from(counted).ok().filter(|&axis| axis < rank);
    found.ok_or_else(|| format!("axis {axis} of a tensor of {rank} axes"))
}

impl Importer {
    pub(crate) fn new(opset: i64, budget: u128) -> Self {
        Self {
            opset,
            graph: Graph::default(),
            known: HashMap::new(),
            parameters: Vec::new(),
            constants: Vec::new(),
            stored: HashMap::new(),
            paths: HashSet::new(),
            scalars: HashSet::new(),
            data_types: HashMap::new(),
            codes: HashMap::new(),
            quantizers: HashMap::new(),
            weight_quantizers: HashMap::new(),
            fixed_batch: None,
            single_use: HashSet::new(),
            budget,
            scope: String::new(),
            first_read: HashMap::new(),
            aliases: Vec::new(),
        }
    }

    pub(crate) fn shape(&self, id: ValueId) -> Vec<Extent> {
        self.graph.value(id).shape.clone()
    }

    pub(crate) fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).shape.len()
    }

    /// The shape of the tensor in the file, which may have no axes.
    pub(crate) fn file_shape(&self, id: ValueId) -> Vec<Extent> {
        match self.scalars.contains(&id) {
            true => Vec::new(),
            false => self.shape(id),
        }
    }

    /// Reshapes a value to a shape of the file, which may have no axes.
    pub(crate) fn in_file_shape(&mut self, id: ValueId, shape: Vec<Extent>) -> ValueId {
        let is_scalar = shape.is_empty();
        let count = self.graph.values.len();
        let mut id = self.reshaped(id, super::shapes::or_one(shape));
        // A value that is there already stays what it is for others.
        if id.0 < count && self.scalars.contains(&id) != is_scalar {
            let (shape, kind) = (self.shape(id), self.kind(id));
            id = self.push_with_axes(Op::Reshape, vec![id], shape, kind);
        }
        if is_scalar {
            self.scalars.insert(id);
        }
        id
    }

    /// Records that a value has no axes in the file.
    pub(crate) fn mark_scalar(&mut self, id: ValueId) {
        self.scalars.insert(id);
    }

    pub(crate) fn kind(&self, id: ValueId) -> ElementKind {
        self.graph.value(id).kind
    }

    /// Adds a value to the graph that no node computes.
    pub(crate) fn given(
        &mut self,
        name: &str,
        shape: Vec<Extent>,
        kind: ElementKind,
        source: Source,
    ) -> ValueId {
        self.graph.values.push(Value {
            name: name.to_owned(),
            shape,
            kind,
            source,
        });
        ValueId(self.graph.values.len() - 1)
    }

    /// Adds a node with this result. The result of an element-wise operation has no axes in the file if its operands
    /// have none.
    pub(crate) fn push(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<Extent>,
        kind: ElementKind,
    ) -> ValueId {
        let scalar = !inputs.is_empty()
            && op.properties().is_elementwise()
            && inputs.iter().all(|id| self.scalars.contains(id));
        let output = self.push_with_axes(op, inputs, shape, kind);
        if scalar {
            self.scalars.insert(output);
        }
        output
    }

    fn push_with_axes(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<Extent>,
        kind: ElementKind,
    ) -> ValueId {
        let output = self.given("", shape, kind, Source::Node(self.graph.nodes.len()));
        self.graph.nodes.push(Node {
            name: String::new(),
            op,
            inputs,
            output,
        });
        output
    }

    /// Adds a node whose result has the shape and kind of its first operand.
    pub(crate) fn same(&mut self, op: Op, x: ValueId) -> ValueId {
        let (shape, kind) = (self.shape(x), self.kind(x));
        self.push(op, vec![x], shape, kind)
    }

    /// An operand as a value of the graph: a constant or a parameter if it is known.
    pub(crate) fn value(&mut self, operand: &Operand) -> Result<ValueId, Reason> {
        match operand {
            Operand::Value(id) => Ok(*id),
            Operand::Host(host) => self.tensor(host, "", "weight"),
        }
    }

    /// A known tensor as a value of the graph: a parameter if it is an initializer of floats, otherwise a constant. A
    /// tensor without axes gets one.
    pub(crate) fn tensor(
        &mut self,
        host: &Rc<Host>,
        layer: &'static str,
        role: &str,
    ) -> Result<ValueId, Reason> {
        if let Some(original) = host
            .original
            .as_ref()
            .filter(|original| layer.is_empty() && !original.is_empty())
        {
            let shape = host
                .shape
                .iter()
                .map(|&length| Extent::fixed(length))
                .collect();
            let own = self.tensor(&Rc::new(host.reshaped(original.clone())), layer, role)?;
            return Ok(self.reshaped(own, shape));
        }
        let key =
            |shape: Vec<usize>, transposed: bool| Some((host.name.clone()?, shape, transposed));
        let own_key = key(host.shape.clone(), host.transposed);
        if let Some(&id) = own_key.as_ref().and_then(|key| self.stored.get(key)) {
            self.read_again(id, layer, role);
            return Ok(id);
        }
        if let [rows, columns] = host.shape[..] {
            let turned = key(vec![columns, rows], !host.transposed);
            if let Some(&id) = turned.and_then(|key| self.stored.get(&key)) {
                self.read_again(id, layer, role);
                return Ok(self.permuted(id, &[1, 0]));
            }
        }
        let own = match host.shape.is_empty() {
            true => Rc::new(host.reshaped(vec![1])),
            false => Rc::clone(host),
        };
        if own.len() == 0 {
            return Err("a tensor without elements".to_owned());
        }
        if own.shape.len() > 6 {
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                own.shape.len()
            ));
        }
        let is_parameter =
            own.kind() == ElementKind::Float && (host.name.is_some() || !layer.is_empty());
        if let Elements::Ints(values) = &own.elements
            && values.iter().any(|number| number.known().is_none())
        {
            return Err("it computes with the size of the batch".to_owned());
        }
        let shape = own
            .shape
            .iter()
            .map(|&length| Extent::fixed(length))
            .collect();
        let is_scalar = host.shape.is_empty();
        let id = if is_parameter {
            let path = self.path(host.name.as_deref(), layer, role);
            let id = self.given(&path, shape, ElementKind::Float, Source::Parameter);
            self.parameters.push(Parameter {
                value: id,
                layer,
                host: own,
            });
            if !layer.is_empty() {
                let first = (self.scope.clone(), role.to_owned());
                self.first_read.insert(id, first);
            }
            id
        } else {
            let id = self.given("", shape, own.kind(), Source::Constant);
            self.constants.push((id, own));
            id
        };
        if is_scalar {
            self.scalars.insert(id);
        }
        if let Some(key) = own_key {
            self.stored.insert(key, id);
        }
        Ok(id)
    }

    /// Records the paths of a parameter that layers of several modules read, in each of these modules.
    fn read_again(&mut self, id: ValueId, layer: &str, role: &str) {
        let Some((scope, first)) = self.first_read.get(&id).filter(|_| !layer.is_empty()) else {
            return;
        };
        if *scope == self.scope {
            return;
        }
        let reads = [(scope.as_str(), first.as_str()), (&self.scope, role)];
        let paths = reads.map(|(scope, role)| (id, format!("{scope}.{role}")));
        self.aliases.extend(paths);
    }

    /// The path of a parameter: the name of the initializer if it has one, otherwise a name in the module of the node.
    fn path(&mut self, name: Option<&str>, layer: &str, role: &str) -> String {
        let own = name.filter(|name| !is_made(name));
        let wanted = match own {
            Some(name) => renamed(name, layer, role),
            None if self.scope.is_empty() => role.to_owned(),
            None => format!("{}.{role}", self.scope),
        };
        let clean = |char: char| match char {
            '.' | '_' | '-' => char,
            char if char.is_alphanumeric() => char,
            _ => '_',
        };
        let wanted: String = wanted.chars().map(clean).collect();
        let parts: Vec<&str> = wanted.split('.').filter(|part| !part.is_empty()).collect();
        let wanted = match parts.is_empty() {
            true => role.to_owned(),
            false => parts.join("."),
        };
        let (stem, last) = match wanted.rsplit_once('.') {
            Some((stem, last)) => (format!("{stem}."), last.to_owned()),
            None => (String::new(), wanted.clone()),
        };
        let numbered = (2..).map(|count| format!("{stem}{last}_{count}"));
        let mut names = std::iter::once(wanted).chain(numbered);
        let path = names
            .find(|path| !self.paths.contains(path))
            .unwrap_or_default();
        self.paths.insert(path.clone());
        path
    }

    /// Gives a weight that has no name in the file the path that its bias tells: `in_proj_weight` beside `in_proj_bias`.
    pub(crate) fn name_as_bias(&mut self, weight: ValueId, bias: ValueId) {
        let named = self.graph.value(bias).name.strip_suffix("bias");
        let Some(wanted) = named.map(|start| format!("{start}weight")) else {
            return;
        };
        let mut parameters = self.parameters.iter();
        let is_nameless = parameters.any(|parameter| {
            let name = parameter.host.name.as_deref();
            parameter.value == weight && name.is_none_or(is_made)
        });
        if is_nameless && self.paths.insert(wanted.clone()) {
            self.graph.values[weight.0].name = wanted;
        }
    }

    /// Adds leading axes of length 1 to a value, so that it has `rank` axes.
    pub(crate) fn with_rank(&mut self, id: ValueId, rank: usize) -> Result<ValueId, Reason> {
        let own = self.rank(id);
        if own == rank {
            return Ok(id);
        }
        if rank > 6 {
            return Err(format!("a tensor of {rank} axes; valid are at most 6"));
        }
        let mut shape = vec![Extent::fixed(1); rank.saturating_sub(own)];
        shape.extend(self.shape(id));
        Ok(self.reshaped(id, shape))
    }

    /// Reshapes a value; adds no node if the shape is the same.
    pub(crate) fn reshaped(&mut self, id: ValueId, shape: Vec<Extent>) -> ValueId {
        if self.shape(id) == shape {
            return id;
        }
        let kind = self.kind(id);
        // Of two consecutive reshapes, only the second one is needed.
        if let Source::Node(at) = self.graph.value(id).source
            && self.graph.nodes[at].op == Op::Reshape
        {
            let before = self.graph.nodes[at].inputs[0];
            if self.shape(before) == shape {
                return before;
            }
            return self.push(Op::Reshape, vec![before], shape, kind);
        }
        self.push(Op::Reshape, vec![id], shape, kind)
    }

    pub(crate) fn permuted(&mut self, id: ValueId, axes: &[usize]) -> ValueId {
        if axes.iter().enumerate().all(|(at, axis)| at == *axis) {
            return id;
        }
        let own = self.shape(id);
        let shape = axes.iter().map(|&axis| own[axis]).collect();
        let kind = self.kind(id);
        self.push(Op::Permute(axes.to_vec()), vec![id], shape, kind)
    }

    pub(crate) fn scalar(&mut self, arithmetic: Arithmetic, x: ValueId, number: f64) -> ValueId {
        let nothing = match arithmetic {
            Arithmetic::Add | Arithmetic::Subtract => number == 0.0,
            Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Power => number == 1.0,
            _ => false,
        };
        match nothing {
            true => x,
            false => self.same(Op::Scalar(arithmetic, number), x),
        }
    }

    /// The broadcast shape of operands with the same rank.
    pub(crate) fn broadcast(&self, operands: &[ValueId]) -> Result<Vec<Extent>, Reason> {
        let mut shape = self.shape(operands[0]);
        for &id in &operands[1..] {
            for (axis, other) in self.shape(id).into_iter().enumerate() {
                shape[axis] = match (shape[axis], other) {
                    (one, other) if one == other => one,
                    (one, other) if one == Extent::fixed(1) => other,
                    (one, other) if other == Extent::fixed(1) => one,
                    (one, other) => {
                        return Err(format!(
                            "lengths {one} and {other} of axis {axis} do not broadcast"
                        ));
                    }
                };
            }
        }
        Ok(shape)
    }

    /// Gives operands the same rank.
    pub(crate) fn aligned(&mut self, operands: &[ValueId]) -> Result<Vec<ValueId>, Reason> {
        let rank = operands.iter().map(|&id| self.rank(id)).max().unwrap_or(0);
        let operands = operands.iter().map(|&id| self.with_rank(id, rank));
        operands.collect()
    }

    /// Adds a node with two operands, which are broadcast.
    pub(crate) fn zip(
        &mut self,
        op: Op,
        a: ValueId,
        b: ValueId,
        kind: ElementKind,
    ) -> Result<ValueId, Reason> {
        let operands = self.aligned(&[a, b])?;
        let shape = self.broadcast(&operands)?;
        Ok(self.push(op, operands, shape, kind))
    }

    /// Combines `a` and `b`, converted to the same kind.
    pub(crate) fn both(
        &mut self,
        arithmetic: Arithmetic,
        a: ValueId,
        b: ValueId,
    ) -> Result<ValueId, Reason> {
        let kind = self.kind(a);
        self.zip(Op::Zip(arithmetic), a, b, kind)
    }

    /// Adds a function of each element.
    pub(crate) fn map(&mut self, map: Map, x: ValueId) -> ValueId {
        self.same(Op::Map(map), x)
    }

    /// Compares each element with a number.
    pub(crate) fn compared_with(
        &mut self,
        comparison: Comparison,
        x: ValueId,
        number: f64,
    ) -> ValueId {
        let shape = self.shape(x);
        let op = Op::CompareScalar(comparison, number);
        self.push(op, vec![x], shape, ElementKind::Bool)
    }

    /// Replaces elements by a number where a mask is true; both are broadcast.
    pub(crate) fn with_number_where(
        &mut self,
        x: ValueId,
        mask: ValueId,
        number: f64,
    ) -> Result<ValueId, Reason> {
        let operands = self.aligned(&[x, mask])?;
        let shape = self.broadcast(&operands)?;
        let x = self.spread(operands[0], &shape);
        let kind = self.kind(x);
        Ok(self.push(Op::Fill(number), vec![x, operands[1]], shape, kind))
    }

    /// Adds a tensor that the importer creates.
    pub(crate) fn made(&mut self, host: Host) -> Result<ValueId, Reason> {
        self.spend(host.len() as u128)?;
        self.tensor(&Rc::new(host), "", "constant")
    }

    /// Counts the elements of a new constant against the memory limit.
    pub(crate) fn spend(&mut self, elements: u128) -> Result<(), Reason> {
        let left = self.budget.checked_sub(elements);
        self.budget = left.ok_or_else(|| {
            format!("a constant of {elements} elements, more than a file of this size may make")
        })?;
        Ok(())
    }
}

/// Whether the name of an initializer was generated by an exporter.
pub(crate) fn is_made(name: &str) -> bool {
    let starts = ["val_", "getitem", "/", "_"];
    name.contains("::") || starts.iter().any(|start| name.starts_with(start))
}

/// The name that Burn's layers use for a parameter.
fn renamed(name: &str, layer: &str, role: &str) -> String {
    let (stem, last) = match name.rsplit_once('.') {
        Some((stem, last)) => (Some(stem), last),
        None => (None, name),
    };
    let is_norm = matches!(layer, "BatchNorm" | "LayerNorm");
    let last = match (is_norm, last) {
        (true, "weight" | "bias" | "scale" | "running_mean" | "running_var" | "mean" | "var") => {
            role
        }
        (true, _) if layer == "BatchNorm" => role,
        (_, last) => last,
    };
    match stem {
        Some(stem) => format!("{stem}.{last}"),
        None => last.to_owned(),
    }
}

/// The length of an axis as a number.
pub(crate) fn number(extent: Extent) -> Number {
    Number::of(extent)
}
