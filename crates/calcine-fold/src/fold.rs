use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Tensor};

use crate::error::FoldError;
use crate::granularity::Granularity;
use crate::layout::Layout;
use crate::shuffle::Shuffle;
use crate::spread::Spread;

/// The unit view of a weight: a [`Granularity`] and a [`Layout`] bound to a shape, which converts weights to rows of units and back.
///
/// Every weight is treated as `[out, in / groups, height, width]`: a linear layer has a 1 × 1 kernel, a one-dimensional convolution
/// a height of 1, and a vector one input. In a three-dimensional kernel, depth and height are combined. Units are numbered along
/// the output axis first; elements are numbered in stored order. The members of a unit have the order `[out, in, height, width]`;
/// those of a layer are in stored order.
///
/// # Groups of a convolution
///
/// A convolution with G groups consists of G independent convolutions: the outputs `g·O/G …` read only the inputs `g·I/G …`. A filter is
/// one of all outputs. A channel is one of all *inputs*; its members are in the filters of its group only. A block lies within one
/// group. In a depthwise convolution, which has one input per group, a channel consists of all filters that read it (one, unless
/// there is a channel multiplier).
///
/// # Cost
///
/// If the units are contiguous in memory, the conversion is a reshape; otherwise it is one permuted copy (two for a block of several
/// outputs, several inputs and part of a kernel).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    granularity: Granularity,
    layout: Layout,
    groups: usize,
    stored: Vec<usize>,
    /// The shape of one unit as `[out, in / groups, height, width]`.
    unit: [usize; 4],
    /// The permutations from stored order to rows.
    steps: Vec<Shuffle>,
    /// The repetition of one value per unit for all elements.
    spread: Spread,
}

impl Fold {
    /// The unit view for weights of this `shape` and `layout`, of a convolution without groups or any other layer.
    ///
    /// # Errors
    ///
    /// If the shape does not have such units: a filter needs a convolution (rank 3 to 5), an `fc_input`
    /// a matrix, and each side of a block must divide its axis.
    pub fn new(
        granularity: Granularity,
        shape: &[usize],
        layout: Layout,
    ) -> Result<Self, FoldError> {
        Self::grouped(granularity, shape, layout, 1)
    }

    /// The unit view for a convolution with `groups`; see [above](Self#groups-of-a-convolution).
    ///
    /// # Shapes
    ///
    /// `shape` is as stored: `[out, in / groups, k..]`, or `[in, out / groups, k..]` of a transposed
    /// convolution.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if `groups` does not divide the first axis.
    pub fn grouped(
        granularity: Granularity,
        shape: &[usize],
        layout: Layout,
        groups: usize,
    ) -> Result<Self, FoldError> {
        if shape.is_empty() || shape.contains(&0) {
            return Err(FoldError::Empty {
                shape: shape.to_vec(),
            });
        }
        let inputs_first = layout == Layout::InputFirst && shape.len() > 1;
        if !shape[0].is_multiple_of(groups) {
            return Err(FoldError::Groups {
                groups,
                axis: if inputs_first { "inputs" } else { "outputs" },
                size: shape[0],
            });
        }
        let sides = sides(shape, inputs_first, groups);
        let unit = unit(granularity, shape, sides, groups)?;
        let whole = granularity == Granularity::Layer;
        let axes = axes(sides, unit, if whole { 1 } else { groups });
        Ok(Self {
            granularity,
            layout,
            groups,
            stored: shape.to_vec(),
            unit,
            steps: steps(granularity, axes, inputs_first),
            spread: Spread::new(&axes, &units(granularity), &self::stored(inputs_first)),
        })
    }

