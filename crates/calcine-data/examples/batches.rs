//! Shows that a run which resumes in the middle of an epoch sees the same batches.
//!
//! ```text
//! cargo run -p calcine-data --example batches
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use calcine_data::cifar10::{CLASSES, synthetic};
use calcine_data::loader::{Train, TrainSettings};

fn main() {
    let data = synthetic(7, 400, 10);
    let settings = TrainSettings {
        batch_size: 100,
        ..TrainSettings::default()
    };
    let train = Train::new(data.train.clone(), data.train.indices(), settings);
    for (number, batch) in train.epoch(0, 0).enumerate() {
        let first = CLASSES[batch.labels[0] as usize];
        println!(
            "batch {number}: {} images, the first a synthetic {first}",
            batch.n
        );
    }
    let whole: Vec<_> = train.epoch(0, 0).skip(2).collect();
    let resumed: Vec<_> = train.epoch(0, 2).collect();
    println!("the same from batch 2 on: {}", whole == resumed);
}
