//! Compares `calcine-engine` with the operations of this crate (`Quantized::run`) on images of CIFAR-10, number by number:
//!
//! ```console
//! $ cargo run -p calcine-quantize --example engine -- cifar-10-batches-bin/test_batch.bin 1000 runs/*/quantized.safetensors
//! ```
//!
//! Prints a row for each network, and exits with 1 if an output differs. The networks take images of 32 × 32, normalized as those of the zoo.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::process::ExitCode;

use burn::tensor::{Device, Tensor, TensorData};
use calcine_engine::{Array, Engine, Options};
use calcine_quantize::Quantized;

/// The means and standard deviations of the channels.
const NORMALIZATION: [[f32; 3]; 2] = [[0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]];

/// Numbers of an image.
const IMAGE: usize = 3 * 32 * 32;

/// Images that go through the networks together.
const BATCH: usize = 50;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [images, count, files @ ..] = &arguments[..] else {
        println!("usage: engine test_batch.bin COUNT QUANTIZED.safetensors ...");
        return ExitCode::SUCCESS;
    };
    match compare(images, count, files) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all outputs are the same.
fn compare(images: &str, count: &str, files: &[String]) -> Result<bool, Box<dyn Error>> {
    let images = std::fs::read(images).map_err(|error| format!("{images}: {error}"))?;
    // Each image follows its label.
    let images = images.chunks_exact(1 + IMAGE).take(count.parse()?);
    let [means, deviations] = NORMALIZATION;
    let images: Vec<Vec<f32>> = images
        .map(|image| {
            let channels = image[1..]
                .chunks(IMAGE / 3)
                .zip(means.iter().zip(deviations));
            let normalized = channels.flat_map(|(channel, (mean, deviation))| {
                channel
                    .iter()
                    .map(move |byte| (f32::from(*byte) / 255.0 - mean) / deviation)
            });
            normalized.collect()
        })
        .collect();
    println!("| network | instruction set | images | outputs that differ | of |");
    println!("|---|---|---|---|---|");
    let mut same = true;
    for file in files {
        let quantized = Quantized::load(file.as_ref(), &Device::flex())?;
        let mut options = Options::default();
        options.threads = 2;
        let engine = Engine::load_with(file, options)?;
        let [mut differing, mut all] = [0, 0];
        for batch in images.chunks(BATCH) {
            let shape = vec![batch.len(), 3, 32, 32];
            let numbers = batch.concat();
            let data = TensorData::new(numbers.clone(), shape.clone());
            let x = Tensor::<4>::from_data(data, &Device::flex());
            // With an observer, the engine is not used.
            let outputs = quantized.run(vec![x.into()], &mut |_, _| {})?;
            let output = outputs.into_iter().next().ok_or("no output")?;
            let expected: Vec<f32> = output.into_data().iter::<f32>().collect();
            let found = engine.run(&[Array::floats(shape, numbers)])?;
            let found = found[0].as_floats().unwrap_or_default();
            let pairs = found.iter().zip(&expected);
            differing += pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            differing += found.len().abs_diff(expected.len());
            all += expected.len();
        }
        same &= differing == 0;
        let (isa, images) = (engine.options().isa, images.len());
        println!("| {file} | {isa} | {images} | {differing} | {all} |");
    }
    Ok(same)
}
