//! Runs the tests of single operators that the ONNX project has through the importer and a network's forward pass.
//!
//! `cargo run -p calcine-onnx --example node_tests -- FOLDER [NAME]`, or `cargo xtask onnx-conformance`, which writes the folder.
//! With a name, only the tests whose names contain it are run, and reasons are printed in full.
//!
//! Each test is a folder with `model.onnx`, the tensors of `test_data_set_0`, and `tolerance`, the relative and the absolute
//! difference that is allowed. In these models, weights, shapes and axes are inputs. Each is read in four ways: with all inputs
//! given to the network; with all but the floats known when the file is read; with all but the first; and with all of them. A test has
//! passed if it can be read in one of the ways, and its outputs are right in all ways in which it can be read.
//!
//! Without a folder there is no test. The exit code is 1 if an output is wrong.
#![allow(clippy::print_stdout, reason = "a program that prints a list")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::{Device, TensorData};
use calcine_graph::ElementKind;
use calcine_onnx::{ImportError, ImportOptions, read_file, read_tensor};
use calcine_trace::AnyTensor;

/// Which inputs are known when the file is read.
const WAYS: [&str; 4] = ["none", "all but floats", "all but the first", "all"];

enum Outcome {
    /// In how many ways it was read, and the first of them.
    Passed(usize),
    Unsupported(String),
    Wrong(String),
}

/// A test's tensors.
struct Test {
    model: PathBuf,
    inputs: Vec<TensorData>,
    outputs: Vec<TensorData>,
    relative: f64,
    absolute: f64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        println!("No folder of tests was given, so nothing is tested.");
        return ExitCode::SUCCESS;
    };
    let only = arguments.next();
    match run(Path::new(&folder), only.as_deref()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line for each test that did not pass, and the sums; returns how many are wrong.
fn run(folder: &Path, only: Option<&str>) -> Result<usize, Box<dyn Error>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    folders.sort();
    let mut passed = [0; WAYS.len()];
    let (mut unsupported, mut wrong) = (Vec::new(), Vec::new());
    for folder in folders {
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if only.is_some_and(|only| !name.contains(only)) || !folder.join("model.onnx").exists() {
            continue;
        }
        match Test::read(&folder).map(|test| test.outcome()) {
            Ok(Outcome::Passed(way)) => passed[way] += 1,
            Ok(Outcome::Unsupported(reason)) => unsupported.push((name, reason)),
            Ok(Outcome::Wrong(reason)) => wrong.push((name, reason)),
            Err(reason) => unsupported.push((name, reason)),
        }
    }
    for (kind, list) in [("unsupported", &unsupported), ("wrong", &wrong)] {
        for (name, reason) in list {
            let line = reason.replace('\n', " ");
            let cut: String = match only {
                Some(_) => line,
                None => line.chars().take(240).collect(),
            };
            println!("{kind}: {name}: {cut}");
        }
    }
    let sum: usize = passed.iter().sum();
    println!();
    println!("passed {sum}");
    for (way, count) in WAYS.iter().zip(passed) {
        println!("  inputs that are known when the file is read: {way}: {count}");
    }
    println!("unsupported {}", unsupported.len());
    println!("wrong {}", wrong.len());
    Ok(wrong.len())
}

impl Test {
    fn read(folder: &Path) -> Result<Self, String> {
        let tensors = |kind: &str| -> Result<Vec<TensorData>, String> {
            let mut all = Vec::new();
            loop {
                let file = folder
                    .join("test_data_set_0")
                    .join(format!("{kind}_{}.pb", all.len()));
                let Ok(bytes) = fs::read(&file) else {
                    return Ok(all);
                };
                let tensor = read_tensor(&bytes).map_err(|error| error.to_string())?;
                all.push(tensor);
            }
        };
        let (inputs, outputs) = (tensors("input")?, tensors("output")?);
        let tolerance = fs::read_to_string(folder.join("tolerance")).unwrap_or_default();
        let mut numbers = tolerance.split_whitespace().map(str::parse);
        let mut next = |default: f64| numbers.next().and_then(Result::ok).unwrap_or(default);
        if outputs.is_empty() {
            return Err("outputs that are no tensors".to_owned());
        }
        Ok(Self {
            model: folder.join("model.onnx"),
            inputs,
            outputs,
            relative: next(1e-3),
            absolute: next(1e-7),
        })
    }

