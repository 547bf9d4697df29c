//! Writes a quantized network. Values with a quantizer are written as integers, and as floats where an operator needs
//! them.

use std::collections::HashMap;

use calcine_format::averaged_values;
use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Node, Op, Source, ValueId};
use calcine_quantize::{FloatType, IntegerLayer, Quantized, Quantizer, Scheme};

use super::builder::{Builder, Numbers, integer, signed};
use super::codes::Codes;
use super::dynamic::Dynamic;
use super::{ExportOptions, Form, exact, integer as integers, operators};
use crate::error::ExportError;
use crate::proto::{self, data_type};
use crate::runtime::Dialect;

/// The first opset with 4-bit and 16-bit integers, and with scales per block.
pub(super) const NARROW: i64 = 21;

/// The opset that a network needs.
pub(crate) fn default_opset(quantized: &Quantized, options: &ExportOptions, form: Form) -> i64 {
    if options.dialect().bytes_only {
        return 17;
    }
    let graph = quantized.graph();
    let wide = (0..graph.values.len())
        .filter_map(|id| quantized.quantizer_of(ValueId(id)))
        .any(|quantizer| quantizer.high - quantizer.low > 255);
    let narrow = |layer: IntegerLayer<'_>| {
        let in_float = layer.float_bias.is_some() && layer.dynamic.is_none();
        in_float && (layer.bits <= 4 || layer.group.is_some())
    };
    let wide = wide && form == Form::Qdq && !options.dialect().no_words;
    match wide || quantized.layers().any(narrow) {
        true => NARROW,
        false => 17,
    }
}

pub(crate) fn graph(
    quantized: &Quantized,
    options: &ExportOptions,
    (form, opset): (Form, i64),
) -> Result<proto::Graph<'static>, ExportError> {
    let graph = quantized.graph();
    let mut writer = Writer {
        b: Builder::new(graph, opset),
        quantized,
        form,
        dialect: options.dialect(),
        exact: options.is_exact() || form != Form::Qdq,
        codes: HashMap::new(),
        floats: HashMap::new(),
        dynamic: HashMap::new(),
        uses: vec![0; graph.values.len()],
        own_names: HashMap::new(),
    };
    let operands = graph.nodes.iter().flat_map(|node| &node.inputs);
    for id in operands.chain(&graph.outputs) {
        writer.uses[id.0] += 1;
    }
    for &id in &graph.inputs {
        let name = writer.b.name(id);
        match quantized.quantizer_of(id) {
            Some(quantizer) => writer.quantize(&name, id, quantizer, &name),
            None => {
                writer.floats.insert(id, name);
            }
        }
    }
    for (position, node) in graph.nodes.iter().enumerate() {
        writer.node(position, node);
    }
    let outputs: Vec<String> = graph.outputs.iter().map(|&id| writer.float(id)).collect();
    writer.b.finish(&outputs).map_err(ExportError::Nodes)
}

pub(crate) struct Writer<'a> {
    pub(crate) b: Builder<'a>,
    pub(crate) quantized: &'a Quantized,
    pub(crate) form: Form,
    pub(crate) dialect: Dialect,
    exact: bool,
    /// The names of the integers of values.
    codes: HashMap<ValueId, (String, Codes)>,
    /// The names of the floats of values.
    floats: HashMap<ValueId, String>,
    /// Dynamically quantized values, by bits and scheme.
    pub(crate) dynamic: HashMap<(ValueId, u8, Scheme), Dynamic>,
    uses: Vec<usize>,
    /// The contents of the initializers that have the name of a parameter.
    own_names: HashMap<String, usize>,
}

/// The parts from which the node of a layer is written.
pub(crate) struct LayerParts<'a> {
    pub(crate) node: &'a Node,
    pub(crate) layer: IntegerLayer<'a>,
    /// The integers of its input, if that has a quantizer.
    pub(crate) input: Option<(String, Codes)>,
    /// The quantizer of its output, and its integers.
    pub(crate) output: Option<(Quantizer, Codes)>,
}

