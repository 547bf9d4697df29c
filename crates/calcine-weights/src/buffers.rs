//! Which tensors of a file are no weights.

use burn::store::burn_pack::Tensor as StoredTensor;
use burn::tensor::DType;

use super::names::{Parameters, last_element, layer_of};
use super::problem::is_statistic;

/// Buffers of floats that layers and tools keep beside weights, and that no gradient ever reaches.
const BUFFERS: [&str; 17] = [
    "anchor_grid",
    "anchors",
    "attn_mask",
    "cos_cached",
    "freqs_cis",
    "grid",
    "inv_freq",
    "mask",
    "mean",
    "num_batches_tracked",
    "pixel_mean",
    "pixel_std",
    "relative_coords_table",
    "sin_cached",
    "std",
    "stride",
    "strides",
];

/// What names of trained tensors end with, or have within their last element.
const TRAINED: [&str; 12] = [
    "weight", "bias", "kernel", "gamma", "beta", "alpha", "scale", "slope", "token", "embed",
    "lora", "query",
];

/// Whether a tensor that no parameter is called like can be left out: it is no trained tensor, by its type or its name.
///
/// What stands beside the parameters of a layer changes what the layer computes, unless it is known.
pub(super) fn is_buffer(name: &str, tensor: &StoredTensor, names: &Parameters) -> bool {
    let last = last_element(name).to_lowercase();
    if BUFFERS.contains(&last.as_str()) {
        return true;
    }
    match kind(tensor.dtype) {
        NumberKind::Float => {}
        // A weight in integers is of a quantized model.
        NumberKind::Integer => return !last.contains("weight"),
        _ => return true,
    }
    let is_trained = is_statistic(&last) || TRAINED.iter().any(|word| last.contains(word));
    let is_of_a_layer = !layer_of(name).is_empty() && names.has_layer(layer_of(name));
    !is_trained && !is_of_a_layer
}

/// What a type counts as: types of one kind are converted into each other.
pub(super) fn kind(dtype: DType) -> NumberKind {
    match dtype {
        _ if dtype.is_float() => NumberKind::Float,
        _ if dtype.is_int() || dtype.is_uint() => NumberKind::Integer,
        _ if dtype.is_bool() => NumberKind::Bool,
        _ => NumberKind::Other(dtype),
    }
}

#[derive(PartialEq)]
pub(super) enum NumberKind {
    Float,
    Integer,
    Bool,
    Other(DType),
}