    /// The granularity.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The layout: which stored axis is the output.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of groups of the convolution; 1 for other layers.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The shape of the weight as stored.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.stored
    }

    /// The number of units, which is the number of rows.
    #[must_use]
    pub fn units(&self) -> usize {
        self.numel() / self.members()
    }

    /// The number of weights of a unit, which is the number of columns.
    #[must_use]
    pub fn members(&self) -> usize {
        self.unit.iter().product()
    }

    /// Converts a weight to one row per unit.
    ///
    /// # Shapes
    ///
    /// `weight`: the bound shape, or flat; result: `[units, members]`.
    ///
    /// # Panics
    ///
    /// If the weight has another number of elements than the bound shape.
    #[must_use]
    pub fn rows<const D: usize, K: Basic>(&self, weight: Tensor<D, K>) -> Tensor<2, K> {
        let shape = [self.units(), self.members()];
        if self.steps.is_empty() {
            return weight.reshape(shape);
        }
        let stored = weight.reshape([self.numel()]);
        self.steps
            .iter()
            .fold(stored, |elements, step| step.apply(elements))
            .reshape(shape)
    }

    /// The weight in its stored order with the units along the second axis, if that needs no copy and [`rows`](Self::rows) does: for
    /// channels and `fc_input`s of a layer without groups.
    ///
    /// # Shapes
    ///
    /// `weight`: the bound shape, or flat; result: `[before, units, after]`. A unit has `before · after` members, in the same order as
    /// in [`rows`](Self::rows).
    ///
    /// # Panics
    ///
    /// As [`rows`](Self::rows).
    #[must_use]
    pub fn in_place<const D: usize, K: Basic>(&self, weight: Tensor<D, K>) -> Option<Tensor<3, K>> {
        let [step] = &self.steps[..] else {
            return None;
        };
        let shape = step.one_axis_first()?;
        (shape[1] == self.units()).then(|| weight.reshape(shape))
    }

    /// The inverse of [`rows`](Self::rows).
    ///
    /// # Shapes
    ///
    /// `rows`: `[units, members]`; result: the bound shape.
    ///
    /// # Panics
    ///
    /// If `D` is not the rank of the bound shape, or `rows` has another shape.
    #[must_use]
    pub fn unrows<const D: usize, K: Basic>(&self, rows: Tensor<2, K>) -> Tensor<D, K> {
        let stored: [usize; D] = self
            .stored
            .as_slice()
            .try_into()
            .expect("D is the rank of the folded weight");
        if self.steps.is_empty() {
            return rows.reshape(stored);
        }
        self.unshuffled(rows.reshape([self.numel()]))
            .reshape(stored)
    }

    fn unshuffled<K: Basic>(&self, elements: Tensor<1, K>) -> Tensor<1, K> {
        let steps = self.steps.iter().rev();
        steps.fold(elements, |elements, step| step.inverse().apply(elements))
    }

    /// Repeats a decision per unit for all members of the unit.
    ///
    /// # Shapes
    ///
    /// `units`: `[units]`; result: the bound shape, or flat.
    ///
    /// # Panics
    ///
    /// If `D` is neither the rank of the bound shape nor 1, for a flat result, or there is another number
    /// of units.
    #[must_use]
    pub fn spread<const D: usize>(&self, units: Tensor<1, Bool>) -> Tensor<D, Bool> {
        let spread = if self.members() == 1 {
            self.unshuffled(units)
        } else {
            self.spread.apply(units)
        };
        let flat = [self.numel()];
        let stored = if D == 1 {
            &flat
        } else {
            self.stored.as_slice()
        };
        let stored: [usize; D] = stored
            .try_into()
            .expect("D is the rank of the folded weight, or 1");
        spread.reshape(stored)
    }

    /// Repeats a number per input of the layer for every weight that multiplies the input.
    ///
    /// # Shapes
    ///
    /// `inputs`: `[inputs]`, those of all groups; result: `[units, members]`.
    ///
    /// # Panics
    ///
    /// If there are more or fewer numbers than inputs.
    #[must_use]
    pub fn spread_inputs<K: Basic>(&self, inputs: Tensor<1, K>) -> Tensor<2, K> {
        let numel = self.numel();
        let given = inputs.dims()[0];
        let inputs_first = self.layout == Layout::InputFirst && self.stored.len() > 1;
        let per_group = if inputs_first {
            self.stored[0] / self.groups
        } else {
            self.stored.get(1).copied().unwrap_or(1)
        };
        let all = per_group * self.groups;
        assert_eq!(given, all, "a number for each of {all} inputs");
        let stored: Tensor<1, K> = if inputs_first {
            let rows = inputs.reshape([all, 1]).expand([all, numel / all]);
            rows.reshape([numel])
        } else {
            let outputs = self.stored[0] / self.groups;
            let kernel = numel / (self.stored[0] * per_group);
            inputs
                .reshape([self.groups, 1, per_group, 1])
                .expand([self.groups, outputs, per_group, kernel])
                .reshape([numel])
        };
        self.rows(stored)
    }

    fn numel(&self) -> usize {
        self.stored.iter().product()
    }
}

/// The shape as `[out, in / groups, height, width]`.
fn sides(shape: &[usize], inputs_first: bool, groups: usize) -> [usize; 4] {
    let (first, second) = (shape[0], shape.get(1).copied().unwrap_or(1));
    let width = if shape.len() > 2 {
        shape[shape.len() - 1]
    } else {
        1
    };
    let height = shape.iter().skip(2).rev().skip(1).product();
    if inputs_first {
        [second * groups, first / groups, height, width]
    } else {
        [first, second, height, width]
    }
}