    fn outcome(&self) -> Outcome {
        let mut first = None;
        let mut reason = None;
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => return Outcome::Unsupported(error),
        };
        for (way, words) in WAYS.iter().enumerate() {
            let known = |at: usize| match way {
                0 => false,
                1 => !is_float(&self.inputs[at]),
                2 => at > 0,
                _ => true,
            };
            let (constants, given): (Vec<usize>, Vec<usize>) =
                (0..self.inputs.len()).partition(|&at| known(at));
            let mut options = ImportOptions::default();
            options.constants = constants
                .iter()
                .map(|&at| (names[at].clone(), self.inputs[at].clone()))
                .collect::<BTreeMap<_, _>>();
            let device = Device::flex();
            let read = catch_unwind(AssertUnwindSafe(|| {
                read_file(&self.model, &options, &device)
            }));
            let network = match read {
                Err(_) => return Outcome::Wrong(format!("a panic; known: {words}")),
                Ok(Err(error)) => {
                    reason.get_or_insert(error.to_string());
                    continue;
                }
                Ok(Ok(network)) => network,
            };
            let mut inputs = Vec::new();
            for at in given {
                let (data, shape) = (&self.inputs[at], self.inputs[at].shape().to_vec());
                let shape = if shape.is_empty() { vec![1] } else { shape };
                let kind = kind(data);
                let data = match kind {
                    ElementKind::Float => {
                        TensorData::new(data.iter::<f32>().collect::<Vec<_>>(), shape)
                    }
                    ElementKind::Int => {
                        TensorData::new(data.iter::<i64>().collect::<Vec<_>>(), shape)
                    }
                    ElementKind::Bool => {
                        TensorData::new(data.iter::<bool>().collect::<Vec<_>>(), shape)
                    }
                };
                match AnyTensor::from_data(data, kind, &device) {
                    Some(tensor) => inputs.push(tensor),
                    None => return Outcome::Unsupported("an input that is no tensor".to_owned()),
                }
            }
            let found = catch_unwind(AssertUnwindSafe(|| {
                network.run(inputs, &mut |_, tensor| tensor)
            }));
            let found = match found {
                Err(_) => return Outcome::Wrong(format!("a panic; known: {words}")),
                Ok(Err(error)) => {
                    return Outcome::Wrong(format!("{error}; known: {words}"));
                }
                Ok(Ok(found)) => found,
            };
            if let Err(difference) = self.compared(found) {
                return Outcome::Wrong(format!("{difference}; known: {words}"));
            }
            first.get_or_insert(way);
        }
        match (first, reason) {
            (Some(way), _) => Outcome::Passed(way),
            (None, reason) => Outcome::Unsupported(reason.unwrap_or_default()),
        }
    }

    /// The names of the inputs: those of the graph are read by taking none of them for known.
    fn names(&self) -> Result<Vec<String>, String> {
        let bytes = fs::read(&self.model).map_err(|error| error.to_string())?;
        let names =
            calcine_onnx::input_names(&bytes).map_err(|error: ImportError| error.to_string())?;
        match names.len() == self.inputs.len() {
            true => Ok(names),
            false => Err("inputs that are no tensors".to_owned()),
        }
    }

    fn compared(&self, found: Vec<AnyTensor>) -> Result<(), String> {
        if found.len() != self.outputs.len() {
            return Err(format!(
                "{} outputs for {}",
                found.len(),
                self.outputs.len()
            ));
        }
        for (number, (found, expected)) in found.into_iter().zip(&self.outputs).enumerate() {
            let shape = expected.shape().to_vec();
            let whole = if shape.is_empty() { vec![1] } else { shape };
            if found.shape() != whole || found.kind() != kind(expected) {
                return Err(format!(
                    "output {number} is {:?} {:?} and not {:?} {whole:?}",
                    found.kind(),
                    found.shape(),
                    kind(expected)
                ));
            }
            let found = found.into_data();
            let differs = |a: f64, b: f64| {
                let near = (a - b).abs() <= self.absolute + self.relative * b.abs();
                !(near || a == b || a.is_nan() && b.is_nan())
            };
            let pairs = found.iter::<f64>().zip(expected.iter::<f64>());
            if let Some((at, (a, b))) = pairs.enumerate().find(|(_, (a, b))| differs(*a, *b)) {
                return Err(format!("output {number} has {a} for {b} at {at}"));
            }
        }
        Ok(())
    }
}

fn kind(data: &TensorData) -> ElementKind {
    match data.dtype() {
        dtype if dtype.is_float() => ElementKind::Float,
        dtype if dtype.is_bool() => ElementKind::Bool,
        _ => ElementKind::Int,
    }
}

fn is_float(data: &TensorData) -> bool {
    kind(data) == ElementKind::Float
}
