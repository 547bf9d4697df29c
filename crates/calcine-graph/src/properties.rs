//! The table of operators: the properties of each operator that do not depend on its operands.

mod attributes;
mod table;

use crate::graph::ElementKind;
use crate::op::{Convolution, Pool};

/// The properties of an operator: a row of the table that all analyses use.
///
/// A new operator needs a row in [`Op::properties`](crate::Op::properties), and its arithmetic where networks are computed.
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