/// The same axes of one unit; each divides its side within one group.
fn unit(
    granularity: Granularity,
    shape: &[usize],
    sides: [usize; 4],
    groups: usize,
) -> Result<[usize; 4], FoldError> {
    let needs = |fits: bool, needs| {
        if fits {
            Ok(())
        } else {
            Err(FoldError::Rank {
                granularity,
                shape: shape.to_vec(),
                needs,
            })
        }
    };
    let rank = shape.len();
    let convolution = || {
        needs(
            (3..=5).contains(&rank),
            "the weight of a convolution (rank 3 to 5)",
        )
    };
    let linear = || needs(rank == 2, "the weight of a linear layer (rank 2)");
    let matrix = || needs(rank >= 2, "a weight of rank 2 or more");
    let [out, input, height, width] = sides;
    let of_a_group = [out / groups, input, height, width];
    let tiles = |tile: [usize; 4]| {
        let axes = if groups == 1 {
            ["outputs", "inputs", "kernel height", "kernel width"]
        } else {
            [
                "outputs per group",
                "inputs per group",
                "kernel height",
                "kernel width",
            ]
        };
        for ((side, size), axis) in tile.into_iter().zip(of_a_group).zip(axes) {
            if !size.is_multiple_of(side) {
                return Err(FoldError::Block {
                    granularity,
                    side,
                    axis,
                    size,
                });
            }
        }
        Ok(())
    };
    match granularity {
        Granularity::Element => Ok([1, 1, 1, 1]),
        Granularity::Layer => Ok(sides),
        Granularity::Kernel => convolution().map(|()| [1, 1, height, width]),
        Granularity::Filter => convolution().map(|()| [1, input, height, width]),
        Granularity::Channel => convolution().map(|()| [out / groups, 1, height, width]),
        Granularity::FcOutput => linear().map(|()| [1, input, 1, 1]),
        Granularity::FcInput => linear().map(|()| [out / groups, 1, 1, 1]),
        Granularity::Group { of } => {
            matrix()?;
            tiles([1, of, 1, 1]).map(|()| [1, 1, 1, 1])
        }
        Granularity::Block {
            rep,
            depth,
            height,
            width,
        } => {
            matrix()?;
            let block = [rep, depth, height, width];
            tiles(block).map(|()| block)
        }
    }
}

/// An axis of a weight whose axes are split into units; [`axes`] has the lengths.
type Axis = usize;

/// The axes that number the units: the groups, the outputs of a group, the inputs, the height, the width.
const UNITS: [Axis; 5] = [0, 1, 3, 5, 7];

/// The axes within one unit.
const MEMBERS: [Axis; 4] = [2, 4, 6, 8];

/// The axes in stored order.
fn stored(inputs_first: bool) -> [Axis; 9] {
    if inputs_first {
        [0, 3, 4, 1, 2, 5, 6, 7, 8]
    } else {
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    }
}

/// The lengths of the axes: each side is split into the units along it and the size of a unit; outputs are those of one
/// group.
fn axes(sides: [usize; 4], unit: [usize; 4], groups: usize) -> [usize; 9] {
    let [r, s, t, u] = unit;
    let [out, input, height, width] = sides;
    [
        groups,
        out / groups / r,
        r,
        input / s,
        s,
        height / t,
        t,
        width / u,
        u,
    ]
}

/// The axes along which units are numbered, the outermost first.
fn units(granularity: Granularity) -> [Axis; 5] {
    let [g, a, b, c, d] = UNITS;
    match granularity {
        // Consecutive inputs of one output and one position of the kernel.
        Granularity::Group { .. } => [g, a, c, d, b],
        _ => UNITS,
    }
}

/// The permutations from stored order to rows: none, one, or two if a single one would not be
/// [direct](Shuffle::is_direct).
fn steps(granularity: Granularity, axes: [usize; 9], inputs_first: bool) -> Vec<Shuffle> {
    if matches!(granularity, Granularity::Element | Granularity::Layer) {
        return Vec::new();
    }
    let stored = stored(inputs_first);
    let rows = [units(granularity).as_slice(), &MEMBERS].concat();
    let direct = Shuffle::new(&axes, &stored, &rows);
    let steps = if direct.is_direct() {
        vec![direct]
    } else {
        // First the outputs and inputs, then the kernel.
        let kernel_last = [0, 1, 3, 2, 4, 5, 6, 7, 8];
        vec![
            Shuffle::new(&axes, &stored, &kernel_last),
            Shuffle::new(&axes, &kernel_last, &rows),
        ]
    };
    steps
        .into_iter()
        .filter(|step| !step.is_identity())
        .collect()
}