impl<'a> Writer<'a> {
    /// The name of the value's integers, if it has a quantizer.
    pub(crate) fn codes(&self, id: ValueId) -> Option<(String, Codes)> {
        self.codes.get(&id).cloned()
    }

    pub(crate) fn set_codes(&mut self, id: ValueId, name: String, codes: Codes) {
        self.codes.insert(id, (name, codes));
    }

    pub(crate) fn set_float(&mut self, id: ValueId, name: String) {
        self.floats.insert(id, name);
    }

    /// The name of the value as floats: the value itself, dequantized integers, a parameter or a constant.
    pub(crate) fn float(&mut self, id: ValueId) -> String {
        if let Some(name) = self.floats.get(&id) {
            return name.clone();
        }
        let name = self.b.name(id);
        let float = if let Some((codes, of)) = self.codes(id) {
            self.times(&codes, of, of.scale, &format!("{name}/dequantized"))
        } else if let Some(tensor) = self.quantized.tensor(id) {
            let name = self.own_name(&name);
            let kept = self
                .quantized
                .float_type(id)
                .filter(|_| !self.dialect.full_floats);
            match kept {
                Some(kept @ (FloatType::F16 | FloatType::Bf16)) => {
                    self.b.half(&name, tensor, kept);
                    let to = vec![integer("to", data_type::FLOAT)];
                    self.b
                        .helper("Cast", &[&name], &format!("{name}/float"), to)
                }
                _ => {
                    self.b.tensor(&name, tensor);
                    name
                }
            }
        } else {
            let reason = "a value that the quantized network does not keep";
            self.b.unsupported(&name, "value", reason);
            name
        };
        self.floats.insert(id, float.clone());
        float
    }

    /// A name for an initializer of a parameter: its path for the first one, and a numbered name for others.
    pub(super) fn own_name(&mut self, path: &str) -> String {
        let count = self.own_names.entry(path.to_owned()).or_default();
        *count += 1;
        match *count {
            1 => path.to_owned(),
            count => self.b.fresh(&format!("{path}_{count}")),
        }
    }

    /// The integers of values with this quantizer.
    pub(crate) fn activation(&self, quantizer: Quantizer) -> Codes {
        let no_words = self.dialect.no_words || self.form != Form::Qdq || self.b.opset < NARROW;
        let types = match (self.dialect.whole_floats, no_words) {
            (true, _) => [data_type::FLOAT; 2],
            (false, true) => [data_type::UINT8, data_type::FLOAT],
            (false, false) => [data_type::UINT8, data_type::UINT16],
        };
        let signed = Codes::signed(quantizer).filter(|_| self.dialect.signed);
        signed.unwrap_or_else(|| Codes::activation(quantizer, types))
    }

    pub(crate) fn scale(&mut self, scale: f32, hint: &str) -> String {
        let hint = format!("{hint}/scale");
        self.b.constant(&hint, &[], &Numbers::Float(&[scale]))
    }

    /// The zero point as an initializer.
    pub(crate) fn zero(&mut self, of: Codes, hint: &str) -> String {
        let number = Numbers::Int(of.data_type, &[of.zero_point]);
        self.b.constant(&format!("{hint}/zero_point"), &[], &number)
    }

    /// Writes integers times a factor as floats, `float32(factor · (q − z))`.
    pub(crate) fn times(&mut self, name: &str, of: Codes, factor: f32, hint: &str) -> String {
        if of.is_float() {
            if factor == 1.0 {
                return name.to_owned();
            }
            let factor = self.scale(factor, hint);
            return self.b.helper("Mul", &[name, &factor], hint, Vec::new());
        }
        let (scale, zero) = (self.scale(factor, hint), self.zero(of, hint));
        let inputs = [name, &scale, &zero];
        self.b.helper("DequantizeLinear", &inputs, hint, Vec::new())
    }

