//! Runtimes that quantized networks are compared with: ONNX Runtime and OpenVINO through Python, tract and rten through the program
//! of the repository's folder `runtimes`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use calcine_onnx::Runtime;

/// Numbers of a shape, whose first axis is the batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// A file, and what it is run on.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) file: Vec<u8>,
    /// The only input.
    pub(crate) input: Array,
    /// How many samples are run at once.
    pub(crate) batch: usize,
    /// Settings of the session, of ONNX Runtime and OpenVINO.
    pub(crate) options: BTreeMap<String, String>,
}

/// What a runtime gives.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum Answer {
    Error {
        error: String,
    },
    Done {
        shape: Vec<usize>,
        kernels: BTreeMap<String, usize>,
        seconds: f64,
    },
}

/// What a runtime gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    /// The first output.
    pub(crate) output: Array,
    /// How often it runs which kernel, where it tells.
    pub(crate) kernels: BTreeMap<String, usize>,
    /// How long all batches took, but for one before.
    pub(crate) seconds: f64,
}

/// The runtimes that this machine has. In CI, which installs them, those are all but TensorRT.
pub(crate) fn engines() -> Vec<Runtime> {
    let all = [
        Runtime::OnnxRuntime,
        Runtime::OpenVino,
        Runtime::Tract,
        Runtime::Rten,
    ];
    let found = all.into_iter().filter(|runtime| {
        let found = command(*runtime).is_some();
        let said = "CALCINE_PYTHON names a Python with onnx, onnxruntime and openvino, CALCINE_RUNTIMES the program of `runtimes`";
        assert!(found || std::env::var_os("CI").is_none(), "there is no {runtime}: {said}");
        if !found {
            println!("left out: {runtime}; {said}");
        }
        found
    });
    found.collect()
}

/// The program and what comes before the jobs, if it is there.
fn command(runtime: Runtime) -> Option<Vec<OsString>> {
    if matches!(runtime, Runtime::Tract | Runtime::Rten) {
        let program = std::env::var_os("CALCINE_RUNTIMES")?;
        return Path::new(&program)
            .is_file()
            .then(|| vec![program, runtime.name().into()]);
    }
    let python = std::env::var_os("CALCINE_PYTHON").unwrap_or_else(|| "python3".into());
    let package = runtime.name();
    let tried = Command::new(&python)
        .args(["-c", &format!("import onnx, {package}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run.py");
    let found = tried.is_ok_and(|status| status.success());
    found.then(|| vec![python, script.into(), package.into()])
}

/// Runs the files, each of them; what the runtime says of those that it refuses.
pub(crate) fn run(runtime: Runtime, jobs: &[Job]) -> Vec<Result<Done, String>> {
    let command = command(runtime).expect("the runtime is there");
    let folder = tempfile::tempdir().unwrap();
    let path = |number: usize, what: &str| folder.path().join(format!("{number}.{what}"));
    let bytes =
        |array: &Array| -> Vec<u8> { array.values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let list = jobs.iter().enumerate().map(|(number, job)| {
        std::fs::write(path(number, "onnx"), &job.file).unwrap();
        std::fs::write(path(number, "input"), bytes(&job.input)).unwrap();
        serde_json::json!({
            "file": path(number, "onnx"),
            "input": path(number, "input"),
            "shape": job.input.shape,
            "batch": job.batch,
            "output": path(number, "output"),
            "options": job.options,
        })
    });
    let list = serde_json::Value::Array(list.collect());
    let file = folder.path().join("jobs.json");
    std::fs::write(&file, list.to_string()).unwrap();
    let done = Command::new(&command[0])
        .args(&command[1..])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let lines = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let answers = lines.enumerate().map(|(number, answer)| match answer {
        Answer::Error { error } => Err(error),
        Answer::Done {
            shape,
            kernels,
            seconds,
        } => Ok(Done {
            output: Array {
                shape,
                values: floats(&path(number, "output")),
            },
            kernels,
            seconds,
        }),
    });
    let mut answers: Vec<_> = answers.collect();
    // What crashed gave no answer.
    let rest = String::from_utf8_lossy(&done.stderr);
    answers.resize_with(jobs.len(), || Err(format!("{runtime} gave up: {rest}")));
    answers
}

fn floats(file: &PathBuf) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    let values = bytes.as_chunks::<4>().0.iter();
    values.map(|four| f32::from_le_bytes(*four)).collect()
}
