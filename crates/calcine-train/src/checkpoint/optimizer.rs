//! Optimizer state keyed by parameter path.
//!
//! Burn's own optimizer record keys state by parameter identifiers, which are random in every process,
//! and lists it in the order of a hash table. Here each tensor is `path/field`, sorted, and the few
//! scalars go into the checkpoint's header.

use std::collections::BTreeMap;
use std::path::Path;

use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::tensor::{Bytes, DType, Shape};
use burn_pack::{Reader, Scalar, Writer};
use calcine_params::Inventory;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::CheckpointError;

/// `path/field` of each scalar.
pub(super) type Scalars = BTreeMap<String, Scalar>;

/// Between a parameter's path and a field of its state. Neither has one.
const SEPARATOR: char = '/';

pub(super) fn save(
    optimizer: &ModuleOptimizer,
    inventory: &Inventory,
    file: &Path,
) -> Result<Scalars, CheckpointError> {
    let malformed = |reason: String| CheckpointError::malformed(file, reason);
    let bytes = optimizer
        .to_record()
        .into_bytes()
        .map_err(|error| malformed(error.to_string()))?;
    let record = Reader::from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
    let paths: BTreeMap<String, &str> = inventory
        .iter()
        .map(|p| (p.id.val().to_string(), p.path.as_str()))
        .collect();
    let named = |key: &str| {
        let (id, field) = key.split_once('.')?;
        Some(format!("{}{SEPARATOR}{field}", paths.get(id)?))
    };
    let scalars = record
        .scalars()
        .iter()
        .filter_map(|(key, scalar)| Some((named(key)?, *scalar)))
        .collect();
    let mut tensors = BTreeMap::new();
    for tensor in record
        .into_tensors()
        .map_err(|error| malformed(error.to_string()))?
    {
        let parts = tensor
            .into_parts()
            .map_err(|error| malformed(error.to_string()))?;
        let (key, dtype, shape, _, bytes) = parts;
        if dtype != DType::F32 {
            return Err(malformed(format!(
                "optimizer state `{key}` is {dtype:?}, expected F32"
            )));
        }
        // State of a parameter that the model no longer has is of no use.
        if let Some(name) = named(&key) {
            tensors.insert(name, (shape.to_vec(), bytes));
        }
    }
    let mut views = BTreeMap::new();
    for (name, (shape, bytes)) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .map_err(|error| malformed(error.to_string()))?;
        views.insert(name, view);
    }
    let bytes =
        safetensors::serialize(views, None).map_err(|error| malformed(error.to_string()))?;
    std::fs::write(file, bytes).map_err(|error| CheckpointError::io(file, error))?;
    Ok(scalars)
}

pub(super) fn load(
    optimizer: ModuleOptimizer,
    inventory: &Inventory,
    scalars: &Scalars,
    file: &Path,
) -> Result<ModuleOptimizer, CheckpointError> {
    let malformed = |reason: String| CheckpointError::malformed(file, reason);
    let bytes = std::fs::read(file).map_err(|error| CheckpointError::io(file, error))?;
    let stored = SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
    let key = |name: &str| {
        let (path, field) = name.split_once(SEPARATOR)?;
        let parameter = inventory.get(path)?;
        Some((
            parameter.id.val(),
            format!("{}.{field}", parameter.id.val()),
            path.to_owned(),
        ))
    };
    let known = |name: &str| {
        key(name).ok_or_else(|| malformed(format!("`{name}` belongs to no parameter of the model")))
    };
    let mut tensors = Vec::new();
    for (name, view) in stored.iter() {
        let (id, key, _) = known(name)?;
        tensors.push(burn_pack::Tensor::new(
            key,
            DType::F32,
            Shape::from(view.shape().to_vec()),
            Some(id),
            Bytes::from_bytes_vec(view.data().to_vec()),
        ));
    }
    let mut writer = Writer::new(tensors);
    for (name, scalar) in scalars {
        let (id, key, path) = known(name)?;
        writer = writer
            .with_scalar(&key, *scalar)
            .with_metadata(&id.to_string(), &path);
    }
    let bytes = writer
        .into_bytes()
        .map_err(|error| malformed(error.to_string()))?;
    let record =
        OptimizerRecord::from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
    Ok(optimizer.load_record(record))
}