    /// Quantizes floats, and records the result as the integers of the value. Integers of the type outside of the
    /// quantizer's range are clipped.
    fn quantize(&mut self, float: &str, id: ValueId, quantizer: Quantizer, hint: &str) {
        let codes = self.activation(quantizer);
        let name = self.quantized_codes(float, codes, hint);
        self.set_codes(id, name, codes);
    }

    /// Quantizes floats: `clamp(rint(float32(x / s)) + z)`.
    pub(crate) fn quantized_codes(&mut self, float: &str, codes: Codes, hint: &str) -> String {
        let hint = format!("{hint}/quantized");
        let is_bounded = codes.range != codes.limits;
        let bounds_floats = is_bounded && (codes.is_wide() || self.dialect.signed);
        let (mut x, mut scale) = (float.to_owned(), codes.scale);
        let divides = codes.is_float() || bounds_floats || self.dialect.divides;
        if divides && scale != 1.0 {
            let by = self.scale(scale, &hint);
            let hint = format!("{hint}/quotient");
            x = self.b.helper("Div", &[&x, &by], &hint, Vec::new());
            scale = 1.0;
        }
        if bounds_floats {
            let [low, high] = codes.centred().map(|q| self.b.scalar(&hint, f64::from(q)));
            x = self.b.helper("Clip", &[&x, &low, &high], &hint, Vec::new());
        }
        if codes.is_float() {
            return self.b.helper("Round", &[&x], &hint, Vec::new());
        }
        let (scale, zero) = (self.scale(scale, &hint), self.zero(codes, &hint));
        let inputs = [&*x, &scale, &zero];
        let free = self.b.helper("QuantizeLinear", &inputs, &hint, Vec::new());
        match is_bounded && !bounds_floats {
            true => self.clip(&free, codes, &hint),
            false => free,
        }
    }

    /// Clips integers to the range of the quantizer.
    pub(crate) fn clip(&mut self, name: &str, codes: Codes, hint: &str) -> String {
        let bounds = codes.range.map(|code| {
            let number = Numbers::Int(codes.data_type, &[code]);
            self.b.constant(&format!("{hint}/bound"), &[], &number)
        });
        let inputs = [name, &bounds[0], &bounds[1]];
        self.b.helper("Clip", &inputs, hint, Vec::new())
    }

    fn node(&mut self, position: usize, node: &'a Node) {
        let parameter = |id: &&ValueId| self.b.graph.value(**id).source == Source::Parameter;
        if let Some(&parameter) = node.inputs.iter().find(parameter) {
            let name = self.b.name(parameter);
            self.b
                .behind(name.rsplit_once('.').map_or("", |(layer, _)| layer));
        }
        if let Some(layer) = self.quantized.layer_at(position) {
            let input = match node.op {
                Op::Embedding => None,
                _ => self.codes(node.inputs[0]),
            };
            let output = self.quantized.quantizer_of(node.output);
            let parts = LayerParts {
                node,
                layer,
                input,
                output: output.map(|quantizer| (quantizer, self.activation(quantizer))),
            };
            return match integers::has_form(self, &parts) {
                true => integers::layer(self, &parts),
                false => self.layer(&parts),
            };
        }
        if self.quantized.is_folded(position) {
            return self.same(node.inputs[0], node.output);
        }
        let Some(quantizer) = self.quantized.quantizer_of(node.output) else {
            let operands: Vec<String> = node.inputs.iter().map(|&id| self.float(id)).collect();
            let output = self.b.name(node.output);
            operators::emit(&mut self.b, node, &operands, &output);
            return self.set_float(node.output, output);
        };
        if self.cuts_nothing(node, quantizer) {
            return self.same(node.inputs[0], node.output);
        }
        if self.moves(node, quantizer) {
            return self.moved(node);
        }
        if self.exact && exact::exact(self, node, quantizer) {
            return;
        }
        let operands: Vec<String> = node.inputs.iter().map(|&id| self.float(id)).collect();
        let output = self.b.name(node.output);
        operators::emit(&mut self.b, node, &operands, &output);
        self.quantize(&output, node.output, quantizer, &output);
    }

