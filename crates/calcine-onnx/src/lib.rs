//! ONNX files in and out of Calcine's networks, float and quantized, at run time.
//!
//! # Should I use this crate?
//!
//! Yes, to run elsewhere what Calcine has made smaller. No, to keep a network for Calcine itself:
//! [`Network::save`](calcine_trace::Network::save) loses nothing.
//!
//! # The parts
//!
//! | item | what |
//! |---|---|
//! | [`read_file`], [`read_bytes`], [`ImportOptions`] | an ONNX file as a network |
//! | [`import_file`], [`Imported`] | the same, with the quantization parameters of a file that is quantized |
//! | [`export`] | a network as an ONNX model of 32-bit floats |
//! | [`export_quantized`] | a quantized network as a model in one of three forms |
//! | [`ExportOptions`], [`Form`] | opset, form, exactness, metadata |
//! | [`Runtime`], [`Remark`] | the runtime that a file is for, and what it computes in float |
//! | [`OnnxModel`] | the model, to be written as one file or with external data |
//! | [`ExportError`], [`ImportError`], [`UnsupportedNode`] | what was wrong, where, and what would be valid |
//!
//! # The forms of a quantized network
//!
//! | form | written with | `ONNX Runtime` | OpenVINO | tract | rten |
//! |---|---|---|---|---|---|
//! | [`Form::Qdq`] | `QuantizeLinear`, `DequantizeLinear` around float operators | integers | integers | floats | floats |
//! | [`Form::QOperator`] | `QLinearConv`, `QLinearMatMul`, standard operators | integers | refused | integers | refused |
//! | [`Form::Integer`] | `ConvInteger`, `MatMulInteger`, standard operators | integers, from 1.24 | floats | integers | wrong at padded borders |
//!
//! [`ExportOptions::runtime`] chooses the form and its details; [`Runtime::remarks`] says what a runtime computes otherwise. The package
//! `runtimes` of the repository compares what they compute with `Quantized::forward`.

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
