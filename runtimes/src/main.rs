//! Runs ONNX files in tract or rten: `calcine-runtimes tract|rten JOBS`.
//!
//! JOBS is a JSON file with a list of jobs: `{"file", "input", "shape", "batch", "output"}`. Each reads raw 32-bit floats of that
//! shape and runs them in batches of so many; the first output goes to a file of raw 32-bit floats. Prints one JSON object for each job:
//! `{"shape", "kernels", "seconds"}`, or `{"error"}`.

mod rten;
mod tract;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

/// A file, and what it is run on.
#[derive(Deserialize)]
struct Job {
    file: PathBuf,
    input: PathBuf,
    shape: Vec<usize>,
    batch: usize,
    output: PathBuf,
}

/// Numbers of a shape, whose first axis is the batch.
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// A loaded file, and how often it has which kernel.
struct Session {
    kernels: BTreeMap<String, usize>,
    run: Box<dyn FnMut(Array) -> Result<Array, String>>,
}

type Load = fn(&Path) -> Result<Session, String>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let load: Load = match arguments.first().map(String::as_str) {
        Some("tract") => tract::load,
        Some("rten") => rten::load,
        _ => return Err("usage: calcine-runtimes tract|rten JOBS".into()),
    };
    let jobs = arguments
        .get(1)
        .ok_or("usage: calcine-runtimes tract|rten JOBS")?;
    let jobs: Vec<Job> = serde_json::from_str(&std::fs::read_to_string(jobs)?)?;
    for job in jobs {
        let answer = done(&job, load).unwrap_or_else(|error| json!({ "error": error }));
        println!("{answer}");
    }
    Ok(())
}

fn done(job: &Job, load: Load) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(&job.input).map_err(|error| error.to_string())?;
    let values = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|four| f32::from_le_bytes(*four)).collect();
    let each: usize = job.shape[1..].iter().product();
    let batch = |chunk: &[f32]| {
        let mut shape = job.shape.clone();
        shape[0] = chunk.len() / each.max(1);
        Array {
            shape,
            values: chunk.to_vec(),
        }
    };
    let chunk = (job.batch * each).max(1);
    let mut session = load(&job.file)?;
    // Once before, as the first run prepares.
    (session.run)(batch(&values[..chunk.min(values.len())]))?;
    let begun = Instant::now();
    let (mut shape, mut bytes) = (Vec::new(), Vec::new());
    for chunk in values.chunks(chunk) {
        let output = (session.run)(batch(chunk))?;
        match shape.first_mut() {
            Some(samples) => *samples += output.shape[0],
            None => shape = output.shape,
        }
        bytes.extend(output.values.iter().flat_map(|x| x.to_le_bytes()));
    }
    let seconds = begun.elapsed().as_secs_f64();
    std::fs::write(&job.output, bytes).map_err(|error| error.to_string())?;
    Ok(json!({ "shape": shape, "kernels": session.kernels, "seconds": seconds }))
}
