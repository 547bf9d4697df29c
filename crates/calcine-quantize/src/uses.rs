//! The uses of values, and the properties of nodes for quantization.

pub(crate) use calcine_format::{Uses, has_integers, has_weights, output_axis, weight_operand};
