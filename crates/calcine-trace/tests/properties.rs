//! The table of operators says what their arithmetic does.

use std::collections::BTreeSet;

use burn::tensor::{Bool, Int, Tensor};
use calcine_graph::{
    Arithmetic as A, Comparison, Convolution, ElementKind, Graph, Interpolation, Map, Node, Op,
    Padding, Pool, Range, Reduction, Source, Update, Value, ValueId,
};
use calcine_testkit::{device, each};
use calcine_trace::{AnyTensor, evaluate};

/// An operator, the shapes of its float operands, and that of its result.
type Case = (Op, Vec<Vec<usize>>, Vec<usize>);

/// What kind an operand is.
fn kind(op: &Op, operand: usize) -> ElementKind {
    match (op, operand) {
        (Op::Where | Op::Fill(_), 1) | (Op::Map(Map::Not), 0) => ElementKind::Bool,
        (Op::Zip(A::And | A::Or), _) => ElementKind::Bool,
        (Op::Embedding | Op::Select(_) | Op::Gather(_), 1) => ElementKind::Int,
        (Op::Scatter(..) | Op::ScatterNd(_), 1) => ElementKind::Int,
        _ => ElementKind::Float,
    }
}

fn output_kind(op: &Op) -> ElementKind {
    match op {
        Op::CompareScalar(..) | Op::Compare(_) => ElementKind::Bool,
        Op::Map(Map::Not) | Op::Zip(A::And | A::Or) => ElementKind::Bool,
        Op::ArgMax(_) | Op::ArgSort { .. } | Op::Cast => ElementKind::Int,
        _ => ElementKind::Float,
    }
}

/// The position of an operator's variant. A new variant does not compile until it is here, and has cases below.
fn variant(op: &Op) -> usize {
    match op {
        Op::Convolution(_) => 0,
        Op::TransposedConvolution { .. } => 1,
        Op::Linear => 2,
        Op::Matmul => 3,
        Op::Embedding => 4,
        Op::BatchNorm { .. } => 5,
        Op::LayerNorm { .. } => 6,
        Op::Attention { .. } => 7,
        Op::MaxPool(_) => 8,
        Op::AveragePool { .. } => 9,
        Op::AdaptiveAveragePool => 10,
        Op::Interpolate { .. } => 11,
        Op::Pad { .. } => 12,
        Op::Map(_) => 13,
        Op::Scalar(..) => 14,
        Op::Zip(_) => 15,
        Op::CompareScalar(..) => 16,
        Op::Compare(_) => 17,
        Op::Where => 18,
        Op::Fill(_) => 19,
        Op::Softmax(_) => 20,
        Op::LogSoftmax(_) => 21,
        Op::Reduce(..) => 22,
        Op::ReduceAll(_) => 23,
        Op::ArgMax(_) => 24,
        Op::CumulativeSum(_) => 25,
        Op::Concat(_) => 26,
        Op::Slice(_) => 27,
        Op::Select(_) => 28,
        Op::Gather(_) => 29,
        Op::Reshape => 30,
        Op::Expand => 31,
        Op::Permute(_) => 32,
        Op::Flip(_) => 33,
        Op::Repeat { .. } => 34,
        Op::Constant(_) => 35,
        Op::Cast => 36,
        Op::ArgSort { .. } => 37,
        Op::Scatter(..) => 38,
        Op::ScatterNd(_) => 39,
    }
}

const VARIANTS: usize = 40;

