//! What stays in float.

use calcine_trace::AnyTensor;

use crate::layer::vector;
use crate::report::HalfPrecisionLoss;
use crate::{FloatType, QuantizeError};

/// Numbers in float, or a constant of integers or booleans.
#[derive(Debug, Clone)]
pub(crate) struct Float {
    /// In `f32`, of the type's numbers.
    pub(crate) tensor: AnyTensor,
    /// What a file keeps them in, if they are floats.
    pub(crate) kept: FloatType,
}

impl Float {
    /// Numbers to the nearest of a type, and what that loses. A tensor of which the type would leave nothing but zeros stays in
    /// `f32`.
    pub(crate) fn of(
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
