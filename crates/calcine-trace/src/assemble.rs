use std::collections::{BTreeMap, HashMap};

use burn::backend::ir::{TensorId, TensorIr};
use burn::tensor::{DType, TensorData};
use calcine_graph::{ElementKind, Extent, Graph, Node, Op, Range, Source, Value, ValueId};
use rustc_hash::FxHashMap;

use crate::error::{TraceError, Untraceable};
use crate::naming::{layer_of, name};
use crate::record::Recording;
use crate::step::Step;
use crate::tensor::MAX_RANK;

/// A graph, and the values of its constants.
pub(crate) struct Assembled {
    pub(crate) graph: Graph,
    pub(crate) constants: BTreeMap<ValueId, TensorData>,
}

/// Creates one graph from two or more recordings of the same model with different batch sizes, each with its
/// [steps](crate::steps::steps).
///
/// The first two recordings define how lengths and numbers depend on the batch size; the other recordings must agree.
pub(crate) fn assemble(
    recordings: &[Recording],
    all: &[Vec<Step>],
) -> Result<Assembled, TraceError> {
    let mut assembly = Assembly {
        recordings,
        graph: Graph::default(),
        constants: BTreeMap::new(),
        ids: vec![FxHashMap::default(); recordings.len()],
        parameters: HashMap::new(),
        layer: String::new(),
    };
    assembly.inputs()?;
    let counts: Vec<String> = all.iter().map(|steps| steps.len().to_string()).collect();
    if counts.iter().any(|count| *count != counts[0]) {
        return Err(assembly.differs(format!("{} operations", counts.join(", "))));
    }
    for index in 0..all[0].len() {
        let same: Vec<&Step> = all.iter().map(|steps| &steps[index]).collect();
        assembly.step(&same)?;
    }
    let outputs: Vec<&[TensorId]> = recordings.iter().map(|r| &*r.outputs).collect();
    if outputs.iter().any(|found| found.len() != outputs[0].len()) {
        return Err(assembly.differs("another number of outputs".to_owned()));
    }
    for index in 0..outputs[0].len() {
        let same: Vec<TensorId> = outputs.iter().map(|found| found[index]).collect();
        let output = assembly.output(&same)?;
        assembly.graph.outputs.push(output);
    }
    let mut graph = assembly.graph;
    name(
        &mut graph,
        recordings[0].begun.parameters.values().map(String::as_str),
    );
    Ok(Assembled {
        graph,
        constants: assembly.constants,
    })
}

struct Assembly<'a> {
    recordings: &'a [Recording],
    graph: Graph,
    constants: BTreeMap<ValueId, TensorData>,
    /// For each recording, the values of its tensors so far.
    ids: Vec<FxHashMap<TensorId, ValueId>>,
    /// The parameters found so far, by path.
    parameters: HashMap<String, ValueId>,
    /// The last layer with parameters, for errors.
    layer: String,
}