fn cases() -> Vec<Case> {
    let image = || vec![2, 4, 3, 3];
    let convolution = || Convolution {
        stride: vec![1, 1],
        padding: vec![[0, 0]; 2],
        dilation: vec![1, 1],
        groups: 1,
    };
    let pool = || Pool {
        kernel: vec![2, 2],
        stride: vec![1, 1],
        padding: vec![0, 0],
        dilation: vec![1, 1],
        ceil: false,
    };
    let interpolate = |mode| Op::Interpolate {
        mode,
        align_corners: false,
    };
    let pad = |with| Op::Pad {
        padding: vec![[0, 0], [0, 0], [1, 0], [0, 1]],
        with,
    };
    let mut cases: Vec<Case> = vec![
        (
            Op::Convolution(convolution()),
            vec![image(), vec![5, 4, 2, 2]],
            vec![2, 5, 2, 2],
        ),
        (
            Op::TransposedConvolution {
                convolution: convolution(),
                output_padding: vec![0, 0],
            },
            vec![image(), vec![4, 5, 2, 2]],
            vec![2, 5, 4, 4],
        ),
        (Op::Linear, vec![vec![2, 4], vec![4, 3]], vec![2, 3]),
        (Op::Matmul, vec![vec![2, 4], vec![4, 3]], vec![2, 3]),
        (Op::Embedding, vec![vec![3, 4], vec![2, 2]], vec![2, 2, 4]),
        (
            Op::BatchNorm {
                epsilon: 1e-3,
                momentum: 0.1,
            },
            vec![image(), vec![4], vec![4], vec![4], vec![4]],
            image(),
        ),
        (
            Op::LayerNorm { epsilon: 1e-3 },
            vec![vec![2, 4], vec![4], vec![4]],
            vec![2, 4],
        ),
        (
            Op::Attention {
                scale: None,
                softcap: None,
                causal: false,
                masked: false,
            },
            vec![vec![1, 2, 3, 4]; 3],
            vec![1, 2, 3, 4],
        ),
        (Op::MaxPool(pool()), vec![image()], vec![2, 4, 2, 2]),
        (
            Op::AveragePool {
                pool: pool(),
                count_padding: true,
            },
            vec![image()],
            vec![2, 4, 2, 2],
        ),
        (Op::AdaptiveAveragePool, vec![image()], vec![2, 4, 1, 1]),
        (pad(Padding::Constant(0.0)), vec![image()], vec![2, 4, 4, 4]),
        (pad(Padding::Constant(1.5)), vec![image()], vec![2, 4, 4, 4]),
        (pad(Padding::Reflect), vec![image()], vec![2, 4, 4, 4]),
        (pad(Padding::Edge), vec![image()], vec![2, 4, 4, 4]),
        (Op::Where, vec![vec![3, 4]; 3], vec![3, 4]),
        (Op::Fill(0.0), vec![vec![3, 4]; 2], vec![3, 4]),
        (Op::Fill(2.0), vec![vec![3, 4]; 2], vec![3, 4]),
        (Op::Softmax(1), vec![vec![3, 4]], vec![3, 4]),
        (Op::LogSoftmax(1), vec![vec![3, 4]], vec![3, 4]),
        (Op::ArgMax(1), vec![vec![3, 4]], vec![3, 1]),
        (Op::CumulativeSum(1), vec![vec![3, 4]], vec![3, 4]),
        (Op::Concat(0), vec![vec![3, 4], vec![2, 4]], vec![5, 4]),
        (
            Op::Slice(vec![Range::fixed(0, 2), Range::fixed(1, 4)]),
            vec![vec![3, 4]],
            vec![2, 3],
        ),
        (Op::Select(0), vec![vec![3, 4], vec![2]], vec![2, 4]),
        (Op::Gather(0), vec![vec![3, 4], vec![2, 4]], vec![2, 4]),
        (Op::Reshape, vec![vec![3, 4]], vec![2, 6]),
        (Op::Expand, vec![vec![1, 4]], vec![3, 4]),
        (Op::Permute(vec![1, 0]), vec![vec![3, 4]], vec![4, 3]),
        (Op::Flip(vec![0]), vec![vec![3, 4]], vec![3, 4]),
        (
            Op::Repeat { axis: 0, times: 2 },
            vec![vec![3, 4]],
            vec![6, 4],
        ),
        (Op::Constant(0.5), vec![], vec![3, 4]),
        (Op::Cast, vec![vec![3, 4]], vec![3, 4]),
    ];
    for mode in [
        Interpolation::Nearest,
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::Lanczos3,
    ] {
        cases.push((interpolate(mode), vec![image()], vec![2, 4, 5, 4]));
    }
    let reductions = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Product,
        Reduction::Max,
        Reduction::Min,
        Reduction::MaxAbs,
    ];
    for reduction in reductions {
        cases.push((Op::Reduce(reduction, 1), vec![vec![3, 4]], vec![3, 1]));
        if reduction != Reduction::MaxAbs {
            cases.push((Op::ReduceAll(reduction), vec![vec![3, 4]], vec![1]));
        }
    }
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
        Map::HardSigmoid {
            alpha: 0.2,
            beta: -0.1,
        },
        Map::Tanh,
        Map::Abs,
        Map::Negate,
        Map::Sign,
        Map::Exp,
        Map::Log,
        Map::Log1p,
        Map::Sqrt,
        Map::Reciprocal,
        Map::Erf,
        Map::Sin,
        Map::Cos,
        Map::Tan,
        Map::Sinh,
        Map::Cosh,
        Map::ArcSin,
        Map::ArcCos,
        Map::ArcTan,
        Map::ArcSinh,
        Map::ArcCosh,
        Map::ArcTanh,
        Map::Floor,
        Map::Ceil,
        Map::Truncate,
        Map::Round,
        Map::Clamp {
            low: 0.0,
            high: f64::INFINITY,
        },
        Map::Clamp {
            low: -0.2,
            high: 0.2,
        },
        Map::Clamp {
            low: 0.1,
            high: 0.2,
        },
        Map::ClampMin(0.0),
        Map::ClampMin(0.1),
        Map::ClampMax(0.0),
        Map::ClampMax(0.3),
        Map::Not,
    ];
    cases.extend(maps.map(|map| (Op::Map(map), vec![vec![3, 4]], vec![3, 4])));
    let with_numbers = [
        (A::Add, 0.0),
        (A::Add, 0.5),
        (A::Subtract, 0.5),
        (A::Multiply, 0.5),
        (A::Divide, 0.5),
        (A::Remainder, 0.3),
        (A::Power, 1.0),
        (A::Power, 2.0),
    ];
    let of_number =
        |(arithmetic, number)| (Op::Scalar(arithmetic, number), vec![vec![3, 4]], vec![3, 4]);
    cases.extend(with_numbers.map(of_number));
    let updates = [
        Update::Assign,
        Update::Add,
        Update::Multiply,
        Update::Max,
        Update::Min,
    ];
    for update in updates {
        let along = vec![vec![3, 4], vec![3, 2], vec![3, 2]];
        cases.push((Op::Scatter(1, update), along, vec![3, 4]));
        let slices = vec![vec![3, 4], vec![2, 1], vec![2, 4]];
        cases.push((Op::ScatterNd(update), slices, vec![3, 4]));
    }
    for descending in [false, true] {
        let op = Op::ArgSort {
            axis: 1,
            descending,
        };
        cases.push((op, vec![vec![3, 4]], vec![3, 2]));
    }
    let zips = [
        A::Add,
        A::Subtract,
        A::Multiply,
        A::Divide,
        A::Remainder,
        A::Power,
        A::ArcTan2,
        A::Hypot,
        A::And,
        A::Or,
    ];
    cases.extend(zips.map(|zip| (Op::Zip(zip), vec![vec![3, 4]; 2], vec![3, 4])));
    cases.push((Op::Zip(A::PRelu), vec![vec![3, 4], vec![1, 4]], vec![3, 4]));
    let comparison = Comparison::Greater;
    cases.push((
        Op::CompareScalar(comparison, 0.1),
        vec![vec![3, 4]],
        vec![3, 4],
    ));
    cases.push((Op::Compare(comparison), vec![vec![3, 4]; 2], vec![3, 4]));
    cases
}

