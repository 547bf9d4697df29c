//! Arrays from files.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;

use super::header::{Header, parse};
use crate::error::{DataError, Problem};
use crate::samples::{Spec, Target};

/// An array, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Numbers,
}

/// The numbers of an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    /// Unsigned bytes, which may be pixels.
    Bytes(Vec<u8>),
    /// Integers of any other width, and truth values.
    Ints(Vec<i32>),
    /// Floating-point numbers of any width.
    Floats(Vec<f32>),
}

impl Numbers {
    pub(super) fn ints(self) -> Vec<i32> {
        match self {
            Self::Bytes(numbers) => numbers.into_iter().map(i32::from).collect(),
            Self::Ints(numbers) => numbers,
            Self::Floats(numbers) => numbers.into_iter().map(|number| number as i32).collect(),
        }
    }

    pub(super) fn floats(self) -> Vec<f32> {
        match self {
            Self::Bytes(numbers) => numbers.into_iter().map(f32::from).collect(),
            Self::Ints(numbers) => numbers.into_iter().map(|number| number as f32).collect(),
            Self::Floats(numbers) => numbers,
        }
    }

    /// The same, with bytes as floating-point numbers.
    pub(super) fn widened(self) -> Self {
        match self {
            Self::Bytes(_) => Self::Floats(self.floats()),
            other => other,
        }
    }
}

impl Array {
    /// Shape and type of one sample.
    pub(super) fn spec(&self) -> Spec {
        let shape = self.shape.get(1..).unwrap_or_default();
        match self.numbers {
            Numbers::Ints(_) => Spec::ints(shape),
            Numbers::Bytes(_) | Numbers::Floats(_) => Spec::floats(shape),
        }
    }

    /// The place of the first number that is NaN or infinite.
    pub(super) fn not_finite(&self) -> Option<usize> {
        match &self.numbers {
            Numbers::Floats(numbers) => numbers.iter().position(|number| !number.is_finite()),
            Numbers::Bytes(_) | Numbers::Ints(_) => None,
        }
    }

    /// Writes sample `index` to `target`, which is of the same type.
    pub(super) fn copy(&self, index: usize, target: Target<'_>) {
        match (&self.numbers, target) {
            (Numbers::Floats(numbers), Target::Float(target)) => {
                target.copy_from_slice(&numbers[index * target.len()..(index + 1) * target.len()]);
            }
            (Numbers::Ints(numbers), Target::Int(target)) => {
                target.copy_from_slice(&numbers[index * target.len()..(index + 1) * target.len()]);
            }
            _ => {}
        }
    }
}

/// The arrays of an `.npz` or safetensors file, by name.
pub(super) fn file(path: &Path) -> Result<Vec<(String, Array)>, DataError> {
    let arrays = |reason: String| DataError::new(path, Problem::Arrays { reason });
    if path
        .extension()
        .is_some_and(|extension| extension == "safetensors")
    {
        let bytes = fs::read(path).map_err(DataError::io(path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| arrays(error.to_string()))?;
        let mut found = Vec::new();
        for (name, view) in file.tensors() {
            let kind = kind_of_tensor(view.dtype())
                .ok_or_else(|| arrays(unknown(&name, &format!("{:?}", view.dtype()))))?;
            let numbers = decode(kind, false, view.data())
                .map_err(|reason| arrays(format!("`{name}`: {reason}")))?;
            let shape = view.shape().to_vec();
            found.push((name, Array { shape, numbers }));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        return Ok(found);
    }
    let file = File::open(path).map_err(DataError::io(path))?;
    let mut archive = ZipArchive::new(file).map_err(|error| arrays(error.to_string()))?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive
            .by_index(index)
            .map_err(|error| arrays(error.to_string()))?;
        let name = member.name().map_err(|error| arrays(error.to_string()))?;
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            continue;
        };
        let mut bytes = Vec::new();
        member
            .read_to_end(&mut bytes)
            .map_err(DataError::io(&path.join(&name)))?;
        let array = npy(&bytes).map_err(|reason| arrays(format!("`{name}`: {reason}")))?;
        found.push((name, array));
    }
    Ok(found)
}

/// The array of an `.npy` file.
pub(super) fn npy_file(path: &Path) -> Result<Array, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    npy(&bytes).map_err(|reason| DataError::new(path, Problem::Arrays { reason }))
}

fn npy(bytes: &[u8]) -> Result<Array, String> {
    let (header, data) = parse(bytes)?;
    let Header {
        kind: described,
        is_fortran,
        shape,
    } = header;
    let (is_big, kind) = match described.split_at_checked(1) {
        Some((order, kind)) => (order == ">", kind),
        None => (false, ""),
    };
    let kind = match kind {
        "b1" | "u1" => Kind::U8,
        "i1" => Kind::I8,
        "i2" => Kind::I16,
        "u2" => Kind::U16,
        "i4" => Kind::I32,
        "u4" => Kind::U32,
        "i8" => Kind::I64,
        "u8" => Kind::U64,
        "f2" => Kind::F16,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        _ => return Err(unknown("it", &described)),
    };
    let count = shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    if count.and_then(|count| count.checked_mul(kind.size())) != Some(data.len()) {
        return Err(format!(
            "found {} bytes for the shape {shape:?}",
            data.len()
        ));
    }
    let numbers = decode(kind, is_big, data)?;
    let numbers = match (is_fortran, numbers) {
        (false, numbers) => numbers,
        (true, Numbers::Bytes(numbers)) => Numbers::Bytes(row_major(&numbers, &shape)),
        (true, Numbers::Ints(numbers)) => Numbers::Ints(row_major(&numbers, &shape)),
        (true, Numbers::Floats(numbers)) => Numbers::Floats(row_major(&numbers, &shape)),
    };
    Ok(Array { shape, numbers })
}