    /// Records that a value is the same as another one.
    fn same(&mut self, from: ValueId, to: ValueId) {
        if let Some((name, codes)) = self.codes(from) {
            self.set_codes(to, name, codes);
        }
        if let Some(name) = self.floats.get(&from).cloned() {
            self.set_float(to, name);
        }
    }

    /// Whether the node removes negative numbers from an operand that has none.
    fn cuts_nothing(&self, node: &Node, quantizer: Quantizer) -> bool {
        let high = match node.op {
            Op::Map(Map::Relu | Map::ClampMin(0.0)) => f64::INFINITY,
            Op::Map(Map::Clamp { low: 0.0, high }) => high,
            _ => return false,
        };
        #[allow(clippy::cast_possible_truncation, reason = "as the network has it")]
        let high = quantizer.quantize(high as f32);
        let own = self.codes(node.inputs[0]);
        quantizer.zero_point == quantizer.low
            && high == quantizer.high
            && own.is_some_and(|(_, own)| own == self.activation(quantizer))
    }

    /// Whether the node only moves integers, and its operand and its result have the same quantizer.
    fn moves(&self, node: &Node, quantizer: Quantizer) -> bool {
        let moves = matches!(
            node.op,
            Op::Reshape
                | Op::Permute(_)
                | Op::Slice(_)
                | Op::Select(_)
                | Op::Gather(_)
                | Op::Expand
                | Op::Repeat { .. }
                | Op::Flip(_)
        );
        let own = self.codes(node.inputs[0]);
        moves && own.is_some_and(|(_, own)| own == self.activation(quantizer))
    }

    fn moved(&mut self, node: &Node) {
        let Some((name, codes)) = self.codes(node.inputs[0]) else {
            return;
        };
        let mut operands = vec![name];
        for &id in &node.inputs[1..] {
            operands.push(self.float(id));
        }
        let output = self.b.name(node.output);
        operators::emit(&mut self.b, node, &operands, &output);
        self.set_codes(node.output, output, codes);
    }

    /// Writes a layer between quantizers, in the form `qdq`.
    fn layer(&mut self, parts: &LayerParts<'_>) {
        let LayerParts { node, layer, .. } = parts;
        let weight = self.dequantized_weight(parts);
        let output = self.b.name(node.output);
        if node.op == Op::Embedding {
            let rows = self.float(node.inputs[1]);
            operators::emit(&mut self.b, node, &[weight, rows], &output);
            return self.give(parts, output);
        }
        let bias = self.bias(parts);
        let input = &self.b.graph.value(node.inputs[0]).shape;
        let Some((codes, of)) = parts.input.clone() else {
            let x = match layer.dynamic {
                Some((bits, scheme)) => {
                    let dynamic = self.dynamic(node.inputs[0], bits, scheme);
                    let hint = format!("{output}/fake_quantized");
                    let operands = [&*dynamic.centred, &dynamic.scale];
                    self.b.helper("Mul", &operands, &hint, Vec::new())
                }
                None => self.float(node.inputs[0]),
            };
            let operands: Vec<String> = [Some(x), Some(weight), bias]
                .into_iter()
                .flatten()
                .collect();
            operators::emit(&mut self.b, node, &operands, &output);
            return self.give(parts, output);
        };
        if node.op == Op::Linear && input.len() != 2 {
            return self.flat_linear(parts, &codes, of, &weight, bias.as_deref());
        }
        let x = self.float(node.inputs[0]);
        let operands: Vec<String> = [Some(x), Some(weight), bias]
            .into_iter()
            .flatten()
            .collect();
        operators::emit(&mut self.b, node, &operands, &output);
        // A relu between a layer and its quantizer is recognized and removed by all runtimes.
        let output = match self.has_relu_behind(parts) {
            true => {
                let hint = format!("{output}/relu");
                self.b.helper("Relu", &[&output], &hint, Vec::new())
            }
            false => output,
        };
        self.give(parts, output);
    }

