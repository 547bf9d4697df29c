use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Tensor};

use crate::{FoldError, Grain, Layout};

/// A [`Grain`] and a [`Layout`] bound to a shape: a weight there and back as rows of units.
///
/// Any weight is first seen as `[out, in, height, width]` (a linear layer has a kernel of 1 × 1,
/// a one-dimensional convolution a height of 1, a vector one input); rows are views of that.
/// Units are numbered along the output axis first, elements in stored order. Members lie in the order
/// `[out, in, height, width]`, those of a layer in stored order. A three-dimensional kernel counts
/// its depth into the height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    grain: Grain,
    layout: Layout,
    stored: Vec<usize>,
    /// `[out, in, height, width]`.
    sides: [usize; 4],
    /// The same axes of one unit; each divides its side.
    unit: [usize; 4],
}

impl Fold {
    /// Binds `grain` to weights of this `shape` and `layout`.
    ///
    /// # Errors
    ///
    /// If the shape has no such units: a filter needs a convolution (rank 3 to 5), an `fc_input`
    /// a matrix, and each side of a block must divide its axis.
    pub fn new(grain: Grain, shape: &[usize], layout: Layout) -> Result<Self, FoldError> {
        if shape.is_empty() || shape.contains(&0) {
            return Err(FoldError::Empty {
                shape: shape.to_vec(),
            });
        }
        let sides = sides(shape, layout);
        let rank = shape.len();
        let needs = |fits: bool, needs| {
            if fits {
                Ok(())
            } else {
                Err(FoldError::Rank {
                    grain,
                    shape: shape.to_vec(),
                    needs,
                })
            }
        };
        let convolution = |unit| {
            needs(
                (3..=5).contains(&rank),
                "the weight of a convolution (rank 3 to 5)",
            )
            .map(|()| unit)
        };
        let linear =
            |unit| needs(rank == 2, "the weight of a linear layer (rank 2)").map(|()| unit);
        let [out, input, height, width] = sides;
        let unit = match grain {
            Grain::Element => [1, 1, 1, 1],
            Grain::Layer => sides,
            Grain::Kernel => convolution([1, 1, height, width])?,
            Grain::Filter => convolution([1, input, height, width])?,
            Grain::Channel => convolution([out, 1, height, width])?,
            Grain::FcOutput => linear([1, input, 1, 1])?,
            Grain::FcInput => linear([out, 1, 1, 1])?,
            Grain::Block {
                rep,
                depth,
                height,
                width,
            } => needs(rank >= 2, "a weight of rank 2 or more")
                .map(|()| [rep, depth, height, width])?,
        };
        let axes = ["outputs", "inputs", "kernel height", "kernel width"];
        for ((&side, size), axis) in unit.iter().zip(sides).zip(axes) {
            if side == 0 || size % side != 0 {
                return Err(FoldError::Block {
                    grain,
                    side,
                    axis,
                    size,
                });
            }
        }
        Ok(Self {
            grain,
            layout,
            stored: shape.to_vec(),
            sides,
            unit,
        })
    }

    /// What a unit is.
    #[must_use]
    pub fn grain(&self) -> Grain {
        self.grain
    }

    /// The shape of the weight as stored.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.stored
    }

    /// How many units there are: the rows.
    #[must_use]
    pub fn units(&self) -> usize {
        self.grid().iter().product()
    }

    /// How many scalars one unit has: the columns.
    #[must_use]
    pub fn members(&self) -> usize {
        self.unit.iter().product()
    }

    /// The weight as one row per unit.
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
        if self.is_view() {
            return weight.reshape(shape);
        }
        let [out, input, height, width] = self.sides;
        let weight = match self.layout {
            Layout::OutputFirst => weight.reshape([out, input, height, width]),
            Layout::InputFirst => weight.reshape([input, out, height, width]).swap_dims(0, 1),
        };
        // Outputs and inputs first, then the kernel: ndarray knows no more than six axes.
        let [a, b, c, d] = self.grid();
        let [r, s, t, u] = self.unit;
        weight
            .reshape([a, r, b, s, height * width])
            .permute([0, 2, 1, 3, 4])
            .reshape([a * b, r * s, c, t, d, u])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape(shape)
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
        if self.is_view() {
            return rows.reshape(stored);
        }
        let [a, b, c, d] = self.grid();
        let [r, s, t, u] = self.unit;
        let weight = rows
            .reshape([a * b, c, d, r * s, t, u])
            .permute([0, 3, 1, 4, 2, 5])
            .reshape([a, b, r, s, c * t * d * u])
            .permute([0, 2, 1, 3, 4])
            .reshape(self.sides);
        match self.layout {
            Layout::OutputFirst => weight.reshape(stored),
            Layout::InputFirst => weight.swap_dims(0, 1).reshape(stored),
        }
    }

    /// A decision per unit, spread over all its members.
    ///
    /// # Shapes
    ///
    /// `units`: `[units]`; result: the bound shape.
    ///
    /// # Panics
    ///
    /// As [`unrows`](Self::unrows).
    #[must_use]
    pub fn spread<const D: usize>(&self, units: Tensor<1, Bool>) -> Tensor<D, Bool> {
        let (rows, members) = (self.units(), self.members());
        self.unrows(units.reshape([rows, 1]).expand([rows, members]))
    }

    /// Units along each axis.
    fn grid(&self) -> [usize; 4] {
        std::array::from_fn(|axis| self.sides[axis] / self.unit[axis])
    }

    /// Whether the rows lie in memory as stored, so that no permutation is needed: the unit is
    /// whole along every axis after the first one that it cuts. Elements keep the stored order.
    fn is_view(&self) -> bool {
        if matches!(self.grain, Grain::Element | Grain::Layer) {
            return true;
        }
        let swapped = match self.layout {
            Layout::OutputFirst => false,
            Layout::InputFirst => self.stored.len() > 1,
        };
        let order = if swapped { [1, 0, 2, 3] } else { [0, 1, 2, 3] };
        let mut axes = order.into_iter().skip_while(|&axis| self.unit[axis] == 1);
        // The first axis longer than one in the unit may be cut only if all before have one unit
        // each, which `unit == 1` says; from there on every axis is whole.
        let in_order = !swapped || self.unit[0] == self.sides[0] || self.grid()[1] == 1;
        in_order && axes.all(|axis| self.unit[axis] == self.sides[axis])
    }
}

/// The shape as `[out, in, height, width]`.
fn sides(shape: &[usize], layout: Layout) -> [usize; 4] {
    let (first, second) = (shape[0], shape.get(1).copied().unwrap_or(1));
    let width = if shape.len() > 2 {
        shape[shape.len() - 1]
    } else {
        1
    };
    let height = shape.iter().skip(2).rev().skip(1).product();
    match layout {
        Layout::InputFirst if shape.len() > 1 => [second, first, height, width],
        _ => [first, second, height, width],
    }
}
