use std::fmt;

use burn::tensor::kind::{self, Basic, BridgeTensor};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use calcine_format::{Array, Numbers};
use calcine_graph::ElementKind;

/// The largest rank that tensors of a network may have.
pub(crate) const MAX_RANK: usize = 6;

/// Evaluates an expression with the constant `$D` set to a rank that is only known at run time.
macro_rules! with_rank {
    ($rank:expr, $D:ident => $body:expr) => {{
        macro_rules! at {
            ($n:literal) => {{
                const $D: usize = $n;
                $body
            }};
        }
        match $rank {
            1 => at!(1),
            2 => at!(2),
            3 => at!(3),
            4 => at!(4),
            5 => at!(5),
            6 => at!(6),
            rank => unreachable!("a tensor of rank {rank}: lowering lets none through"),
        }
    }};
}

/// Evaluates an expression with the type `$K` set to a tensor's kind.
macro_rules! with_kind {
    ($kind:expr, $K:ident => $body:expr) => {
        match $kind {
            calcine_graph::ElementKind::Float => {
                type $K = burn::tensor::Float;
                $body
            }
            calcine_graph::ElementKind::Int => {
                type $K = burn::tensor::Int;
                $body
            }
            calcine_graph::ElementKind::Bool => {
                type $K = burn::tensor::Bool;
                $body
            }
        }
    };
}

pub(crate) use {with_kind, with_rank};

/// A tensor whose rank and kind are only known at run time.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_trace::AnyTensor;
///
/// let any = AnyTensor::from(Tensor::<2>::zeros([2, 3], &Device::flex()));
/// assert_eq!(any.shape(), [2, 3]);
/// assert!(any.clone().float::<3>().is_none());
/// assert!(any.float::<2>().is_some());
/// ```
#[derive(Clone)]
pub struct AnyTensor(BridgeTensor);

impl AnyTensor {
    /// The kind of its elements.
    #[must_use]
    pub fn kind(&self) -> ElementKind {
        if self.0.is_int() {
            ElementKind::Int
        } else if self.0.is_bool() {
            ElementKind::Bool
        } else {
            ElementKind::Float
        }
    }

