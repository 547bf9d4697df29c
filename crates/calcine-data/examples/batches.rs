//! Shows that a run that is resumed in the middle of an epoch gets the same batches.
//!
//! ```text
//! cargo run -p calcine-data --example batches
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use std::error::Error;

use burn::tensor::{Device, Int, Tensor};
use calcine_data::{Dataset, Loader, LoaderSettings, Options, cifar10};
use calcine_train::Data;

fn main() -> Result<(), Box<dyn Error>> {
    let dataset = Dataset::cifar10(cifar10::synthetic(7, 400, 10), &Options::default())?;
    println!("{dataset}");
    let settings = LoaderSettings {
        batch_size: 100,
        ..LoaderSettings::default()
    };
    let loader: Loader<Tensor<4>, Tensor<1, Int>> =
        Loader::new(&dataset, settings, &Device::flex())?;
    for (number, batch) in loader.epoch(0, 0).enumerate() {
        println!("batch {number}: inputs {:?}", batch.input.dims());
    }
    let last = loader.epoch(0, 0).last().ok_or("there are three batches")?;
    let resumed = loader.epoch(0, 2).next().ok_or("there are three batches")?;
    let equal = last.input.into_data() == resumed.input.into_data();
    println!("the same from batch 2 on: {equal}");
    Ok(())
}
