//! The table of operators: the properties of each operator that do not depend on its operands.

use std::slice::from_ref;

use crate::op::{Arithmetic, Comparison, Map, Op, Padding, Reduction, Update};

/// The properties of an operator: a row of the table that all analyses use.
///
/// A new operator needs a row in [`Op::properties`], and its arithmetic where networks are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Properties<'a> {
    /// The short name in drawings and layer names: `conv`, `relu`, `add`.
    pub name: &'static str,
    /// The smallest number of operands.
    pub least_operands: usize,
    /// The largest number of operands.
    pub most_operands: usize,
    /// How the result depends on the operands.
    pub action: Action,
    /// What the operator computes over the axes that it [reads](crate::Graph::read_axes).
    pub summation: Summation,
    /// Whether the result is zero everywhere if the first operand is, and all other operands except a bias are
    /// unchanged, finite and not zero.
    pub keeps_zeros: bool,
    /// Whether `f(a · x) = a · f(x)` for every number `a > 0`, where `x` is the first operand, all other operands are
    /// unchanged, and there is no bias.
    pub homogeneous: bool,
    /// The operand that is the weight of a layer, if the operator produces its own channels.
    pub weight: Option<usize>,
    /// The axes of the first operand that the operator contains.
    pub axes: &'a [usize],
    /// The rank of each operand, if the operator fixes it.
    pub operand_ranks: [Option<usize>; 5],
    /// The smallest rank of the first operand.
    pub least_rank: usize,
    /// The rank of the result.
    pub result_rank: ResultRank,
}

/// How the result of an operator depends on its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sums products of its operands, or looks up rows of a table.
    Product,
    /// Normalises its operand with statistics.
    Normalize,
    /// Slides a window along the axes from the third one on.
    Window,
    /// Each element of the result depends only on the elements at the same position, where operands are broadcast.
    Elementwise,
    /// Each element of the result is an element of an operand, or a number in the operator: nothing is computed.
    Move,
    /// Computes one number, running numbers or an order for each line along an axis.
    Reduce,
    /// Combines elements of one operand with the elements of another that indices refer to.
    Update,
    /// Has no operands.
    Create,
}

/// What an operator computes over the axes that it reads, which determines the effect of removing an index at which it
/// reads zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Summation {
    /// A sum, or the largest absolute value: zeros have no effect.
    Sum,
    /// A mean or a norm: zeros are included in the number of elements.
    Mean,
    /// Anything else, or nothing.
    Other,
}

/// The rank of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultRank {
    /// The rank of the first operand.
    First,
    /// The rank of all operands, which is the same for all.
    All,
    /// This number.
    Fixed(usize),
    /// The rank of the shape of the output.
    Free,
}

impl Properties<'_> {
    /// Whether each element of the result depends only on the elements at the same position.
    #[must_use]
    pub fn is_elementwise(&self) -> bool {
        self.action == Action::Elementwise
    }

    /// Whether the operator only moves elements.
    #[must_use]
    pub fn only_moves(&self) -> bool {
        self.action == Action::Move
    }

    /// Whether the operator produces its own channels: a convolution, a linear layer, an embedding.
    #[must_use]
    pub fn is_layer(&self) -> bool {
        self.weight.is_some()
    }
}

/// A row with the properties that most operators have.
const fn row<'a>(name: &'static str, operands: [usize; 2], action: Action) -> Properties<'a> {
    Properties {
        name,
        least_operands: operands[0],
        most_operands: operands[1],
        action,
        summation: Summation::Other,
        keeps_zeros: false,
        homogeneous: false,
        weight: None,
        axes: &[],
        operand_ranks: [None; 5],
        least_rank: 0,
        result_rank: ResultRank::First,
    }
}

/// An operator that moves the elements of its first operand.
const fn moves<'a>(name: &'static str, operands: usize) -> Properties<'a> {
    row(name, [operands, operands], Action::Move).linear()
}

impl<'a> Properties<'a> {
    /// Preserves zeros, and is homogeneous.
    const fn linear(self) -> Self {
        self.scales(true, true)
    }

