//! Translates each recorded operation of Burn to operations of a graph.

use burn::backend::ir::{
    ActivationOperationIr, BaseOperationIr, BoolOperationIr, FloatOperationIr, IntOperationIr,
    InterpolateModeIr, ModuleOperationIr, NumericOperationIr, OperationIr, PadModeIr, ScalarIr,
    TensorIr,
};
use burn::tensor::Slice;
use calcine_graph::{
    Arithmetic, Comparison, Convolution, Interpolation, Map, Op, Padding, Pool, Range, Reduction,
};
use serde::Serialize;

use crate::compose::composed;
use crate::step::{Ids, Step, range};

/// Why an operation cannot be traced, as the start of a sentence that continues with its place.
pub(crate) type Reason = String;

type Result = std::result::Result<Vec<Step>, Reason>;

/// Translates an operation to one step, or to several that compute the same. Tensors between several steps get ids from
/// `ids`. The momentum of a batch norm is not part of a recording in evaluation mode; it has Burn's default until it is
/// [measured](crate::momentum).
pub(crate) fn lower(operation: &OperationIr, ids: &mut Ids) -> Result {
    if let Some(steps) = composed(operation, ids) {
        return Ok(steps);
    }
    match operation {
        OperationIr::BaseFloat(base) | OperationIr::BaseInt(base) | OperationIr::BaseBool(base) => {
            lower_base(base)
        }
        OperationIr::NumericFloat(_, numeric) | OperationIr::NumericInt(_, numeric) => {
            lower_numeric(numeric)
        }
        OperationIr::Float(_, float) => lower_float(float),
        OperationIr::Int(int) => lower_int(int),
        OperationIr::Bool(bool) => lower_bool(bool),
        OperationIr::Module(module) => lower_module(module),
        OperationIr::Activation(activation) => lower_activation(activation),
        OperationIr::Custom(custom) => Err(format!("the custom operation `{}`", custom.id)),
        OperationIr::Init(_) | OperationIr::Drop(_) | OperationIr::Distributed(_) => {
            Err(kind_of(operation))
        }
    }
}

/// The name of a recorded operation: the variant that it serializes as.
fn kind_of(operation: &impl Serialize) -> String {
    use serde_json::Value;
    let name = match serde_json::to_value(operation) {
        Ok(Value::Object(variant)) => variant.into_iter().next().map(|(name, _)| name),
        Ok(Value::String(name)) => Some(name),
        _ => None,
    };
    name.map_or_else(|| "an operation".to_owned(), |name| format!("`{name}`"))
}

fn done<'a>(op: Op, inputs: impl IntoIterator<Item = &'a TensorIr>, output: &TensorIr) -> Result {
    Ok(vec![Step::of(op, inputs, output)])
}

fn unknown(operation: &impl Serialize) -> Result {
    Err(kind_of(operation))
}

fn number(scalar: &ScalarIr) -> f64 {
    match *scalar {
        ScalarIr::Float(x) => x,
        #[allow(clippy::cast_precision_loss, reason = "recorded numbers are small")]
        ScalarIr::Int(x) => x as f64,
        #[allow(clippy::cast_precision_loss, reason = "recorded numbers are small")]
        ScalarIr::UInt(x) => x as f64,
        ScalarIr::Bool(x) => f64::from(u8::from(x)),
    }
}

