//! What a compiled network does, one after the other.

mod pool;
mod run;

use std::sync::Arc;

use calcine_graph::Op;
use calcine_kernels::{Buffer, CodeLayer, FloatLayer, MatrixSums, Plane, Rescale};

use crate::form::{CodeRange, Image};

/// Where numbers are while a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// An input of the caller.
    Input(usize),
    /// A parameter or a constant.
    Constant(usize),
    /// The result of a step, by its position; later, the memory that it is given.
    Slot(usize),
}

/// A step: reads places, writes one.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The node that it belongs to.
    pub(crate) node: usize,
    pub(crate) work: Work,
    pub(crate) reads: Vec<Place>,
    pub(crate) writes: usize,
    /// Images of what it writes.
    pub(crate) samples: usize,
    /// Bytes of what it writes.
    pub(crate) bytes: usize,
    /// The border to fill, and with what.
    pub(crate) border: Option<Border>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Border {
    Codes(Plane, u8),
    Floats(Plane),
}

/// A sum that a layer of integers does with its own.
#[derive(Debug, Clone)]
pub(crate) struct CodeSum {
    pub(crate) plane: Plane,
    pub(crate) other_zero: i32,
    pub(crate) factors: [f32; 2],
    pub(crate) range: CodeRange,
}

/// A shape that is known once the batch is.
pub(crate) type Shape = Vec<usize>;

#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Integers to integers. If there is a sum, the second place is what is added.
    CodeLayer {
        layer: Arc<CodeLayer>,
        rescale: Arc<Rescale>,
        sum: Option<CodeSum>,
    },
    /// Integers to floats.
    CodeLayerToFloats {
        layer: Arc<CodeLayer>,
        rescale: Arc<Rescale>,
    },
    /// If there is a plane, the second place is what is added.
    FloatLayer {
        layer: Arc<FloatLayer>,
        ends: [f32; 2],
        sum: Option<Plane>,
    },
    /// Row-major floats to integers: `nearest(x / scale)`, or the integers themselves without a scale.
    ToCodes {
        image: Image,
        scale: Option<f32>,
        range: CodeRange,
    },
    /// Row-major floats to images.
    ToFloats(Image),
    /// Integers to row-major floats, less the zero point.
    CodesToPlain {
        image: Image,
        zero: i32,
    },
    /// Images to row-major floats.
    FloatsToPlain(Image),
    /// Each row-major float times a scale, or to the nearest integer.
    Scale(f32),
    Quantize {
        scale: f32,
        ends: [f32; 2],
    },
    /// Images of floats to integers of the same shape.
    QuantizeImage {
        from: Image,
        to: Image,
        scale: f32,
        range: CodeRange,
    },
    /// A table of each integer's result.
    Table {
        table: Arc<[u8; 256]>,
        from: Image,
        to: Image,
    },
    AddCodes {
        from: [Image; 2],
        to: Image,
        zeros: [i32; 2],
        factors: [f32; 2],
        range: CodeRange,
    },
    /// Products of integers less their zero points, times a factor. An image of height and width 1 is repeated.
    MultiplyCodes {
        from: [Image; 2],
        to: Image,
        zeros: [i32; 2],
        factor: f32,
        range: CodeRange,
    },
    /// A function of each float of images, and its product with the float if it is a gate.
    MapFloats {
        op: Op,
        gate: bool,
        from: Image,
        to: Image,
    },
    /// An operation on two floats. An image of height and width 1 is repeated.
    CombineFloats {
        operation: Combination,
        from: [Image; 2],
        to: Image,
    },
    /// Windows of an image.
    Pool {
        pool: Windows,
        from: Image,
        to: Image,
        of: PoolOf,
    },
    /// One after the other along the channels; integers by a table each.
    ConcatCodes {
        from: Vec<(Image, Arc<[u8; 256]>)>,
        to: Image,
    },
    ConcatFloats {
        from: Vec<Image>,
        to: Image,
    },
    /// An operation on row-major floats.
    Plain {
        op: Op,
        shapes: Vec<Shape>,
        shape: Shape,
        batch: usize,
    },
    /// Packs matrices `[inner, columns]` of row-major floats, the right operands of a product.
    PackMatrices([usize; 2]),
    /// Products of matrices of row-major floats with packed ones.
    Matmul(Matmul),
    /// An operation on whole numbers in row-major floats that needs more than its plain form.
    Whole {
        whole: Whole,
        shapes: Vec<Shape>,
        shape: Shape,
    },
}

/// Products of matrices.
#[derive(Debug, Clone)]
pub(crate) struct Matmul {
    /// Rows of the left matrices, their columns, and columns of the right ones.
    pub(crate) sizes: [usize; 3],
    /// The indices of the left and of the right matrix of each product.
    pub(crate) pairs: Vec<(usize, usize)>,
    pub(crate) sums: MatrixSums,
    /// The factor from sums of whole numbers to those of the result, and their range.
    pub(crate) rescale: Option<(f32, [f32; 2])>,
}

/// Operations on whole numbers, exact as the arithmetic says.
#[derive(Debug, Clone)]
pub(crate) enum Whole {
    Add {
        factors: [f32; 2],
        ends: [f32; 2],
    },
    Multiply {
        factor: f32,
        ends: [f32; 2],
    },
    Matmul {
        factor: f32,
        ends: [f32; 2],
    },
    Concat {
        axis: usize,
        factors: Vec<f32>,
        ends: [f32; 2],
    },
    /// Sums of windows, made of the means that the operation has.
    Mean {
        op: Op,
        count: usize,
        factor: f32,
        ends: [f32; 2],
    },
    /// `min(max(x, low), high)`.
    Clamp([f32; 2]),
    /// A layer: sums of products in 64 bits, with biases and factors for each output, along an axis.
    Layer {
        op: Op,
        weights: Arc<(Vec<i32>, Shape)>,
        bias: Arc<Vec<i64>>,
        factor: Arc<Vec<f32>>,
        axis: usize,
        ends: Option<[f32; 2]>,
    },
    /// The same with the quantizer of the batch.
    Dynamic {
        op: Op,
        weights: Arc<(Vec<i32>, Shape)>,
        scales: Arc<Vec<f32>>,
        bias: Arc<Vec<f32>>,
        axis: usize,
        bits: u8,
        symmetric: bool,
    },
}

/// An operation on two floats of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combination {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Windows of an image, of two axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) padding: [usize; 2],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum PoolOf {
    MaxCodes,
    MaxFloats,
    /// Sums of integers less their zero point, times a factor.
    MeanCodes {
        zero: i32,
        factor: f32,
        range: CodeRange,
    },
    /// Means of whole windows, or of what is within the image.
    MeanFloats {
        count_padding: bool,
    },
}

/// What a run has at hand.
pub(crate) struct Memory<'a> {
    pub(crate) inputs: &'a [&'a [f32]],
    pub(crate) constants: &'a [Vec<f32>],
    pub(crate) slots: &'a [Buffer],
}

impl<'a> Memory<'a> {
    pub(crate) fn floats(&self, place: Place) -> &'a [f32] {
        match place {
            Place::Input(index) => self.inputs[index],
            Place::Constant(index) => &self.constants[index],
            Place::Slot(index) => self.slots[index].floats(),
        }
    }

    fn codes(&self, place: Place) -> &'a [u8] {
        match place {
            Place::Slot(index) => self.slots[index].bytes(),
            // Inputs and constants are floats; the compiler gives no others.
            Place::Input(_) | Place::Constant(_) => &[],
        }
    }
}
