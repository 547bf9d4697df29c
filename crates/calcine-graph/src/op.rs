use std::fmt;

use serde::{Deserialize, Serialize};

use crate::extent::Extent;

/// What a node computes.
///
/// Operands are the node's inputs, in the order that each variant names; those in brackets may be
/// missing. Axes are positions in the operand's shape, batch included. Where a variant does not tell a
/// size (the target of a reshape), the shape of the node's output tells it, so that a graph has each size once.
///
/// What holds for each operator, whatever its operands are, is in one table: [`Op::properties`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `x [batch, in, …]`, `weight [out, in / groups, …]`, `[bias [out]]`.
    Convolution(Convolution),
    /// `x [batch, in, …]`, `weight [in, out / groups, …]`, `[bias [out]]`.
    TransposedConvolution {
        /// As of the convolution whose gradient this is.
        convolution: Convolution,
        /// What is added to one side of the output.
        output_padding: Vec<usize>,
    },
    /// `x [.., in]`, `weight [in, out]`, `[bias [out]]`.
    Linear,
    /// `a [.., m, k]`, `b [.., k, n]`; leading axes are broadcast.
    Matmul,
    /// `weight [entries, features]`, `indices [batch, length]`.
    Embedding,
    /// `x [batch, channels, ..]`, `gamma`, `beta`, `mean`, `variance`, all `[channels]`.
    BatchNorm {
        /// What is added to the variance.
        epsilon: f64,
        /// How much of a batch goes into the running statistics.
        momentum: f64,
    },
    /// `x [.., features]`, `gamma [features]`, `[beta [features]]`.
    LayerNorm {
        /// What is added to the variance.
        epsilon: f64,
    },
    /// `query`, `key`, `value [batch, heads, length, features]`, `[mask]`, `[bias]`.
    Attention {
        /// What the products are multiplied with; `1 / √features` if none is given.
        scale: Option<f64>,
        /// The bound of `softcap · tanh(x / softcap)`, if any.
        softcap: Option<f64>,
        /// Whether later positions are hidden.
        causal: bool,
        /// Whether the fourth operand is a mask; a bias may stand in its place.
        masked: bool,
    },
    /// `x [batch, channels, …]`: the largest of each window.
    MaxPool(Pool),
    /// `x [batch, channels, …]`: the mean of each window.
    AveragePool {
        /// The windows.
        pool: Pool,
        /// Whether padding counts as zeros.
        count_padding: bool,
    },
    /// `x [batch, channels, …]`: the means of as many windows as the output has places.
    AdaptiveAveragePool,
    /// `x [batch, channels, height, width]`, to the output's size.
    Interpolate {
        /// How values between places are made.
        mode: Interpolation,
        /// Whether corners fall on corners.
        align_corners: bool,
    },
    /// `x`: each axis grows by these numbers before and after.
    Pad {
        /// Before and after, an axis each.
        padding: Vec<[usize; 2]>,
        /// With what.
        with: Padding,
    },
    /// `x`: each element on its own.
    Map(Map),
    /// `x`: each element with a number.
    Scalar(Arithmetic, #[serde(with = "crate::number")] f64),
    /// `a`, `b`, broadcast: each element with its counterpart.
    Zip(Arithmetic),
    /// `x`: each element compared with a number.
    CompareScalar(Comparison, #[serde(with = "crate::number")] f64),
    /// `a`, `b`, broadcast: each element compared with its counterpart.
    Compare(Comparison),
    /// `x`, `mask`, `other`: `other` where the mask is true.
    Where,
    /// `x`, `mask`: the number where the mask is true.
    Fill(#[serde(with = "crate::number")] f64),
    /// `x`: `exp(x) / Σ exp(x)` along an axis.
    Softmax(usize),
    /// `x`: the logarithm of the softmax along an axis.
    LogSoftmax(usize),
    /// `x`: one value for each line along an axis, which keeps the length 1.
    Reduce(Reduction, usize),
    /// `x`: one value of all, of shape `[1]`.
    ReduceAll(Reduction),
    /// `x`: the index of the largest along an axis, which keeps the length 1.
    ArgMax(usize),
    /// `x`: running sums along an axis.
    CumulativeSum(usize),
    /// `x`: the positions of the elements along an axis in the order of their size, as many of them as the output is long.
    ///
    /// Equal elements come in the order of their positions, ascending or descending; what is not a number counts as larger
    /// than any number.
    ArgSort {
        /// Which axis.
        axis: usize,
        /// Whether the largest is first.
        descending: bool,
    },
    /// `a`, `b`, …: one after the other along an axis.
    Concat(usize),
    /// `x`: part of each axis.
    Slice(Vec<Range>),
    /// `x`, `indices [n]`: the elements at these positions of an axis.
    Select(usize),
    /// `x`, `indices`: one element along an axis for each index.
    Gather(usize),
    /// `x`, `indices`, `values`, of which the last two have the same shape: `x` after each index has told which element
    /// along an axis its value updates; the reverse of [`Gather`](Self::Gather).
    Scatter(usize, Update),
    /// `x [a, b, …, rest]`, `indices [.., depth]`, `values [.., rest]`: `x` after each row of indices has told which element of
    /// the first `depth` axes its value updates, or which slice its values update.
    ScatterNd(Update),
    /// `x`: the same elements in the output's shape.
    Reshape,
    /// `x`: axes of length 1 repeated to the output's shape.
    Expand,
    /// `x`: the output's axis `i` is the operand's axis `axes[i]`.
    Permute(Vec<usize>),
    /// `x`: these axes backwards.
    Flip(Vec<usize>),
    /// `x`: an axis this many times.
    Repeat {
        /// Which axis.
        axis: usize,
        /// How often.
        times: usize,
    },
    /// No operand: the number everywhere.
    Constant(#[serde(with = "crate::number")] f64),
    /// `x`: as another kind of number, that of the output.
    Cast,
}

/// The windows of a convolution, an element for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Convolution {
    /// Distance of neighbouring windows.
    pub stride: Vec<usize>,
    /// Zeros before and after.
    pub padding: Vec<[usize; 2]>,
    /// Distance of neighbouring elements in a window.
    pub dilation: Vec<usize>,
    /// How many parts the channels are split into; each output sees one part of the inputs.
    pub groups: usize,
}

/// The windows of a pool, an element for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Size of a window.
    pub kernel: Vec<usize>,
    /// Distance of neighbouring windows.
    pub stride: Vec<usize>,
    /// Elements before and after that do not count, or count as zeros.
    pub padding: Vec<usize>,
    /// Distance of neighbouring elements in a window.
    pub dilation: Vec<usize>,
    /// Whether a last window may hang over the edge.
    pub ceil: bool,
}

/// How values between places are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the field's names")]
pub enum Interpolation {
    Nearest,
    NearestExact,
    Bilinear,
    Bicubic,
    Lanczos3,
}

/// What stands in padding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// A number.
    Constant(#[serde(with = "crate::number")] f64),
    /// The elements within, mirrored; the border once.
    Reflect,
    /// The border.
    Edge,
}

/// A function of one element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the functions' names say it")]
pub enum Map {
    Relu,
    /// `x` if positive, else this multiple of it.
    LeakyRelu(#[serde(with = "crate::number")] f64),
    Gelu,
    Sigmoid,
    LogSigmoid,
    /// `min(max(alpha · x + beta, 0), 1)`.
    HardSigmoid {
        alpha: f64,
        beta: f64,
    },
    Tanh,
    Abs,
    Negate,
    Sign,
    Exp,
    Log,
    Log1p,
    Sqrt,
    /// `1 / x`.
    Reciprocal,
    Erf,
    Sin,
    Cos,
    Tan,
    Sinh,
    Cosh,
    ArcSin,
    ArcCos,
    ArcTan,
    ArcSinh,
    ArcCosh,
    ArcTanh,
    Floor,
    Ceil,
    /// To the nearest whole number in the direction of zero.
    Truncate,
    /// To the nearest whole number, ties to even.
    Round,
    /// `min(max(x, low), high)`.
    Clamp {
        #[serde(with = "crate::number")]
        low: f64,
        #[serde(with = "crate::number")]
        high: f64,
    },
    /// `max(x, low)`.
    ClampMin(#[serde(with = "crate::number")] f64),
    /// `min(x, high)`.
    ClampMax(#[serde(with = "crate::number")] f64),
    /// Of booleans.
    Not,
}

/// A function of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the functions' names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    /// `x` if positive, else `x` times the other: one slope, or one for each position of the second axis.
    PRelu,
    /// The angle of the point whose height is `x` and whose distance to the right is the other.
    ArcTan2,
    /// `√(x² + other²)`.
    Hypot,
    And,
    Or,
}

/// A comparison of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the comparisons' names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// One value of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the functions' names say it")]
pub enum Reduction {
    Sum,
    Mean,
    Product,
    Max,
    Min,
    MaxAbs,
}

/// What a scattered value does to the element at its place.
///
/// Where two values have the same place, sums, products and extremes are those of both, in no order that is stated; of two
/// that are assigned, the last one stays on a CPU, and any of them on other devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the functions' names say it")]
pub enum Update {
    Assign,
    Add,
    Multiply,
    Max,
    Min,
}

/// Part of an axis: `start`, `start + step`, … below `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The first position.
    pub start: Extent,
    /// The position after the last.
    pub end: Extent,
    /// From one position to the next; from the end backwards if negative.
    pub step: isize,
}

impl Range {
    /// Positions that no batch changes, each of them.
    #[must_use]
    pub const fn fixed(start: usize, end: usize) -> Self {
        Self {
            start: Extent::fixed(start),
            end: Extent::fixed(end),
            step: 1,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
