//! The L1 norm of every filter, channel and kernel of a convolution, and of every output and input of
//! a linear layer, with the same two lines.
//!
//! ```text
//! cargo run -p calcine-fold --example fold_rows
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::nn::LinearConfig;
use burn::nn::conv::Conv2dConfig;
use burn::tensor::{Device, Tensor};
use calcine_fold::{Fold, FoldError, Grain, Layout};

fn main() -> Result<(), FoldError> {
    let device = Device::flex();
    device.seed(1);

    let convolution = Conv2dConfig::new([2, 4], [3, 3]).init(&device).weight.val();
    for grain in [Grain::Filter, Grain::Channel, Grain::Kernel, Grain::Layer] {
        print_norms(grain, Layout::CONVOLUTION, convolution.clone())?;
    }

    // Burn stores a linear weight as [in, out]; the layout takes care of it.
    let linear = LinearConfig::new(5, 3).init(&device).weight.val();
    for grain in [Grain::FcOutput, Grain::FcInput] {
        print_norms(grain, Layout::LINEAR, linear.clone())?;
    }
    Ok(())
}

fn print_norms<const D: usize>(
    grain: Grain,
    layout: Layout,
    weight: Tensor<D>,
) -> Result<(), FoldError> {
    let fold = Fold::new(grain, &weight.dims(), layout)?;
    let norms = fold.rows(weight).abs().sum_dim(1).into_data();
    let norms: Vec<String> = norms
        .iter::<f32>()
        .map(|norm| format!("{norm:.2}"))
        .collect();
    println!(
        "{:>2} × {grain} of {:>2}: {}",
        fold.units(),
        fold.members(),
        norms.join(" ")
    );
    Ok(())
}
