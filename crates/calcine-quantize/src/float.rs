//! What stays in float.

use calcine_trace::AnyTensor;

use crate::layer::vector;
use crate::{FloatType, QuantizeError};

/// Numbers in float.
#[derive(Debug, Clone)]
pub(crate) struct Float {
    /// In `f32`, of the type's numbers.
    pub(crate) tensor: AnyTensor,
    /// What a file keeps them in.
    pub(crate) kept: FloatType,
}

impl Float {
    /// Numbers to the nearest of a type.
    pub(crate) fn of(
        tensor: AnyTensor,
        kept: FloatType,
        name: &str,
    ) -> Result<Self, QuantizeError> {
        let shape = tensor.shape();
        let flat = tensor.clone().flat().filter(|_| kept != FloatType::F32);
        let Some(flat) = flat else {
            return Ok(Self { tensor, kept });
        };
        let device = flat.device();
        let values: Vec<f32> = flat.into_data().iter::<f32>().collect();
        let rounded: Vec<f32> = values.iter().map(|&value| kept.nearest(value)).collect();
        let mut both = values.iter().zip(&rounded);
        let beyond = both.find(|(value, rounded)| value.is_finite() && !rounded.is_finite());
        if let Some((value, _)) = beyond {
            return Err(QuantizeError::Beyond {
                name: name.to_owned(),
                value: *value,
                kept,
            });
        }
        Ok(Self {
            tensor: vector(rounded, &device, &shape),
            kept,
        })
    }
}
