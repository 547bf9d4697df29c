use std::time::Instant;

use burn::tensor::{Device, Tensor};
use calcine_trace::Network;
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use calcine_data::cifar10::{CHANNELS, SIDE};

/// Inference speed of a network and its thinned form, measured in turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Speed {
    /// Images in a batch.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Images per second before: that of the median batch.
    pub before: f64,
    /// The same after.
    pub after: f64,
}

/// Both networks in turns, on one thread and on all.
pub(super) fn speed(
    dense: &Network,
    thinned: &Network,
    batch: usize,
    device: &Device,
) -> Vec<Speed> {
    let all = rayon::current_num_threads();
    let mut threads = vec![1, all];
    threads.dedup();
    threads
        .into_iter()
        .filter_map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().ok()?;
            let [before, after] = pool.install(|| seconds([dense, thinned], batch, device));
            #[allow(clippy::cast_precision_loss, reason = "batches are small")]
            let images = batch as f64;
            Some(Speed {
                batch,
                threads,
                before: images / before,
                after: images / after,
            })
        })
        .collect()
}

/// The median time of a batch for each network. They take turns, so that a busy machine slows both.
fn seconds(networks: [&Network; 2], batch: usize, device: &Device) -> [f64; 2] {
    const ROUNDS: usize = 15;
    let images = Tensor::<4>::zeros([batch, CHANNELS, SIDE, SIDE], device);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (network, times) in networks.iter().zip(&mut times) {
            let began = Instant::now();
            let logits: Tensor<2> = network.forward(images.clone());
            // Reading waits for the device.
            drop(logits.into_data());
            // The first round warms up.
            if round > 0 {
                times.push(began.elapsed().as_secs_f64());
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    })
}