fn lower_base(operation: &BaseOperationIr) -> Result {
    use BaseOperationIr as Ir;
    match operation {
        Ir::Reshape(x) => done(Op::Reshape, [&x.input], &x.out),
        Ir::Expand(x) => done(Op::Expand, [&x.input], &x.out),
        Ir::SwapDims(x) => {
            let mut axes: Vec<usize> = (0..x.input.shape.num_dims()).collect();
            axes.swap(x.dim1, x.dim2);
            done(Op::Permute(axes), [&x.input], &x.out)
        }
        Ir::Permute(x) => done(Op::Permute(x.axes.clone()), [&x.input], &x.out),
        Ir::Flip(x) => done(Op::Flip(x.axes.clone()), [&x.input], &x.out),
        Ir::Slice(x) => {
            let lengths = x.tensor.shape.iter();
            let mut ranges: Vec<Range> = x
                .ranges
                .iter()
                .zip(lengths)
                .map(|(slice, &length)| range(slice, length))
                .collect();
            let whole = x.tensor.shape.iter().skip(ranges.len());
            ranges.extend(whole.map(|&length| range(&Slice::full(), length)));
            done(Op::Slice(ranges), [&x.tensor], &x.out)
        }
        Ir::Select(x) => done(Op::Select(x.dim), [&x.tensor, &x.indices], &x.out),
        Ir::Gather(x) => done(Op::Gather(x.dim), [&x.tensor, &x.indices], &x.out),
        Ir::MaskWhere(x) => done(Op::Where, [&x.tensor, &x.mask, &x.value], &x.out),
        Ir::MaskFill(x) => done(Op::Fill(number(&x.value)), [&x.tensor, &x.mask], &x.out),
        // Along an axis of length 1, the shape of the output defines the result for every batch size.
        Ir::RepeatDim(x) if x.tensor.shape[x.dim] == 1 => done(Op::Expand, [&x.tensor], &x.out),
        Ir::RepeatDim(x) => {
            let op = Op::Repeat {
                axis: x.dim,
                times: x.times,
            };
            done(op, [&x.tensor], &x.out)
        }
        Ir::Cat(x) => done(Op::Concat(x.dim), &x.tensors, &x.out),
        Ir::Cast(x) => done(Op::Cast, [&x.input], &x.out),
        Ir::Ones(x) => done(Op::Constant(1.0), [], &x.out),
        Ir::Zeros(x) | Ir::Empty(x) => done(Op::Constant(0.0), [], &x.out),
        Ir::Equal(x) => done(Op::Compare(Comparison::Equal), [&x.lhs, &x.rhs], &x.out),
        Ir::NotEqual(x) => done(Op::Compare(Comparison::NotEqual), [&x.lhs, &x.rhs], &x.out),
        Ir::EqualElem(x) => {
            let op = Op::CompareScalar(Comparison::Equal, number(&x.rhs));
            done(op, [&x.lhs], &x.out)
        }
        Ir::NotEqualElem(x) => {
            let op = Op::CompareScalar(Comparison::NotEqual, number(&x.rhs));
            done(op, [&x.lhs], &x.out)
        }
        other => unknown(other),
    }
}