    /// The length of each axis.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().to_vec()
    }

    /// The number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.shape().num_dims()
    }

    /// The device of the tensor.
    #[must_use]
    pub fn device(&self) -> Device {
        with_kind!(self.kind(), K => self.clone().of::<1, K>().device())
    }

    /// Moves the tensor to a device.
    #[must_use]
    pub fn to_device(self, device: &Device) -> Self {
        with_kind!(self.kind(), K => self.of::<1, K>().to_device(device).into())
    }

    /// The same tensor with autodiff, for a model in training.
    pub(crate) fn autodiff(self) -> Self {
        with_kind!(self.kind(), K => self.of::<1, K>().autodiff().into())
    }

    /// The same tensor without autodiff, detached from the tape.
    #[must_use]
    pub fn without_autodiff(self) -> Self {
        with_kind!(self.kind(), K => self.of::<1, K>().without_autodiff().into())
    }

    /// The tensor as floats of rank `D`; `None` if it has another kind or rank.
    #[must_use]
    pub fn float<const D: usize>(self) -> Option<Tensor<D>> {
        (self.kind() == ElementKind::Float && self.rank() == D).then(|| self.of())
    }

    /// The tensor as integers of rank `D`; `None` if it has another kind or rank.
    #[must_use]
    pub fn int<const D: usize>(self) -> Option<Tensor<D, Int>> {
        (self.kind() == ElementKind::Int && self.rank() == D).then(|| self.of())
    }

    /// The tensor as booleans of rank `D`; `None` if it has another kind or rank.
    #[must_use]
    pub fn bool<const D: usize>(self) -> Option<Tensor<D, Bool>> {
        (self.kind() == ElementKind::Bool && self.rank() == D).then(|| self.of())
    }

    /// Selects positions along an axis.
    ///
    /// # Panics
    ///
    /// If the axis or a position does not exist.
    #[must_use]
    pub fn select(self, axis: usize, positions: &[usize]) -> Self {
        let device = self.device();
        let positions: Vec<i64> = positions
            .iter()
            .map(|&at| at.cast_signed() as i64)
            .collect();
        with_kind!(self.kind(), K => with_rank!(self.rank(), D => {
            let positions = Tensor::<1, Int>::from_data(positions.as_slice(), &device);
            self.of::<D, K>().select(axis, positions).into()
        }))
    }

    /// A float tensor as a matrix with one row for each position along an axis: `[length, rest]`. `None` for other
    /// kinds.
    #[must_use]
    pub fn rows(self, axis: usize) -> Option<Tensor<2>> {
        let length = *self.shape().get(axis)?;
        (self.kind() == ElementKind::Float).then(|| {
            with_rank!(self.rank(), D => {
                let mut axes: Vec<usize> = (0..D).collect();
                axes.remove(axis);
                axes.insert(0, axis);
                let axes: [isize; D] = std::array::from_fn(|at| axes[at].cast_signed());
                let rest = self.shape().iter().product::<usize>() / length;
                self.of::<D, burn::tensor::Float>().permute(axes).reshape([length, rest])
            })
        })
    }

    /// Multiplies a float tensor by one number for each position along an axis; other tensors are returned unchanged.
    #[must_use]
    pub fn scaled(self, axis: usize, by: Tensor<1>) -> Self {
        if self.kind() != ElementKind::Float {
            return self;
        }
        with_rank!(self.rank(), D => {
            let mut shape = [1; D];
            shape[axis] = by.dims()[0];
            (self.of::<D, burn::tensor::Float>() * by.reshape(shape)).into()
        })
    }

    /// Adds one number for each position along an axis to a float tensor; other tensors are returned unchanged.
    #[must_use]
    pub fn shifted(self, axis: usize, by: Tensor<1>) -> Self {
        if self.kind() != ElementKind::Float {
            return self;
        }
        with_rank!(self.rank(), D => {
            let mut shape = [1; D];
            shape[axis] = by.dims()[0];
            (self.of::<D, burn::tensor::Float>() + by.reshape(shape)).into()
        })
    }

    /// The elements of a float tensor as a vector; `None` for other kinds.
    #[must_use]
    pub fn flat(self) -> Option<Tensor<1>> {
        let count: usize = self.shape().iter().product();
        (self.kind() == ElementKind::Float).then(|| {
            with_rank!(self.rank(), D => {
                self.of::<D, burn::tensor::Float>().reshape([count])
            })
        })
    }

    /// The inverse of [`flat`](Self::flat).
    ///
    /// # Panics
    ///
    /// If the shape has a different number of elements, or more than six axes.
    #[must_use]
    pub fn shaped(flat: Tensor<1>, shape: &[usize]) -> Self {
        with_rank!(shape.len(), D => {
            let shape: [usize; D] = std::array::from_fn(|axis| shape[axis]);
            flat.reshape(shape).into()
        })
    }

    /// Reads elements and shape from the device: floats as `f32`, integers as `i64`, and booleans.
    #[must_use]
    pub fn into_data(self) -> TensorData {
        let shape = self.shape();
        with_rank!(self.rank(), D => match self.kind() {
            ElementKind::Float => {
                let data = self.of::<D, burn::tensor::Float>().into_data();
                TensorData::new(data.iter::<f32>().collect::<Vec<_>>(), shape)
            }
            ElementKind::Int => {
                let data = self.of::<D, Int>().into_data();
                TensorData::new(data.iter::<i64>().collect::<Vec<_>>(), shape)
            }
            ElementKind::Bool => {
                let data = self.of::<D, Bool>().into_data();
                TensorData::new(data.iter::<bool>().collect::<Vec<_>>(), shape)
            }
        })
    }

    /// Creates a tensor of this kind from elements and shape; the inverse of [`into_data`](Self::into_data). `None` if
    /// it has no axis or more than six, or if an integer does not fit the integer type of the device.
    #[must_use]
    pub fn from_data(data: TensorData, kind: ElementKind, device: &Device) -> Option<Self> {
        let rank = data.shape().num_dims();
        if kind == ElementKind::Int {
            // Burn panics for integers that do not fit.
            let wide = Tensor::<1, Int>::zeros([1], device).dtype() == DType::I64;
            let fits = |int: i64| wide || i32::try_from(int).is_ok();
            if !data.iter::<i64>().all(fits) {
                return None;
            }
        }
        (1..=MAX_RANK).contains(&rank).then(|| {
            with_kind!(kind, K => with_rank!(rank, D => {
                Tensor::<D, K>::from_data(data, device).into()
            }))
        })
    }

    /// The tensor in the representation of its backend.
    #[cfg(feature = "flex")]
    pub(crate) fn into_dispatch(self) -> burn::backend::DispatchTensor {
        self.0.into()
    }

    /// Reads elements and shape from the device.
    #[must_use]
    pub fn to_array(&self) -> Array {
        let data = self.clone().into_data();
        let shape = data.shape().to_vec();
        let numbers = match self.kind() {
            ElementKind::Float => Numbers::Floats(data.iter().collect()),
            ElementKind::Int => Numbers::Ints(data.iter().collect()),
            ElementKind::Bool => Numbers::Bools(data.iter().collect()),
        };
        Array { shape, numbers }
    }

    /// The inverse of [`to_array`](Self::to_array); `None` for an array that [`from_data`](Self::from_data) does not
    /// accept.
    #[must_use]
    pub fn from_array(array: Array, device: &Device) -> Option<Self> {
        let kind = array.kind();
        let data = match array.numbers {
            Numbers::Floats(floats) => TensorData::new(floats, array.shape),
            Numbers::Ints(ints) => TensorData::new(ints, array.shape),
            Numbers::Bools(bools) => TensorData::new(bools, array.shape),
        };
        Self::from_data(data, kind, device)
    }

    /// The tensor with the rank and kind that it is known to have.
    pub(crate) fn of<const D: usize, K: Basic>(self) -> Tensor<D, K> {
        Tensor::from_bridge(self.0)
    }
}

