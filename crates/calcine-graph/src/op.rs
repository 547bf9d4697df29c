use std::fmt;

use serde::{Deserialize, Serialize};

use crate::extent::Extent;

/// An operation.
///
/// The operands are the inputs of the node, in the order that each variant documents; those in brackets are optional.
/// Axes are positions in the shape of the operand, including the batch axis. If a variant has no field for a size (for
/// example the target shape of a reshape), it is that of the output, so that a graph contains each size once.
///
/// The properties of each operator that do not depend on its operands are in one table: [`Op::properties`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `x [batch, in, …]`, `weight [out, in / groups, …]`, `[bias [out]]`.
    Convolution(Convolution),
    /// `x [batch, in, …]`, `weight [in, out / groups, …]`, `[bias [out]]`.
    TransposedConvolution {
        /// The settings of the convolution whose gradient this is.
        convolution: Convolution,
        /// The number of elements that are added at the end of each spatial axis.
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
        /// The number that is added to the variance.
        epsilon: f64,
        /// The weight of a batch in the running statistics.
        momentum: f64,
    },
    /// `x [.., features]`, `gamma [features]`, `[beta [features]]`.
    LayerNorm {
        /// The number that is added to the variance.
        epsilon: f64,
    },
    /// `query`, `key`, `value [batch, heads, length, features]`, `[mask]`, `[bias]`.
    Attention {
        /// The factor for the products; `1 / √features` if `None`.
        scale: Option<f64>,
        /// The bound of `softcap · tanh(x / softcap)`, if there is one.
        softcap: Option<f64>,
        /// Whether later positions are masked.
        causal: bool,
        /// Whether the fourth operand is a mask; otherwise it is the bias.
        masked: bool,
    },
    /// `x [batch, channels, …]`: the largest of each window.
    MaxPool(Pool),
    /// `x [batch, channels, …]`: the mean of each window.
    AveragePool {
        /// The windows.
        pool: Pool,
        /// Whether padding is included in the mean, as zeros.
        count_padding: bool,
    },
    /// `x [batch, channels, …]`: the means of as many windows as the output has positions.
    AdaptiveAveragePool,
    /// `x [batch, channels, height, width]`, resized to the size of the output.
    Interpolate {
        /// How values between pixels are computed.
        mode: Interpolation,
        /// Whether the corner pixels of input and output are aligned.
        align_corners: bool,
    },
    /// `x`: each axis is extended by these numbers before and after.
    Pad {
        /// The numbers of elements before and after, for each axis.
        padding: Vec<[usize; 2]>,
        /// The values in the padding.
        with: Padding,
    },
    /// `x`: a function of each element.
    Map(Map),
    /// `x`: each element and a number.
    Scalar(Arithmetic, #[serde(with = "crate::number")] f64),
    /// `a`, `b`, broadcast: each element and the corresponding one.
    Zip(Arithmetic),
    /// `x`: each element compared with a number.
    CompareScalar(Comparison, #[serde(with = "crate::number")] f64),
    /// `a`, `b`, broadcast: each element compared with the corresponding one.
    Compare(Comparison),
    /// `x`, `mask`, `other`: `other` where the mask is true, `x` elsewhere.
    Where,
    /// `x`, `mask`: the number where the mask is true, `x` elsewhere.
    Fill(#[serde(with = "crate::number")] f64),
    /// `x`: `exp(x) / Σ exp(x)` along an axis.
    Softmax(usize),
    /// `x`: the logarithm of the softmax along an axis.
    LogSoftmax(usize),
    /// `x`: one value for each line along an axis, which keeps the length 1.
    Reduce(Reduction, usize),
    /// `x`: one value of all elements, of shape `[1]`.
    ReduceAll(Reduction),
    /// `x`: the index of the largest element along an axis, which keeps the length 1.
    ArgMax(usize),
    /// `x`: running sums along an axis.
    CumulativeSum(usize),
    /// `x`: the positions of the elements along an axis in sorted order, as many as the output is long.
    ///
    /// Equal elements are in ascending order of their positions, for both directions; NaN counts as larger than any number.
    ArgSort {
        /// The axis.
        axis: usize,
        /// Whether the largest element is first.
        descending: bool,
    },
    /// `a`, `b`, …: concatenated along an axis.
    Concat(usize),
    /// `x`: a part of each axis.
    Slice(Vec<Range>),
    /// `x`, `indices [n]`: the elements at these positions of an axis.
    Select(usize),
    /// `x`, `indices`: one element along an axis for each index.
    Gather(usize),
    /// `x`, `indices`, `values`, of which the last two have the same shape: `x`, in which each value updates the element
    /// along an axis at its index; the inverse of [`Gather`](Self::Gather).
    Scatter(usize, Update),
    /// `x [a, b, …, rest]`, `indices [.., depth]`, `values [.., rest]`: `x`, in which the values of each row of indices
    /// update the element or the slice at that position of the first `depth` axes.
    ScatterNd(Update),
    /// `x`: the same elements in the shape of the output.
    Reshape,
    /// `x`: axes of length 1 are repeated to the shape of the output.
    Expand,
    /// `x`: axis `i` of the output is axis `axes[i]` of the operand.
    Permute(Vec<usize>),
    /// `x`: these axes reversed.
    Flip(Vec<usize>),
    /// `x`: an axis repeated this many times.
    Repeat {
        /// The axis.
        axis: usize,
        /// The number of repetitions.
        times: usize,
    },
    /// No operand: this number everywhere.
    Constant(#[serde(with = "crate::number")] f64),
    /// `x`: converted to the element type of the output.
    Cast,
}

/// The windows of a convolution, with one entry per spatial axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Convolution {
    /// The distance between neighbouring windows.
    pub stride: Vec<usize>,
    /// The numbers of zeros before and after.
    pub padding: Vec<[usize; 2]>,
    /// The distance between neighbouring elements in a window.
    pub dilation: Vec<usize>,
    /// The number of groups into which the channels are divided; each output uses the inputs of one group.
    pub groups: usize,
}

/// The windows of a pool, with one entry per spatial axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// The size of a window.
    pub kernel: Vec<usize>,
    /// The distance between neighbouring windows.
    pub stride: Vec<usize>,
    /// The number of elements before and after that are ignored, or count as zeros.
    pub padding: Vec<usize>,
    /// The distance between neighbouring elements in a window.
    pub dilation: Vec<usize>,
    /// Whether a last window may extend beyond the edge.
    pub ceil: bool,
}

/// How values between pixels are computed.
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

/// The values in the padding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// A number.
    Constant(#[serde(with = "crate::number")] f64),
    /// The elements inside, mirrored, without repeating the border.
    Reflect,
    /// The border, repeated.
    Edge,
}

/// A function of one element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the functions' names say it")]
pub enum Map {
    Relu,
    /// `x` if positive, otherwise this multiple of it.
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
    /// The nearest whole number in the direction of zero.
    Truncate,
    /// The nearest whole number, ties to even.
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
    /// Logical negation of booleans.
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
    /// `x` if positive, otherwise `x` times the other operand: one slope, or one for each position of the second axis.
    PRelu,
    /// The angle of the point whose vertical coordinate is `x` and whose horizontal coordinate is the other operand.
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

/// A function of many elements with one value.
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

/// How a scattered value updates the element at its position.
///
/// If several values have the same position, sums, products and extremes include all of them, in unspecified order. Of
/// several assigned values, a CPU keeps the last one, and other devices any of them.
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

/// A part of an axis: `start`, `start + step`, … below `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The first position.
    pub start: Extent,
    /// The position after the last.
    pub end: Extent,
    /// The distance between two positions; if negative, the positions run backwards from the end.
    pub step: isize,
}

impl Range {
    /// All positions of a range that does not depend on the batch size.
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
