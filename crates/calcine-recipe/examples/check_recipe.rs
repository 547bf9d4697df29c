//! Checks a recipe against a model, and prints what the driver will do.
//!
//! `cargo run -p calcine-recipe --example check_recipe [FILE]`
#![allow(
    clippy::print_stdout,
    reason = "what it prints is what the example shows"
)]

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;
use calcine_recipe::Recipe;

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

/// A recipe with three mistakes: an unknown word, an unknown name, and a window that ends before it begins.
const MISTAKEN: &str = r#"
format = 1
[train]
epochs = 10
lr = 0.1
[pruner.all]
params = ["**.weight"]
score = "magnitud"
level = { curve = "cubic", from = 0.0, to = 0.8 }
[[policy]]
pruner = "al"
start = 5
end = 2
"#;

fn main() {
    let device = Device::flex();
    let model = Net {
        hidden: LinearConfig::new(16, 32).init(&device),
        output: LinearConfig::new(32, 4).init(&device),
    };
    let recipe = match std::env::args().nth(1) {
        Some(file) => Recipe::from_file(file),
        None => Recipe::parse(MISTAKEN).or_else(|error| {
            println!("{error}\n");
            let mended = MISTAKEN.replace("tud\"", "tude\"").replace("= 2", "= 9");
            Recipe::parse(&mended.replace("\"al\"", "\"all\""))
        }),
    };
    match recipe.and_then(|recipe| Ok((recipe.bind(&model, 100)?, recipe))) {
        Ok((driver, recipe)) => {
            println!("sound: {} epochs, {driver:?}", recipe.train().epochs);
            let mut warnings = recipe.warnings(100);
            warnings.extend(driver.warnings());
            println!("warnings: {warnings:?}");
        }
        Err(error) => println!("{error}"),
    }
}
