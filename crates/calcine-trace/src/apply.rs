//! Computes each operation of a graph with Burn's own operation on tensors.

mod images;

use burn::tensor::module;
use burn::tensor::ops::{AttentionModuleOptions, InterpolateOptions, PadMode};
use burn::tensor::{Bool, Device, IndexingUpdateOp, Int, Slice, Tensor, activation};
use calcine_graph::{
    Arithmetic, Comparison, ElementKind, Map, Node, Op, Padding, Range, Reduction, Update,
};

use self::images::{adaptive_pool, average_pool, convolution, interpolation, max_pool, transposed};
use crate::order::order;
use crate::tensor::{AnyTensor, with_kind, with_rank};

/// Evaluates an expression for a tensor of any kind and rank, with the parameters of its type.
macro_rules! of_any_kind {
    ($x:expr, |$own:ident, $D:ident, $K:ident| $body:expr) => {{
        let x: AnyTensor = $x;
        with_kind!(x.kind(), $K => with_rank!(x.rank(), $D => {
            let $own: Tensor<$D, $K> = x.of();
            AnyTensor::from($body)
        }))
    }};
}

/// Computes the result of a node. `shape` is the shape of the result for this batch size, and `device` gives the device
/// for operations without operands.
pub(crate) fn apply(
    node: &Node,
    operands: Vec<AnyTensor>,
    batch: usize,
    shape: &[usize],
    kind: ElementKind,
    device: impl Fn() -> Device,
) -> AnyTensor {
    let mut operands = operands.into_iter();
    let mut next = || operands.next();
    let mut given = || next().expect("tracing records as many operands as there are");
    match &node.op {
        Op::Convolution(options) => {
            let (x, weight) = (given(), given());
            convolution(x, weight, next(), options)
        }
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => {
            let (x, weight) = (given(), given());
            transposed(x, weight, next(), convolution, output_padding)
        }
        Op::Linear => {
            let (x, weight) = (given(), given());
            let bias = next().map(AnyTensor::of);
            with_rank!(x.rank(), D => module::linear::<D>(x.of(), weight.of(), bias).into())
        }
        Op::Matmul => {
            let (a, b) = (given(), given());
            with_rank!(a.rank(), D => a.of::<D, burn::tensor::Float>().matmul(b.of()).into())
        }
        Op::Embedding => module::embedding(given().of(), given().of()).into(),
        Op::BatchNorm { epsilon, .. } => {
            let x = given();
            let [gamma, beta, mean, variance] =
                [given(), given(), given(), given()].map(AnyTensor::of);
            with_rank!(x.rank(), D => {
                module::batch_norm::<D>(x.of(), gamma, beta, mean, variance, *epsilon).into()
            })
        }
        Op::LayerNorm { epsilon } => {
            let (x, gamma) = (given(), given());
            let beta = next().map(AnyTensor::of);
            with_rank!(x.rank(), D => {
                module::layer_norm::<D>(x.of(), gamma.of(), beta, *epsilon).into()
            })
        }
        Op::Attention {
            scale,
            softcap,
            causal,
            masked,
        } => {
            let [query, key, value] = [given(), given(), given()].map(AnyTensor::of);
            let mask = if *masked { next() } else { None };
            let options = AttentionModuleOptions {
                scale: *scale,
                softcap: *softcap,
                is_causal: *causal,
            };
            let (mask, bias) = (mask.map(AnyTensor::of), next().map(AnyTensor::of));
            module::attention(query, key, value, mask, bias, options).into()
        }
        Op::MaxPool(pool) => max_pool(given(), pool),
        Op::AveragePool {
            pool,
            count_padding,
        } => average_pool(given(), pool, *count_padding),
        Op::AdaptiveAveragePool => adaptive_pool(given(), shape),
        Op::Interpolate {
            mode,
            align_corners,
        } => {
            let options = InterpolateOptions::new(interpolation(*mode))
                .with_align_corners(*align_corners)
                .with_output_size([shape[2], shape[3]]);
            module::interpolate(given().of(), options).into()
        }
        Op::Pad { padding, with } => {
            let padding: Vec<(usize, usize)> = padding.iter().map(|&[a, b]| (a, b)).collect();
            let mode = match *with {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "Burn recorded it from an f32"
                )]
                Padding::Constant(value) => PadMode::Constant(value as f32),
                Padding::Reflect => PadMode::Reflect,
                Padding::Edge => PadMode::Edge,
            };
            let x = given();
            with_rank!(x.rank(), D => match x.kind() {
                ElementKind::Int => x.of::<D, Int>().pad(padding, mode).into(),
                _ => x.of::<D, burn::tensor::Float>().pad(padding, mode).into(),
            })
        }
        Op::Map(map) => {
            let x = given();
            with_rank!(x.rank(), D => mapped::<D>(x, *map))
        }
        Op::Scalar(arithmetic, number) => {
            let x = given();
            with_rank!(x.rank(), D => with_scalar::<D>(x, *arithmetic, *number))
        }
        Op::Zip(arithmetic) => {
            let (a, b) = (given(), given());
            with_rank!(a.rank(), D => zipped::<D>(a, b, *arithmetic))
        }
        Op::CompareScalar(comparison, number) => {
            let x = given();
            with_rank!(x.rank(), D => compared_with_scalar::<D>(x, *comparison, *number))
        }
        Op::Compare(comparison) => {
            let (a, b) = (given(), given());
            with_rank!(a.rank(), D => compared::<D>(a, b, *comparison))
        }
        Op::Softmax(axis) => {
            let x = given();
            with_rank!(x.rank(), D => activation::softmax::<D>(x.of(), *axis).into())
        }
        Op::LogSoftmax(axis) => {
            let x = given();
            with_rank!(x.rank(), D => activation::log_softmax::<D>(x.of(), *axis).into())
        }
        Op::Reduce(reduction, axis) => {
            let x = given();
            with_rank!(x.rank(), D => match x.kind() {
                ElementKind::Int => reduced(x.of::<D, Int>(), *reduction, *axis),
                _ => reduced(x.of::<D, burn::tensor::Float>(), *reduction, *axis),
            })
        }
        Op::ReduceAll(reduction) => {
            let x = given();
            with_rank!(x.rank(), D => match x.kind() {
                ElementKind::Int => all_reduced(x.of::<D, Int>(), *reduction),
                _ => all_reduced(x.of::<D, burn::tensor::Float>(), *reduction),
            })
        }
        Op::ArgMax(axis) => {
            let x = given();
            with_rank!(x.rank(), D => match x.kind() {
                ElementKind::Int => x.of::<D, Int>().argmax(*axis).into(),
                _ => x.of::<D, burn::tensor::Float>().argmax(*axis).into(),
            })
        }
        Op::CumulativeSum(axis) => {
            let x = given();
            with_rank!(x.rank(), D => match x.kind() {
                ElementKind::Int => x.of::<D, Int>().cumsum(*axis).into(),
                _ => x.of::<D, burn::tensor::Float>().cumsum(*axis).into(),
            })
        }
        Op::ArgSort { axis, descending } => order(given(), *axis, *descending, shape[*axis]),
        Op::Constant(value) => {
            with_rank!(shape.len(), D => filled::<D>(shape, kind, *value, &device()))
        }
        Op::Cast => {
            let x = given();
            with_rank!(x.rank(), D => cast::<D>(x, kind))
        }
        Op::Where => {
            let (x, mask, other) = (given(), given(), given());
            of_any_kind!(x, |x, D, K| x.mask_where(mask.of::<D, Bool>(), other.of()))
        }
        Op::Fill(value) => {
            let (x, mask) = (given(), given());
            of_any_kind!(x, |x, D, K| x.mask_fill(mask.of::<D, Bool>(), *value))
        }
        Op::Concat(axis) => {
            let (x, others) = (given(), operands);
            of_any_kind!(x, |x, D, K| {
                let others = others.map(AnyTensor::of);
                Tensor::cat(std::iter::once(x).chain(others).collect(), *axis)
            })
        }
        Op::Slice(ranges) => {
            let slices: Vec<Slice> = ranges.iter().map(|range| slice(range, batch)).collect();
            of_any_kind!(given(), |x, D, K| x.slice(&slices))
        }
        Op::Select(axis) => {
            let (x, indices) = (given(), given());
            of_any_kind!(x, |x, D, K| x.select(*axis, indices.of::<1, Int>()))
        }
        Op::Gather(axis) => {
            let (x, indices) = (given(), given());
            of_any_kind!(x, |x, D, K| x.gather(*axis, indices.of::<D, Int>()))
        }
        Op::Scatter(axis, update) => {
            let (x, indices, values) = (given(), given(), given());
            with_rank!(x.rank(), D => {
                let (indices, update) = (indices.of::<D, Int>(), updated(*update));
                match x.kind() {
                    ElementKind::Int => {
                        x.of::<D, Int>().scatter(*axis, indices, values.of(), update).into()
                    }
                    _ => {
                        let x = x.of::<D, burn::tensor::Float>();
                        x.scatter(*axis, indices, values.of(), update).into()
                    }
                }
            })
        }
        Op::ScatterNd(update) => scattered(given(), given(), given(), updated(*update)),
        Op::Reshape => of_any_kind!(given(), |x, D, K| {
            with_rank!(shape.len(), E => {
                let shape: [usize; E] = exactly(shape);
                AnyTensor::from(x.reshape::<E, _>(shape))
            })
        }),
        Op::Expand => of_any_kind!(given(), |x, D, K| {
            with_rank!(shape.len(), E => {
                let shape: [usize; E] = exactly(shape);
                AnyTensor::from(x.expand::<E, _>(shape))
            })
        }),
        Op::Permute(axes) => of_any_kind!(given(), |x, D, K| {
            let axes: [usize; D] = exactly(axes);
            x.permute(axes)
        }),
        Op::Flip(axes) => of_any_kind!(given(), |x, D, K| {
            axes.iter().fold(x, |x, &axis| x.flip([axis.cast_signed()]))
        }),
        Op::Repeat { axis, times } => {
            of_any_kind!(given(), |x, D, K| x.repeat_dim(*axis, *times))
        }
    }
}

