//! The table of operators: the properties of each operator that do not depend on its operands.

use std::slice::from_ref;

use crate::graph::ElementKind;
use crate::op::{Arithmetic, Comparison, Convolution, Map, Op, Padding, Pool, Reduction, Update};

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
    /// The layer's type as the field writes it, without its number of axes: `Conv`, `BatchNorm`; none if it is no layer.
    pub layer: Option<&'static str>,
    /// How the result depends on the operands.
    pub action: Action,
    /// The products that are summed, of which each is a multiply-accumulate.
    pub products: Products,
    /// The axes of its operands along which it sums or chooses.
    pub reads: Reads,
    /// What the operator computes over the axes that it [reads](crate::Graph::read_axes).
    pub summation: Summation,
    /// Whether the result is zero everywhere if the first operand is, and all other operands except a bias are
    /// unchanged, finite and not zero.
    pub keeps_zeros: bool,
    /// Whether `f(a · x) = a · f(x)` for every number `a > 0`, where `x` is the first operand, all other operands are
    /// unchanged, and there is no bias.
    pub homogeneous: bool,
    /// Whether each element of the result is an element of the first operand as it is, or zero.
    pub keeps_range: bool,
    /// How the first operand's elements lie in the result, if all of them are there, scaled by one number at most.
    pub arrangement: Arrangement<'a>,
    /// Along which axis of the result the channels lie.
    pub channels: Channels,
    /// The windows that it slides along the axes from the third on.
    pub windows: Option<Windows<'a>>,
    /// Which of its settings are numbers of indices of its operands.
    pub sizes: Sizes,
    /// The kinds of its operands, and that of the result.
    pub kinds: Kinds,
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

/// The products that an operator sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Products {
    /// None.
    Nothing,
    /// For each element of the result, as many as a filter has elements: all axes of the weight but the first.
    Filter,
    /// For each element of the first operand, as many as a filter has elements.
    TransposedFilter,
    /// For each element of the result, as many as the last axis of the first operand is long.
    Line,
    /// Those of queries with keys, and of scores with values.
    Attention,
}

/// The axes of the operands along which an operator sums or chooses, so that removing an index is the same as reading zero
/// there at best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reads {
    /// None: each index is left alone.
    Nothing,
    /// Of the first operand, those that the operator names.
    Named,
    /// Of the first operand, the last.
    Last,
    /// Of the first operand, all.
    Everything,
    /// Of the first operand, the channels.
    Channels,
    /// Of the first operand, the channels, unless each filter reads one.
    Filters,
    /// Of a product of matrices, the last of the first and the last but one of the second.
    Matrices,
    /// Features and keys of an attention.
    Attention,
}

/// How the elements of an operand lie in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrangement<'a> {
    /// At their places.
    Same,
    /// The result's axis `i` is the operand's axis `axes[i]`.
    Permuted(&'a [usize]),
    /// One after the other in another shape.
    Reshaped,
    /// Repeated along axes of length 1.
    Expanded,
    /// In another way, or not as they are.
    Other,
}

/// Along which axis of a result the channels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Along the second.
    Second,
    /// Along the last.
    Last,
    /// Along that of the operands, as they are arranged.
    Through,
    /// There are none any more.
    Gone,
}

/// The windows of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Windows<'a> {
    /// Those of a convolution.
    Convolution(&'a Convolution),
    /// Those of a transposed convolution, and what is added to one side of the output.
    Transposed(&'a Convolution, &'a [usize]),
    /// Those of a pool.
    Pool(&'a Pool),
}

/// Settings of an operator that are numbers of indices, and change where indices are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sizes {
    /// None.
    Nothing,
    /// Groups, one for each channel.
    Groups,
    /// Ranges of axes.
    Ranges,
    /// What is before and after an axis.
    Padding,
    /// How often an axis is repeated.
    Times,
}

/// The kinds of an operator's operands, and that of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds {
    /// Those of each operand; the last also those of all that follow.
    pub operands: [Takes; 5],
    /// That of the result.
    pub result: Gives,
}

/// The kinds that an operand may be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Takes {
    /// One of these.
    One(&'static [ElementKind]),
    /// That of the first operand.
    AsFirst,
}

/// The kind of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gives {
    /// This one.
    Only(ElementKind),
    /// That of the first operand.
    AsFirst,
    /// Any, but no boolean of a number.
    Converted,
    /// Any.
    Any,
}

const ANY: &[ElementKind] = &[ElementKind::Float, ElementKind::Int, ElementKind::Bool];
const NUMBERS: &[ElementKind] = &[ElementKind::Float, ElementKind::Int];
const FLOAT: &[ElementKind] = &[ElementKind::Float];
const INT: &[ElementKind] = &[ElementKind::Int];
const BOOL: &[ElementKind] = &[ElementKind::Bool];