impl Assembly<'_> {
    fn inputs(&mut self) -> Result<(), TraceError> {
        for index in 0..self.recordings[0].inputs.len() {
            let same: Vec<&TensorIr> = self.recordings.iter().map(|r| &r.inputs[index]).collect();
            let value = Value {
                name: String::new(),
                shape: self.extents(&shapes(&same))?,
                kind: self.kind(same[0])?,
                source: Source::Input,
            };
            let id = self.add(value, &ids(&same));
            self.graph.inputs.push(id);
        }
        Ok(())
    }

    fn step(&mut self, same: &[&Step]) -> Result<(), TraceError> {
        let batches: Vec<usize> = self.recordings.iter().map(|r| r.batch).collect();
        let first = same[0];
        let Some(op) = agreed(same, &batches) else {
            let mut ops: Vec<String> = same.iter().map(|step| format!("{:?}", step.op)).collect();
            ops.dedup();
            return Err(self.differs(ops.join(" and ")));
        };
        let outputs: Vec<&TensorIr> = same.iter().map(|step| &step.output).collect();
        if first.output.shape.num_dims() > MAX_RANK {
            return Err(TraceError::Operations(vec![Untraceable {
                op: format!("`{op}` of rank {}", first.output.shape.num_dims()),
                layer: self.layer.clone(),
                shape: first.output.shape.to_vec(),
            }]));
        }
        let mut inputs = Vec::new();
        for index in 0..first.inputs.len() {
            let operands: Vec<&TensorIr> = same.iter().map(|step| &step.inputs[index]).collect();
            inputs.push(self.operand(&operands)?);
        }
        let layer = inputs.iter().find_map(|&id| layer_of(&self.graph, id));
        if let Some(layer) = layer {
            self.layer = layer.to_owned();
        }
        let value = Value {
            name: String::new(),
            shape: self.extents(&shapes(&outputs))?,
            kind: self.kind(&first.output)?,
            source: Source::Node(self.graph.nodes.len()),
        };
        let output = self.add(value, &ids(&outputs));
        self.graph.nodes.push(Node {
            name: String::new(),
            op,
            inputs,
            output,
        });
        Ok(())
    }

    /// The value of an operand, which may be a parameter or constant that has not been used before.
    fn operand(&mut self, same: &[&TensorIr]) -> Result<ValueId, TraceError> {
        let own = ids(same);
        if self.ids[0].contains_key(&own[0]) {
            return self.known(&own);
        }
        let named = self.recordings.iter().zip(&own);
        let paths: Vec<Option<&String>> = named.map(|(r, id)| r.begun.parameters.get(id)).collect();
        let path = paths[0];
        if paths.iter().any(|other| *other != path) {
            return Err(self.differs("another parameter".to_owned()));
        }
        let twin = path.and_then(|path| self.parameters.get(path).copied());
        if let Some(twin) = twin {
            for (known, id) in self.ids.iter_mut().zip(own) {
                known.insert(id, twin);
            }
            return Ok(twin);
        }
        // The numbers of a parameter are those of the model; if the model was created again, the recording has none.
        let stored = self.recordings.iter().zip(&own);
        let stored: Option<Vec<&TensorData>> =
            stored.map(|(r, id)| r.begun.values.get(id)).collect();
        let data = match (path, stored) {
            (Some(_), _) => Vec::new(),
            (None, Some(data)) => data,
            (None, None) => {
                return Err(TraceError::Operations(vec![Untraceable {
                    op: "the second result of an operation".to_owned(),
                    layer: self.layer.clone(),
                    shape: same[0].shape.to_vec(),
                }]));
            }
        };
        if same.iter().any(|other| other.shape != same[0].shape) {
            let mut shapes: Vec<String> =
                same.iter().map(|t| format!("{:?}", &t.shape[..])).collect();
            shapes.dedup();
            return Err(self.differs(format!("a constant of shape {}", shapes.join(" and "))));
        }
        if data.iter().any(|other| *other != data[0]) {
            return Err(self.differs("a constant of other values".to_owned()));
        }
        let data = data.first().map(|data| (*data).clone());
        let value = Value {
            name: path.unwrap_or(&self.layer).clone(),
            shape: same[0]
                .shape
                .iter()
                .map(|&length| Extent::fixed(length))
                .collect(),
            kind: self.kind(same[0])?,
            source: match path {
                Some(_) => Source::Parameter,
                None => Source::Constant,
            },
        };
        let id = self.add(value, &own);
        if let Some(path) = path {
            self.parameters.insert(path.clone(), id);
        }
        if let Some(data) = data {
            self.constants.insert(id, data);
        }
        Ok(id)
    }

    /// An output, which may be a parameter or constant that no operation uses.
    fn output(&mut self, own: &[TensorId]) -> Result<ValueId, TraceError> {
        let stored = self.recordings.iter().zip(own).map(|(recording, &id)| {
            let data = recording.begun.values.get(&id)?;
            Some(TensorIr::uninit(id, data.shape().clone(), data.dtype()))
        });
        let stored: Option<Vec<TensorIr>> = stored.collect();
        match stored {
            Some(stored) => self.operand(&stored.iter().collect::<Vec<_>>()),
            None => self.known(own),
        }
    }

    fn known(&self, own: &[TensorId]) -> Result<ValueId, TraceError> {
        let mut values = self.ids.iter().zip(own).map(|(known, id)| known.get(id));
        match values.next().flatten() {
            Some(one) if values.all(|other| other == Some(one)) => Ok(*one),
            _ => Err(self.differs("another operand".to_owned())),
        }
    }

    fn add(&mut self, value: Value, own: &[TensorId]) -> ValueId {
        let id = ValueId(self.graph.values.len());
        self.graph.values.push(value);
        for (known, recorded) in self.ids.iter_mut().zip(own) {
            known.insert(*recorded, id);
        }
        id
    }

    fn extents(&self, shapes: &[&[usize]]) -> Result<Vec<Extent>, TraceError> {
        let rank = shapes[0].len();
        let extents = (0..rank).map(|axis| {
            let lengths = self.recordings.iter().zip(shapes);
            let lengths = lengths.map(|(r, shape)| Some((r.batch, *shape.get(axis)?)));
            line(&lengths.collect::<Option<Vec<_>>>()?)
        });
        match extents.collect::<Option<Vec<Extent>>>() {
            Some(extents) if shapes.iter().all(|shape| shape.len() == rank) => Ok(extents),
            _ => {
                let mut shapes: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
                shapes.dedup();
                Err(self.differs(format!("shapes {}", shapes.join(" and "))))
            }
        }
    }

    fn kind(&self, tensor: &TensorIr) -> Result<ElementKind, TraceError> {
        let dtype = tensor.dtype;
        if dtype == DType::F32 {
            Ok(ElementKind::Float)
        } else if dtype.is_int() || dtype.is_uint() {
            Ok(ElementKind::Int)
        } else if dtype.is_bool() {
            Ok(ElementKind::Bool)
        } else {
            Err(TraceError::Operations(vec![Untraceable {
                op: format!("the type {dtype:?}"),
                layer: self.layer.clone(),
                shape: tensor.shape.to_vec(),
            }]))
        }
    }

    fn differs(&self, what: String) -> TraceError {
        let batches: Vec<usize> = self.recordings.iter().map(|r| r.batch).collect();
        TraceError::Batch {
            layer: self.layer.clone(),
            batches,
            what,
        }
    }
}