    const fn scales(mut self, keeps_zeros: bool, homogeneous: bool) -> Self {
        self.keeps_zeros = keeps_zeros;
        self.homogeneous = homogeneous;
        self
    }

    const fn over(mut self, summation: Summation) -> Self {
        self.summation = summation;
        self
    }

    const fn weight(mut self, operand: usize) -> Self {
        self.weight = Some(operand);
        self
    }

    const fn axes(mut self, axes: &'a [usize]) -> Self {
        self.axes = axes;
        self
    }

    const fn ranks(mut self, ranks: [Option<usize>; 5]) -> Self {
        self.operand_ranks = ranks;
        self
    }

    const fn at_least(mut self, rank: usize) -> Self {
        self.least_rank = rank;
        self
    }

    const fn gives(mut self, rank: ResultRank) -> Self {
        self.result_rank = rank;
        self
    }
}

impl Op {
    /// The row of this operator in the table.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        use Action::{Create, Elementwise, Move, Normalize, Product, Reduce, Window};
        use ResultRank::{All, Fixed, Free};
        use Summation::{Mean, Sum};
        let of = |rank: usize| [Some(rank), None, None, None, None];
        match self {
            Self::Convolution(convolution) => row("conv", [2, 3], Product)
                .linear()
                .over(Sum)
                .weight(1)
                .ranks(windows(convolution.stride.len())),
            Self::TransposedConvolution { convolution, .. } => {
                row("conv_transpose", [2, 3], Product)
                    .linear()
                    .over(Sum)
                    .weight(1)
                    .ranks(windows(convolution.stride.len()))
            }
            Self::Linear => row("linear", [2, 3], Product)
                .linear()
                .over(Sum)
                .weight(1)
                .ranks([None, Some(2), Some(1), None, None])
                .at_least(1),
            Self::Matmul => row("matmul", [2, 2], Product)
                .linear()
                .over(Sum)
                .at_least(2)
                .gives(All),
            Self::Embedding => row("embedding", [2, 2], Product)
                .linear()
                .weight(0)
                .ranks([Some(2), Some(2), None, None, None])
                .gives(Fixed(3)),
            Self::BatchNorm { .. } => row("batch_norm", [5, 5], Normalize)
                .ranks([None, Some(1), Some(1), Some(1), Some(1)])
                .at_least(2),
            Self::LayerNorm { .. } => row("layer_norm", [2, 3], Normalize)
                .over(Mean)
                .ranks([None, Some(1), Some(1), None, None])
                .at_least(1),
            Self::Attention { .. } => row("attention", [3, 5], Product)
                .over(Sum)
                .ranks([Some(4); 5]),
            Self::MaxPool(pool) => row("max_pool", [1, 1], Window)
                .linear()
                .ranks(of(pool.kernel.len() + 2)),
            Self::AveragePool { pool, .. } => row("avg_pool", [1, 1], Window)
                .linear()
                .ranks(of(pool.kernel.len() + 2)),
            Self::AdaptiveAveragePool => row("adaptive_avg_pool", [1, 1], Window)
                .linear()
                .at_least(2),
            Self::Interpolate { .. } => row("interpolate", [1, 1], Window).linear().ranks(of(4)),
            Self::Pad { padding, with } => row("pad", [1, 1], Move)
                .scales(with.keeps_zeros(), with.keeps_zeros())
                .ranks(of(padding.len())),
            Self::Map(map) => {
                let (name, keeps_zeros, homogeneous) = map.properties();
                row(name, [1, 1], Elementwise).scales(keeps_zeros, homogeneous)
            }
            Self::Scalar(arithmetic, number) => {
                let (keeps_zeros, homogeneous) = arithmetic.with_number(*number);
                row(arithmetic.name(), [1, 1], Elementwise).scales(keeps_zeros, homogeneous)
            }
            Self::Zip(arithmetic) => {
                let (keeps_zeros, homogeneous) = arithmetic.with_tensor();
                row(arithmetic.name(), [2, 2], Elementwise)
                    .scales(keeps_zeros, homogeneous)
                    .gives(All)
            }
            Self::CompareScalar(comparison, _) => row(comparison.name(), [1, 1], Elementwise),
            Self::Compare(comparison) => row(comparison.name(), [2, 2], Elementwise).gives(All),
            Self::Where => row("where", [3, 3], Elementwise).gives(All),
            Self::Fill(number) => row("masked_fill", [2, 2], Elementwise)
                .scales(*number == 0.0, *number == 0.0)
                .gives(All),
            Self::Softmax(axis) => row("softmax", [1, 1], Normalize).axes(from_ref(axis)),
            Self::LogSoftmax(axis) => row("log_softmax", [1, 1], Normalize).axes(from_ref(axis)),
            Self::Reduce(reduction, axis) => row(reduction.name(), [1, 1], Reduce)
                .scales(true, reduction.is_homogeneous())
                .over(reduction.summation())
                .axes(from_ref(axis)),
            Self::ReduceAll(reduction) => row(reduction.name(), [1, 1], Reduce)
                .scales(true, reduction.is_homogeneous())
                .over(reduction.summation())
                .gives(Fixed(1)),
            Self::ArgMax(axis) => row("argmax", [1, 1], Reduce).axes(from_ref(axis)),
            Self::CumulativeSum(axis) => {
                row("cumsum", [1, 1], Reduce).linear().axes(from_ref(axis))
            }
            Self::ArgSort { axis, .. } => row("argsort", [1, 1], Reduce).axes(from_ref(axis)),
            Self::Concat(axis) => row("cat", [1, usize::MAX], Move)
                .axes(from_ref(axis))
                .gives(All),
            Self::Slice(ranges) => moves("slice", 1).ranks(of(ranges.len())),
            Self::Select(axis) => {
                moves("select", 2)
                    .axes(from_ref(axis))
                    .ranks([None, Some(1), None, None, None])
            }
            Self::Gather(axis) => moves("gather", 2).axes(from_ref(axis)).gives(All),
            Self::Scatter(axis, update) => update.row("scatter").axes(from_ref(axis)).gives(All),
            Self::ScatterNd(update) => update.row("scatter_nd").at_least(1),
            Self::Reshape => moves("reshape", 1).gives(Free),
            Self::Expand => moves("expand", 1).gives(Free),
            Self::Permute(axes) => moves("permute", 1).axes(axes).ranks(of(axes.len())),
            Self::Flip(axes) => moves("flip", 1).axes(axes),
            Self::Repeat { axis, .. } => moves("repeat", 1).axes(from_ref(axis)),
            Self::Constant(_) => row("constant", [0, 0], Create).gives(Free),
            Self::Cast => row("cast", [1, 1], Elementwise).scales(true, false),
        }
    }

    /// The short name in drawings and layer names: `conv`, `relu`, `add`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.properties().name
    }
}

