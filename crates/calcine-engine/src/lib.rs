//! Runs networks that Calcine has saved on CPUs, without Burn: float networks in float, and quantized networks in
//! integer arithmetic.
//!
//! # Should I use this crate?
//!
//! Use it to deploy a network: it loads what `calcine_trace::Network::save` and `calcine_quantize::Quantized::save` write, or
//! compiles such a network in memory ([`Engine::compile`]), and runs it. To train, prune or quantize, use the other crates.
//!
//! | item | what |
//! |---|---|
//! | [`Engine`] | a compiled network: load or compile it, run it |
//! | [`NetworkData`] | a network in memory as plain data |
//! | [`Options`], [`Isa`], [`FloatType`] | threads, the instruction set, and the type of stored float weights |
//! | [`Array`], [`Numbers`] | inputs and outputs |
//! | [`NodeReport`], [`Execution`], [`NodeTime`] | how each node is executed, and how long it takes |
//! | [`ZeroSteps`] | how many zero weights a layer has, and whether they are skipped |
//! | [`EngineError`] | why a network cannot be loaded or run |
//!
//! # Arithmetic
//!
//! A quantized network computes what `docs/arithmetic.md` specifies. The results of convolutions, linear layers, sums,
//! products, means, pools and concatenations are the integers of `calcine_quantize::Quantized::forward`, bit for bit.
//! Functions such as a sigmoid, a softmax or a layer norm are computed in float by this crate's own code, whose last
//! bit may differ from Burn's.
//!
//! # Examples
//!
//! ```no_run
//! use calcine_engine::{Array, Engine};
//!
//! let engine = Engine::load("quantized.safetensors")?;
//! let image = Array::floats(vec![1, 3, 32, 32], vec![0.0; 3072]);
//! let outputs = engine.run(&[image])?;
//! # Ok::<(), calcine_engine::EngineError>(())
//! ```

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod compile;
mod engine;
mod error;
mod form;
mod independence;
mod model;
mod plain;
mod plan;
mod report;
mod step;
mod whole;

pub use calcine_format::{Array, FloatType, NetworkData, Numbers};
pub use calcine_kernels::{Isa, ZeroSteps};
pub use engine::{Engine, NodeTime, Options};
pub use error::EngineError;
pub use report::{Execution, NodeReport};
