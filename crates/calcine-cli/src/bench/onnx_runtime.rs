//! ONNX Runtime in a Python process beside this one.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use calcine::onnx::{ExportOptions, export, export_quantized};
use calcine::run::Model;
use tempfile::NamedTempFile;

use crate::failure::{Failure, bad};

/// What the process runs.
const PROGRAM: &str = include_str!("onnx_runtime.py");

/// The process, which waits for turns.
#[derive(Debug)]
pub(super) struct OnnxRuntime {
    child: Child,
    turns: ChildStdin,
    answers: BufReader<ChildStdout>,
    _file: NamedTempFile,
}

impl OnnxRuntime {
    /// Exports the network and starts the process. Quantized networks are exported so that all is fused that can be.
    pub(super) fn start(network: &Model, batch: usize, threads: usize) -> Result<Self, Failure> {
        let mut options = ExportOptions::default();
        options.exact = Some(false);
        let model = match network {
            Model::Float(network) => export(network, &options),
            Model::Quantized(network) => export_quantized(network, &options),
        };
        let file = NamedTempFile::with_suffix(".onnx").map_err(bad)?;
        model.map_err(bad)?.save(file.path()).map_err(bad)?;
        let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let cannot = |error: std::io::Error| {
            bad(format!(
                "--with onnxruntime: {}: {error}",
                python.to_string_lossy()
            ))
        };
        let mut child = Command::new(&python)
            .args(["-c", PROGRAM])
            .arg(file.path())
            .args([batch.to_string(), threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (Some(turns), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(bad("--with onnxruntime: the process has no pipes"));
        };
        let mut runtime = Self {
            child,
            turns,
            answers: BufReader::new(answers),
            _file: file,
        };
        // The version, when the model is loaded.
        runtime.answer()?;
        Ok(runtime)
    }

    /// The seconds of each run of a turn.
    pub(super) fn turn(&mut self, time: Duration) -> Result<Vec<f64>, Failure> {
        let turn = format!("{}\n", time.as_secs_f64());
        self.turns.write_all(turn.as_bytes()).map_err(bad)?;
        self.turns.flush().map_err(bad)?;
        let answer = self.answer()?;
        serde_json::from_str(&answer).map_err(bad)
    }

    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(bad)?;
        match line.is_empty() {
            true => Err(bad(
                "--with onnxruntime: the process ended; its message is above, if it had one. Name a Python that has ONNX \
                 Runtime and NumPy in the variable PYTHON",
            )),
            false => Ok(line),
        }
    }
}

impl Drop for OnnxRuntime {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
