//! Tensors that are known when a file is read: weights, constants, and shapes, whose elements may depend on the batch.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use burn::tensor::TensorData;
use calcine_graph::{ElementKind, Extent};

use crate::error::ImportError;
use crate::proto::{Data, External, Tensor, data_type};

/// An integer that may be a linear function of the batch size: `fixed + per_sample · batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) fixed: i64,
    pub(crate) per_sample: i64,
}

impl Number {
    pub(crate) const fn fixed(fixed: i64) -> Self {
        Self {
            fixed,
            per_sample: 0,
        }
    }

    /// The number, if it does not depend on the batch.
    pub(crate) fn known(self) -> Option<i64> {
        (self.per_sample == 0).then_some(self.fixed)
    }

    pub(crate) fn extent(self) -> Option<Extent> {
        Some(Extent {
            fixed: usize::try_from(self.fixed).ok()?,
            per_sample: usize::try_from(self.per_sample).ok()?,
        })
    }

    pub(crate) fn of(extent: Extent) -> Self {
        Self {
            fixed: i64::try_from(extent.fixed).unwrap_or(i64::MAX),
            per_sample: i64::try_from(extent.per_sample).unwrap_or(i64::MAX),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            fixed: self.fixed.checked_add(other.fixed)?,
            per_sample: self.per_sample.checked_add(other.per_sample)?,
        })
    }

    pub(crate) fn times(self, other: Self) -> Option<Self> {
        let (number, by) = match (self.known(), other.known()) {
            (_, Some(by)) => (self, by),
            (Some(by), _) => (other, by),
            _ => return None,
        };
        Some(Self {
            fixed: number.fixed.checked_mul(by)?,
            per_sample: number.per_sample.checked_mul(by)?,
        })
    }

    /// The quotient, if it is exact or does not depend on the batch.
    pub(crate) fn divided(self, by: Self) -> Option<Self> {
        if self == by {
            return Some(Self::fixed(1));
        }
        if by.per_sample != 0 {
            // `k · b / b`, for example the size of several axes divided by the size of some of them.
            let exact = by.fixed == 0 && self.fixed == 0 && self.per_sample % by.per_sample == 0;
            return exact.then(|| Self::fixed(self.per_sample / by.per_sample));
        }
        let by = by.fixed;
        if by == 0 {
            return None;
        }
        if self.per_sample == 0 {
            return self.fixed.checked_div(by).map(Self::fixed);
        }
        let exact = self.fixed % by == 0 && self.per_sample % by == 0;
        exact.then(|| Self {
            fixed: self.fixed / by,
            per_sample: self.per_sample / by,
        })
    }
}

/// The elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elements {
    Floats(Vec<f32>),
    Ints(Vec<Number>),
    Bools(Vec<bool>),
}

/// A tensor in host memory. Without axes, it has one element.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Host {
    pub(crate) shape: Vec<usize>,
    pub(crate) elements: Elements,
    /// The name of the initializer that has these elements.
    pub(crate) name: Option<String>,
    /// Whether it is the transpose of the initializer.
    pub(crate) transposed: bool,
    /// The element type in the file, as ONNX's type number.
    pub(crate) data_type: i64,
    /// The shape of the initializer, if it differs.
    pub(crate) original: Option<Vec<usize>>,
}