impl Kinds {
    /// All operands of one kind, which the result has too.
    const fn alike(valid: &'static [ElementKind]) -> Self {
        Self::of([Takes::One(valid), Takes::AsFirst], Gives::AsFirst)
    }

    /// A first operand, and others, of which the second may differ from what follows.
    const fn of(operands: [Takes; 2], result: Gives) -> Self {
        let [first, other] = operands;
        Self {
            operands: [first, other, Takes::AsFirst, Takes::AsFirst, Takes::AsFirst],
            result,
        }
    }

    /// Floats, but the operand at this position.
    const fn floats_but(position: usize, valid: &'static [ElementKind]) -> Self {
        let mut operands = [Takes::One(FLOAT); 5];
        operands[position] = Takes::One(valid);
        Self {
            operands,
            result: Gives::Only(ElementKind::Float),
        }
    }
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
        layer: None,
        action,
        products: Products::Nothing,
        reads: Reads::Nothing,
        summation: Summation::Other,
        keeps_zeros: false,
        homogeneous: false,
        keeps_range: false,
        arrangement: Arrangement::Other,
        channels: Channels::Through,
        windows: None,
        sizes: Sizes::Nothing,
        kinds: Kinds::alike(FLOAT),
        weight: None,
        axes: &[],
        operand_ranks: [None; 5],
        least_rank: 0,
        result_rank: ResultRank::First,
    }
}