impl<const D: usize, K: Basic> From<Tensor<D, K>> for AnyTensor {
    fn from(tensor: Tensor<D, K>) -> Self {
        // Burn 0.22.1 marks the result of a comparison of integers as integers; this marks it with its actual type.
        let marked = Tensor::<D, K>::from_dispatch(tensor.into_dispatch());
        Self(marked.into_bridge())
    }
}

impl fmt::Debug for AnyTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyTensor({:?}, {:?})", self.kind(), self.shape())
    }
}

/// The inputs or outputs of a network: a tensor, a tuple or a list.
///
/// A list ([`Vec`]) is for a number of tensors that is only known at run time.
pub trait Tensors: Sized {
    /// All tensors, in order.
    fn into_any(self) -> Vec<AnyTensor>;

    /// The inverse of [`into_any`](Self::into_any); `None` if number, ranks or kinds differ.
    fn from_any(tensors: Vec<AnyTensor>) -> Option<Self>;

    /// A description of what [`from_any`](Self::from_any) accepts, for messages.
    fn expected() -> String;
}

impl<const D: usize, K: Basic> Tensors for Tensor<D, K> {
    fn into_any(self) -> Vec<AnyTensor> {
        vec![self.into()]
    }

    fn from_any(tensors: Vec<AnyTensor>) -> Option<Self> {
        let [tensor] = <[AnyTensor; 1]>::try_from(tensors).ok()?;
        let kind = match K::KIND {
            kind::Kind::Float => ElementKind::Float,
            kind::Kind::Int => ElementKind::Int,
            kind::Kind::Bool => ElementKind::Bool,
        };
        (tensor.kind() == kind && tensor.rank() == D).then(|| tensor.of())
    }

    fn expected() -> String {
        format!("{} of rank {D}", K::name())
    }
}

impl Tensors for Vec<AnyTensor> {
    fn into_any(self) -> Vec<AnyTensor> {
        self
    }

    fn from_any(tensors: Vec<AnyTensor>) -> Option<Self> {
        Some(tensors)
    }

    fn expected() -> String {
        "any tensors".to_owned()
    }
}

macro_rules! tuple {
    ($($name:ident),+) => {
        impl<$($name: Tensors),+> Tensors for ($($name,)+) {
            #[allow(non_snake_case, reason = "the tuple's types name its fields")]
            fn into_any(self) -> Vec<AnyTensor> {
                let ($($name,)+) = self;
                let mut tensors = Vec::new();
                $(tensors.extend($name.into_any());)+
                tensors
            }

            fn from_any(tensors: Vec<AnyTensor>) -> Option<Self> {
                let mut tensors = tensors.into_iter();
                let whole = ($($name::from_any(vec![tensors.next()?])?,)+);
                tensors.next().is_none().then_some(whole)
            }

            fn expected() -> String {
                [$($name::expected()),+].join(", ")
            }
        }
    };
}
tuple!(A, B);
tuple!(A, B, C);
tuple!(A, B, C, D);
