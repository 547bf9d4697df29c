//! The rows of the table.

use std::slice::from_ref;

use super::{
    ANY, Action, Arrangement, BOOL, Channels, FLOAT, Gives, INT, Kinds, NUMBERS, Products,
    Properties, Reads, ResultRank, Sizes, Summation, Takes, Windows,
};
use crate::graph::ElementKind;
use crate::op::{Map, Op, Update};

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
