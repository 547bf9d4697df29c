//! Prints which names of a small network a pattern matches, or the nearest names if it matches none.
//!
//! `cargo run -p calcine-names --example match_names [PATTERN]`
#![allow(
    clippy::print_stdout,
    reason = "what it prints is what the example shows"
)]

use calcine_names::{Pattern, PatternError, nearest};

const NAMES: [&str; 5] = [
    "conv1.weight",
    "layer1.0.conv1.weight",
    "layer1.0.conv2.weight",
    "fc.weight",
    "fc.bias",
];

fn main() -> Result<(), PatternError> {
    let text = std::env::args().nth(1);
    let text = text.as_deref().unwrap_or("layer1.*.conv?.weight");
    let pattern = Pattern::new(text)?;
    let matched: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| pattern.matches(name))
        .collect();
    if matched.is_empty() {
        println!(
            "`{text}` matches nothing; nearest: {}",
            nearest(text, NAMES).join(", ")
        );
    } else {
        println!("`{text}` matches {}", matched.join(", "));
    }
    Ok(())
}
