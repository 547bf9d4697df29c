use std::fmt;
use std::time::Instant;

use burn::tensor::Device;
use calcine_engine::{Array, Engine};
use calcine_graph::Graph;
use calcine_quantize::Quantized;
use calcine_trace::{AnyTensor, ForwardError, Network};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use crate::experiment::device_of;
use crate::filled_inputs;
use crate::inference::compiled;

/// The inference speed of a network before and after a change, measured alternately.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Speed {
    /// The batch size.
    pub batch: usize,
    /// The number of threads.
    pub threads: usize,
    /// What ran both networks.
    pub runtime: Runtime,
    /// Samples per second before, computed from the median time of a batch.
    pub before: f64,
    /// Samples per second after.
    pub after: f64,
}

/// What was measured, without the figures.
impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runtime = match self.runtime {
            Runtime::Engine => "engine",
            Runtime::Burn => "Burn",
        };
        let Self { batch, threads, .. } = self;
        write!(f, "samples/s, batch {batch}, threads {threads}, {runtime}")
    }
}

/// What runs networks whose speed is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// `calcine-engine`.
    Engine,
    /// Burn, on the device of the networks: it has its own memory, or the engine lacks an operation of one of them.
    Burn,
}

/// A network whose speed is measured.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    Float(&'a Network),
    Quantized(&'a Quantized),
}

impl Subject<'_> {
    fn graph(&self) -> &Graph {
        match self {
            Self::Float(network) => network.graph(),
            Self::Quantized(network) => network.graph(),
        }
    }

    fn engine(&self, threads: usize) -> Option<Engine> {
        match self {
            Self::Float(network) => compiled(&device_of(*network), threads, *network),
            Self::Quantized(network) => compiled(network.device(), threads, *network),
        }
    }

    fn run(&self, inputs: Vec<AnyTensor>) -> Result<Vec<AnyTensor>, ForwardError> {
        match self {
            Self::Float(network) => network.run(inputs, &mut |_, tensor| tensor),
            Self::Quantized(network) => network.run(inputs, &mut |_, _| {}),
        }
    }
}

/// Measures both networks alternately, with one thread and with all, for each batch size.
pub(crate) fn speeds(both: [Subject<'_>; 2], batches: &[usize], device: &Device) -> Vec<Speed> {
    let mut threads = vec![1, rayon::current_num_threads()];
    threads.dedup();
    let rows = batches.iter().flat_map(|&batch| {
        let rows = threads.iter();
        rows.filter_map(move |&threads| speed(both, batch, threads, device))
    });
    rows.collect()
}

/// The speed of both networks; `None` if one cannot compute inputs of zeros.
fn speed(both: [Subject<'_>; 2], batch: usize, threads: usize, device: &Device) -> Option<Speed> {
    let inputs = filled_inputs(both[0].graph(), batch, device, |_| 0.0).ok()?;
    let (runtime, seconds) = match both.map(|network| network.engine(threads)) {
        [Some(before), Some(after)] => {
            let inputs: Vec<Array> = inputs.iter().map(AnyTensor::to_array).collect();
            let run = |engine: &Engine| engine.run(&inputs).ok().map(drop);
            (Runtime::Engine, seconds([&before, &after], run)?)
        }
        _ => {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().ok()?;
            let run = |network: &Subject<'_>| {
                // Reading waits for the device.
                let outputs = network.run(inputs.clone()).ok()?.into_iter();
                outputs.for_each(|output| drop(output.into_data()));
                Some(())
            };
            (
                Runtime::Burn,
                pool.install(|| seconds([&both[0], &both[1]], run))?,
            )
        }
    };
    #[allow(clippy::cast_precision_loss, reason = "batches are small")]
    let [before, after] = seconds.map(|seconds| batch as f64 / seconds);
    Some(Speed {
        batch,
        threads,
        runtime,
        before,
        after,
    })
}

/// The median time of a run of each; `None` if one fails. They alternate, so that other load slows down both.
fn seconds<T>(both: [&T; 2], run: impl Fn(&T) -> Option<()>) -> Option<[f64; 2]> {
    const ROUNDS: usize = 15;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (one, times) in both.iter().zip(&mut times) {
            let began = Instant::now();
            run(one)?;
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