/// The ranks of the operand, the weight and the bias of a convolution with this number of spatial axes.
const fn windows(spatial: usize) -> [Option<usize>; 5] {
    [Some(spatial + 2), Some(spatial + 2), Some(1), None, None]
}

impl Update {
    /// The row of a scatter operation. In a product, the values are factors for the elements.
    const fn row<'a>(self, name: &'static str) -> Properties<'a> {
        match self {
            Self::Assign => row(name, [3, 3], Action::Move),
            Self::Multiply => row(name, [3, 3], Action::Update).linear(),
            Self::Add | Self::Max | Self::Min => row(name, [3, 3], Action::Update),
        }
    }
}

impl Padding {
    /// Whether the values in the padding are zero if the operand is zero.
    #[must_use]
    pub fn keeps_zeros(self) -> bool {
        match self {
            Self::Constant(number) => number == 0.0,
            Self::Reflect | Self::Edge => true,
        }
    }
}

impl Map {
    /// The name, whether `f(0) = 0`, and whether `f(a · x) = a · f(x)` for `a > 0`.
    fn properties(self) -> (&'static str, bool, bool) {
        match self {
            Self::Relu => ("relu", true, true),
            Self::LeakyRelu(_) => ("leaky_relu", true, true),
            Self::Gelu => ("gelu", true, false),
            Self::Sigmoid => ("sigmoid", false, false),
            Self::LogSigmoid => ("log_sigmoid", false, false),
            Self::HardSigmoid { beta, .. } => ("hard_sigmoid", beta <= 0.0, false),
            Self::Tanh => ("tanh", true, false),
            Self::Abs => ("abs", true, true),
            Self::Negate => ("neg", true, true),
            Self::Sign => ("sign", true, false),
            Self::Exp => ("exp", false, false),
            Self::Log => ("log", false, false),
            Self::Log1p => ("log1p", true, false),
            Self::Sqrt => ("sqrt", true, false),
            Self::Reciprocal => ("reciprocal", false, false),
            Self::Erf => ("erf", true, false),
            Self::Sin => ("sin", true, false),
            Self::Cos => ("cos", false, false),
            Self::Tan => ("tan", true, false),
            Self::Sinh => ("sinh", true, false),
            Self::Cosh => ("cosh", false, false),
            Self::ArcSin => ("asin", true, false),
            Self::ArcCos => ("acos", false, false),
            Self::ArcTan => ("atan", true, false),
            Self::ArcSinh => ("asinh", true, false),
            Self::ArcCosh => ("acosh", false, false),
            Self::ArcTanh => ("atanh", true, false),
            Self::Truncate => ("trunc", true, false),
            Self::Floor => ("floor", true, false),
            Self::Ceil => ("ceil", true, false),
            Self::Round => ("round", true, false),
            Self::Clamp { low, high } => (
                "clamp",
                low <= 0.0 && high >= 0.0,
                is_no_scale(low) && is_no_scale(high),
            ),
            Self::ClampMin(low) => ("clamp", low <= 0.0, is_no_scale(low)),
            Self::ClampMax(high) => ("clamp", high >= 0.0, is_no_scale(high)),
            Self::Not => ("not", false, false),
        }
    }
}