/// Numbers row by row, from numbers whose first axis varies fastest.
fn row_major<T: Copy>(numbers: &[T], shape: &[usize]) -> Vec<T> {
    let place = |mut index: usize| {
        // Coordinates from the last axis to the first; strides of the other order from the first to the last.
        let mut stride = numbers.len();
        let mut place = 0;
        for &size in shape.iter().rev() {
            stride /= size;
            place += index % size * stride;
            index /= size;
        }
        place
    };
    (0..numbers.len())
        .map(|index| numbers[place(index)])
        .collect()
}

/// The type of an array's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    /// Bytes of a number.
    fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

fn kind_of_tensor(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL | Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::I16 => Kind::I16,
        Dtype::U16 => Kind::U16,
        Dtype::I32 => Kind::I32,
        Dtype::U32 => Kind::U32,
        Dtype::I64 => Kind::I64,
        Dtype::U64 => Kind::U64,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        _ => return None,
    })
}

fn unknown(name: &str, kind: &str) -> String {
    format!("{name} has the type {kind}; expected integers, floating-point numbers or truth values")
}

/// The numbers in `bytes`; integers must fit 32 bits.
fn decode(kind: Kind, is_big: bool, bytes: &[u8]) -> Result<Numbers, String> {
    /// The numbers of `N` bytes each, little-endian.
    fn each<const N: usize, T>(bytes: &[u8], is_big: bool, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (chunks, _) = bytes.as_chunks::<N>();
        let read = |chunk: &[u8; N]| {
            let mut chunk = *chunk;
            if is_big {
                chunk.reverse();
            }
            read(chunk)
        };
        chunks.iter().map(read).collect()
    }
    fn narrow<T: Copy + std::fmt::Display>(numbers: Vec<T>) -> Result<Numbers, String>
    where
        i32: TryFrom<T>,
    {
        let narrow = |number: T| {
            i32::try_from(number).map_err(|_| format!("the integer {number} does not fit 32 bits"))
        };
        numbers
            .into_iter()
            .map(narrow)
            .collect::<Result<_, _>>()
            .map(Numbers::Ints)
    }
    Ok(match kind {
        Kind::U8 => Numbers::Bytes(bytes.to_vec()),
        Kind::I8 => Numbers::Ints(each(bytes, is_big, |b: [u8; 1]| {
            i8::from_le_bytes(b).into()
        })),
        Kind::I16 => Numbers::Ints(each(bytes, is_big, |b| i16::from_le_bytes(b).into())),
        Kind::U16 => Numbers::Ints(each(bytes, is_big, |b| u16::from_le_bytes(b).into())),
        Kind::I32 => Numbers::Ints(each(bytes, is_big, i32::from_le_bytes)),
        Kind::U32 => narrow(each(bytes, is_big, u32::from_le_bytes))?,
        Kind::I64 => narrow(each(bytes, is_big, i64::from_le_bytes))?,
        Kind::U64 => narrow(each(bytes, is_big, u64::from_le_bytes))?,
        Kind::F16 => Numbers::Floats(each(bytes, is_big, |b| f16::from_le_bytes(b).to_f32())),
        Kind::Bf16 => Numbers::Floats(each(bytes, is_big, |b| bf16::from_le_bytes(b).to_f32())),
        Kind::F32 => Numbers::Floats(each(bytes, is_big, f32::from_le_bytes)),
        Kind::F64 => Numbers::Floats(each(bytes, is_big, |b| f64::from_le_bytes(b) as f32)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_whose_first_axis_varies_fastest_are_put_in_order() {
        // Of shape [2, 3]: rows 1 2 3 and 4 5 6.
        assert_eq!(row_major(&[1, 4, 2, 5, 3, 6], &[2, 3]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(row_major(&[7], &[]), [7]);
        let empty: [u8; 0] = [];
        assert_eq!(row_major(&empty, &[0, 3]), empty);
    }

    #[test]
    fn every_type_becomes_one_of_three() {
        assert_eq!(decode(Kind::I8, false, &[255]), Ok(Numbers::Ints(vec![-1])));
        assert_eq!(
            decode(Kind::U16, true, &[1, 2]),
            Ok(Numbers::Ints(vec![258]))
        );
        assert_eq!(
            decode(Kind::F64, true, &1.5_f64.to_be_bytes()),
            Ok(Numbers::Floats(vec![1.5]))
        );
        assert_eq!(
            decode(Kind::F16, false, &f16::from_f32(0.25).to_le_bytes()),
            Ok(Numbers::Floats(vec![0.25]))
        );
        assert_eq!(
            decode(Kind::Bf16, false, &bf16::from_f32(-3.0).to_le_bytes()),
            Ok(Numbers::Floats(vec![-3.0]))
        );
        let large = decode(Kind::I64, false, &(1_i64 << 31).to_le_bytes());
        assert_eq!(
            large,
            Err("the integer 2147483648 does not fit 32 bits".to_owned())
        );
    }

    #[test]
    fn damaged_headers_are_errors() {
        let mut whole = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        let mut text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".to_owned();
        while text.len() < 0x75 {
            text.push(' ');
        }
        text.push('\n');
        whole.extend(text.bytes());
        whole.extend([0; 8]);
        let expected = Array {
            shape: vec![2],
            numbers: Numbers::Floats(vec![0.0; 2]),
        };
        assert_eq!(npy(&whole), Ok(expected));
        for length in 0..whole.len() {
            npy(&whole[..length]).unwrap_err();
        }
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x15;
            // Other numbers, or an error: both are answers.
            drop(npy(&bytes));
        }
    }
}
