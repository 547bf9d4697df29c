//! Runs a network file on zeros: `turns FILE BATCH THREADS`. Answers each number of seconds on a line of stdin with the seconds of
//! each run of such a turn, so that others can be measured in turns with it.

use std::io::{BufRead, stdin};
use std::time::Instant;

use calcine_engine::{Array, Engine, Options};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, batch, threads] = &arguments[..] else {
        println!("usage: turns FILE BATCH THREADS");
        return Ok(());
    };
    let (batch, mut options) = (batch.parse::<usize>()?, Options::default());
    options.threads = threads.parse()?;
    let engine = Engine::load_with(file, options)?;
    let graph = engine.graph();
    let shapes = graph
        .inputs
        .iter()
        .map(|id| graph.value(*id).shape_at(batch));
    let inputs: Vec<Array> = shapes
        .map(|shape| Array::floats(shape.clone(), vec![0.0; shape.iter().product()]))
        .collect();
    let mut outputs = engine.run(&inputs)?;
    println!("calcine");
    for line in stdin().lock().lines() {
        let turn: f64 = line?.trim().parse()?;
        engine.run_into(&inputs, &mut outputs)?;
        let (began, mut seconds) = (Instant::now(), Vec::new());
        while seconds.is_empty() || began.elapsed().as_secs_f64() < turn {
            let start = Instant::now();
            engine.run_into(&inputs, &mut outputs)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        println!("{seconds:?}");
    }
    Ok(())
}
