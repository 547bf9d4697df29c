//! Every operation of a graph, written at several opsets: as ONNX Runtime computes it, and read again.

use burn::tensor::{Device, TensorData};
use calcine_graph::{Arithmetic, ElementKind, Extent, Graph, Node, Op, Source, Value, ValueId};
use calcine_onnx::{ExportOptions, ImportOptions, export, read_bytes};
use calcine_testkit::values;
use calcine_trace::{AnyTensor, Network, NewParameter};

use crate::cases::{Case, functions, layers, moves};
use crate::runtime::{Job, output, run};

pub(crate) const B: Extent = Extent::BATCH;

pub(crate) fn fixed(lengths: &[usize]) -> Vec<Extent> {
    lengths
        .iter()
        .map(|&length| Extent::fixed(length))
        .collect()
}

pub(crate) fn batched(lengths: &[usize]) -> Vec<Extent> {
    std::iter::once(B).chain(fixed(lengths)).collect()
}

/// An operand: its shape, kind and source.
pub(crate) type Given = (Vec<Extent>, ElementKind, Source);

pub(crate) fn float(lengths: &[usize]) -> Given {
    (batched(lengths), ElementKind::Float, Source::Input)
}

pub(crate) fn weight(lengths: &[usize]) -> Given {
    (fixed(lengths), ElementKind::Float, Source::Parameter)
}

fn tensor(shape: &[usize], kind: ElementKind, seed: usize) -> AnyTensor {
    let count: usize = shape.iter().product();
    let numbers = values(count + 13 * seed)[13 * seed..].to_vec();
    let data = match kind {
        ElementKind::Float => TensorData::new(numbers, shape.to_vec()),
        ElementKind::Int => TensorData::new(
            numbers
                .iter()
                .map(|x| (x.abs() * 10.0) as i64 % 3)
                .collect::<Vec<_>>(),
            shape.to_vec(),
        ),
        ElementKind::Bool => TensorData::new(
            numbers.iter().map(|x| *x > 0.0).collect::<Vec<_>>(),
            shape.to_vec(),
        ),
    };
    AnyTensor::from_data(data, kind, &Device::flex()).unwrap()
}

/// A network of one operation, with a relu before what it does to its first input so that it has a name.
pub(crate) fn network(op: Op, given: &[Given], shape: Vec<Extent>, kind: ElementKind) -> Network {
    let mut graph = Graph::default();
    let (mut parameters, mut constants) = (Vec::new(), Vec::new());
    let norm = ["gamma", "beta", "running_mean", "running_var"];
    let layer = match &op {
        Op::BatchNorm { .. } => "BatchNorm",
        Op::Linear => "Linear",
        Op::Embedding => "Embedding",
        Op::Convolution(_) => "Conv2d",
        _ => "",
    };
    for (at, (shape, kind, source)) in given.iter().enumerate() {
        let id = ValueId(graph.values.len());
        let name = match (layer, at) {
            ("BatchNorm", at) if at > 0 => format!("layer.{}", norm[at - 1]),
            (_, 2) => "layer.bias".to_owned(),
            _ => format!("layer.weight{at}"),
        };
        let value = Value {
            name: name.clone(),
            shape: shape.clone(),
            kind: *kind,
            source: *source,
        };
        let lengths = value.shape_at(1);
        graph.values.push(value);
        let positive = layer == "BatchNorm" && at == 4;
        let held = tensor(&lengths, *kind, at);
        let held = match positive {
            true => AnyTensor::from(held.float::<1>().unwrap().abs() + 0.5),
            false => held,
        };
        match source {
            Source::Input => graph.inputs.push(id),
            Source::Parameter => parameters.push(NewParameter {
                path: name,
                layer,
                value: held,
            }),
            _ => constants.push((id, held)),
        }
    }
    let output = ValueId(graph.values.len());
    graph.values.push(Value {
        name: String::new(),
        shape,
        kind,
        source: Source::Node(0),
    });
    graph.nodes.push(Node {
        name: String::new(),
        op,
        inputs: (0..given.len()).map(ValueId).collect(),
        output,
    });
    graph.outputs.push(output);
    Network::from_parts(graph, parameters, constants).unwrap()
}

fn check(cases: Vec<Case>) {
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for (name, op, given, shape, kind) in cases {
        let label = format!("{name}_{op}");
        let is_power = matches!(op, Op::Scalar(Arithmetic::Power, _));
        let network = network(op, &given, shape, kind);
        let graph = network.graph();
        let batch = 3;
        let inputs: Vec<AnyTensor> = graph
            .inputs
            .iter()
            .enumerate()
            .map(|(at, &id)| {
                tensor(
                    &graph.value(id).shape_at(batch),
                    graph.value(id).kind,
                    at + 5,
                )
            })
            .collect();
        if inputs.is_empty() {
            continue;
        }
        let found = network
            .run(inputs.clone(), &mut |_, tensor| tensor)
            .unwrap();
        let found = output(&found[0]);
        for opset in [13, 17, 18, 20, 21, 23, 25] {
            let mut options = ExportOptions::default();
            options.opset = Some(opset);
            let file =
                export(&network, &options).unwrap_or_else(|error| panic!("{label}: {error}"));
            let file = file.to_bytes().unwrap();
            assert_eq!(
                file,
                export(&network, &options).unwrap().to_bytes().unwrap()
            );
            let again = read_bytes(&file, &ImportOptions::default(), &Device::flex());
            let again = again.unwrap_or_else(|error| panic!("{label} at opset {opset}: {error}"));
            let own = again.run(inputs.clone(), &mut |_, tensor| tensor).unwrap();
            let off = output(&own[0]).difference(&found);
            assert!(off < 1e-5, "{label} at opset {opset}, read again: {off}");
            jobs.push(Job {
                name: format!("{label}_{opset}"),
                file,
                inputs: inputs.clone(),
            });
            expected.push((found.clone(), if is_power { 1e-4 } else { 1e-5 }));
        }
    }
    let Some(found) = run(&jobs) else { return };
    let mut wrong = Vec::new();
    for ((job, outputs), (expected, bound)) in jobs.iter().zip(found).zip(expected) {
        let off = outputs[0].difference(&expected);
        if off.is_nan() || off > bound {
            wrong.push((job.name.clone(), off));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn layers_are_computed_by_onnx_runtime() {
    check(layers());
}

#[test]
fn moves_are_computed_by_onnx_runtime() {
    check(moves());
}

#[test]
fn functions_are_computed_by_onnx_runtime() {
    check(functions());
}