fn updated(update: Update) -> IndexingUpdateOp {
    match update {
        Update::Assign => IndexingUpdateOp::Assign,
        Update::Add => IndexingUpdateOp::Add,
        Update::Multiply => IndexingUpdateOp::Mul,
        Update::Max => IndexingUpdateOp::Max,
        Update::Min => IndexingUpdateOp::Min,
    }
}

/// Updates slices at positions. Burn's function takes the rank of each operand as a type parameter. The operands are
/// reshaped to two axes first (all index axes as one, and all axes of a slice as one). They are also made contiguous,
/// because the function of ndarray panics for operands that are not.
fn scattered(
    x: AnyTensor,
    indices: AnyTensor,
    values: AnyTensor,
    update: IndexingUpdateOp,
) -> AnyTensor {
    let (shape, places) = (x.shape(), indices.shape());
    let depth = places.last().copied().unwrap_or(1);
    let count: usize = places[..places.len() - 1].iter().product();
    let rest: usize = shape[depth..].iter().product();
    let indices = with_rank!(places.len(), M => {
        indices.of::<M, Int>().reshape([count * depth]).reshape([count, depth])
    });
    macro_rules! flat {
        ($K:ty) => {{
            with_rank!(depth, E => {
                const R: usize = E + 1;
                let mut lengths = [rest; R];
                lengths[..E].copy_from_slice(&shape[..E]);
                let numel: usize = shape.iter().product();
                let x: Tensor<R, $K> = with_rank!(x.rank(), D => {
                    x.of::<D, $K>().reshape([numel]).reshape(lengths)
                });
                let values: Tensor<2, $K> = with_rank!(values.rank(), V => {
                    values.of::<V, $K>().reshape([count * rest]).reshape([count, rest])
                });
                let y = x.scatter_nd(indices, values, update);
                with_rank!(shape.len(), D => {
                    let shape: [usize; D] = exactly(&shape);
                    AnyTensor::from(y.reshape::<D, _>(shape))
                })
            })
        }};
    }
    match x.kind() {
        ElementKind::Int => flat!(Int),
        _ => flat!(burn::tensor::Float),
    }
}

