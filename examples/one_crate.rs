//! One crate alone, without a trainer: which eight of these filters matter least?
//!
//! `cargo run -p calcine-examples --bin one_crate`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use burn::nn::conv::Conv2dConfig;
use burn::tensor::Device;
use calcine_criteria::{Candidate, Evidence, Level, Norm, Score, Select};

fn main() {
    let conv = Conv2dConfig::new([16, 32], [3, 3]).init(&Device::flex());
    let filters = conv.weight.val().reshape([32, 16 * 9]); // a row a filter

    let scores = Norm::L2.score(&Evidence::new(filters));
    let keep = Level::default()
        .keep(&[Candidate::new(scores.clone())], 0.25)
        .remove(0);

    let scores: Vec<f32> = scores.into_data().iter().collect();
    let keep: Vec<bool> = keep.into_data().iter().collect();
    for (filter, (score, keep)) in scores.into_iter().zip(keep).enumerate() {
        println!(
            "filter {filter:2}  L2 {score:.4}  {}",
            if keep { "keep" } else { "drop" }
        );
    }
}
