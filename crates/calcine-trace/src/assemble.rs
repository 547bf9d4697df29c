use std::collections::{BTreeMap, HashMap, HashSet};

use burn::backend::ir::{TensorId, TensorIr};
use burn::tensor::{DType, TensorData};
use calcine_graph::{Extent, Graph, Kind, Node, Op, Range, Source, Value, ValueId};

use crate::TraceError;
use crate::record::Recording;
use crate::steps::{Step, steps};
use crate::tensor::MAX_RANK;

/// A graph, and the values of its constants.
pub(crate) struct Assembled {
    pub(crate) graph: Graph,
    pub(crate) constants: BTreeMap<ValueId, TensorData>,
}

/// Makes one graph of two recordings of the same model, which differ in the size of the batch.
pub(crate) fn assemble(small: &Recording, large: &Recording) -> Result<Assembled, TraceError> {
    let mut assembly = Assembly {
        recordings: [small, large],
        graph: Graph::default(),
        constants: BTreeMap::new(),
        ids: [HashMap::new(), HashMap::new()],
        layer: "input".to_owned(),
    };
    assembly.inputs()?;
    let [small_steps, large_steps] = [steps(small)?, steps(large)?];
    if small_steps.len() != large_steps.len() {
        let what = format!("{} operations and {}", small_steps.len(), large_steps.len());
        return Err(assembly.differs(what));
    }
    for (small, large) in small_steps.iter().zip(&large_steps) {
        assembly.step(small, large)?;
    }
    for (&small, &large) in small.outputs.iter().zip(&large.outputs) {
        let output = assembly.output(small, large)?;
        assembly.graph.outputs.push(output);
    }
    let mut graph = assembly.graph;
    name(&mut graph);
    Ok(Assembled {
        graph,
        constants: assembly.constants,
    })
}

struct Assembly<'a> {
    recordings: [&'a Recording; 2],
    graph: Graph,
    constants: BTreeMap<ValueId, TensorData>,
    /// What each recording calls the tensors known so far.
    ids: [HashMap<TensorId, ValueId>; 2],
    /// The last layer with parameters, for errors.
    layer: String,
}

impl Assembly<'_> {
    fn inputs(&mut self) -> Result<(), TraceError> {
        let [small, large] = self.recordings;
        let several = small.inputs.len() > 1;
        for (index, (&a, &b)) in small.inputs.iter().zip(&large.inputs).enumerate() {
            let shape_of = |recording: &Recording, id| {
                let data = &recording.values[&id];
                (data.shape().to_vec(), data.dtype())
            };
            let (shape, dtype) = shape_of(small, a);
            let (other, _) = shape_of(large, b);
            let value = Value {
                name: if several {
                    format!("input_{index}")
                } else {
                    "input".to_owned()
                },
                shape: self.extents(&shape, &other)?,
                kind: self.kind(dtype, &shape)?,
                source: Source::Input,
            };
            let id = self.add(value, [a, b]);
            self.graph.inputs.push(id);
        }
        Ok(())
    }

    fn step(&mut self, small: &Step, large: &Step) -> Result<(), TraceError> {
        let batches = self.recordings.map(|recording| recording.batch);
        let Some(op) = agreed(small, large, batches) else {
            return Err(self.differs(format!("{:?} and {:?}", small.op, large.op)));
        };
        if small.output.shape.num_dims() > MAX_RANK {
            return Err(TraceError::Operation {
                op: format!("`{op}` of rank {}", small.output.shape.num_dims()),
                layer: self.layer.clone(),
                shape: small.output.shape.to_vec(),
            });
        }
        let mut inputs = Vec::new();
        for (a, b) in small.inputs.iter().zip(&large.inputs) {
            inputs.push(self.operand(a, b)?);
        }
        if let Some(layer) = layer_of(&self.graph, &op, &inputs) {
            self.layer = layer;
        }
        let value = Value {
            name: String::new(),
            shape: self.extents(&small.output.shape, &large.output.shape)?,
            kind: self.kind(small.output.dtype, &small.output.shape)?,
            source: Source::Node(self.graph.nodes.len()),
        };
        let output = self.add(value, [small.output.id, large.output.id]);
        self.graph.nodes.push(Node {
            name: String::new(),
            op,
            inputs,
            output,
        });
        Ok(())
    }

    /// The value of an operand, which may be a parameter or constant that was not met before.
    fn operand(&mut self, small: &TensorIr, large: &TensorIr) -> Result<ValueId, TraceError> {
        if self.ids[0].contains_key(&small.id) {
            return self.known(small.id, large.id);
        }
        let [one, other] = self.recordings;
        let path = one.parameters.get(&small.id);
        if path != other.parameters.get(&large.id) {
            return Err(self.differs("another parameter".to_owned()));
        }
        let twin = path.and_then(|path| self.graph.parameter(path));
        if let Some(twin) = twin {
            self.ids[0].insert(small.id, twin);
            self.ids[1].insert(large.id, twin);
            return Ok(twin);
        }
        let (Some(data), Some(other_data)) =
            (one.values.get(&small.id), other.values.get(&large.id))
        else {
            return Err(TraceError::Operation {
                op: "the second result of an operation".to_owned(),
                layer: self.layer.clone(),
                shape: small.shape.to_vec(),
            });
        };
        if small.shape != large.shape {
            let what = format!(
                "a constant of shape {:?} and {:?}",
                small.shape, large.shape
            );
            return Err(self.differs(what));
        }
        if path.is_none() && data != other_data {
            return Err(self.differs("a constant of other values".to_owned()));
        }
        let value = Value {
            name: path
                .cloned()
                .unwrap_or_else(|| format!("{}.constant", self.layer)),
            shape: small
                .shape
                .iter()
                .map(|&length| Extent::fixed(length))
                .collect(),
            kind: self.kind(small.dtype, &small.shape)?,
            source: match path {
                Some(_) => Source::Parameter,
                None => Source::Constant,
            },
        };
        let constant = value.source == Source::Constant;
        let id = self.add(value, [small.id, large.id]);
        if constant {
            self.constants.insert(id, data.clone());
        }
        Ok(id)
    }

    /// An output, which may be a parameter or constant that no operation uses.
    fn output(&mut self, small: TensorId, large: TensorId) -> Result<ValueId, TraceError> {
        let stored = |recording: &Recording, id: TensorId| {
            let data = recording.values.get(&id)?;
            Some(TensorIr::uninit(id, data.shape().clone(), data.dtype()))
        };
        let [one, other] = self.recordings;
        match (stored(one, small), stored(other, large)) {
            (Some(small), Some(large)) => self.operand(&small, &large),
            _ => self.known(small, large),
        }
    }

    fn known(&self, small: TensorId, large: TensorId) -> Result<ValueId, TraceError> {
        match (self.ids[0].get(&small), self.ids[1].get(&large)) {
            (Some(one), Some(other)) if one == other => Ok(*one),
            _ => Err(self.differs("another operand".to_owned())),
        }
    }

    fn add(&mut self, value: Value, ids: [TensorId; 2]) -> ValueId {
        let id = ValueId(self.graph.values.len());
        self.graph.values.push(value);
        for (known, recorded) in self.ids.iter_mut().zip(ids) {
            known.insert(recorded, id);
        }
        id
    }

    fn extents(&self, small: &[usize], large: &[usize]) -> Result<Vec<Extent>, TraceError> {
        let [one, other] = self.recordings.map(|recording| recording.batch);
        let lengths = small.iter().zip(large);
        let extents: Option<Vec<Extent>> = lengths
            .map(|(&small, &large)| Extent::between((one, small), (other, large)))
            .collect();
        match extents {
            Some(extents) if small.len() == large.len() => Ok(extents),
            _ => Err(self.differs(format!("shapes {small:?} and {large:?}"))),
        }
    }

    fn kind(&self, dtype: DType, shape: &[usize]) -> Result<Kind, TraceError> {
        if dtype == DType::F32 {
            Ok(Kind::Float)
        } else if dtype.is_int() || dtype.is_uint() {
            Ok(Kind::Int)
        } else if dtype.is_bool() {
            Ok(Kind::Bool)
        } else {
            Err(TraceError::Operation {
                op: format!("the type {dtype:?}"),
                layer: self.layer.clone(),
                shape: shape.to_vec(),
            })
        }
    }

    fn differs(&self, what: String) -> TraceError {
        TraceError::Batch {
            layer: self.layer.clone(),
            what,
        }
    }
}

