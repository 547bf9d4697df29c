//! Measures how much of a pruned convolution is zero, by element, kernel, filter and channel.
//!
//! ```text
//! cargo run -p calcine-sparsity --example count_zeros
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::nn::conv::Conv2dConfig;
use burn::tensor::{Device, Transaction};
use calcine_fold::{Fold, FoldError, Granularity, Layout};
use calcine_sparsity::{Share, nonzero_units};

fn main() -> Result<(), FoldError> {
    let device = Device::flex();
    device.seed(1);
    let weight = Conv2dConfig::new([4, 8], [3, 3]).init(&device).weight.val();
    let small = weight.clone().abs().lower_scalar(0.12);
    let weight = weight.mask_fill(small, 0.0).slice_fill(0..2, 0.0);

    // All counts are computed on the device and read at once.
    let granularities = [
        Granularity::Element,
        Granularity::Kernel,
        Granularity::Filter,
        Granularity::Channel,
    ];
    let mut totals = Vec::new();
    let mut counts = Transaction::default();
    for granularity in granularities {
        let fold = Fold::new(granularity, &weight.dims(), Layout::CONVOLUTION)?;
        counts = counts.register(nonzero_units(fold.rows(weight.clone())));
        totals.push(fold.units() as u64);
    }
    for ((granularity, total), count) in granularities.iter().zip(totals).zip(counts.execute()) {
        let nonzero = count.iter::<i64>().sum::<i64>().unsigned_abs();
        let share = Share { nonzero, total };
        println!(
            "{:<8} {nonzero:>3} of {total:>3}: {:.1} % zeros",
            granularity.to_string(),
            100.0 * share.sparsity()
        );
    }
    Ok(())
}
