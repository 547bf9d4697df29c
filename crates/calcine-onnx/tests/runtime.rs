//! ONNX Runtime as the oracle, if there is a Python that has it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use calcine_graph::ElementKind;
use calcine_trace::AnyTensor;

/// A file and what it is run on.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
    pub(crate) inputs: Vec<AnyTensor>,
}

/// A tensor of any type, as floats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The Python that `CALCINE_PYTHON` names, or `python3`, if it has onnx and onnxruntime. CI has one.
pub(crate) fn python() -> Option<PathBuf> {
    let named = std::env::var_os("CALCINE_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| "python3".into());
    let tried = Command::new(&python)
        .args(["-c", "import onnx, onnxruntime"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = tried.is_ok_and(|status| status.success());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{} has no onnx and onnxruntime, which CI installs",
        python.display()
    );
    found.then_some(python)
}

/// What ONNX Runtime gives for each job; `None`, with a printed word, without it. Panics with what it says if it refuses a file.
pub(crate) fn run(jobs: &[Job]) -> Option<Vec<Vec<Output>>> {
    let Some(python) = python() else {
        println!("left out: no Python with onnx and onnxruntime; CALCINE_PYTHON names one");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for (number, job) in jobs.iter().enumerate() {
        let own = folder.path().join(number.to_string());
        std::fs::create_dir(&own).unwrap();
        let file = own.join(format!("{}.onnx", job.name));
        std::fs::write(&file, &job.file).unwrap();
        list.push_str(&format!("{}\t{}", file.display(), own.display()));
        for (at, input) in job.inputs.iter().enumerate() {
            let (kind, bytes) = raw(input);
            let path = own.join(format!("input{at}"));
            std::fs::write(&path, bytes).unwrap();
            let lengths: Vec<String> = input.shape().iter().map(ToString::to_string).collect();
            list.push_str(&format!(
                "\t{}:{kind}:{}",
                path.display(),
                lengths.join(",")
            ));
        }
        list.push('\n');
    }
    let jobs_file = folder.path().join("jobs");
    std::fs::write(&jobs_file, list).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check.py");
    let done = Command::new(python)
        .arg(script)
        .arg(&jobs_file)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let outputs = (0..jobs.len()).map(|number| {
        let own = folder.path().join(number.to_string());
        let mut outputs = Vec::new();
        while let Ok(shape) = std::fs::read_to_string(own.join(format!("{}.shape", outputs.len())))
        {
            let shape: Vec<usize> = shape.split(',').filter_map(|n| n.parse().ok()).collect();
            outputs.push(Output {
                values: values(&own, outputs.len()),
                shape,
            });
        }
        outputs
    });
    Some(outputs.collect())
}

fn raw(tensor: &AnyTensor) -> (&'static str, Vec<u8>) {
    let data = tensor.clone().into_data();
    match tensor.kind() {
        ElementKind::Float => (
            "float32",
            data.iter::<f32>().flat_map(f32::to_le_bytes).collect(),
        ),
        ElementKind::Int => (
            "int64",
            data.iter::<i64>().flat_map(i64::to_le_bytes).collect(),
        ),
        ElementKind::Bool => ("bool", data.iter::<bool>().map(u8::from).collect()),
    }
}

fn values(folder: &std::path::Path, number: usize) -> Vec<f32> {
    let read = |kind: &str| std::fs::read(folder.join(format!("{number}.{kind}"))).ok();
    if let Some(bytes) = read("float32") {
        let chunks = bytes.as_chunks::<4>().0.iter();
        return chunks.map(|chunk| f32::from_le_bytes(*chunk)).collect();
    }
    if let Some(bytes) = read("int64") {
        let chunks = bytes.as_chunks::<8>().0.iter();
        return chunks
            .map(|chunk| i64::from_le_bytes(*chunk) as f32)
            .collect();
    }
    let bytes = read("bool").or_else(|| read("uint8")).unwrap();
    bytes.into_iter().map(f32::from).collect()
}

/// A tensor as an output is.
pub(crate) fn output(tensor: &AnyTensor) -> Output {
    let data = tensor.clone().into_data();
    let values = match tensor.kind() {
        ElementKind::Float => data.iter::<f32>().collect(),
        ElementKind::Int => data.iter::<i64>().map(|x| x as f32).collect(),
        ElementKind::Bool => data
            .iter::<bool>()
            .map(|x| f32::from(u8::from(x)))
            .collect(),
    };
    Output {
        shape: tensor.shape(),
        values,
    }
}

impl Output {
    /// The largest difference, relative to the largest magnitude where that is above 1. Shapes must be equal.
    pub(crate) fn difference(&self, other: &Self) -> f32 {
        assert_eq!(self.shape, other.shape);
        let largest = other.values.iter().fold(1.0_f32, |all, x| all.max(x.abs()));
        let pairs = self.values.iter().zip(&other.values);
        let off = pairs.map(|(a, b)| match a == b || a.is_nan() && b.is_nan() {
            true => 0.0,
            false => (a - b).abs(),
        });
        off.fold(
            0.0,
            |all: f32, off| if off.is_nan() { f32::NAN } else { all.max(off) },
        ) / largest
    }
}
