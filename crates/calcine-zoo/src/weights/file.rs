use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::pytorch::PytorchError;
use burn::store::{ModuleStore, PytorchStore, PytorchStoreError, SafetensorsStore};

use super::error::Kind;

/// Where training scripts keep a model's weights inside a checkpoint.
const STATE_KEYS: [&str; 2] = ["state_dict", "model_state_dict"];

/// The tensors of a file, their values unread.
pub(super) fn read(path: &Path) -> Result<Vec<StoredTensor>, Kind> {
    if is_safetensors(path).map_err(Kind::Read)? {
        parse_safetensors(fs::read(path).map_err(Kind::Read)?)
    } else {
        read_pytorch(path).map_err(Kind::Pytorch)
    }
}

/// The tensors of a safetensors file in memory.
pub(super) fn parse_safetensors(bytes: Vec<u8>) -> Result<Vec<StoredTensor>, Kind> {
    let mut store = SafetensorsStore::from_bytes(Some(bytes));
    let tensors = store.get_all_tensors().map_err(Kind::Safetensors)?;
    Ok(tensors.values().cloned().collect())
}

/// The tensors of the first of [`STATE_KEYS`], or else of the whole file.
fn read_pytorch(path: &Path) -> Result<Vec<StoredTensor>, PytorchStoreError> {
    let open = || PytorchStore::from_file(path).map_indices_contiguous(false);
    for key in STATE_KEYS {
        match tensors(open().with_top_level_key(key)) {
            Err(PytorchStoreError::Reader(PytorchError::KeyNotFound(_))) => {}
            other => return other,
        }
    }
    tensors(open())
}

fn tensors(mut store: PytorchStore) -> Result<Vec<StoredTensor>, PytorchStoreError> {
    Ok(store.get_all_tensors()?.values().cloned().collect())
}

/// Whether the file begins like a safetensors file (a length in eight bytes, then JSON), or is
/// called one.
fn is_safetensors(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(9).read_to_end(&mut head)?;
    let is_called = path
        .extension()
        .is_some_and(|extension| extension == "safetensors");
    Ok(head.get(8) == Some(&b'{') || is_called)
}
