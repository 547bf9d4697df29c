//! Every operation of a graph, written at several opsets: as ONNX Runtime computes it, and read again.

use burn::tensor::{Device, TensorData};
use calcine_graph::{
    Arithmetic, Comparison, Convolution, ElementKind, Extent, Graph, Interpolation, Map, Node, Op,
    Padding, Pool, Range, Reduction, Source, Value, ValueId,
};
use calcine_onnx::{ExportOptions, ImportOptions, export, read_bytes};
use calcine_testkit::values;
use calcine_trace::{AnyTensor, Network, NewParameter};

use crate::runtime::{Job, output, run};

const B: Extent = Extent::BATCH;

fn fixed(lengths: &[usize]) -> Vec<Extent> {
    lengths
        .iter()
        .map(|&length| Extent::fixed(length))
        .collect()
}

fn batched(lengths: &[usize]) -> Vec<Extent> {
    std::iter::once(B).chain(fixed(lengths)).collect()
}

/// An operand: its shape, kind and source.
type Given = (Vec<Extent>, ElementKind, Source);

fn float(lengths: &[usize]) -> Given {
    (batched(lengths), ElementKind::Float, Source::Input)
}

fn weight(lengths: &[usize]) -> Given {
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
    Network::made(graph, parameters, constants).unwrap()
}

fn windows(stride: usize, padding: [usize; 2], groups: usize) -> Convolution {
    Convolution {
        stride: vec![stride; 2],
        padding: vec![padding; 2],
        dilation: vec![1; 2],
        groups,
    }
}

fn pool(kernel: usize, stride: usize, padding: usize, ceil: bool) -> Pool {
    Pool {
        kernel: vec![kernel; 2],
        stride: vec![stride; 2],
        padding: vec![padding; 2],
        dilation: vec![1; 2],
        ceil,
    }
}