fn exactly<const N: usize>(numbers: &[usize]) -> [usize; N] {
    numbers.try_into().expect("the rank is the number of axes")
}

fn slice(range: &Range, batch: usize) -> Slice {
    Slice {
        start: range.start.length_for(batch).cast_signed(),
        end: Some(range.end.length_for(batch).cast_signed()),
        step: range.step,
    }
}

fn mapped<const D: usize>(x: AnyTensor, map: Map) -> AnyTensor {
    match (x.kind(), map) {
        (ElementKind::Bool, _) => return x.of::<D, Bool>().bool_not().into(),
        (ElementKind::Int, Map::Abs) => return x.of::<D, Int>().abs().into(),
        (ElementKind::Int, Map::Negate) => return x.of::<D, Int>().neg().into(),
        (ElementKind::Int, Map::Sign) => return x.of::<D, Int>().sign().into(),
        (ElementKind::Int, Map::Clamp { low, high }) => {
            return x.of::<D, Int>().clamp(low, high).into();
        }
        (ElementKind::Int, Map::ClampMin(low)) => return x.of::<D, Int>().clamp_min(low).into(),
        (ElementKind::Int, Map::ClampMax(high)) => return x.of::<D, Int>().clamp_max(high).into(),
        _ => {}
    }
    let x: Tensor<D> = x.of();
    let y = match map {
        Map::Relu => activation::relu(x),
        Map::LeakyRelu(slope) => activation::leaky_relu(x, slope),
        Map::Gelu => activation::gelu(x),
        Map::Sigmoid => activation::sigmoid(x),
        Map::LogSigmoid => activation::log_sigmoid(x),
        Map::HardSigmoid { alpha, beta } => activation::hard_sigmoid(x, alpha, beta),
        Map::Tanh => x.tanh(),
        Map::Abs => x.abs(),
        Map::Negate => x.neg(),
        Map::Sign => x.sign(),
        Map::Exp => x.exp(),
        Map::Log => x.log(),
        Map::Log1p => x.log1p(),
        Map::Sqrt => x.sqrt(),
        Map::Reciprocal => x.recip(),
        Map::Erf => x.erf(),
        Map::Sin => x.sin(),
        Map::Cos => x.cos(),
        Map::Floor => x.floor(),
        Map::Ceil => x.ceil(),
        Map::Round => x.round(),
        Map::Truncate => x.trunc(),
        Map::Tan => x.tan(),
        Map::Sinh => x.sinh(),
        Map::Cosh => x.cosh(),
        Map::ArcSin => x.asin(),
        Map::ArcCos => x.acos(),
        Map::ArcTan => x.atan(),
        Map::ArcSinh => x.asinh(),
        Map::ArcCosh => x.acosh(),
        Map::ArcTanh => x.atanh(),
        Map::Clamp { low, high } => x.clamp(low, high),
        Map::ClampMin(low) => x.clamp_min(low),
        Map::ClampMax(high) => x.clamp_max(high),
        Map::Not => unreachable!("`not` is of booleans alone"),
    };
    y.into()
}

