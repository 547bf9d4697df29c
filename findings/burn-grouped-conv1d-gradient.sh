#!/usr/bin/env bash
# The gradient of a grouped Conv1d's weight is wrong in Burn where the stride leaves positions over.
#
# Versions   burn 0.22.1 (flex with autodiff), a current Rust
# Expected   the gradient that conv2d gives for the same numbers as images of one row.
# Behaviour  12 positions with a padding of 1 are 14; a kernel of 3 with stride 2 begins at 0, 2, ..., 10, and the last position is in no
#            window. With two groups the gradient of the weight then differs from conv2d's. With one group, or with 11 positions, of which
#            none is left over, both agree. Outputs agree always, so that only a training that goes badly shows it.
# Output     groups 1, length 12: agree; groups 2, length 11: agree; groups 2, length 12: differ
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "gradient"
version = "0.0.0"
edition = "2024"

[dependencies]
burn = { version = "=0.22.1", default-features = false, features = ["std", "autodiff", "flex"] }

[workspace]
TOML
cat >src/main.rs <<'RUST'
use burn::tensor::module::{conv1d, conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

/// Numbers without a pattern between -1 and 1.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * i * 7 + i * 3 + 1) % 19) as f32 / 9.0 - 1.0).collect()
}

fn main() {
    let device = Device::flex().autodiff();
    let mut changed = false;
    for (groups, length, agrees) in [(1, 12, true), (2, 11, true), (2, 12, false)] {
        let channels = 4;
        let each = channels / groups;
        let x = Tensor::<1>::from_floats(numbers(channels * length).as_slice(), &device);
        let w = Tensor::<1>::from_floats(numbers(channels * each * 3).as_slice(), &device).require_grad();
        let line = conv1d(
            x.clone().reshape([1, channels, length]),
            w.clone().reshape([channels, each, 3]),
            None,
            ConvOptions::new([2], [1], [1], groups),
        );
        let results = line.clone().inner();
        let grads = line.powi_scalar(2).sum().backward();
        let of_line = w.grad(&grads).unwrap().into_data();
        let row = conv2d(
            x.reshape([1, channels, 1, length]),
            w.clone().reshape([channels, each, 1, 3]),
            None,
            ConvOptions::new([1, 2], [0, 1], [1, 1], groups),
        );
        let same = (results - row.clone().inner().squeeze_dim::<3>(2)).abs().max().into_scalar::<f32>();
        let grads = row.powi_scalar(2).sum().backward();
        let of_row = w.grad(&grads).unwrap().into_data();
        let pairs = of_line.iter::<f32>().zip(of_row.iter::<f32>());
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let agree = off < 1e-4;
        let word = if agree { "agree" } else { "differ" };
        println!("groups {groups}, length {length}: the gradients {word}, by at most {off}");
        changed |= agree != agrees || same > 1e-5;
    }
    assert!(!changed, "Burn behaves differently now");
}
RUST
CARGO_TARGET_DIR="$work/target" cargo run --quiet