/// An operator that moves the elements of its first operand.
const fn moves<'a>(name: &'static str, operands: usize) -> Properties<'a> {
    let others = [Takes::One(ANY), Takes::One(INT)];
    row(name, [operands, operands], Action::Move)
        .linear()
        .keeps_range(true)
        .kinds(Kinds::of(others, Gives::AsFirst))
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

    /// A layer of this type, whose weight is that operand, and where its channels lie.
    const fn weight(mut self, layer: &'static str, operand: usize, channels: Channels) -> Self {
        self.weight = Some(operand);
        self.layer(layer, channels)
    }

    const fn layer(mut self, layer: &'static str, channels: Channels) -> Self {
        self.layer = Some(layer);
        self.channels(channels)
    }

    const fn channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    const fn multiplies(mut self, products: Products) -> Self {
        self.products = products;
        self
    }

    const fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    const fn keeps_range(mut self, keeps: bool) -> Self {
        self.keeps_range = keeps;
        self
    }

    const fn arranges(mut self, arrangement: Arrangement<'a>) -> Self {
        self.arrangement = arrangement;
        self
    }

    const fn windows(mut self, windows: Windows<'a>) -> Self {
        self.windows = Some(windows);
        self
    }

    const fn sized(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    const fn kinds(mut self, kinds: Kinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// Numbers of one kind, which the result has too.
    const fn of_numbers(self) -> Self {
        self.kinds(Kinds::alike(NUMBERS))
    }

    /// Numbers, of which positions are the result.
    const fn gives_positions(self) -> Self {
        let operands = [Takes::One(NUMBERS), Takes::AsFirst];
        self.kinds(Kinds::of(operands, Gives::Only(ElementKind::Int)))
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
        use Channels::{Gone, Last, Second};
        use ResultRank::{All, Fixed, Free};
        use Summation::{Mean, Sum};
        let of = |rank: usize| [Some(rank), None, None, None, None];
        match self {
            Self::Convolution(convolution) => row("conv", [2, 3], Product)
                .linear()
                .weight("Conv", 1, Second)
                .multiplies(Products::Filter)
                .reads(Reads::Filters)
                .over(Sum)
                .windows(Windows::Convolution(convolution))
                .sized(Sizes::Groups)
                .ranks(windows(convolution.stride.len())),
            Self::TransposedConvolution {
                convolution,
                output_padding,
            } => row("conv_transpose", [2, 3], Product)
                .linear()
                .weight("ConvTranspose", 1, Second)
                .multiplies(Products::TransposedFilter)
                .reads(Reads::Channels)
                .over(Sum)
                .windows(Windows::Transposed(convolution, output_padding))
                .sized(Sizes::Groups)
                .ranks(windows(convolution.stride.len())),
            Self::Linear => row("linear", [2, 3], Product)
                .linear()
                .weight("Linear", 1, Last)
                .multiplies(Products::Line)
                .reads(Reads::Last)
                .over(Sum)
                .ranks([None, Some(2), Some(1), None, None])
                .at_least(1),
            Self::Matmul => row("matmul", [2, 2], Product)
                .linear()
                .channels(Last)
                .multiplies(Products::Line)
                .reads(Reads::Matrices)
                .over(Sum)
                .at_least(2)
                .gives(All),
            Self::Embedding => row("embedding", [2, 2], Product)
                .linear()
                .weight("Embedding", 0, Last)
                .kinds(Kinds::floats_but(1, INT))
                .ranks([Some(2), Some(2), None, None, None])
                .gives(Fixed(3)),
            Self::BatchNorm { .. } => row("batch_norm", [5, 5], Normalize)
                .layer("BatchNorm", Second)
                .ranks([None, Some(1), Some(1), Some(1), Some(1)])
                .at_least(2),
            Self::LayerNorm { .. } => row("layer_norm", [2, 3], Normalize)
                .layer("LayerNorm", Last)
                .reads(Reads::Last)
                .over(Mean)
                .ranks([None, Some(1), Some(1), None, None])
                .at_least(1),
            Self::Attention { masked, .. } => row("attention", [3, 5], Product)
                .channels(Last)
                .multiplies(Products::Attention)
                .reads(Reads::Attention)
                .over(Sum)
                .kinds(Kinds::floats_but(3, if *masked { BOOL } else { FLOAT }))
                .ranks([Some(4); 5]),
            Self::MaxPool(pool) => row("max_pool", [1, 1], Window)
                .linear()
                .keeps_range(true)
                .windows(Windows::Pool(pool))
                .ranks(of(pool.kernel.len() + 2)),
            Self::AveragePool { pool, .. } => row("avg_pool", [1, 1], Window)
                .linear()
                .windows(Windows::Pool(pool))
                .ranks(of(pool.kernel.len() + 2)),
            Self::AdaptiveAveragePool => row("adaptive_avg_pool", [1, 1], Window)
                .linear()
                .at_least(2),
            Self::Interpolate { .. } => row("interpolate", [1, 1], Window).linear().ranks(of(4)),
            Self::Pad { padding, with } => row("pad", [1, 1], Move)
                .scales(with.keeps_zeros(), with.keeps_zeros())
                .keeps_range(with.keeps_zeros())
                .sized(Sizes::Padding)
                .of_numbers()
                .ranks(of(padding.len())),
            Self::Map(map) => {
                let (name, keeps_zeros, homogeneous) = map.properties();
                row(name, [1, 1], Elementwise)
                    .scales(keeps_zeros, homogeneous)
                    .keeps_range(*map == Map::Relu)
                    .kinds(Kinds::alike(map.kinds()))
            }
            Self::Scalar(arithmetic, number) => {
                let (keeps_zeros, homogeneous) = arithmetic.with_number(*number);
                row(arithmetic.name(), [1, 1], Elementwise)
                    .scales(keeps_zeros, homogeneous)
                    .arranges(Arrangement::Same)
                    .kinds(Kinds::alike(arithmetic.kinds_with_number()))
            }
            Self::Zip(arithmetic) => {
                let (keeps_zeros, homogeneous) = arithmetic.with_tensor();
                row(arithmetic.name(), [2, 2], Elementwise)
                    .scales(keeps_zeros, homogeneous)
                    .kinds(Kinds::alike(arithmetic.kinds()))
                    .gives(All)
            }
            Self::CompareScalar(comparison, _) => {
                row(comparison.name(), [1, 1], Elementwise).kinds(comparison.kinds())
            }
            Self::Compare(comparison) => row(comparison.name(), [2, 2], Elementwise)
                .kinds(comparison.kinds())
                .gives(All),
            Self::Where => row("where", [3, 3], Elementwise)
                .kinds(Kinds::of(
                    [Takes::One(ANY), Takes::One(BOOL)],
                    Gives::AsFirst,
                ))
                .gives(All),
            Self::Fill(number) => row("masked_fill", [2, 2], Elementwise)
                .scales(*number == 0.0, *number == 0.0)
                .kinds(Kinds::of(
                    [Takes::One(ANY), Takes::One(BOOL)],
                    Gives::AsFirst,
                ))
                .gives(All),
            Self::Softmax(axis) => row("softmax", [1, 1], Normalize)
                .reads(Reads::Named)
                .axes(from_ref(axis)),
            Self::LogSoftmax(axis) => row("log_softmax", [1, 1], Normalize)
                .reads(Reads::Named)
                .axes(from_ref(axis)),
            Self::Reduce(reduction, axis) => row(reduction.name(), [1, 1], Reduce)
                .scales(true, reduction.is_homogeneous())
                .reads(Reads::Named)
                .over(reduction.summation())
                .of_numbers()
                .axes(from_ref(axis)),
            Self::ReduceAll(reduction) => row(reduction.name(), [1, 1], Reduce)
                .scales(true, reduction.is_homogeneous())
                .channels(Gone)
                .reads(Reads::Everything)
                .over(reduction.summation())
                .of_numbers()
                .gives(Fixed(1)),
            Self::ArgMax(axis) => row("argmax", [1, 1], Reduce)
                .reads(Reads::Named)
                .gives_positions()
                .axes(from_ref(axis)),
            Self::CumulativeSum(axis) => row("cumsum", [1, 1], Reduce)
                .linear()
                .reads(Reads::Named)
                .of_numbers()
                .axes(from_ref(axis)),
            Self::ArgSort { axis, .. } => row("argsort", [1, 1], Reduce)
                .reads(Reads::Named)
                .gives_positions()
                .axes(from_ref(axis)),
            Self::Concat(axis) => row("cat", [1, usize::MAX], Move)
                .kinds(Kinds::alike(ANY))
                .axes(from_ref(axis))
                .gives(All),
            Self::Slice(ranges) => moves("slice", 1)
                .sized(Sizes::Ranges)
                .ranks(of(ranges.len())),
            Self::Select(axis) => {
                moves("select", 2)
                    .axes(from_ref(axis))
                    .ranks([None, Some(1), None, None, None])
            }
            Self::Gather(axis) => moves("gather", 2).axes(from_ref(axis)).gives(All),
            Self::Scatter(axis, update) => update.row("scatter").axes(from_ref(axis)).gives(All),
            Self::ScatterNd(update) => update.row("scatter_nd").at_least(1),
            Self::Reshape => moves("reshape", 1)
                .arranges(Arrangement::Reshaped)
                .gives(Free),
            Self::Expand => moves("expand", 1)
                .arranges(Arrangement::Expanded)
                .gives(Free),
            Self::Permute(axes) => moves("permute", 1)
                .arranges(Arrangement::Permuted(axes))
                .axes(axes)
                .ranks(of(axes.len())),
            Self::Flip(axes) => moves("flip", 1).axes(axes),
            Self::Repeat { axis, .. } => {
                moves("repeat", 1).sized(Sizes::Times).axes(from_ref(axis))
            }
            Self::Constant(_) => row("constant", [0, 0], Create)
                .kinds(Kinds::of([Takes::One(ANY); 2], Gives::Any))
                .gives(Free),
            Self::Cast => row("cast", [1, 1], Elementwise)
                .scales(true, false)
                .arranges(Arrangement::Same)
                .kinds(Kinds::of([Takes::One(ANY); 2], Gives::Converted)),
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
        let row = match self {
            Self::Assign => row(name, [3, 3], Action::Move),
            Self::Multiply => row(name, [3, 3], Action::Update).linear(),
            Self::Add | Self::Max | Self::Min => row(name, [3, 3], Action::Update),
        };
        row.kinds(Kinds::of(
            [Takes::One(NUMBERS), Takes::One(INT)],
            Gives::AsFirst,
        ))
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

    /// The kinds of numbers that it takes.
    fn kinds(self) -> &'static [ElementKind] {
        match self {
            Self::Not => BOOL,
            Self::Abs
            | Self::Negate
            | Self::Sign
            | Self::Clamp { .. }
            | Self::ClampMin(_)
            | Self::ClampMax(_) => NUMBERS,
            Self::Relu
            | Self::LeakyRelu(_)
            | Self::Gelu
            | Self::Sigmoid
            | Self::LogSigmoid
            | Self::HardSigmoid { .. }
            | Self::Tanh
            | Self::Exp
            | Self::Log
            | Self::Log1p
            | Self::Sqrt
            | Self::Reciprocal
            | Self::Erf
            | Self::Sin
            | Self::Cos
            | Self::Tan
            | Self::Sinh
            | Self::Cosh
            | Self::ArcSin
            | Self::ArcCos
            | Self::ArcTan
            | Self::ArcSinh
            | Self::ArcCosh
            | Self::ArcTanh
            | Self::Floor
            | Self::Ceil
            | Self::Truncate
            | Self::Round => FLOAT,
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

    /// The kinds of elements that it takes.
    fn kinds(self) -> &'static [ElementKind] {
        match self {
            Self::And | Self::Or => BOOL,
            Self::PRelu | Self::ArcTan2 | Self::Hypot => FLOAT,
            Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::Remainder
            | Self::Power => NUMBERS,
        }
    }

    /// The kinds of elements that it takes beside a number: none if it has no such form.
    fn kinds_with_number(self) -> &'static [ElementKind] {
        match self.kinds() {
            NUMBERS => NUMBERS,
            _ => &[],
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

impl Comparison {
    /// Booleans are equal or not, and have no order.
    fn kinds(self) -> Kinds {
        let valid = match self {
            Self::Equal | Self::NotEqual => ANY,
            Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual => NUMBERS,
        };
        let operands = [Takes::One(valid), Takes::AsFirst];
        Kinds::of(operands, Gives::Only(ElementKind::Bool))
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