/// Operands of a case, where each element of the first is what the function makes of it.
fn operands(case: &Case, change: impl Fn(f32) -> f32) -> Vec<AnyTensor> {
    let (op, shapes, _) = case;
    let operand = |(at, shape): (usize, &Vec<usize>)| {
        let count: usize = shape.iter().product();
        // Between 0 and 1, none of them 0, no two the same: what every function takes.
        let values: Vec<f32> = (0..count)
            .map(|index| 0.05 + 0.9 * ((index * 7 + at * 3) % 97) as f32 / 97.0)
            .collect();
        let flat = |values: &[f32]| Tensor::<1>::from_floats(values, &device());
        match kind(op, at) {
            ElementKind::Float if at == 0 => {
                let values: Vec<f32> = values.into_iter().map(&change).collect();
                AnyTensor::shaped(flat(&values), shape)
            }
            ElementKind::Float => {
                // Some are negative, but for variances.
                let sign = |index| if index % 2 == 1 && at != 4 { -1.0 } else { 1.0 };
                let values: Vec<f32> = values
                    .into_iter()
                    .enumerate()
                    .map(|(index, value)| value * sign(index))
                    .collect();
                AnyTensor::shaped(flat(&values), shape)
            }
            ElementKind::Int => integers(count, shape),
            ElementKind::Bool => booleans(count, shape),
        }
    };
    shapes.iter().enumerate().map(operand).collect()
}

fn integers(count: usize, shape: &[usize]) -> AnyTensor {
    let values: Vec<i32> = (0..count as i32).map(|index| (index * 2 + 1) % 3).collect();
    let flat = Tensor::<1, Int>::from_ints(values.as_slice(), &device());
    match *shape {
        [a, b] => flat.reshape([a, b]).into(),
        _ => flat.into(),
    }
}

fn booleans(count: usize, shape: &[usize]) -> AnyTensor {
    let values: Vec<bool> = (0..count).map(|index| index % 3 == 1).collect();
    let flat = Tensor::<1, Bool>::from_data(values.as_slice(), &device());
    match *shape {
        [a, b] => flat.reshape([a, b]).into(),
        _ => flat.into(),
    }
}

