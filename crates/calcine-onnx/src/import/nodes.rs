//! Each operator of ONNX as operations of a graph.

use std::rc::Rc;

use calcine_graph::{ElementKind, Op, ValueId};

use super::elementwise::{arithmetic_of, comparison_of, map_of};
use super::fold::{cast_kind, shape_of};
use super::host::{Folder, Host, Number};
use super::importer::{Attributes, Importer, Known, Operand, Reason, axis_of};
use crate::proto::{self, AttributeValue};

impl Importer {
    /// What a node's outputs are.
    pub(crate) fn read_node(
        &mut self,
        node: &proto::Node<'_>,
        x: &[Option<Operand>],
    ) -> Result<Vec<Known>, Reason> {
        self.scope = super::scope(node);
        let op = &*node.op_type;
        let quantizes = op == "QuantizeLinear"
            || op == "DequantizeLinear"
            || op.starts_with("QLinear")
            || op == "QGemm";
        if !matches!(&*node.domain, "" | "ai.onnx")
            && (!quantizes || node.domain != "com.microsoft")
        {
            return Err(format!(
                "an operator of the domain `{}`; valid are ONNX's own",
                node.domain
            ));
        }
        let a = Attributes(node);
        match op {
            "Constant" => return constant(&a).map(|host| vec![Known::Host(Rc::new(host))]),
            "DequantizeLinear" => return Ok(vec![self.dequantized(&a, x)?]),
            "QuantizeLinear" => return Ok(vec![self.quantized(&a, x)?]),
            "DynamicQuantizeLinear" => return self.dynamic_codes(x),
            "LSTM" | "GRU" | "RNN" => {
                let results = self.recurrent(op, &a, x)?;
                return Ok(results.into_iter().map(Known::Value).collect());
            }
            _ => {}
        }
        if let Some(known) = self.on_codes(op, &a, x)? {
            return Ok(vec![known]);
        }
        if let Some(known) = self.moved_codes(node, x)? {
            return Ok(known);
        }
        if let Some(folded) = self.folded(op, &a, x) {
            let hosts = folded?.into_iter();
            return Ok(hosts.map(|host| Known::Host(Rc::new(host))).collect());
        }
        if let Some(known) = self.shape_arithmetic(op, &a, x)? {
            return Ok(vec![known]);
        }
        if let Some(known) = self.several(op, &a, x)? {
            return Ok(known);
        }
        Ok(vec![Known::Value(self.single(op, &a, x)?)])
    }

