//! Numbers recorded from the real Distiller.
//!
//! They are in `golden/` of this crate, whose README says what each file holds. `CALCINE_GOLDEN=DIR` takes
//! another set of the same layout: tests read names, shapes, options and tolerances from the files. Every
//! file that a test asks for must be there.

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

/// The directory of the golden vectors: `CALCINE_GOLDEN`, or else `golden/` of this crate.
///
/// # Panics
///
/// If there is no such directory.
#[must_use]
pub fn directory() -> PathBuf {
    let path = std::env::var_os("CALCINE_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("golden"),
        PathBuf::from,
    );
    assert!(
        path.is_dir(),
        "there are no golden vectors in {}",
        path.display()
    );
    path
}

/// Opens `name.json` and, if present, `name.safetensors`.
///
/// # Panics
///
/// If there is no such file of cases, or either is malformed.
#[must_use]
pub fn open(name: &str) -> Golden {
    let path = |extension| directory().join(name).with_extension(extension);
    let text = std::fs::read_to_string(path("json"))
        .unwrap_or_else(|error| panic!("{}: {error}", path("json").display()));
    let cases = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}.json: {error}"));
    // Cases without tensors have no such file; a reference to one that is missing fails in `values`.
    let tensors = std::fs::read(path("safetensors")).unwrap_or_default();
    Golden {
        name: name.to_owned(),
        cases,
        tensors,
    }
}

/// The bytes of a file of golden vectors.
///
/// # Panics
///
/// If there is no such file.
#[must_use]
pub fn bytes(file: &str) -> Vec<u8> {
    let path = directory().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The parameters in a file of a network, which also has images `x` and their `logits`, as a file of their own.
///
/// # Panics
///
/// If there is no such file, or it is malformed.
#[must_use]
pub fn parameters(file: &str) -> Vec<u8> {
    let bytes = bytes(file);
    let all = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    let parameters = all.tensors().into_iter();
    let parameters = parameters.filter(|(name, _)| name != "x" && name != "logits");
    safetensors::serialize(parameters, None).unwrap_or_else(|error| panic!("{file}: {error}"))
}

impl Golden {
    /// The cases that have something at each of these paths, as `/expect/scale`: cases of one kind, whatever they are
    /// called. In another set there may be none.
    #[must_use]
    pub fn having(&self, paths: &[&str]) -> Vec<&Value> {
        let has = |case: &&Value| {
            let found = |path: &&str| case.pointer(path).is_some_and(|value| !value.is_null());
            paths.iter().all(found)
        };
        self.cases.iter().filter(has).collect()
    }

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

    /// The tensor that `{"tensor": key}` or `{"file": name, "tensor": key}` refers to: its shape and values.
    ///
    /// # Panics
    ///
    /// If there is no such tensor.
    #[must_use]
    pub fn values(&self, reference: &Value) -> (Vec<usize>, Vec<f32>) {
        let key = reference["tensor"]
            .as_str()
            .unwrap_or_else(|| panic!("{reference} is no tensor"));
        let other = reference["file"].as_str();
        let other = other.map(|file| bytes(&format!("{file}.safetensors")));
        let file = SafeTensors::deserialize(other.as_ref().unwrap_or(&self.tensors))
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
