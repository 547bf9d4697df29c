use std::time::Instant;

use burn::tensor::{Device, TensorData};
use calcine_graph::ElementKind;
use calcine_trace::{AnyTensor, Network};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

/// The inference speed of a network and of its thinned version, measured alternately.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Speed {
    /// The batch size.
    pub batch: usize,
    /// The number of threads.
    pub threads: usize,
    /// Samples per second before thinning, computed from the median time of a batch.
    pub before: f64,
    /// Samples per second after thinning.
    pub after: f64,
}

/// Measures both networks alternately, with one thread and with all.
pub(crate) fn speed(
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
            let inputs = zeros(dense, batch, device)?;
            let [before, after] = pool.install(|| seconds([dense, thinned], &inputs))?;
            #[allow(clippy::cast_precision_loss, reason = "batches are small")]
            let samples = batch as f64;
            Some(Speed {
                batch,
                threads,
                before: samples / before,
                after: samples / after,
            })
        })
        .collect()
}

/// Inputs of zeros for a batch; `None` if they cannot be created.
fn zeros(network: &Network, batch: usize, device: &Device) -> Option<Vec<AnyTensor>> {
    let graph = network.graph();
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let numbers: usize = shape.iter().product();
        let data = match value.kind {
            ElementKind::Float => TensorData::new(vec![0.0_f32; numbers], shape),
            ElementKind::Int => TensorData::new(vec![0_i64; numbers], shape),
            ElementKind::Bool => TensorData::new(vec![false; numbers], shape),
        };
        AnyTensor::from_data(data, value.kind, device)
    });
    inputs.collect()
}

/// The median time of a batch for each network; `None` if one cannot compute it. The networks alternate, so that other
/// load slows down both.
fn seconds(networks: [&Network; 2], inputs: &[AnyTensor]) -> Option<[f64; 2]> {
    const ROUNDS: usize = 15;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (network, times) in networks.iter().zip(&mut times) {
            let began = Instant::now();
            let outputs = network.run(inputs.to_vec(), &mut |_, tensor| tensor).ok()?;
            // Reading waits for the device.
            for output in outputs {
                drop(output.into_data());
            }
            // The first round is a warm-up.
            if round > 0 {
                times.push(began.elapsed().as_secs_f64());
            }
        }
    }
    Some(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    }))
}