fn ids(same: &[&TensorIr]) -> Vec<TensorId> {
    same.iter().map(|tensor| tensor.id).collect()
}

fn shapes<'a>(same: &[&'a TensorIr]) -> Vec<&'a [usize]> {
    same.iter().map(|tensor| &tensor.shape[..]).collect()
}

/// The extent that has these lengths; each pair is a batch size and a length.
fn line(lengths: &[(usize, usize)]) -> Option<Extent> {
    let extent = Extent::between(lengths[0], lengths[1])?;
    let all = lengths
        .iter()
        .all(|&(batch, length)| extent.length_for(batch) == length);
    all.then_some(extent)
}

/// The operation that equals all these steps, with numbers that depend on the batch size as functions of it.
fn agreed(same: &[&Step], batches: &[usize]) -> Option<Op> {
    let first = same[0];
    if same
        .iter()
        .any(|other| other.inputs.len() != first.inputs.len())
    {
        return None;
    }
    let Op::Slice(ranges) = &first.op else {
        let equal = same.iter().all(|other| other.op == first.op);
        return equal.then(|| first.op.clone());
    };
    let all = same.iter().map(|step| match &step.op {
        Op::Slice(others) if others.len() == ranges.len() => Some(others),
        _ => None,
    });
    let all: Vec<&Vec<Range>> = all.collect::<Option<_>>()?;
    let across = |axis: usize, part: fn(&Range) -> Extent| {
        let lengths = batches.iter().zip(&all);
        let lengths: Vec<_> = lengths
            .map(|(&batch, own)| (batch, part(&own[axis]).fixed))
            .collect();
        line(&lengths)
    };
    let ranges = ranges.iter().enumerate().map(|(axis, range)| {
        let steps = all.iter().all(|other| other[axis].step == range.step);
        steps.then_some(Range {
            start: across(axis, |range| range.start)?,
            end: across(axis, |range| range.end)?,
            step: range.step,
        })
    });
    ranges.collect::<Option<Vec<Range>>>().map(Op::Slice)
}
