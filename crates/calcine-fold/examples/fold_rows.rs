//! Computes the L1 norm of every filter, channel and kernel of a convolution, and of every output and input of a linear
//! layer, with the same two lines of code.
//!
//! ```text
//! cargo run -p calcine-fold --example fold_rows
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::nn::LinearConfig;
use burn::nn::conv::Conv2dConfig;
use burn::tensor::{Device, Tensor};
use calcine_fold::{Fold, FoldError, Granularity, Layout};

fn main() -> Result<(), FoldError> {
    let device = Device::flex();
    device.seed(1);

    let convolution = Conv2dConfig::new([2, 4], [3, 3]).init(&device).weight.val();
    for granularity in [
        Granularity::Filter,
        Granularity::Channel,
        Granularity::Kernel,
        Granularity::Layer,
    ] {
        print_norms(granularity, Layout::CONVOLUTION, convolution.clone())?;
    }

    // Burn stores a linear weight as [in, out]; the layout takes this into account.
    let linear = LinearConfig::new(5, 3).init(&device).weight.val();
    for granularity in [Granularity::FcOutput, Granularity::FcInput] {
        print_norms(granularity, Layout::LINEAR, linear.clone())?;
    }
    Ok(())
}

fn print_norms<const D: usize>(
    granularity: Granularity,
    layout: Layout,
    weight: Tensor<D>,
) -> Result<(), FoldError> {
    let fold = Fold::new(granularity, &weight.dims(), layout)?;
    let norms = fold.rows(weight).abs().sum_dim(1).into_data();
    let norms: Vec<String> = norms
        .iter::<f32>()
        .map(|norm| format!("{norm:.2}"))
        .collect();
    println!(
        "{:>2} × {granularity} of {:>2}: {}",
        fold.units(),
        fold.members(),
        norms.join(" ")
    );
    Ok(())
}