fn with_scalar<const D: usize>(x: AnyTensor, arithmetic: Arithmetic, number: f64) -> AnyTensor {
    macro_rules! common {
        ($x:expr, $number:expr) => {
            match arithmetic {
                Arithmetic::Add => $x.add_scalar($number).into(),
                Arithmetic::Subtract => $x.sub_scalar($number).into(),
                Arithmetic::Multiply => $x.mul_scalar($number).into(),
                Arithmetic::Divide => $x.div_scalar($number).into(),
                Arithmetic::Remainder => $x.remainder_scalar($number).into(),
                Arithmetic::Power => $x.powi_scalar(number).into(),
                Arithmetic::PRelu
                | Arithmetic::ArcTan2
                | Arithmetic::Hypot
                | Arithmetic::And
                | Arithmetic::Or => unreachable!("{arithmetic:?} has no form with a number"),
            }
        };
    }
    match (x.kind(), arithmetic) {
        (ElementKind::Int, _) => common!(x.of::<D, Int>(), number),
        (_, Arithmetic::Power) if number.fract() != 0.0 => {
            x.of::<D, burn::tensor::Float>().powf_scalar(number).into()
        }
        _ => common!(x.of::<D, burn::tensor::Float>(), number),
    }
}

fn zipped<const D: usize>(a: AnyTensor, b: AnyTensor, arithmetic: Arithmetic) -> AnyTensor {
    macro_rules! common {
        ($K:ty) => {{
            let (a, b): (Tensor<D, $K>, Tensor<D, $K>) = (a.of(), b.of());
            match arithmetic {
                Arithmetic::Add => a.add(b).into(),
                Arithmetic::Subtract => a.sub(b).into(),
                Arithmetic::Multiply => a.mul(b).into(),
                Arithmetic::Divide => a.div(b).into(),
                Arithmetic::Remainder => a.remainder(b).into(),
                Arithmetic::Power => a.powi(b).into(),
                Arithmetic::PRelu
                | Arithmetic::ArcTan2
                | Arithmetic::Hypot
                | Arithmetic::And
                | Arithmetic::Or => unreachable!("{arithmetic:?} is not of these kinds"),
            }
        }};
    }
    match (a.kind(), arithmetic) {
        (ElementKind::Bool, Arithmetic::And) => a.of::<D, Bool>().bool_and(b.of()).into(),
        (ElementKind::Bool, _) => a.of::<D, Bool>().bool_or(b.of()).into(),
        // The slopes are recorded as `[1, channels, 1, …]`, and Burn's function takes `[channels]`.
        (_, Arithmetic::PRelu) => {
            let slopes: Tensor<D> = b.of();
            let count: usize = slopes.dims().iter().product();
            activation::prelu::<D>(a.of(), slopes.reshape([count])).into()
        }
        (_, Arithmetic::ArcTan2) => a.of::<D, burn::tensor::Float>().atan2(b.of()).into(),
        (_, Arithmetic::Hypot) => a.of::<D, burn::tensor::Float>().hypot(b.of()).into(),
        (ElementKind::Float, Arithmetic::Power) => {
            a.of::<D, burn::tensor::Float>().powf(b.of()).into()
        }
        (ElementKind::Int, _) => common!(Int),
        (ElementKind::Float, _) => common!(burn::tensor::Float),
    }
}

