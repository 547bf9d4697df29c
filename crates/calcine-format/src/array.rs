use bytemuck::allocation::pod_collect_to_vec;
use calcine_graph::ElementKind;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{FileError, wrong};

/// A tensor in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// Its elements, the last axis first.
    pub numbers: Numbers,
}

/// The elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Numbers {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
}

impl Array {
    /// Floats of a shape.
    #[must_use]
    pub const fn floats(shape: Vec<usize>, numbers: Vec<f32>) -> Self {
        Self {
            shape,
            numbers: Numbers::Floats(numbers),
        }
    }

    /// What its elements are.
    #[must_use]
    pub const fn kind(&self) -> ElementKind {
        match self.numbers {
            Numbers::Floats(_) => ElementKind::Float,
            Numbers::Ints(_) => ElementKind::Int,
            Numbers::Bools(_) => ElementKind::Bool,
        }
    }

    /// The floats, if they are.
    #[must_use]
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.numbers {
            Numbers::Floats(floats) => Some(floats),
            Numbers::Ints(_) | Numbers::Bools(_) => None,
        }
    }

    /// The tensor of this name in a file, of floats, 64-bit integers or booleans.
    ///
    /// # Errors
    ///
    /// If it is missing or of another type.
    pub fn named(file: &SafeTensors<'_>, name: &str) -> Result<Self, FileError> {
        let view = file.tensor(name).map_err(|_| wrong(name, "is missing"))?;
        Self::of(&view).ok_or_else(|| wrong(name, &format!("is of type {:?}", view.dtype())))
    }

    fn of(view: &TensorView<'_>) -> Option<Self> {
        let bytes = view.data();
        let numbers = match view.dtype() {
            Dtype::F32 => Numbers::Floats(pod_collect_to_vec(bytes)),
            Dtype::I64 => Numbers::Ints(pod_collect_to_vec(bytes)),
            Dtype::BOOL => Numbers::Bools(bytes.iter().map(|byte| *byte != 0).collect()),
            _ => return None,
        };
        Some(Self {
            shape: view.shape().to_vec(),
            numbers,
        })
    }
}
