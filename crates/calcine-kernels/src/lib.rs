//! Inner loops of neural networks on CPUs: layers of 8-bit integers with exact 32-bit sums, and of floats.
//!
//! # Should I use this crate?
//!
//! Use it to compute convolutions and linear layers in an engine of your own. This is the only crate of Calcine with `unsafe` code; its functions are safe, and check once a call that the slices are
//! long enough.
//!
//! | item | what |
//! |---|---|
//! | [`Isa`] | the instruction sets, and which of them this CPU has |
//! | [`CodeLayer`] | a convolution or linear layer of 8-bit integers, packed; [`Rescale`], [`AddCodes`] say what becomes of its sums |
//! | [`FloatLayer`] | the same of floats |
//! | [`multiply_matrices`] | products of two matrices of activations |
//! | [`softmax_rows`], [`log_softmax_rows`], [`layer_norm_rows`], [`sum_rows`] | softmax, layer norms and sums |
//! | [`look_up`] | functions of 8-bit integers as tables |
//! | [`functions`] | elementary functions of single floats, whose loops [`Isa::vectorize`] makes vector instructions of |
//! | [`Convolution`] | a convolution of floats in training: forward, and the gradients of its input, weight and bias |
//! | [`BatchNorm`], [`Statistics`] | a batch norm of floats in training, with a sum and a rectifier behind it |
//! | [`fake`] | fake-quantization of floats in training, forward and backward |
//! | [`Images`], [`Order`] | whole batches of floats, channels first or last |
//! | [`Plane`], [`Window`], [`Filters`] | how images lie in memory, and what an output reads |
//! | [`Buffer`] | aligned memory for both kinds of numbers |
//!
//! # Layout
//!
//! Images are stored channels last, and integers in groups of four channels, which one instruction multiplies with four weights of 16
//! outputs. Windows that hang over the edge read a border that is part of the image, so that no loop has cases. Weights
//! are packed once: blocks of 16 outputs, in the order in which windows read them.
//!
//! # Arithmetic
//!
//! Sums of integers are exact modulo 2³², in every order and on every instruction set; no 16-bit sum saturates. They are rounded to
//! `f32` once, multiplied with a factor, clamped and rounded to the nearest integer, ties to even. Sums of floats depend on the
//! instruction set in their last bits. [`Convolution`] computes on the threads of `rayon`'s current pool; its results do not depend on how
//! many there are, as each sum is taken in an order that only the sizes determine.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod buffer;
mod codes;
mod convolution;
pub mod fake;
mod floats;
pub mod functions;
mod images;
mod isa;
mod matrix;
mod norm;
mod packed;
mod plane;
mod portable;
mod products;
mod rows;
mod table;
mod transpose;
mod unwritten;
mod winograd;

pub use buffer::Buffer;
pub use codes::{AddCodes, CodeLayer, Rescale};
pub use convolution::Convolution;
pub use floats::{AddFloats, FloatLayer};
pub use images::{Images, Order};
pub use isa::Isa;
pub use matrix::{MatrixSums, multiply_matrices, pack_matrix, packed_matrix_len};
pub use norm::{BatchNorm, Statistics};
pub use packed::Filters;
pub use plane::{Plane, Window};
pub use rows::{layer_norm_rows, log_softmax_rows, softmax_rows, sum_rows};
pub use table::look_up;
