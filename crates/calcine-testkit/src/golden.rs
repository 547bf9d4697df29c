//! Numbers recorded from the real Distiller.
//!
//! They live outside the repository: `$CALCINE_GOLDEN`, by default `../shared/golden` beside the
//! workspace. A test that does not find them says so and passes.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One file of golden cases with its tensors.
#[derive(Debug)]
pub struct Golden {
    name: String,
    cases: Vec<Value>,
    tensors: Vec<u8>,
}

/// The directory of the golden vectors, if it is there.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let path = std::env::var_os("CALCINE_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden"),
        PathBuf::from,
    );
    path.is_dir().then_some(path)
}

/// Opens `name.json` and, if present, `name.safetensors`; prints a word and returns `None` where
/// there are no golden vectors.
///
/// # Panics
///
/// If the directory is there but the file is missing or malformed.
#[must_use]
pub fn open(name: &str) -> Option<Golden> {
    let Some(directory) = directory() else {
        eprintln!("skipped: no golden vectors (set CALCINE_GOLDEN)");
        return None;
    };
    let text = std::fs::read_to_string(directory.join(name).with_extension("json"))
        .unwrap_or_else(|error| panic!("golden {name}.json: {error}"));
    let cases = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}.json: {error}"));
    let tensors =
        std::fs::read(directory.join(name).with_extension("safetensors")).unwrap_or_default();
    Some(Golden {
        name: name.to_owned(),
        cases,
        tensors,
    })
}

impl Golden {
    /// The cases whose name begins with `prefix`.
    ///
    /// # Panics
    ///
    /// If there is none: a golden test that checks nothing must not pass.
    #[must_use]
    pub fn cases(&self, prefix: &str) -> Vec<&Value> {
        let cases: Vec<_> = self
            .cases
            .iter()
            .filter(|case| {
                case["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(prefix))
            })
            .collect();
        assert!(
            !cases.is_empty(),
            "{}.json has no case named {prefix}*",
            self.name
        );
        cases
    }

    /// The tensor that `{"tensor": key}` refers to: its shape and values.
    ///
    /// # Panics
    ///
    /// If there is no such tensor.
    #[must_use]
    pub fn values(&self, reference: &Value) -> (Vec<usize>, Vec<f32>) {
        let key = reference["tensor"]
            .as_str()
            .unwrap_or_else(|| panic!("{reference} is no tensor"));
        let file = SafeTensors::deserialize(&self.tensors)
            .unwrap_or_else(|error| panic!("{}.safetensors: {error}", self.name));
        let view = file
            .tensor(key)
            .unwrap_or_else(|error| panic!("{key}: {error}"));
        (view.shape().to_vec(), numbers(view.dtype(), view.data()))
    }

    /// The same as a tensor of rank `D` on a device.
    ///
    /// # Panics
    ///
    /// If there is no such tensor, or of another rank.
    #[must_use]
    pub fn tensor<const D: usize>(&self, reference: &Value, device: &Device) -> Tensor<D> {
        let (shape, values) = self.values(reference);
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// Every tensor of a safetensors file: name, shape, values.
///
/// # Panics
///
/// If the file is missing or malformed.
#[must_use]
pub fn safetensors(path: &Path) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.iter()
        .map(|(name, view)| {
            (
                name.to_owned(),
                view.shape().to_vec(),
                numbers(view.dtype(), view.data()),
            )
        })
        .collect()
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F32 => {
            let word = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            bytes.chunks_exact(4).map(word).collect()
        }
        Dtype::I64 => bytes
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes")) as f32)
            .collect(),
        Dtype::U8 => bytes.iter().map(|&b| f32::from(b)).collect(),
        other => panic!("golden tensors are F32, I64 or U8, not {other:?}"),
    }
}