fn compared_with_scalar<const D: usize>(
    x: AnyTensor,
    comparison: Comparison,
    number: f64,
) -> AnyTensor {
    macro_rules! common {
        ($x:expr) => {
            match comparison {
                Comparison::Equal => $x.equal_scalar(number).into(),
                Comparison::NotEqual => $x.not_equal_scalar(number).into(),
                Comparison::Greater => $x.greater_scalar(number).into(),
                Comparison::GreaterEqual => $x.greater_equal_scalar(number).into(),
                Comparison::Less => $x.lower_scalar(number).into(),
                Comparison::LessEqual => $x.lower_equal_scalar(number).into(),
            }
        };
    }
    match x.kind() {
        ElementKind::Bool => {
            let (x, number) = (x.of::<D, Bool>(), number != 0.0);
            match comparison {
                Comparison::NotEqual => x.not_equal_scalar(number).into(),
                _ => x.equal_scalar(number).into(),
            }
        }
        ElementKind::Int => common!(x.of::<D, Int>()),
        _ => common!(x.of::<D, burn::tensor::Float>()),
    }
}

fn compared<const D: usize>(a: AnyTensor, b: AnyTensor, comparison: Comparison) -> AnyTensor {
    macro_rules! common {
        ($K:ty) => {{
            let (a, b): (Tensor<D, $K>, Tensor<D, $K>) = (a.of(), b.of());
            match comparison {
                Comparison::Equal => a.equal(b).into(),
                Comparison::NotEqual => a.not_equal(b).into(),
                Comparison::Greater => a.greater(b).into(),
                Comparison::GreaterEqual => a.greater_equal(b).into(),
                Comparison::Less => a.lower(b).into(),
                Comparison::LessEqual => a.lower_equal(b).into(),
            }
        }};
    }
    match (a.kind(), comparison) {
        (ElementKind::Bool, Comparison::NotEqual) => a.of::<D, Bool>().not_equal(b.of()).into(),
        (ElementKind::Bool, _) => a.of::<D, Bool>().equal(b.of()).into(),
        (ElementKind::Int, _) => common!(Int),
        (ElementKind::Float, _) => common!(burn::tensor::Float),
    }
}

fn reduced<const D: usize, K>(x: Tensor<D, K>, reduction: Reduction, axis: usize) -> AnyTensor
where
    K: burn::tensor::kind::Numeric + burn::tensor::kind::Ordered,
{
    match reduction {
        Reduction::Sum => x.sum_dim(axis),
        Reduction::Mean => x.mean_dim(axis),
        Reduction::Product => x.prod_dim(axis),
        Reduction::Max => x.max_dim(axis),
        Reduction::Min => x.min_dim(axis),
        Reduction::MaxAbs => x.max_abs_dim(axis),
    }
    .into()
}

fn all_reduced<const D: usize, K>(x: Tensor<D, K>, reduction: Reduction) -> AnyTensor
where
    K: burn::tensor::kind::Numeric + burn::tensor::kind::Ordered,
{
    match reduction {
        Reduction::Sum => x.sum(),
        Reduction::Mean => x.mean(),
        Reduction::Product => x.prod(),
        Reduction::Max => x.max(),
        Reduction::Min => x.min(),
        Reduction::MaxAbs => x.max_abs(),
    }
    .into()
}

fn filled<const D: usize>(
    shape: &[usize],
    kind: ElementKind,
    value: f64,
    device: &Device,
) -> AnyTensor {
    let shape: [usize; D] = exactly(shape);
    match kind {
        ElementKind::Float => Tensor::<D>::full(shape, value, device).into(),
        ElementKind::Int => Tensor::<D, Int>::full(shape, value, device).into(),
        ElementKind::Bool => Tensor::<D, Bool>::full(shape, value != 0.0, device).into(),
    }
}

fn cast<const D: usize>(x: AnyTensor, kind: ElementKind) -> AnyTensor {
    match (x.kind(), kind) {
        (ElementKind::Float, ElementKind::Int) => x.of::<D, burn::tensor::Float>().int().into(),
        (ElementKind::Int, ElementKind::Float) => x.of::<D, Int>().float().into(),
        (ElementKind::Bool, ElementKind::Float) => x.of::<D, Bool>().float().into(),
        (ElementKind::Bool, ElementKind::Int) => x.of::<D, Bool>().int().into(),
        _ => x,
    }
}