    /// Whether only a relu reads the result of the layer, and it changes none of its integers.
    fn has_relu_behind(&self, parts: &LayerParts<'_>) -> bool {
        let Some((quantizer, _)) = parts.output else {
            return false;
        };
        let graph = self.b.graph;
        let mut id = parts.node.output;
        loop {
            let mut nodes = graph.nodes.iter().enumerate();
            let user = nodes.find(|(_, user)| user.inputs.contains(&id));
            let Some((position, user)) = user.filter(|_| self.uses[id.0] == 1) else {
                return false;
            };
            if self.quantized.is_folded(position) {
                id = user.output;
                continue;
            }
            let same = self.quantized.quantizer_of(user.output) == Some(quantizer);
            let relu = user.op == Op::Map(Map::Relu) && quantizer.zero_point == quantizer.low;
            return same && relu;
        }
    }

    /// Records the output of a layer, which is a float.
    pub(crate) fn give(&mut self, parts: &LayerParts<'_>, name: String) {
        match parts.output {
            Some((_, of)) => {
                let hint = self.b.name(parts.node.output);
                let codes = self.quantized_codes(&name, of, &hint);
                self.set_codes(parts.node.output, codes, of);
            }
            None => self.set_float(parts.node.output, name),
        }
    }

    /// Writes a linear layer over more than two axes as one over two, so that its bias is added in integers.
    fn flat_linear(
        &mut self,
        parts: &LayerParts<'_>,
        codes: &str,
        of: Codes,
        weight: &str,
        bias: Option<&str>,
    ) {
        let node = parts.node;
        let output = self.b.name(node.output);
        let rows = self.rows(codes, parts.layer.shape[0], &output);
        let x = self.times(&rows, of, of.scale, &format!("{output}/rows/dequantized"));
        let inputs: Vec<&str> = [Some(x.as_str()), Some(weight), bias]
            .into_iter()
            .flatten()
            .collect();
        let hint = format!("{output}/product");
        let product = self.b.helper("Gemm", &inputs, &hint, Vec::new());
        let shape = self.b.graph.value(node.output).shape.clone();
        match parts.output {
            Some((_, of)) => {
                let flat = self.quantized_codes(&product, of, &hint);
                self.shaped(&flat, &shape, &output);
                self.set_codes(node.output, output, of);
            }
            None => {
                self.shaped(&product, &shape, &output);
                self.set_float(node.output, output);
            }
        }
    }

    /// Reshapes a tensor to rows of `columns` numbers.
    pub(crate) fn rows(&mut self, name: &str, columns: usize, hint: &str) -> String {
        let shape = self
            .b
            .list(&format!("{hint}/rows_shape"), &[-1, signed(columns)]);
        let hint = format!("{hint}/rows");
        self.b.helper("Reshape", &[name, &shape], &hint, Vec::new())
    }

    pub(crate) fn shaped(&mut self, name: &str, shape: &[Extent], output: &str) {
        let target = self.b.target(shape, &format!("{output}/shape"));
        self.b.node("Reshape", &[name, &target], output, Vec::new());
    }
}

/// The number of values of which each result of a node is the mean, if that number is the same for all results and batch sizes.
pub(crate) fn averaged(b: &Builder<'_>, node: &Node) -> Option<usize> {
    let [input, output] = [node.inputs[0], node.output].map(|id| b.graph.value(id));
    let [one, two] = [1, 2]
        .map(|batch| averaged_values(&node.op, &input.shape_at(batch), &output.shape_at(batch)));
    one.filter(|_| one == two)
}

/// The operation of a node that adds or multiplies two float tensors.
pub(crate) fn is_sum_or_product(b: &Builder<'_>, node: &Node) -> Option<Arithmetic> {
    let floats = node
        .inputs
        .iter()
        .all(|&id| b.graph.value(id).kind == ElementKind::Float);
    match node.op {
        Op::Zip(arithmetic @ (Arithmetic::Add | Arithmetic::Multiply)) if floats => {
            Some(arithmetic)
        }
        _ => None,
    }
}
