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
    /// The elements in row-major order: the last axis varies fastest.
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
    /// An array of floats with this shape.
    #[must_use]
    pub const fn floats(shape: Vec<usize>, numbers: Vec<f32>) -> Self {
        Self {
            shape,
            numbers: Numbers::Floats(numbers),
        }
    }

    /// The kind of the elements.
    #[must_use]
    pub const fn kind(&self) -> ElementKind {
        match self.numbers {
            Numbers::Floats(_) => ElementKind::Float,
            Numbers::Ints(_) => ElementKind::Int,
            Numbers::Bools(_) => ElementKind::Bool,
        }
    }

    /// The elements, if they are floats; otherwise `None`.
    #[must_use]
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.numbers {
            Numbers::Floats(floats) => Some(floats),
            Numbers::Ints(_) | Numbers::Bools(_) => None,
        }
    }

    /// Reads the tensor with this name from a file. Its elements must be 32-bit floats, 64-bit integers or booleans.
    ///
    /// # Errors
    ///
    /// If the tensor is missing or has another element type.
    pub fn named(file: &SafeTensors<'_>, name: &str) -> Result<Self, FileError> {
        let view = file.tensor(name).map_err(|_| wrong(name, "is missing"))?;
        Self::of(&view).ok_or_else(|| wrong(name, &format!("is of type {:?}", view.dtype())))
    }

    /// Checks that there are as many elements as the shape says, of this kind.
    pub(crate) fn check(&self, name: &str, kind: ElementKind) -> Result<(), FileError> {
        let count = match &self.numbers {
            Numbers::Floats(numbers) => numbers.len(),
            Numbers::Ints(numbers) => numbers.len(),
            Numbers::Bools(numbers) => numbers.len(),
        };
        let expected = self
            .shape
            .iter()
            .try_fold(1_usize, |all, axis| all.checked_mul(*axis));
        if Some(count) == expected && self.kind() == kind {
            return Ok(());
        }
        let found = format!(
            "is {:?} {:?} of {count} numbers, the graph has {kind:?}",
            self.kind(),
            self.shape
        );
        Err(wrong(name, &found))
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