    /// An operator with more than one result.
    fn several(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Option<Vec<Known>>, Reason> {
        let outputs = &a.0.outputs;
        let asks = |at: usize| outputs.get(at).is_some_and(|name| !name.is_empty());
        Ok(Some(match op {
            "Split" => {
                let parts = self.split(a, x, outputs.len())?;
                parts.into_iter().map(Known::Value).collect()
            }
            "Attention" => self.attention(a, x)?,
            "TopK" => self.top(a, x)?.map(Known::Value).to_vec(),
            "SoftmaxCrossEntropyLoss" => self.cross_entropy(a, x)?,
            "CausalConvWithState" => self.causal_convolution(a, x)?,
            "LayerNormalization" if asks(1) || asks(2) => {
                let normed = self.layer_norm(a, x)?;
                let [mean, deviation] = self.statistics(a, x)?;
                [normed, mean, deviation].map(Known::Value).to_vec()
            }
            "Dropout" if asks(1) => {
                let input = self.single(op, a, x)?;
                let shape = self.shape(input);
                let all = self.push(Op::Constant(1.0), Vec::new(), shape, ElementKind::Bool);
                [input, all].map(Known::Value).to_vec()
            }
            _ => return Ok(None),
        }))
    }

    /// What a shape tells, which may depend on the batch.
    fn shape_arithmetic(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<Option<Known>, Reason> {
        let host = match (op, x.first()) {
            ("Shape", Some(Some(Operand::Value(id)))) => {
                let shape: Vec<Number> = self.file_shape(*id).into_iter().map(Number::of).collect();
                shape_of(a, &shape)?
            }
            ("Size", Some(Some(Operand::Value(id)))) => {
                let shape = self.shape(*id);
                let mut lengths = shape.into_iter().map(Number::of);
                let size = lengths.try_fold(Number::fixed(1), Number::times);
                Host::ints(
                    Vec::new(),
                    vec![size.ok_or("a size that is no straight line in the batch")?],
                )
            }
            ("ConstantOfShape", Some(Some(Operand::Host(shape)))) => {
                let value = self.value_attribute(a)?;
                let number = value.scalar().unwrap_or(0.0);
                let shape = shape
                    .numbers()
                    .ok_or("a shape that is not of integers")?
                    .to_vec();
                return Ok(Some(Known::Value(self.filled(
                    number,
                    value.kind(),
                    &shape,
                )?)));
            }
            ("Expand", Some(Some(Operand::Host(value)))) => {
                let (Some(number), Some(Some(Operand::Host(shape)))) = (value.scalar(), x.get(1))
                else {
                    return Ok(None);
                };
                let (kind, shape) = (
                    value.kind(),
                    shape
                        .numbers()
                        .ok_or("a shape that is not of integers")?
                        .to_vec(),
                );
                if shape.len() < value.shape.len() {
                    return Ok(None);
                }
                return Ok(Some(Known::Value(self.filled(number, kind, &shape)?)));
            }
            ("Range", Some(Some(Operand::Host(start)))) => {
                let ends = [1, 2].map(|at| match x.get(at) {
                    Some(Some(Operand::Host(host))) => {
                        host.numbers().and_then(|numbers| numbers.first().copied())
                    }
                    _ => None,
                });
                let start = start.known().and_then(|start| start.first().copied());
                let (Some(start), [Some(end), Some(step)]) = (start, ends) else {
                    return Ok(None);
                };
                return self
                    .counted(start, end, step)
                    .map(|id| Some(Known::Value(id)));
            }
            _ => return Ok(None),
        };
        Ok(Some(Known::Host(Rc::new(host))))
    }

    /// An operator with one result.
    fn single(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<ValueId, Reason> {
        let first = |it: &mut Self| -> Result<ValueId, Reason> {
            let operand = it.operand(x, 0)?;
            it.value(&operand)
        };
        if let Some(map) = map_of(op) {
            let x = first(self)?;
            return Ok(self.same(Op::Map(map), x));
        }
        if let Some(comparison) = comparison_of(op) {
            let (a, b) = (self.operand(x, 0)?, self.operand(x, 1)?);
            return self.compared(comparison, &a, &b);
        }
        if op == "Mod" && a.int("fmod", 0)? != 0 {
            let (a, b) = (self.operand(x, 0)?, self.operand(x, 1)?);
            return self.truncated_remainder(&a, &b);
        }
        if op == "Xor" {
            let (a, b) = (self.operand(x, 0)?, self.operand(x, 1)?);
            let (a, b) = (self.value(&a)?, self.value(&b)?);
            let op = Op::Compare(calcine_graph::Comparison::NotEqual);
            return self.zip(op, a, b, ElementKind::Bool);
        }
        if let Some(arithmetic) = arithmetic_of(op) {
            let mut result = self.operand(x, 0)?;
            for at in 1..x.len() {
                let other = self.operand(x, at)?;
                result = Operand::Value(self.arithmetic(arithmetic, &result, &other)?);
            }
            return self.value(&result);
        }
        match op {
            "Identity" => first(self),
            "Dropout" => {
                let training = match x.get(2) {
                    None | Some(None) => Some(0.0),
                    Some(Some(Operand::Host(host))) => host.scalar(),
                    Some(Some(Operand::Value(_))) => None,
                };
                let ratio = match x.get(1) {
                    Some(Some(Operand::Host(host))) => host.scalar(),
                    _ => None,
                };
                match training == Some(0.0) || ratio == Some(0.0) {
                    true => first(self),
                    false => Err("a dropout in training; valid is inference".to_owned()),
                }
            }
            "Cast" => {
                let to = cast_kind(a.int("to", 1)?)?;
                let x = first(self)?;
                Ok(self.cast(x, to))
            }
            "CastLike" => {
                let (x, like) = (first(self)?, self.operand(x, 1)?);
                let to = match &like {
                    Operand::Host(host) => cast_kind(host.data_type)?,
                    Operand::Value(id) => match self.data_types.get(id) {
                        Some(own) => cast_kind(*own)?,
                        None => self.kind(*id),
                    },
                };
                Ok(self.cast(x, to))
            }
            "Conv" => self.convolution(a, x),
            "ConvTranspose" => self.transposed_convolution(a, x),
            "Gemm" => self.gemm(a, x),
            "MatMul" => self.matmul(x),
            "BatchNormalization" => self.batch_norm(a, x),
            "LayerNormalization" => self.layer_norm(a, x),
            "RMSNormalization" => self.rms_norm(a, x),
            "LpNormalization" => self.lp_norm(a, x),
            "MeanVarianceNormalization" => self.mean_variance_norm(a, x),
            "LRN" => self.local_response_norm(a, x),
            "LpPool" => self.lp_pool(a, x),
            "GlobalLpPool" => self.global_lp_pool(a, x),
            "Einsum" => self.einsum(a, x),
            "RotaryEmbedding" => self.rotary(a, x),
            "NegativeLogLikelihoodLoss" => {
                let input = first(self)?;
                self.likelihood_loss(a, input, x)
            }
            "SwiGLU" => self.swish_gate(a, x),
            "IsNaN" => {
                let x = first(self)?;
                let op = Op::Compare(calcine_graph::Comparison::NotEqual);
                self.zip(op, x, x, ElementKind::Bool)
            }
            "IsInf" => {
                let x = first(self)?;
                self.is_infinite(a, x)
            }
            "Shrink" => {
                let x = first(self)?;
                self.shrink(a, x)
            }
            "Hardmax" => {
                let x = first(self)?;
                self.hardmax(a, x)
            }
            "OneHot" => self.one_hot(a, x),
            "CumProd" => self.running_product(a, x),
            "CenterCropPad" => self.center_crop_pad(a, x),
            "InstanceNormalization" => self.group_norm(a, x, None),
            "GroupNormalization" => {
                let groups = a.int("num_groups", 0)?;
                self.group_norm(a, x, Some(groups))
            }
            "MaxPool" => self.pool(a, x, true),
            "AveragePool" => self.pool(a, x, false),
            "GlobalAveragePool" => {
                let x = first(self)?;
                self.global_average(x)
            }
            "GlobalMaxPool" => {
                let mut x = first(self)?;
                for axis in 2..self.rank(x) {
                    x = self.reduced(x, calcine_graph::Reduction::Max, axis);
                }
                Ok(x)
            }
            "Resize" => self.resize(a, x, false),
            "Upsample" => self.resize(a, x, true),
            "DepthToSpace" => self.depth_to_space(a, x, false),
            "SpaceToDepth" => self.depth_to_space(a, x, true),
            "Reshape" => self.reshape(a, x),
            "Flatten" => self.flatten(a, x),
            "Squeeze" => self.squeeze(a, x),
            "Unsqueeze" => self.unsqueeze(a, x),
            "Transpose" => {
                let x = first(self)?;
                self.transpose(a, x)
            }
            "Concat" => self.concat(a, x),
            "Slice" => self.slice(a, x),
            "Expand" => self.expand(x),
            "Tile" => self.tile(a, x),
            "Gather" => self.gather(a, x),
            "GatherElements" => {
                let (data, rows) = (first(self)?, self.operand(x, 1)?);
                let rows = self.setting(&rows)?;
                let axis = axis_of(a.int("axis", 0)?, self.rank(data))?;
                let rows = self.counted_from_start(rows, self.shape(data)[axis])?;
                let (shape, kind) = (self.shape(rows), self.kind(data));
                Ok(self.push(Op::Gather(axis), vec![data, rows], shape, kind))
            }
            "GatherND" => self.gather_nd(a, x),
            "ScatterElements" | "Scatter" => self.scatter(a, x, true),
            "ScatterND" => self.scatter(a, x, false),
            "Pad" => self.pad(a, x),
            "Where" => self.choice(x),
            "Clip" => self.clip(a, x),
            "PRelu" => self.prelu(x),
            "Min" => self.extreme(x, false),
            "Max" => self.extreme(x, true),
            "Mean" => {
                let mut sum = self.operand(x, 0)?;
                for at in 1..x.len() {
                    let other = self.operand(x, at)?;
                    sum = Operand::Value(self.arithmetic(
                        calcine_graph::Arithmetic::Add,
                        &sum,
                        &other,
                    )?);
                }
                let sum = self.value(&sum)?;
                #[allow(clippy::cast_precision_loss, reason = "a number of operands")]
                let count = x.len().max(1) as f64;
                Ok(self.scalar(calcine_graph::Arithmetic::Divide, sum, count))
            }
            "Softmax" | "LogSoftmax" => {
                let x = first(self)?;
                self.softmax(a, x, op == "LogSoftmax")
            }
            "ArgMax" | "ArgMin" => {
                let x = first(self)?;
                self.argmax(a, x, op == "ArgMin")
            }
            "Trilu" => self.trilu(a, x),
            "CumSum" => self.running_sum(a, x),
            op if op.starts_with("Reduce") && REDUCTIONS.contains(&op) => self.reduce(op, a, x),
            op => {
                let value = first(self)?;
                match self.activation(op, a, value) {
                    Some(read) if self.kind(value) == ElementKind::Float => read,
                    _ => Err("it has no counterpart in a network".to_owned()),
                }
            }
        }
    }
}

const REDUCTIONS: [&str; 10] = [
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
];

fn constant(a: &Attributes<'_, '_>) -> Result<Host, Reason> {
    let Some(attribute) = a.0.attributes.first() else {
        return Err("it has no value".to_owned());
    };
    Ok(match (&*attribute.name, &attribute.value) {
        ("value", AttributeValue::Tensor(tensor)) => {
            let host = Folder::default().host(tensor);
            host.map_err(|error| error.to_string())?
        }
        ("value_float", AttributeValue::Float(value)) => Host::floats(Vec::new(), vec![*value]),
        ("value_int", AttributeValue::Int(value)) => {
            Host::ints(Vec::new(), vec![Number::fixed(*value)])
        }
        ("value_floats", AttributeValue::Floats(values)) => {
            Host::floats(vec![values.len()], values.clone())
        }
        ("value_ints", AttributeValue::Ints(values)) => {
            let numbers = values.iter().map(|value| Number::fixed(*value));
            Host::ints(vec![values.len()], numbers.collect())
        }
        (name, _) => {
            return Err(format!(
                "its attribute `{name}`; valid are tensors and numbers"
            ));
        }
    })
}
