//! Measures programs in turns.

use std::hint::black_box;
use std::time::{Duration, Instant};

use calcine::engine::{Array, Engine};
use calcine::run::Model;
use calcine::trace::AnyTensor;
use rayon::ThreadPool;

use super::onnx_runtime::OnnxRuntime;
use crate::failure::{Failure, bad};

/// The minimum total duration of the measured runs of each program.
const TIME: Duration = Duration::from_secs(2);

/// The duration of a turn, in which one program runs repeatedly.
const TURN: Duration = Duration::from_millis(50);

/// The minimum and the maximum number of runs of a batch.
const RUNS: [usize; 2] = [10, 20_000];

/// A program that computes the network and is measured.
#[derive(Debug)]
pub(super) enum Contender<'a> {
    Engine {
        engine: &'a Engine,
        inputs: &'a [Array],
        outputs: Vec<Array>,
    },
    Burn {
        network: &'a Model,
        inputs: Vec<AnyTensor>,
        pool: ThreadPool,
    },
    Runtime(OnnxRuntime),
}

impl Contender<'_> {
    /// Runs batches for a turn, and adds the seconds of each.
    pub(super) fn turn(&mut self, seconds: &mut Vec<f64>) -> Result<(), Failure> {
        match self {
            Self::Engine {
                engine,
                inputs,
                outputs,
            } => timed(seconds, || engine.run_into(inputs, outputs).map_err(bad)),
            Self::Burn {
                network,
                inputs,
                pool,
            } => pool.install(|| timed(seconds, || pass(network, inputs.clone()))),
            Self::Runtime(runtime) => {
                seconds.extend(runtime.turn(TURN)?);
                Ok(())
            }
        }
    }
}

/// Runs a function repeatedly for a turn, and adds the seconds of each run.
fn timed(
    seconds: &mut Vec<f64>,
    mut run: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    // The first run of a turn is not measured: it fills the caches again.
    run()?;
    let began = Instant::now();
    loop {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
        if began.elapsed() >= TURN {
            return Ok(());
        }
    }
}

pub(super) fn is_enough(seconds: &[f64]) -> bool {
    let long = seconds.iter().sum::<f64>() >= TIME.as_secs_f64();
    seconds.len() >= RUNS[1] || seconds.len() >= RUNS[0] && long
}

/// Runs a forward pass, and waits for the results.
fn pass(network: &Model, inputs: Vec<AnyTensor>) -> Result<(), Failure> {
    for output in network.run(inputs).map_err(bad)? {
        // Reading waits for the device.
        black_box(output.into_data());
    }
    Ok(())
}

/// The measured times of a program.
#[derive(Debug)]
pub(super) struct Measured<'a> {
    pub(super) name: &'a str,
    pub(super) runs: usize,
    pub(super) median_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) rate: f64,
}

impl<'a> Measured<'a> {
    pub(super) fn of(name: &'a str, mut seconds: Vec<f64>, batch: usize) -> Self {
        seconds.sort_by(f64::total_cmp);
        let median = quantile(&seconds, 0.5);
        Self {
            name,
            runs: seconds.len(),
            median_ms: 1e3 * median,
            p95_ms: 1e3 * quantile(&seconds, 0.95),
            rate: batch as f64 / median,
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "runs": self.runs,
            "median_ms": self.median_ms,
            "p95_ms": self.p95_ms,
            "images_per_second": self.rate,
        })
    }

    pub(super) fn text(&self) -> String {
        format!(
            "median {:.3} ms, 95 % within {:.3} ms, {:.1} images/s",
            self.median_ms, self.p95_ms, self.rate
        )
    }
}

/// The smallest value that at least this share of the sorted values does not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (quantile(&sorted, 0.5), quantile(&sorted, 0.95)),
            (10.0, 19.0)
        );
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
    }
}
