//! CPU kernels of neural networks: layers of 8-bit integers with exact 32-bit sums, and layers of floats.
//!
//! # Should I use this crate?
//!
//! Use it to compute convolutions and linear layers in an engine of your own. This is the only crate of Calcine with
//! `unsafe` code. Its functions are safe: each call checks once that all slices are long enough.
//!
//! | item | what |
//! |---|---|
//! | [`Isa`] | the instruction sets, and whether this CPU has them |
//! | [`CodeLayer`] | a convolution or linear layer of 8-bit integers with packed weights; [`Rescale`] and [`AddCodes`] convert its sums to results |
//! | [`FloatLayer`] | a convolution or linear layer of floats with packed weights |
//! | [`HalfType`] | floats of 16 bits, in which a [`FloatLayer`] can store its weights |
//! | [`ZeroSteps`] | how many zero weights a layer has, and whether it skips them |
//! | [`multiply_matrices`] | the matrix product of two activations |
//! | [`softmax_rows`], [`log_softmax_rows`], [`layer_norm_rows`], [`sum_rows`] | softmax, layer norms and sums |
//! | [`look_up`] | functions of 8-bit integers, as tables |
//! | [`functions`] | elementary functions of single floats; [`Isa::vectorize`] compiles loops over them to vector instructions |
//! | [`Convolution`] | a convolution of floats in training: forward, and the gradients of its input, weight and bias |
//! | [`BatchNorm`], [`Statistics`] | a batch norm of floats in training, followed by a sum and a relu |
//! | [`fake`] | fake-quantization of floats in training, forward and backward |
//! | [`Images`], [`Order`] | batches of images of floats, channels first or last |
//! | [`Plane`], [`Window`], [`Filters`] | the layout of images in memory, and the windows that an output reads |
//! | [`Buffer`] | aligned memory for integers or floats |
//!
//! # Layout
//!
//! Images are stored channels last. Integers are stored in groups of four channels, which one instruction multiplies
//! with four weights of each of 16 outputs. Windows that extend beyond the edge read a border that is stored with the
//! image, so that loops need no special cases. Weights are packed once, in blocks of 16 outputs, in the order in which
//! windows read them.
//!
//! # Arithmetic
//!
//! Sums of integers are exact modulo 2³², in every order and on every instruction set; no 16-bit sum saturates. They
//! are converted to `f32` once, multiplied with a factor, clamped and rounded to the nearest integer, ties to even. The
//! last bits of sums of floats depend on the instruction set. [`Convolution`] computes on the threads of `rayon`'s
//! current pool. Its results do not depend on the number of threads, because the order of each sum depends on the sizes
//! only.

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
mod halves;
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
mod zeros;

pub use buffer::Buffer;
pub use codes::{AddCodes, CodeLayer, Rescale};
pub use convolution::Convolution;
pub use floats::{AddFloats, FloatLayer};
pub use halves::HalfType;
pub use images::{Images, Order};
pub use isa::Isa;
pub use matrix::{MatrixSums, multiply_matrices, pack_matrix, packed_matrix_len};
pub use norm::{BatchNorm, Statistics};
pub use packed::Filters;
pub use plane::{Plane, Window};
pub use rows::{layer_norm_rows, log_softmax_rows, softmax_rows, sum_rows};
pub use table::look_up;
pub use zeros::ZeroSteps;