/// Whether a bound does not depend on the scale: zero or infinite.
fn is_no_scale(bound: f64) -> bool {
    bound == 0.0 || bound.is_infinite()
}

impl Arithmetic {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "sub",
            Self::Multiply => "mul",
            Self::Divide => "div",
            Self::Remainder => "rem",
            Self::Power => "pow",
            Self::PRelu => "prelu",
            Self::ArcTan2 => "atan2",
            Self::Hypot => "hypot",
            Self::And => "and",
            Self::Or => "or",
        }
    }

    /// Whether the operation preserves zeros, and whether it is homogeneous, with this number as its second operand.
    fn with_number(self, number: f64) -> (bool, bool) {
        match self {
            Self::Add | Self::Subtract => (number == 0.0, number == 0.0),
            Self::Multiply => (number.is_finite(), number.is_finite()),
            Self::Divide => (number != 0.0, number != 0.0),
            Self::Remainder => (number != 0.0, false),
            Self::Power => (number > 0.0, number == 1.0),
            Self::PRelu => (true, true),
            Self::ArcTan2 | Self::Hypot | Self::And | Self::Or => (false, false),
        }
    }

    /// The same with any tensor as the second operand.
    fn with_tensor(self) -> (bool, bool) {
        match self {
            Self::Multiply | Self::Divide | Self::PRelu => (true, true),
            Self::Remainder => (true, false),
            Self::Add
            | Self::Subtract
            | Self::Power
            | Self::ArcTan2
            | Self::Hypot
            | Self::And
            | Self::Or => (false, false),
        }
    }
}

impl Comparison {
    fn name(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::NotEqual => "ne",
            Self::Greater => "gt",
            Self::GreaterEqual => "ge",
            Self::Less => "lt",
            Self::LessEqual => "le",
        }
    }
}

impl Reduction {
    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Product => "prod",
            Self::Max => "max",
            Self::Min => "min",
            Self::MaxAbs => "max_abs",
        }
    }

    fn is_homogeneous(self) -> bool {
        match self {
            Self::Sum | Self::Mean | Self::Max | Self::Min | Self::MaxAbs => true,
            Self::Product => false,
        }
    }

    fn summation(self) -> Summation {
        match self {
            Self::Sum | Self::MaxAbs => Summation::Sum,
            Self::Mean => Summation::Mean,
            Self::Product | Self::Max | Self::Min => Summation::Other,
        }
    }
}
