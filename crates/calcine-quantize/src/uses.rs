//! Which nodes read which values, which operations are layers, and which nodes do nothing of their own.

pub(crate) use calcine_format::{Uses, has_integers, has_weights, output_axis, weight_at};
