use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ParamId};
use burn::tensor::{Tensor, TensorData, Transaction};
use calcine_params::{Edit, Inventory, edit, flat};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::CheckpointError;

/// Writes every float parameter and running statistic of a model in 32 bits, with Burn's names and layouts.
///
/// Equal models give equal bytes. Reads the device once. The file is written atomically. Its metadata contain `layout`:
/// `burn`.
///
/// # Errors
///
/// If the file cannot be written.
pub fn save_model<M: Module>(model: &M, file: &Path) -> Result<(), CheckpointError> {
    // Batch norms keep their last update pending; `valid` adds it to the running statistics.
    let model = model.valid();
    let inventory = Inventory::from_module(&model);
    let read = flat(&model, &inventory)
        .into_iter()
        .fold(Transaction::default(), Transaction::register);
    let bytes: Vec<Vec<u8>> = read.execute().iter().map(little_endian).collect();
    let mut views = BTreeMap::new();
    for (parameter, bytes) in inventory.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, parameter.shape.clone(), bytes)
            .map_err(|error| CheckpointError::malformed(file, error))?;
        views.insert(parameter.path.as_str(), view);
    }
    // Prevents readers from taking the layouts for those of PyTorch, in which case square matrices would be transposed
    // without an error.
    let layout = HashMap::from([("layout".to_owned(), "burn".to_owned())]);
    let bytes = safetensors::serialize(views, Some(layout))
        .map_err(|error| CheckpointError::malformed(file, error))?;
    calcine_files::write(file, bytes).map_err(|error| CheckpointError::io(file, error))
}

/// Loads a file that [`save_model`] wrote into a model of the same structure.
///
/// # Errors
///
/// If the file is unreadable, or its names and shapes are not exactly those of the model.
pub fn load_model<M: Module>(model: M, file: &Path) -> Result<M, CheckpointError> {
    let bytes = std::fs::read(file).map_err(|error| CheckpointError::io(file, error))?;
    let malformed = |reason: String| CheckpointError::malformed(file, reason);
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
    let inventory = Inventory::from_module(&model);
    // A pending update of a batch norm, from training in this thread, would overwrite the loaded values; `valid`
    // applies it first.
    drop(model.valid());
    let mut values = HashMap::new();
    for parameter in &inventory {
        let path = &parameter.path;
        let view = tensors
            .tensor(path)
            .map_err(|_| malformed(format!("it has no tensor `{path}`")))?;
        if view.shape() != parameter.shape || view.dtype() != Dtype::F32 {
            return Err(malformed(format!(
                "`{path}` is {:?} {:?}, expected F32 {:?}",
                view.dtype(),
                view.shape(),
                parameter.shape
            )));
        }
        values.insert(parameter.id, floats(view.data()));
    }
    if tensors.len() > values.len() {
        let extra = tensors
            .names()
            .into_iter()
            .find(|name| inventory.get(name).is_none());
        return Err(malformed(format!(
            "the model has no tensor `{}`",
            extra.unwrap_or_default()
        )));
    }
    Ok(edit(model, &mut Restore { values }))
}

struct Restore {
    values: HashMap<ParamId, Vec<f32>>,
}

impl Edit for Restore {
    fn wants(&self, id: ParamId) -> bool {
        self.values.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        match self.values.get(&id) {
            Some(stored) => Tensor::from_data(
                TensorData::new(stored.clone(), value.shape()),
                &value.device(),
            ),
            None => value,
        }
    }
}

fn little_endian(data: &TensorData) -> Vec<u8> {
    data.iter::<f32>().flat_map(f32::to_le_bytes).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}