impl Host {
    pub(crate) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self {
            shape,
            elements: Elements::Floats(values),
            name: None,
            transposed: false,
            data_type: data_type::FLOAT,
            original: None,
        }
    }

    pub(crate) fn ints(shape: Vec<usize>, values: Vec<Number>) -> Self {
        Self {
            shape,
            elements: Elements::Ints(values),
            name: None,
            transposed: false,
            data_type: data_type::INT64,
            original: None,
        }
    }

    pub(crate) fn bools(shape: Vec<usize>, values: Vec<bool>) -> Self {
        Self {
            shape,
            elements: Elements::Bools(values),
            name: None,
            transposed: false,
            data_type: data_type::BOOL,
            original: None,
        }
    }

    /// Converts a tensor of the caller, with an ONNX type.
    pub(crate) fn of_data(data: &TensorData, kind: i64) -> Result<Self, String> {
        let shape = data.shape().to_vec();
        let elements = match super::fold::kind_of(kind) {
            Ok(ElementKind::Float) => Elements::Floats(data.iter::<f32>().collect()),
            Ok(ElementKind::Int) => Elements::Ints(data.iter::<i64>().map(Number::fixed).collect()),
            Ok(ElementKind::Bool) => Elements::Bools(data.iter::<bool>().collect()),
            Err(reason) => return Err(format!("would have {reason}")),
        };
        Ok(Self {
            elements,
            data_type: kind,
            ..Self::floats(shape, Vec::new())
        })
    }

    pub(crate) fn kind(&self) -> ElementKind {
        match &self.elements {
            Elements::Floats(_) => ElementKind::Float,
            Elements::Ints(_) => ElementKind::Int,
            Elements::Bools(_) => ElementKind::Bool,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.elements {
            Elements::Floats(values) => values.len(),
            Elements::Ints(values) => values.len(),
            Elements::Bools(values) => values.len(),
        }
    }

    /// The only element as a number; `None` if there are several.
    #[allow(clippy::cast_precision_loss, reason = "settings of a file")]
    pub(crate) fn scalar(&self) -> Option<f64> {
        if self.len() != 1 {
            return None;
        }
        match &self.elements {
            Elements::Floats(values) => Some(f64::from(values[0])),
            Elements::Ints(values) => values[0].known().map(|value| value as f64),
            Elements::Bools(values) => Some(f64::from(u8::from(values[0]))),
        }
    }

    pub(crate) fn numbers(&self) -> Option<&[Number]> {
        match &self.elements {
            Elements::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// The elements as integers; `None` if they are floats or depend on the batch.
    pub(crate) fn known(&self) -> Option<Vec<i64>> {
        self.numbers()?
            .iter()
            .map(|number| number.known())
            .collect()
    }

    /// A tensor of this shape with the elements at these positions.
    pub(crate) fn picked(&self, shape: Vec<usize>, positions: impl Iterator<Item = usize>) -> Self {
        let elements = match &self.elements {
            Elements::Floats(values) => Elements::Floats(positions.map(|at| values[at]).collect()),
            Elements::Ints(values) => Elements::Ints(positions.map(|at| values[at]).collect()),
            Elements::Bools(values) => Elements::Bools(positions.map(|at| values[at]).collect()),
        };
        Self {
            shape,
            elements,
            name: None,
            transposed: false,
            data_type: self.data_type,
            original: None,
        }
    }

    /// The tensor with the same elements and another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Self {
        let own = self.name.as_ref().map(|_| self.shape.clone());
        let original = self.original.clone().or(own).filter(|own| *own != shape);
        Self {
            shape,
            elements: self.elements.clone(),
            name: self.name.clone(),
            transposed: self.transposed,
            data_type: self.data_type,
            original,
        }
    }

    /// The tensor with permuted axes.
    pub(crate) fn permuted(&self, axes: &[usize]) -> Self {
        let steps = strides(&self.shape);
        let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        let steps: Vec<usize> = axes.iter().map(|&axis| steps[axis]).collect();
        let permuted = match (axes, &self.elements) {
            ([1, 0], Elements::Floats(values)) => {
                Self::floats(shape.clone(), turned(values, shape[1], shape[0]))
            }
            _ => self.picked(shape.clone(), Positions::new(&shape, &steps)),
        };
        match axes {
            [1, 0] if self.original.is_none() => Self {
                name: self.name.clone(),
                transposed: !self.transposed,
                ..permuted
            },
            _ => permuted,
        }
    }

    /// The tensor broadcast to a shape; `None` if that is impossible.
    pub(crate) fn broadcast(&self, shape: &[usize]) -> Option<Self> {
        let leading = shape.len().checked_sub(self.shape.len())?;
        let own = strides(&self.shape);
        let mut steps = vec![0; shape.len()];
        for (axis, &length) in self.shape.iter().enumerate() {
            if length == shape[leading + axis] {
                steps[leading + axis] = own[axis];
            } else if length != 1 {
                return None;
            }
        }
        Some(self.picked(shape.to_vec(), Positions::new(shape, &steps)))
    }
}

/// Transposes a matrix of `rows` rows and `columns` columns, in blocks, so that source and result stay in the cache.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut turned = vec![0.0; values.len()];
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for row in row_block..rows.min(row_block + BLOCK) {
                for column in column_block..columns.min(column_block + BLOCK) {
                    turned[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    turned
}

/// The strides of a shape in row-major order.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}

/// The positions of the elements of a shape in row-major order, for these strides.
pub(crate) struct Positions {
    shape: Vec<usize>,
    steps: Vec<usize>,
    index: Vec<usize>,
    at: usize,
    left: usize,
}

impl Positions {
    pub(crate) fn new(shape: &[usize], steps: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            steps: steps.to_vec(),
            index: vec![0; shape.len()],
            at: 0,
            left: shape.iter().product(),
        }
    }
}

impl Iterator for Positions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let now = self.at;
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            self.at += self.steps[axis];
            if self.index[axis] < self.shape[axis] {
                break;
            }
            self.at -= self.steps[axis] * self.shape[axis];
            self.index[axis] = 0;
        }
        Some(now)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The files of external data, each of which is read once.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    path: Option<PathBuf>,
    files: HashMap<String, Rc<Vec<u8>>>,
}

