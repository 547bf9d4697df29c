//! Ranks the filters of two convolutions by their L1 norm: half of each, and half of both together.
//!
//! ```text
//! cargo run -p calcine-criteria --example rank_filters
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::nn::Initializer;
use burn::nn::conv::Conv2dConfig;
use burn::tensor::Device;
use calcine_criteria::{Candidate, Evidence, GlobalLevel, Level, Norm, Score, Select};
use calcine_fold::{Fold, FoldError, Granularity, Layout};

fn main() -> Result<(), FoldError> {
    let device = Device::flex();
    device.seed(1);
    // Norms that are divided by the length can be compared between layers; the second layer has slightly smaller
    // weights.
    let norm = Norm::L1.length_normalised();
    let mut layers = Vec::new();
    for (inputs, std) in [(3, 1.0), (8, 0.95)] {
        let init = Initializer::Normal { mean: 0.0, std };
        let config = Conv2dConfig::new([inputs, 8], [3, 3]).with_initializer(init);
        let weight = config.init(&device).weight.val();
        let filters = Fold::new(Granularity::Filter, &weight.dims(), Layout::CONVOLUTION)?;
        let scores = norm.score(&Evidence::new(filters.rows(weight)));
        let numbers: Vec<String> = scores
            .to_data()
            .iter::<f32>()
            .map(|score| format!("{score:.2}"))
            .collect();
        println!("layer {}: {}", layers.len(), numbers.join(" "));
        layers.push(Candidate::new(scores));
    }
    show("half of each layer", &Level::default(), &layers);
    show("half of both together", &GlobalLevel::default(), &layers);
    Ok(())
}

fn show(what: &str, select: &dyn Select, layers: &[Candidate]) {
    println!("\n{what} (# stays, . goes)");
    for (layer, keep) in select.keep(layers, 0.5).into_iter().enumerate() {
        let keep = keep.into_data();
        let marks: String = keep
            .iter::<bool>()
            .map(|keep| if keep { '#' } else { '.' })
            .collect();
        println!("layer {layer}: {marks}");
    }
}