fn lower_numeric(operation: &NumericOperationIr) -> Result {
    use NumericOperationIr as Ir;
    let reduce = |kind, axis| Op::Reduce(kind, axis);
    match operation {
        Ir::Add(x) => done(Op::Zip(Arithmetic::Add), [&x.lhs, &x.rhs], &x.out),
        Ir::Sub(x) => done(Op::Zip(Arithmetic::Subtract), [&x.lhs, &x.rhs], &x.out),
        Ir::Mul(x) => done(Op::Zip(Arithmetic::Multiply), [&x.lhs, &x.rhs], &x.out),
        Ir::Div(x) => done(Op::Zip(Arithmetic::Divide), [&x.lhs, &x.rhs], &x.out),
        Ir::Rem(x) => done(Op::Zip(Arithmetic::Remainder), [&x.lhs, &x.rhs], &x.out),
        Ir::Powi(x) => done(Op::Zip(Arithmetic::Power), [&x.lhs, &x.rhs], &x.out),
        Ir::AddScalar(x) => done(
            Op::Scalar(Arithmetic::Add, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::SubScalar(x) => done(
            Op::Scalar(Arithmetic::Subtract, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::MulScalar(x) => done(
            Op::Scalar(Arithmetic::Multiply, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::DivScalar(x) => done(
            Op::Scalar(Arithmetic::Divide, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::RemScalar(x) => done(
            Op::Scalar(Arithmetic::Remainder, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::PowiScalar(x) => done(
            Op::Scalar(Arithmetic::Power, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::Abs(x) => done(Op::Map(Map::Abs), [&x.input], &x.out),
        Ir::Neg(x) => done(Op::Map(Map::Negate), [&x.input], &x.out),
        Ir::Sign(x) => done(Op::Map(Map::Sign), [&x.input], &x.out),
        Ir::Full(x) => done(Op::Constant(number(&x.value)), [], &x.out),
        Ir::MeanDim(x) => done(reduce(Reduction::Mean, x.axis), [&x.input], &x.out),
        Ir::SumDim(x) => done(reduce(Reduction::Sum, x.axis), [&x.input], &x.out),
        Ir::ProdDim(x) => done(reduce(Reduction::Product, x.axis), [&x.input], &x.out),
        Ir::MaxDim(x) => done(reduce(Reduction::Max, x.axis), [&x.input], &x.out),
        Ir::MinDim(x) => done(reduce(Reduction::Min, x.axis), [&x.input], &x.out),
        Ir::MaxAbsDim(x) => done(reduce(Reduction::MaxAbs, x.axis), [&x.input], &x.out),
        Ir::Mean(x) => done(Op::ReduceAll(Reduction::Mean), [&x.input], &x.out),
        Ir::Sum(x) => done(Op::ReduceAll(Reduction::Sum), [&x.input], &x.out),
        Ir::Prod(x) => done(Op::ReduceAll(Reduction::Product), [&x.input], &x.out),
        Ir::Max(x) => done(Op::ReduceAll(Reduction::Max), [&x.input], &x.out),
        Ir::Min(x) => done(Op::ReduceAll(Reduction::Min), [&x.input], &x.out),
        Ir::MaxAbs(x) => done(Op::ReduceAll(Reduction::MaxAbs), [&x.input], &x.out),
        Ir::ArgMax(x) => done(Op::ArgMax(x.axis), [&x.input], &x.out),
        Ir::CumSum(x) => done(Op::CumulativeSum(x.axis), [&x.input], &x.out),
        Ir::Greater(x) => done(Op::Compare(Comparison::Greater), [&x.lhs, &x.rhs], &x.out),
        Ir::GreaterEqual(x) => done(
            Op::Compare(Comparison::GreaterEqual),
            [&x.lhs, &x.rhs],
            &x.out,
        ),
        Ir::Lower(x) => done(Op::Compare(Comparison::Less), [&x.lhs, &x.rhs], &x.out),
        Ir::LowerEqual(x) => done(Op::Compare(Comparison::LessEqual), [&x.lhs, &x.rhs], &x.out),
        Ir::GreaterElem(x) => done(
            Op::CompareScalar(Comparison::Greater, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::GreaterEqualElem(x) => done(
            Op::CompareScalar(Comparison::GreaterEqual, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::LowerElem(x) => done(
            Op::CompareScalar(Comparison::Less, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::LowerEqualElem(x) => done(
            Op::CompareScalar(Comparison::LessEqual, number(&x.rhs)),
            [&x.lhs],
            &x.out,
        ),
        Ir::Clamp(x) => {
            let op = Map::Clamp {
                low: number(&x.min),
                high: number(&x.max),
            };
            done(Op::Map(op), [&x.tensor], &x.out)
        }
        Ir::ClampMin(x) => done(Op::Map(Map::ClampMin(number(&x.rhs))), [&x.lhs], &x.out),
        Ir::ClampMax(x) => done(Op::Map(Map::ClampMax(number(&x.rhs))), [&x.lhs], &x.out),
        Ir::IntRandom(_) => {
            Err("`IntRandom`, whose random integers differ in every pass,".to_owned())
        }
        Ir::Pad(x) => {
            let op = Op::Pad {
                padding: x
                    .padding
                    .iter()
                    .map(|&(before, after)| [before, after])
                    .collect(),
                with: match &x.mode {
                    PadModeIr::Constant(value) => Padding::Constant(number(value)),
                    PadModeIr::Reflect => Padding::Reflect,
                    PadModeIr::Edge => Padding::Edge,
                },
            };
            done(op, [&x.input], &x.out)
        }
        other => unknown(other),
    }
}

fn lower_float(operation: &FloatOperationIr) -> Result {
    use FloatOperationIr as Ir;
    let (map, x) = match operation {
        Ir::Exp(x) => (Map::Exp, x),
        Ir::Log(x) => (Map::Log, x),
        Ir::Log1p(x) => (Map::Log1p, x),
        Ir::Erf(x) => (Map::Erf, x),
        Ir::Sqrt(x) => (Map::Sqrt, x),
        Ir::Cos(x) => (Map::Cos, x),
        Ir::Sin(x) => (Map::Sin, x),
        Ir::Tanh(x) => (Map::Tanh, x),
        Ir::Round(x) => (Map::Round, x),
        Ir::Floor(x) => (Map::Floor, x),
        Ir::Ceil(x) => (Map::Ceil, x),
        Ir::Recip(x) => (Map::Reciprocal, x),
        Ir::Trunc(x) => (Map::Truncate, x),
        Ir::Tan(x) => (Map::Tan, x),
        Ir::Sinh(x) => (Map::Sinh, x),
        Ir::Cosh(x) => (Map::Cosh, x),
        Ir::ArcSin(x) => (Map::ArcSin, x),
        Ir::ArcCos(x) => (Map::ArcCos, x),
        Ir::ArcTan(x) => (Map::ArcTan, x),
        Ir::ArcSinh(x) => (Map::ArcSinh, x),
        Ir::ArcCosh(x) => (Map::ArcCosh, x),
        Ir::ArcTanh(x) => (Map::ArcTanh, x),
        Ir::PowfScalar(x) => {
            return done(
                Op::Scalar(Arithmetic::Power, number(&x.rhs)),
                [&x.lhs],
                &x.out,
            );
        }
        Ir::Powf(x) => return done(Op::Zip(Arithmetic::Power), [&x.lhs, &x.rhs], &x.out),
        Ir::ArcTan2(x) => return done(Op::Zip(Arithmetic::ArcTan2), [&x.lhs, &x.rhs], &x.out),
        Ir::Hypot(x) => return done(Op::Zip(Arithmetic::Hypot), [&x.lhs, &x.rhs], &x.out),
        // Only NaN differs from itself.
        Ir::IsNan(x) => {
            let op = Op::Compare(Comparison::NotEqual);
            return done(op, [&x.input, &x.input], &x.out);
        }
        Ir::IntoInt(x) => return done(Op::Cast, [&x.input], &x.out),
        Ir::Matmul(x) => return done(Op::Matmul, [&x.lhs, &x.rhs], &x.out),
        Ir::Random(_) => {
            return Err("`Random`, whose random numbers differ in every pass,".to_owned());
        }
        other => return unknown(other),
    };
    done(Op::Map(map), [&x.input], &x.out)
}

fn lower_int(operation: &IntOperationIr) -> Result {
    match operation {
        IntOperationIr::IntoFloat(x) => done(Op::Cast, [&x.input], &x.out),
        other => unknown(other),
    }
}

fn lower_bool(operation: &BoolOperationIr) -> Result {
    match operation {
        BoolOperationIr::IntoFloat(x) | BoolOperationIr::IntoInt(x) => {
            done(Op::Cast, [&x.input], &x.out)
        }
        BoolOperationIr::Not(x) => done(Op::Map(Map::Not), [&x.input], &x.out),
        BoolOperationIr::And(x) => done(Op::Zip(Arithmetic::And), [&x.lhs, &x.rhs], &x.out),
        BoolOperationIr::Or(x) => done(Op::Zip(Arithmetic::Or), [&x.lhs, &x.rhs], &x.out),
        BoolOperationIr::Xor(x) => {
            done(Op::Compare(Comparison::NotEqual), [&x.lhs, &x.rhs], &x.out)
        }
    }
}

fn lower_activation(operation: &ActivationOperationIr) -> Result {
    use ActivationOperationIr as Ir;
    match operation {
        Ir::Relu(x) => done(Op::Map(Map::Relu), [&x.input], &x.out),
        Ir::Gelu(x) => done(Op::Map(Map::Gelu), [&x.input], &x.out),
        Ir::Sigmoid(x) => done(Op::Map(Map::Sigmoid), [&x.input], &x.out),
        Ir::LogSigmoid(x) => done(Op::Map(Map::LogSigmoid), [&x.input], &x.out),
        Ir::LeakyRelu(x) => done(Op::Map(Map::LeakyRelu(number(&x.rhs))), [&x.lhs], &x.out),
        Ir::PRelu(x) => done(Op::Zip(Arithmetic::PRelu), [&x.lhs, &x.rhs], &x.out),
        Ir::HardSigmoid(x) => {
            let map = Map::HardSigmoid {
                alpha: number(&x.alpha),
                beta: number(&x.beta),
            };
            done(Op::Map(map), [&x.tensor], &x.out)
        }
        Ir::Softmax(x) => done(Op::Softmax(x.axis), [&x.input], &x.out),
        Ir::LogSoftmax(x) => done(Op::LogSoftmax(x.axis), [&x.input], &x.out),
        other => unknown(other),
    }
}

fn lower_module(operation: &ModuleOperationIr) -> Result {
    use ModuleOperationIr as Ir;
    match operation {
        Ir::Linear(x) => done(
            Op::Linear,
            [&x.x, &x.weight].into_iter().chain(&x.bias),
            &x.out,
        ),
        Ir::Embedding(x) => done(Op::Embedding, [&x.weights, &x.indices], &x.out),
        Ir::BatchNorm(x) => {
            let op = Op::BatchNorm {
                epsilon: number(&x.epsilon),
                momentum: MOMENTUM,
            };
            done(op, [&x.x, &x.gamma, &x.beta, &x.mean, &x.variance], &x.out)
        }
        Ir::LayerNorm(x) => {
            let op = Op::LayerNorm {
                epsilon: number(&x.epsilon),
            };
            done(op, [&x.input, &x.gamma].into_iter().chain(&x.beta), &x.out)
        }
        Ir::Conv1d(x) => {
            let o = &x.options;
            let op = convolution(&o.stride, o.padding, &o.dilation, o.groups);
            done(op, [&x.x, &x.weight].into_iter().chain(&x.bias), &x.out)
        }
        Ir::Conv2d(x) => {
            let o = &x.options;
            let op = convolution(&o.stride, o.padding, &o.dilation, o.groups);
            done(op, [&x.x, &x.weight].into_iter().chain(&x.bias), &x.out)
        }
        Ir::Conv3d(x) => {
            let o = &x.options;
            let op = convolution(&o.stride, o.padding.map(|p| (p, p)), &o.dilation, o.groups);
            done(op, [&x.x, &x.weight].into_iter().chain(&x.bias), &x.out)
        }
        Ir::ConvTranspose1d(x) => {
            let o = &x.options;
            let op = transposed(&o.stride, &o.padding, &o.padding_out, &o.dilation, o.groups);
            done(op, [&x.x, &x.weight].into_iter().chain(&x.bias), &x.out)
        }
        Ir::ConvTranspose2d(x) => {
            let o = &x.options;
            let op = transposed(&o.stride, &o.padding, &o.padding_out, &o.dilation, o.groups);
            done(op, [&x.x, &x.weight].into_iter().chain(&x.bias), &x.out)
        }
        Ir::ConvTranspose3d(x) => {
            let o = &x.options;
            let op = transposed(&o.stride, &o.padding, &o.padding_out, &o.dilation, o.groups);
            done(op, [&x.x, &x.weight].into_iter().chain(&x.bias), &x.out)
        }
        Ir::MaxPool1d(x) => {
            let op = pool(
                &[x.kernel_size],
                &[x.stride],
                &[x.padding],
                &[x.dilation],
                x.ceil_mode,
            );
            done(Op::MaxPool(op), [&x.x], &x.out)
        }
        Ir::MaxPool2d(x) => {
            let op = pool(
                &x.kernel_size,
                &x.stride,
                &x.padding,
                &x.dilation,
                x.ceil_mode,
            );
            done(Op::MaxPool(op), [&x.x], &x.out)
        }
        Ir::AvgPool1d(x) => {
            let op = Op::AveragePool {
                pool: pool(
                    &[x.kernel_size],
                    &[x.stride],
                    &[x.padding],
                    &[1],
                    x.ceil_mode,
                ),
                count_padding: x.count_include_pad,
            };
            done(op, [&x.x], &x.out)
        }
        Ir::AvgPool2d(x) => {
            let op = Op::AveragePool {
                pool: pool(&x.kernel_size, &x.stride, &x.padding, &[1, 1], x.ceil_mode),
                count_padding: x.count_include_pad,
            };
            done(op, [&x.x], &x.out)
        }
        Ir::AdaptiveAvgPool1d(x) => done(Op::AdaptiveAveragePool, [&x.x], &x.out),
        Ir::AdaptiveAvgPool2d(x) => done(Op::AdaptiveAveragePool, [&x.x], &x.out),
        Ir::AdaptiveAvgPool3d(x) => done(Op::AdaptiveAveragePool, [&x.x], &x.out),
        Ir::Interpolate(x) => {
            let op = Op::Interpolate {
                mode: match x.options.mode {
                    InterpolateModeIr::Nearest => Interpolation::Nearest,
                    InterpolateModeIr::NearestExact => Interpolation::NearestExact,
                    InterpolateModeIr::Bilinear => Interpolation::Bilinear,
                    InterpolateModeIr::Bicubic => Interpolation::Bicubic,
                    InterpolateModeIr::Lanczos3 => Interpolation::Lanczos3,
                },
                align_corners: x.options.align_corners,
            };
            done(op, [&x.x], &x.out)
        }
        Ir::Attention(x) => {
            let op = Op::Attention {
                scale: x.options.scale.as_ref().map(number),
                softcap: x.options.softcap.as_ref().map(number),
                causal: x.options.is_causal,
                masked: x.mask.is_some(),
            };
            let given = [&x.query, &x.key, &x.value];
            done(
                op,
                given.into_iter().chain(&x.mask).chain(&x.attn_bias),
                &x.out,
            )
        }
        other => unknown(other),
    }
}

/// Burn's default, which is replaced by the measured momentum.
const MOMENTUM: f64 = 0.1;

fn convolution<const N: usize>(
    stride: &[usize; N],
    padding: [(usize, usize); N],
    dilation: &[usize; N],
    groups: usize,
) -> Op {
    Op::Convolution(Convolution {
        stride: stride.to_vec(),
        padding: padding.map(|(before, after)| [before, after]).to_vec(),
        dilation: dilation.to_vec(),
        groups,
    })
}

fn transposed(
    stride: &[usize],
    padding: &[usize],
    output_padding: &[usize],
    dilation: &[usize],
    groups: usize,
) -> Op {
    Op::TransposedConvolution {
        convolution: Convolution {
            stride: stride.to_vec(),
            padding: padding.iter().map(|&padding| [padding; 2]).collect(),
            dilation: dilation.to_vec(),
            groups,
        },
        output_padding: output_padding.to_vec(),
    }
}

fn pool(
    kernel: &[usize],
    stride: &[usize],
    padding: &[usize],
    dilation: &[usize],
    ceil: bool,
) -> Pool {
    Pool {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        padding: padding.to_vec(),
        dilation: dilation.to_vec(),
        ceil,
    }
}
