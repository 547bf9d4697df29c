//! The steps of a compiled network.

mod pool;
mod run;

use std::sync::Arc;

use calcine_graph::Op;
use calcine_kernels::{Buffer, CodeLayer, FloatLayer, MatrixSums, Plane, Rescale};

use crate::form::{CodeRange, Image};

/// The place of a tensor while a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// An input of the caller.
    Input(usize),
    /// A parameter or a constant.
    Constant(usize),
    /// The result of a step, by the position of the step; once memory is assigned, the slot.
    Slot(usize),
}

/// A step, which reads some places and writes one.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The node to which the step belongs.
    pub(crate) node: usize,
    pub(crate) work: Work,
    pub(crate) reads: Vec<Place>,
    pub(crate) writes: usize,
    /// The number of images that the step writes.
    pub(crate) samples: usize,
    /// The number of bytes that the step writes.
    pub(crate) bytes: usize,
    /// The border of the result that is to be filled.
    pub(crate) border: Option<Border>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Border {
    Codes(Plane, u8),
    Floats(Plane),
}

/// A sum that is computed in the step of an integer layer.
#[derive(Debug, Clone)]
pub(crate) struct CodeSum {
    pub(crate) plane: Plane,
    pub(crate) other_zero: i32,
    pub(crate) factors: [f32; 2],
    pub(crate) range: CodeRange,
}

/// A shape for the batch size of the plan.
pub(crate) type Shape = Vec<usize>;

#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// A layer from integers to integers. If there is a sum, the second place is its other operand.
    CodeLayer {
        layer: Arc<CodeLayer>,
        rescale: Arc<Rescale>,
        sum: Option<CodeSum>,
    },
    /// A layer from integers to floats.
    CodeLayerToFloats {
        layer: Arc<CodeLayer>,
        rescale: Arc<Rescale>,
    },
    /// A layer of floats. If there is a sum, the second place is its other operand.
    FloatLayer {
        layer: Arc<FloatLayer>,
        ends: [f32; 2],
        sum: Option<Plane>,
    },
    /// Converts row-major floats to images of integers: `nearest(x / scale)`; without a scale, the floats are integers
    /// already.
    ToCodes {
        image: Image,
        scale: Option<f32>,
        range: CodeRange,
    },
    /// Converts row-major floats to images.
    ToFloats(Image),
    /// Converts images of integers to row-major floats, minus the zero point.
    CodesToPlain {
        image: Image,
        zero: i32,
    },
    /// Converts images of floats to row-major floats.
    FloatsToPlain(Image),
    /// Multiplies each row-major float with a scale.
    Scale(f32),
    Quantize {
        scale: f32,
        ends: [f32; 2],
    },
    /// Quantizes images of floats to images of integers.
    QuantizeImage {
        from: Image,
        to: Image,
        scale: f32,
        range: CodeRange,
    },
    /// Looks up the result for each integer in a table.
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
    /// Multiplies integers minus their zero points, and a factor. An image of height and width 1 is repeated.
    MultiplyCodes {
        from: [Image; 2],
        to: Image,
        zeros: [i32; 2],
        factor: f32,
        range: CodeRange,
    },
    /// Computes a function of each float of images; with `gate`, the product of the function and the float.
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
    /// Pools the windows of images.
    Pool {
        pool: Windows,
        from: Image,
        to: Image,
        of: PoolOf,
    },
    /// Concatenates images along the channels. A table for each operand converts its integers.
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
    /// Packs matrices `[inner, columns]` of row-major floats, which are the right operands of a matrix product.
    PackMatrices([usize; 2]),
    /// Multiplies matrices of row-major floats with packed ones.
    Matmul(Matmul),
    /// An operation on integers that are stored as row-major floats.
    Whole {
        whole: Whole,
        shapes: Vec<Shape>,
        shape: Shape,
    },
}

/// Products of matrices.
#[derive(Debug, Clone)]
pub(crate) struct Matmul {
    /// The rows of the left matrices, the columns of the left matrices, and the columns of the right ones.
    pub(crate) sizes: [usize; 3],
    /// The indices of the left and of the right matrix of each product.
    pub(crate) pairs: Vec<(usize, usize)>,
    pub(crate) sums: MatrixSums,
    /// The factor that converts sums to the integers of the result, and the range of these integers.
    pub(crate) rescale: Option<(f32, [f32; 2])>,
}

/// An operation on integers, with the exact arithmetic of quantized networks.
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
    /// The sums of windows, computed from the means.
    Mean {
        op: Op,
        count: usize,
        factor: f32,
        ends: [f32; 2],
    },
    /// `min(max(x, low), high)`.
    Clamp([f32; 2]),
    /// A layer: sums of products in 64 bits, with a bias and a factor for each output. `axis` is the axis of the
    /// outputs.
    Layer {
        op: Op,
        weights: Arc<(Vec<i32>, Shape)>,
        bias: Arc<Vec<i64>>,
        factor: Arc<Vec<f32>>,
        axis: usize,
        ends: Option<[f32; 2]>,
    },
    /// A layer with dynamic quantization: the quantizer of the inputs is computed from the range of the batch.
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
    /// The sum of the integers minus their zero point, times a factor.
    MeanCodes {
        zero: i32,
        factor: f32,
        range: CodeRange,
    },
    /// The mean of a whole window, or of the positions that are within the image.
    MeanFloats {
        count_padding: bool,
    },
}

/// The memory that the steps of a run read.
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
