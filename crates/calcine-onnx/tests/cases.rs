//! Operations of a graph, each with its operands and its result.

use calcine_graph::{
    Arithmetic, Comparison, Convolution, ElementKind, Extent, Interpolation, Map, Op, Padding,
    Pool, Range, Reduction, Source,
};

use crate::operators::{B, Given, batched, fixed, float, weight};

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

pub(crate) type Case = (&'static str, Op, Vec<Given>, Vec<Extent>, ElementKind);

pub(crate) fn layers() -> Vec<Case> {
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

pub(crate) fn moves() -> Vec<Case> {
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

pub(crate) fn functions() -> Vec<Case> {
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
