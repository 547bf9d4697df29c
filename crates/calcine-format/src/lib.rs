//! Reads the files of float and quantized networks as plain data: graphs, tensors, quantizers, integer weights.
//!
//! # Should I use this crate?
//!
//! Use it to write an engine, an exporter or a viewer of your own, without Burn. To execute a network, use `calcine-trace`
//! (float) or `calcine-quantize` (quantized), which read their files with it.
//!
//! | item | what |
//! |---|---|
//! | [`NetworkFile`] | a network in float: its graph, parameters and constants |
//! | [`QuantizedFile`], [`IntegerWeights`], [`Bias`], [`DynamicRange`] | a quantized network: its graph, quantizers and integer weights |
//! | [`NetworkData`] | one of the two |
//! | [`Array`], [`Numbers`] | a tensor in host memory |
//! | [`Quantizer`], [`Scheme`], [`pack`], [`unpack`], [`FloatType`] | how numbers are stored as integers, and as half-precision floats |
//! | [`Uses`] | which values of a graph have quantizers of their own, and which batch norms are folded into layers |
//! | [`FileError`], [`QuantizerError`] | what is wrong with a file, or a quantizer |

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod array;
mod data;
mod error;
mod float_type;
mod network;
mod packed;
mod quantized;
mod quantizer;
mod uses;

pub use array::{Array, Numbers};
pub use data::NetworkData;
pub use error::{FileError, QuantizerError};
pub use float_type::FloatType;
pub use network::{Description, NETWORK_FORMAT, NETWORK_KEY, NetworkFile, constant_name};
pub use packed::{pack, unpack};
pub use quantized::{
    BIASES, Bias, DynamicRange, FLOAT_BIASES, IntegerWeights, LayerDescription, NETWORK,
    QUANTIZED_FORMAT, QuantizedDescription, QuantizedFile, SCALES, StoredFloat, ZERO_POINTS, dtype,
    float_name, integers_name, output_index, scale_index,
};
pub use quantizer::{MAX_BITS, Quantizer, Scheme};
pub use uses::{
    Uses, averaged_values, has_integers, has_weights, is_folded_norm, output_axis, weight_operand,
};