type Case = (&'static str, Op, Vec<Given>, Vec<Extent>, ElementKind);

fn layers() -> Vec<Case> {
    let map = float(&[4, 6, 6]);
    let transposed = Op::TransposedConvolution {
        convolution: windows(2, [1, 1], 2),
        output_padding: vec![1; 2],
    };
    let attention = |causal: bool, masked: bool| Op::Attention {
        scale: None,
        softcap: Some(2.0),
        causal,
        masked,
    };
    let heads = float(&[2, 5, 3]);
    let mask = (fixed(&[1, 1, 5, 5]), ElementKind::Bool, Source::Constant);
    let interpolate = |mode, align_corners| Op::Interpolate {
        mode,
        align_corners,
    };
    let average = |count_padding| Op::AveragePool {
        pool: pool(3, 2, 1, false),
        count_padding,
    };
    vec![
        (
            "conv",
            Op::Convolution(windows(2, [1, 2], 2)),
            vec![map.clone(), weight(&[6, 2, 3, 3]), weight(&[6])],
            batched(&[6, 4, 4]),
            ElementKind::Float,
        ),
        (
            "conv_transpose",
            transposed,
            vec![map.clone(), weight(&[4, 3, 3, 3])],
            batched(&[6, 12, 12]),
            ElementKind::Float,
        ),
        (
            "linear",
            Op::Linear,
            vec![float(&[5]), weight(&[5, 3]), weight(&[3])],
            batched(&[3]),
            ElementKind::Float,
        ),
        (
            "linear3",
            Op::Linear,
            vec![float(&[2, 5]), weight(&[5, 3]), weight(&[3])],
            batched(&[2, 3]),
            ElementKind::Float,
        ),
        (
            "matmul",
            Op::Matmul,
            vec![float(&[2, 3, 5]), float(&[2, 5, 4])],
            batched(&[2, 3, 4]),
            ElementKind::Float,
        ),
        (
            "embedding",
            Op::Embedding,
            vec![
                weight(&[7, 3]),
                (batched(&[4]), ElementKind::Int, Source::Input),
            ],
            batched(&[4, 3]),
            ElementKind::Float,
        ),
        (
            "batch_norm",
            Op::BatchNorm {
                epsilon: 1e-3,
                momentum: 0.1,
            },
            vec![
                map.clone(),
                weight(&[4]),
                weight(&[4]),
                weight(&[4]),
                weight(&[4]),
            ],
            batched(&[4, 6, 6]),
            ElementKind::Float,
        ),
        (
            "layer_norm",
            Op::LayerNorm { epsilon: 1e-5 },
            vec![float(&[2, 5]), weight(&[5]), weight(&[5])],
            batched(&[2, 5]),
            ElementKind::Float,
        ),
        (
            "attention",
            attention(true, false),
            vec![heads.clone(), heads.clone(), heads.clone()],
            batched(&[2, 5, 3]),
            ElementKind::Float,
        ),
        (
            "attention_mask",
            attention(false, true),
            vec![heads.clone(), heads.clone(), heads, mask],
            batched(&[2, 5, 3]),
            ElementKind::Float,
        ),
        (
            "max_pool",
            Op::MaxPool(pool(3, 2, 1, true)),
            vec![map.clone()],
            batched(&[4, 4, 4]),
            ElementKind::Float,
        ),
        (
            "avg_pool",
            average(false),
            vec![map.clone()],
            batched(&[4, 3, 3]),
            ElementKind::Float,
        ),
        (
            "avg_pool_zeros",
            average(true),
            vec![map.clone()],
            batched(&[4, 3, 3]),
            ElementKind::Float,
        ),
        (
            "global",
            Op::AdaptiveAveragePool,
            vec![map.clone()],
            batched(&[4, 1, 1]),
            ElementKind::Float,
        ),
        (
            "adaptive",
            Op::AdaptiveAveragePool,
            vec![map.clone()],
            batched(&[4, 3, 2]),
            ElementKind::Float,
        ),
        (
            "adaptive_uneven",
            Op::AdaptiveAveragePool,
            vec![map.clone()],
            batched(&[4, 4, 5]),
            ElementKind::Float,
        ),
        (
            "nearest",
            interpolate(Interpolation::Nearest, false),
            vec![map.clone()],
            batched(&[4, 12, 18]),
            ElementKind::Float,
        ),
        (
            "bilinear",
            interpolate(Interpolation::Bilinear, false),
            vec![map.clone()],
            batched(&[4, 9, 12]),
            ElementKind::Float,
        ),
        (
            "bilinear_corners",
            interpolate(Interpolation::Bilinear, true),
            vec![map.clone()],
            batched(&[4, 9, 12]),
            ElementKind::Float,
        ),
        (
            "bicubic",
            interpolate(Interpolation::Bicubic, true),
            vec![map],
            batched(&[4, 12, 12]),
            ElementKind::Float,
        ),
    ]
}

fn moves() -> Vec<Case> {
    let x = float(&[4, 6]);
    let pad = |with| Op::Pad {
        padding: vec![[0, 0], [1, 2], [2, 1]],
        with,
    };
    let bool_of = (batched(&[4, 6]), ElementKind::Bool, Source::Input);
    let range = |start, end, step| Range {
        start: Extent::fixed(start),
        end: Extent::fixed(end),
        step,
    };
    let rows = Range {
        start: Extent::fixed(0),
        end: B,
        step: 1,
    };
    let parts = Op::Slice(vec![rows, range(1, 4, 2), range(1, 5, -1)]);
    let same = || batched(&[4, 6]);
    vec![
        (
            "pad",
            pad(Padding::Constant(1.5)),
            vec![x.clone()],
            batched(&[7, 9]),
            ElementKind::Float,
        ),
        (
            "reflect",
            pad(Padding::Reflect),
            vec![x.clone()],
            batched(&[7, 9]),
            ElementKind::Float,
        ),
        (
            "edge",
            pad(Padding::Edge),
            vec![x.clone()],
            batched(&[7, 9]),
            ElementKind::Float,
        ),
        (
            "where",
            Op::Where,
            vec![x.clone(), bool_of.clone(), x.clone()],
            same(),
            ElementKind::Float,
        ),
        (
            "fill",
            Op::Fill(-2.0),
            vec![x.clone(), bool_of],
            same(),
            ElementKind::Float,
        ),
        (
            "softmax",
            Op::Softmax(1),
            vec![x.clone()],
            same(),
            ElementKind::Float,
        ),
        (
            "log_softmax",
            Op::LogSoftmax(2),
            vec![x.clone()],
            same(),
            ElementKind::Float,
        ),
        (
            "argmax",
            Op::ArgMax(2),
            vec![x.clone()],
            batched(&[4, 1]),
            ElementKind::Int,
        ),
        (
            "cumsum",
            Op::CumulativeSum(1),
            vec![x.clone()],
            same(),
            ElementKind::Float,
        ),
        (
            "all",
            Op::ReduceAll(Reduction::Sum),
            vec![x.clone()],
            fixed(&[1]),
            ElementKind::Float,
        ),
        (
            "concat",
            Op::Concat(1),
            vec![x.clone(), float(&[2, 6])],
            batched(&[6, 6]),
            ElementKind::Float,
        ),
        (
            "slice",
            parts,
            vec![x.clone()],
            batched(&[2, 4]),
            ElementKind::Float,
        ),
        (
            "select",
            Op::Select(1),
            vec![x.clone(), (fixed(&[5]), ElementKind::Int, Source::Constant)],
            batched(&[5, 6]),
            ElementKind::Float,
        ),
        (
            "gather",
            Op::Gather(1),
            vec![
                x.clone(),
                (batched(&[2, 6]), ElementKind::Int, Source::Input),
            ],
            batched(&[2, 6]),
            ElementKind::Float,
        ),
        (
            "reshape",
            Op::Reshape,
            vec![x.clone()],
            batched(&[3, 8]),
            ElementKind::Float,
        ),
        (
            "merge",
            Op::Reshape,
            vec![x.clone()],
            vec![
                Extent {
                    fixed: 0,
                    per_sample: 4,
                },
                6.into(),
            ],
            ElementKind::Float,
        ),
        (
            "expand",
            Op::Expand,
            vec![float(&[1, 6])],
            batched(&[5, 6]),
            ElementKind::Float,
        ),
        (
            "spread",
            Op::Expand,
            vec![weight(&[1, 6])],
            vec![B, 6.into()],
            ElementKind::Float,
        ),
        (
            "permute",
            Op::Permute(vec![0, 2, 1]),
            vec![x.clone()],
            batched(&[6, 4]),
            ElementKind::Float,
        ),
        (
            "flip",
            Op::Flip(vec![1, 2]),
            vec![x.clone()],
            same(),
            ElementKind::Float,
        ),
        (
            "repeat",
            Op::Repeat { axis: 2, times: 3 },
            vec![x.clone()],
            batched(&[4, 18]),
            ElementKind::Float,
        ),
        (
            "cast",
            Op::Cast,
            vec![(batched(&[4]), ElementKind::Int, Source::Input)],
            batched(&[4]),
            ElementKind::Float,
        ),
        (
            "prelu",
            Op::Zip(Arithmetic::PRelu),
            vec![x, weight(&[1, 4, 1])],
            same(),
            ElementKind::Float,
        ),
    ]
}

fn functions() -> Vec<Case> {
    let x = || vec![float(&[7])];
    let same = || batched(&[7]);
    let maps = [
        Map::Relu,
        Map::LeakyRelu(0.1),
        Map::Gelu,
        Map::Sigmoid,
        Map::LogSigmoid,
        Map::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        Map::Tanh,
        Map::Abs,
        Map::Negate,
        Map::Sign,
        Map::Exp,
        Map::Erf,
        Map::Sin,
        Map::Cos,
        Map::Tan,
        Map::Sinh,
        Map::Cosh,
        Map::ArcTan,
        Map::ArcSinh,
        Map::Floor,
        Map::Ceil,
        Map::Truncate,
        Map::Round,
        Map::Reciprocal,
        Map::Clamp {
            low: -0.3,
            high: 0.4,
        },
        Map::ClampMin(0.1),
        Map::ClampMax(-0.1),
    ];
    let maps = maps.map(|map| ("map", Op::Map(map), x(), same(), ElementKind::Float));
    let with = [
        Arithmetic::Add,
        Arithmetic::Subtract,
        Arithmetic::Multiply,
        Arithmetic::Divide,
        Arithmetic::Remainder,
    ];
    let scalars = with.map(|with| {
        (
            "scalar",
            Op::Scalar(with, 0.7),
            x(),
            same(),
            ElementKind::Float,
        )
    });
    let zips = with.map(|with| {
        (
            "zip",
            Op::Zip(with),
            vec![float(&[7]), weight(&[1, 7])],
            same(),
            ElementKind::Float,
        )
    });
    let order = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Greater,
        Comparison::GreaterEqual,
        Comparison::Less,
        Comparison::LessEqual,
    ];
    let compared = order.map(|with| {
        (
            "compare",
            Op::Compare(with),
            vec![float(&[7]), float(&[7])],
            same(),
            ElementKind::Bool,
        )
    });
    let numbers = order.map(|with| {
        (
            "compare_scalar",
            Op::CompareScalar(with, 0.25),
            x(),
            same(),
            ElementKind::Bool,
        )
    });
    let reductions = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Product,
        Reduction::Max,
        Reduction::Min,
        Reduction::MaxAbs,
    ];
    let reduced = reductions.map(|with| {
        (
            "reduce",
            Op::Reduce(with, 1),
            x(),
            batched(&[1]),
            ElementKind::Float,
        )
    });
    let square = (
        "power",
        Op::Scalar(Arithmetic::Power, 2.0),
        x(),
        same(),
        ElementKind::Float,
    );
    maps.into_iter()
        .chain(scalars)
        .chain(zips)
        .chain(compared)
        .chain(numbers)
        .chain(reduced)
        .chain([square])
        .collect()
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