impl Folder {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            files: HashMap::new(),
        }
    }

    /// The bytes of a tensor in another file, which must be in the model's folder or below it.
    fn bytes(&mut self, external: &External<'_>) -> Result<(Rc<Vec<u8>>, [usize; 2]), String> {
        let location = &*external.location;
        let path = Path::new(location);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if location.is_empty() || !inside {
            return Err(format!(
                "has external data at `{location}`, which is not in the model's folder"
            ));
        }
        let Some(folder) = &self.path else {
            return Err(format!(
                "has external data in `{location}`: read the model from its file"
            ));
        };
        if !self.files.contains_key(location) {
            let full = folder.join(path);
            let real = full
                .canonicalize()
                .and_then(|full| Ok((folder.canonicalize()?, full)));
            let (folder, full) =
                real.map_err(|error| format!("has external data in `{location}`: {error}"))?;
            if !full.starts_with(folder) {
                return Err(format!(
                    "has external data at `{location}`, a link out of the model's folder"
                ));
            }
            let bytes = std::fs::read(full);
            let bytes =
                bytes.map_err(|error| format!("has external data in `{location}`: {error}"))?;
            self.files.insert(location.to_owned(), Rc::new(bytes));
        }
        let file = Rc::clone(&self.files[location]);
        let start = usize::try_from(external.offset.unwrap_or(0)).ok();
        let end = match external.length {
            Some(length) => usize::try_from(length)
                .ok()
                .zip(start)
                .and_then(|(length, start)| start.checked_add(length)),
            None => Some(file.len()),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= file.len() => {
                Ok((file, [start, end]))
            }
            _ => Err(format!(
                "has external data beyond the end of `{location}`, which has {} bytes",
                file.len()
            )),
        }
    }

    /// Reads a tensor of a file.
    pub(crate) fn host(&mut self, tensor: &Tensor<'_>) -> Result<Host, ImportError> {
        self.decoded(tensor).map_err(|problem| ImportError::Tensor {
            name: tensor.name.clone().into_owned(),
            problem,
        })
    }

    fn decoded(&mut self, tensor: &Tensor<'_>) -> Result<Host, String> {
        let shape: Option<Vec<usize>> = tensor
            .dims
            .iter()
            .map(|&dim| usize::try_from(dim).ok())
            .collect();
        let count = shape.as_ref().and_then(|shape| {
            let mut lengths = shape.iter();
            lengths.try_fold(1_usize, |all, &length| all.checked_mul(length))
        });
        let (Some(shape), Some(count)) = (shape, count) else {
            return Err(format!("has the shape {:?}", tensor.dims));
        };
        let held;
        let raw: Option<&[u8]> = match &tensor.data {
            Data::Raw(raw) => Some(match raw {
                Cow::Borrowed(raw) => raw,
                Cow::Owned(raw) => raw,
            }),
            Data::External(external) => {
                let (file, [start, end]) = self.bytes(external)?;
                held = file;
                Some(&held[start..end])
            }
            _ => None,
        };
        let elements = match raw {
            Some(raw) => of_raw(raw, tensor.data_type)?,
            None => of_fields(&tensor.data, tensor.data_type)?,
        };
        let mut host = Host {
            shape,
            elements,
            name: None,
            transposed: false,
            data_type: tensor.data_type,
            original: None,
        };
        // With fewer than eight bits per element, the last byte may have unused bits.
        let rest = match tensor.data_type {
            data_type::INT4 | data_type::UINT4 => 1,
            data_type::INT2 | data_type::UINT2 => 3,
            _ => 0,
        };
        if (1..=rest).contains(&host.len().saturating_sub(count)) {
            let shape = std::mem::take(&mut host.shape);
            host = host.picked(shape, 0..count);
        }
        match host.len() == count {
            true => Ok(host),
            false => Err(format!(
                "has {} elements for the shape {:?}",
                host.len(),
                host.shape
            )),
        }
    }
}

fn each<const N: usize, T>(raw: &[u8], of: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
    let (chunks, rest) = raw.as_chunks::<N>();
    match rest.is_empty() {
        true => Ok(chunks.iter().map(|chunk| of(*chunk)).collect()),
        false => Err(format!("has {} bytes for elements of {N}", raw.len())),
    }
}