/// The operation that both are, with what the batch changes as a function of it.
fn agreed(small: &Step, large: &Step, batches: [usize; 2]) -> Option<Op> {
    if small.inputs.len() != large.inputs.len() {
        return None;
    }
    let (Op::Slice(small_ranges), Op::Slice(large_ranges)) = (&small.op, &large.op) else {
        return (small.op == large.op).then(|| small.op.clone());
    };
    let between = |one: Extent, other: Extent| {
        Extent::between((batches[0], one.fixed), (batches[1], other.fixed))
    };
    let ranges: Option<Vec<Range>> = small_ranges
        .iter()
        .zip(large_ranges)
        .map(|(one, other)| {
            (one.step == other.step).then_some(())?;
            Some(Range {
                start: between(one.start, other.start)?,
                end: between(one.end, other.end)?,
                step: one.step,
            })
        })
        .collect();
    ranges.map(Op::Slice)
}

/// The path of the layer whose parameter this operation uses.
fn layer_of(graph: &Graph, op: &Op, inputs: &[ValueId]) -> Option<String> {
    let owner = |id: &ValueId| {
        let value = graph.value(*id);
        (value.source == Source::Parameter).then(|| match value.name.rsplit_once('.') {
            Some((layer, _)) => layer.to_owned(),
            None => op.name().to_owned(),
        })
    };
    inputs.iter().find_map(owner)
}

/// Names nodes for their layers, and what has none for its producer's layer and the operation.
fn name(graph: &mut Graph) {
    let mut taken = HashSet::new();
    let mut layers: HashMap<ValueId, String> = HashMap::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let own = layer_of(graph, &node.op, &node.inputs);
        let (layer, wanted) = match own {
            Some(layer) if is_layer(&node.op) => (layer.clone(), layer),
            Some(layer) => {
                let name = format!("{layer}.{}", node.op);
                (layer, name)
            }
            None => match node.inputs.iter().find_map(|input| layers.get(input)) {
                Some(layer) if !layer.is_empty() => (layer.clone(), format!("{layer}.{}", node.op)),
                _ => (String::new(), node.op.to_string()),
            },
        };
        let mut name = wanted.clone();
        let mut count = 1;
        while !taken.insert(name.clone()) {
            count += 1;
            name = format!("{wanted}_{count}");
        }
        let output = node.output;
        layers.insert(output, layer);
        graph.values[output.0].name.clone_from(&name);
        graph.nodes[index].name = name;
    }
}

/// Whether the operation is a layer, and not something done to a parameter.
fn is_layer(op: &Op) -> bool {
    matches!(
        op,
        Op::Convolution(_)
            | Op::TransposedConvolution { .. }
            | Op::Linear
            | Op::Matmul
            | Op::Embedding
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::Attention { .. }
    )
}
