//! Tensors that are stored in float.

use calcine_trace::AnyTensor;

use crate::layer::vector;
use crate::report::HalfPrecisionLoss;
use crate::{FloatType, QuantizeError};

/// A float tensor, or a constant of integers or booleans.
#[derive(Debug, Clone)]
pub(crate) struct Float {
    /// The tensor in `f32`, with values that the float type can represent.
    pub(crate) tensor: AnyTensor,
    /// The type in which a file stores them, if they are floats.
    pub(crate) kept: FloatType,
}

impl Float {
    /// Rounds values to a float type, and reports the loss. A tensor in which only zeros would remain stays in `f32`.
    pub(crate) fn new(
        tensor: AnyTensor,
        kept: FloatType,
        name: &str,
    ) -> Result<(Self, Option<HalfPrecisionLoss>), QuantizeError> {
        let shape = tensor.shape();
        let flat = tensor.clone().flat().filter(|_| kept != FloatType::F32);
        let Some(flat) = flat else {
            return Ok((Self { tensor, kept }, None));
        };
        let device = flat.device();
        let values: Vec<f32> = flat.into_data().iter::<f32>().collect();
        let rounded: Vec<f32> = values.iter().map(|&value| kept.nearest(value)).collect();
        let both = || values.iter().zip(&rounded);
        let beyond = both().find(|(value, rounded)| value.is_finite() && !rounded.is_finite());
        if let Some((value, _)) = beyond {
            return Err(QuantizeError::Beyond {
                name: name.to_owned(),
                value: *value,
                kept,
            });
        }
        let numbers = values.iter().filter(|value| **value != 0.0).count();
        let zeros = both()
            .filter(|(value, rounded)| **value != 0.0 && **rounded == 0.0)
            .count();
        let own = if zeros == numbers && zeros > 0 {
            FloatType::F32
        } else {
            kept
        };
        let loss = HalfPrecisionLoss {
            parameter: name.to_owned(),
            asked: kept,
            kept: own,
            zeros,
            numbers,
        };
        let tensor = match own == kept {
            true => vector(rounded, &device, &shape),
            false => tensor,
        };
        Ok((Self { tensor, kept: own }, (zeros > 0).then_some(loss)))
    }
}
