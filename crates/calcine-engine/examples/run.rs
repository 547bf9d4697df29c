//! Runs a network file on zeros, prints how each node is computed, how long a batch takes, and the memory that it needs:
//! `run FILE [BATCH] [THREADS]`.

use std::time::Instant;

use calcine_engine::{Array, Engine, Options};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = arguments.first() else {
        println!("usage: run FILE [BATCH] [THREADS]");
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
    for row in engine.profile(&inputs, 60)? {
        let how = row
            .execution
            .map_or("nothing".to_owned(), |how| how.to_string());
        println!("{:>9.1?} {}: {}, {how}", row.time, row.node, row.operation);
    }
    let mut outputs = engine.run(&inputs)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        engine.run_into(&inputs, &mut outputs)?;
        times.push(start.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2];
    let [weights, activations] = engine.memory(batch)?;
    println!(
        "{median:?} for {batch} (p95 {:?}): {:.0} a second; loaded in {loaded:?}; {weights} bytes of weights, {activations} of activations",
        times[times.len() * 95 / 100],
        batch as f64 / median.as_secs_f64()
    );
    Ok(())
}