/// A graph of this one node.
fn graph(case: &Case) -> Graph {
    let (op, shapes, output) = case;
    let value = |name: String, shape: &[usize], kind, source| Value {
        name,
        shape: shape.iter().map(|&length| length.into()).collect(),
        kind,
        source,
    };
    let mut values: Vec<Value> = shapes
        .iter()
        .enumerate()
        .map(|(at, shape)| value(format!("x{at}"), shape, kind(op, at), Source::Input))
        .collect();
    let result = ValueId(values.len());
    values.push(value("y".into(), output, output_kind(op), Source::Node(0)));
    let inputs: Vec<ValueId> = (0..shapes.len()).map(ValueId).collect();
    let graph = Graph {
        values,
        nodes: vec![Node {
            name: "y".into(),
            op: op.clone(),
            inputs: inputs.clone(),
            output: result,
        }],
        inputs,
        outputs: vec![result],
    };
    graph.check().unwrap();
    graph
}

fn computed(case: &Case, change: impl Fn(f32) -> f32) -> Vec<f32> {
    let graph = graph(case);
    let result = evaluate(&graph, &graph.nodes[0], operands(case, change), 1);
    result.into_data().iter::<f32>().collect()
}

fn is_float(case: &Case) -> bool {
    let operands_are = (0..case.1.len().min(1)).all(|at| kind(&case.0, at) == ElementKind::Float);
    operands_are && !case.1.is_empty() && output_kind(&case.0) == ElementKind::Float
}

#[test]
fn every_operator_has_a_case() {
    let met: BTreeSet<usize> = cases().iter().map(|(op, ..)| variant(op)).collect();
    assert_eq!(met, (0..VARIANTS).collect());
}

#[test]
fn operators_that_keep_zeros_do_and_others_do_not() {
    each(cases().into_iter().filter(is_float), |case| {
        let zeros = computed(case, |_| 0.0).iter().all(|&y| y == 0.0);
        assert_eq!(zeros, case.0.properties().keeps_zeros);
    });
}

#[test]
fn homogeneous_operators_scale_and_others_do_not() {
    each(cases().into_iter().filter(is_float), |case| {
        // Of both signs, so that ramps and clamps are seen from both sides.
        let signed = |x: f32| {
            if (x * 97.0) as i32 % 2 == 0 {
                x
            } else {
                -0.7 * x
            }
        };
        let positive = matches!(
            case.0,
            Op::Map(Map::Log | Map::Sqrt | Map::ArcCosh) | Op::Zip(A::Power)
        );
        let of = |x: f32| if positive { x } else { signed(x) };
        let (one, two) = (computed(case, of), computed(case, |x| 2.0 * of(x)));
        let scaled = one
            .iter()
            .zip(&two)
            .all(|(one, two)| (2.0 * one - two).abs() <= 1e-5 * (one.abs() + two.abs()).max(1e-3));
        assert_eq!(scaled, case.0.properties().homogeneous, "{one:?} {two:?}");
    });
}

#[test]
fn operators_that_move_give_elements_of_their_operands() {
    let moving = |case: &Case| case.0.properties().only_moves();
    each(cases().into_iter().filter(moving), |case| {
        let mut known: Vec<f32> = operands(case, |x| x)
            .into_iter()
            .filter(|operand| operand.kind() == ElementKind::Float)
            .flat_map(|operand| operand.into_data().iter::<f32>().collect::<Vec<_>>())
            .collect();
        if let Op::Pad {
            with: Padding::Constant(number),
            ..
        } = case.0
        {
            known.push(number as f32);
        }
        let moved = computed(case, |x| x);
        assert!(moved.iter().all(|y| known.contains(y)), "{moved:?}");
    });
}

#[test]
fn operators_of_each_element_change_one_element_of_the_result() {
    let elementwise = |case: &Case| case.0.properties().is_elementwise() && is_float(case);
    each(cases().into_iter().filter(elementwise), |case| {
        let first = operands(case, |x| x)[0].clone().into_data();
        let changed = first.iter::<f32>().nth(3).unwrap();
        let before = computed(case, |x| x);
        let after = computed(case, |x| if x == changed { 0.5 * x } else { x });
        let differs = |(a, b): &(&f32, &f32)| a != b && !(a.is_nan() && b.is_nan());
        let differing = before.iter().zip(&after).filter(differs).count();
        assert!(differing <= 1, "{differing} elements changed");
    });
}

/// The rows of the table that shapes depend on.
#[test]
fn a_graph_refuses_other_numbers_of_operands() {
    each(cases(), |case| {
        let properties = case.0.properties();
        let graph = graph(case);
        let operands = graph.nodes[0].inputs.len();
        assert!((properties.least_operands..=properties.most_operands).contains(&operands));
        let mut fewer = graph.clone();
        fewer.nodes[0]
            .inputs
            .truncate(properties.least_operands.saturating_sub(1));
        if properties.least_operands > 0 {
            assert!(fewer.check().is_err());
        }
    });
}
