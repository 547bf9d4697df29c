//! Reads ONNX files into Calcine's networks, and writes networks, float or quantized, as ONNX files.
//!
//! # Should I use this crate?
//!
//! Use it to run a compressed network in another runtime, or to compress a model that exists as an ONNX file. To save a
//! network for Calcine itself, use [`Network::save`](calcine_trace::Network::save), which loses nothing.
//!
//! # The parts
//!
//! | item | what |
//! |---|---|
//! | [`read_file`], [`read_bytes`], [`ImportOptions`] | read an ONNX file as a network |
//! | [`import_file`], [`Imported`] | read a network together with the quantization parameters of the file |
//! | [`export`] | write a network as an ONNX model of 32-bit floats |
//! | [`export_quantized`] | write a quantized network as an ONNX model in one of three forms |
//! | [`ExportOptions`], [`Form`] | the opset, form, exactness and metadata of the model |
//! | [`Runtime`], [`Remark`] | the runtime for which a file is written, and what it computes otherwise than Calcine |
//! | [`OnnxModel`] | the model, which can be saved as one file or with external data |
//! | [`ExportError`], [`ImportError`], [`UnsupportedNode`] | what is wrong, where, and what would be valid |
//!
//! # The forms of a quantized network
//!
//! | form | written with | `ONNX Runtime` | OpenVINO | tract | rten |
//! |---|---|---|---|---|---|
//! | [`Form::Qdq`] | `QuantizeLinear`, `DequantizeLinear` around float operators | integers | integers | floats | floats |
//! | [`Form::QOperator`] | `QLinearConv`, `QLinearMatMul`, standard operators | integers | refused | integers | refused |
//! | [`Form::Integer`] | `ConvInteger`, `MatMulInteger`, standard operators | integers, from 1.24 | floats | integers | wrong at padded borders |
//!
//! [`ExportOptions::runtime`] chooses the form and its details. [`Runtime::remarks`] lists what a runtime computes
//! otherwise than Calcine. The package `runtimes` of the repository compares the results of runtimes with those of
//! `Quantized::forward`.

mod error;
mod export;
mod import;
mod proto;
mod runtime;
mod wire;

pub use error::{ExportError, ImportError, UnsupportedNode};
pub use export::{ExportOptions, Form, OnnxModel, export, export_quantized};
pub use import::{
    ImportOptions, Imported, import_file, input_names, is_onnx, read_bytes, read_file, read_tensor,
};
pub use runtime::{Remark, Runtime};
