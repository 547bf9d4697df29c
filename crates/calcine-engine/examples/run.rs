//! Runs a network file on zeros: `run FILE [BATCH] [THREADS] [turns]`.
//!
//! It prints how each node is computed, how long a batch takes, and how much memory it needs. With `turns`, it reads
//! numbers of seconds from stdin, one per line, runs the network for that time, and prints the duration of each run, so
//! that another program can be measured alternately with it.

use std::io::{BufRead, stdin};
use std::time::Instant;

use calcine_engine::{Array, Engine, Options};

type Failure = Box<dyn std::error::Error>;

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = arguments.first() else {
        println!("usage: run FILE [BATCH] [THREADS] [turns]");
        return Ok(());
    };
    let number = |at: usize| {
        arguments
            .get(at)
            .map_or(Ok(1), |number| number.parse::<usize>())
    };
    let (batch, mut options) = (number(1)?, Options::default());
    options.threads = number(2)?;
    let start = Instant::now();
    let engine = Engine::load_with(file, options)?;
    let loaded = start.elapsed();
    let graph = engine.graph();
    let shapes = graph
        .inputs
        .iter()
        .map(|id| graph.value(*id).shape_at(batch));
    let inputs: Vec<Array> = shapes
        .map(|shape| Array::floats(shape.clone(), vec![0.0; shape.iter().product()]))
        .collect();
    match arguments.get(3).map(String::as_str) {
        None => {
            report(&engine, &inputs, batch)?;
            println!("loaded in {loaded:?}");
            Ok(())
        }
        Some("turns") => turns(&engine, &inputs),
        Some(other) => Err(format!("unknown argument `{other}`: expected `turns`").into()),
    }
}

/// Prints a line for each node, and the median of 200 runs.
#[allow(clippy::print_stdout, reason = "an example prints")]
fn report(engine: &Engine, inputs: &[Array], batch: usize) -> Result<(), Failure> {
    for row in engine.profile(inputs, 60)? {
        let how = row
            .execution
            .map_or("nothing".to_owned(), |how| how.to_string());
        let zeros = row.zeros.filter(|zeros| zeros.zero > 0);
        let zeros = zeros.map_or(String::new(), |zeros| format!(", {zeros}"));
        println!(
            "{:>9.1?} {}: {}, {how}{zeros}",
            row.time, row.node, row.operation
        );
    }
    let mut seconds = run(engine, inputs, |runs, _| runs < 200)?;
    seconds.sort_by(f64::total_cmp);
    let [median, p95] = [50, 95].map(|percent| seconds[seconds.len() * percent / 100]);
    let [weights, activations] = engine.memory(batch)?;
    println!(
        "{:.3} ms for {batch} (p95 {:.3} ms): {:.0} a second; {weights} bytes of weights, {activations} of activations",
        1e3 * median,
        1e3 * p95,
        batch as f64 / median
    );
    Ok(())
}

/// Answers the lines of stdin until it ends.
#[allow(clippy::print_stdout, reason = "an example prints")]
fn turns(engine: &Engine, inputs: &[Array]) -> Result<(), Failure> {
    engine.run(inputs)?;
    println!("calcine");
    for line in stdin().lock().lines() {
        let turn: f64 = line?.trim().parse()?;
        let seconds = run(engine, inputs, |runs, elapsed| runs == 0 || elapsed < turn)?;
        println!("{seconds:?}");
    }
    Ok(())
}

/// The duration of each run in seconds, as long as `more` returns true for the number of runs and the seconds so far. A
/// first run, which fills the caches, is not counted.
fn run(
    engine: &Engine,
    inputs: &[Array],
    more: impl Fn(usize, f64) -> bool,
) -> Result<Vec<f64>, Failure> {
    let mut outputs = engine.run(inputs)?;
    let (began, mut seconds) = (Instant::now(), Vec::new());
    while more(seconds.len(), began.elapsed().as_secs_f64()) {
        let start = Instant::now();
        engine.run_into(inputs, &mut outputs)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}