fn of_raw(raw: &[u8], kind: i64) -> Result<Elements, String> {
    let int = |value: i64| Number::fixed(value);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "networks are of 32-bit floats"
    )]
    Ok(match kind {
        data_type::FLOAT => Elements::Floats(each(raw, f32::from_le_bytes)?),
        data_type::DOUBLE => Elements::Floats(each(raw, |x| f64::from_le_bytes(x) as f32)?),
        data_type::FLOAT16 => {
            Elements::Floats(each(raw, |x| half::f16::from_le_bytes(x).to_f32())?)
        }
        data_type::BFLOAT16 => {
            Elements::Floats(each(raw, |x| half::bf16::from_le_bytes(x).to_f32())?)
        }
        data_type::INT64 => Elements::Ints(each(raw, |x| int(i64::from_le_bytes(x)))?),
        data_type::UINT64 => {
            Elements::Ints(each(raw, |x| int(u64::from_le_bytes(x).cast_signed()))?)
        }
        data_type::INT32 => Elements::Ints(each(raw, |x| int(i32::from_le_bytes(x).into()))?),
        data_type::UINT32 => Elements::Ints(each(raw, |x| int(u32::from_le_bytes(x).into()))?),
        data_type::INT16 => Elements::Ints(each(raw, |x| int(i16::from_le_bytes(x).into()))?),
        data_type::UINT16 => Elements::Ints(each(raw, |x| int(u16::from_le_bytes(x).into()))?),
        data_type::INT8 => Elements::Ints(each(raw, |x: [u8; 1]| int(x[0].cast_signed().into()))?),
        data_type::UINT8 => Elements::Ints(each(raw, |x: [u8; 1]| int(x[0].into()))?),
        data_type::BOOL => Elements::Bools(raw.iter().map(|x| *x != 0).collect()),
        data_type::UINT4 => {
            let halves = raw.iter().flat_map(|x| [x & 15, x >> 4]);
            Elements::Ints(halves.map(|x| int(x.into())).collect())
        }
        data_type::INT4 => {
            let halves = raw.iter().flat_map(|x| [x << 4, *x]);
            Elements::Ints(halves.map(|x| int((x.cast_signed() >> 4).into())).collect())
        }
        data_type::UINT2 => {
            let quarters = raw
                .iter()
                .flat_map(|x| [0, 2, 4, 6].map(|by| (x >> by) & 3));
            Elements::Ints(quarters.map(|x| int(x.into())).collect())
        }
        data_type::INT2 => {
            let quarters = raw.iter().flat_map(|x| [6, 4, 2, 0].map(|by| x << by));
            Elements::Ints(
                quarters
                    .map(|x| int((x.cast_signed() >> 6).into()))
                    .collect(),
            )
        }
        other => return Err(untyped(other)),
    })
}

fn untyped(kind: i64) -> String {
    format!(
        "is of ONNX's type {kind}; valid are floats, doubles, half precision, integers and booleans"
    )
}

fn of_fields(data: &Data<'_>, kind: i64) -> Result<Elements, String> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as the format packs them"
    )]
    Ok(match (data, kind) {
        (
            Data::None,
            data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16,
        ) => Elements::Floats(Vec::new()),
        (Data::None, data_type::BOOL) => Elements::Bools(Vec::new()),
        (Data::None, _) => Elements::Ints(Vec::new()),
        (Data::Floats(values), data_type::FLOAT) => Elements::Floats(values.clone()),
        (Data::Doubles(values), data_type::DOUBLE) => {
            Elements::Floats(values.iter().map(|x| *x as f32).collect())
        }
        (Data::Ints(values), data_type::FLOAT16) => {
            let bits = values.iter().map(|x| half::f16::from_bits(*x as u16));
            Elements::Floats(bits.map(half::f16::to_f32).collect())
        }
        (Data::Ints(values), data_type::BFLOAT16) => {
            let bits = values.iter().map(|x| half::bf16::from_bits(*x as u16));
            Elements::Floats(bits.map(half::bf16::to_f32).collect())
        }
        (Data::Ints(values), data_type::BOOL) => {
            Elements::Bools(values.iter().map(|x| *x != 0).collect())
        }
        (
            Data::Ints(values),
            data_type::UINT8
            | data_type::INT8
            | data_type::UINT16
            | data_type::INT16
            | data_type::INT32
            | data_type::INT64
            | data_type::UINT32
            | data_type::UINT64,
        ) => Elements::Ints(values.iter().map(|x| Number::fixed(*x)).collect()),
        (
            Data::Ints(values),
            data_type::UINT4 | data_type::INT4 | data_type::UINT2 | data_type::INT2,
        ) => {
            let bytes: Vec<u8> = values.iter().map(|x| *x as u8).collect();
            of_raw(&bytes, kind)?
        }
        (_, other) => return Err(untyped(other)),
    })
}
