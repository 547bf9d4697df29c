//! The tensors of a file, whatever its format.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::pytorch_reader::{PickleValue, PytorchError, PytorchReader};
use burn::store::{ModuleStore, SafetensorsStore, bridge};
use tempfile::NamedTempFile;

use super::archive;
use super::error::Kind;

/// What is in a file.
pub(super) struct Contents {
    /// All its tensors, under their whole names, their values unread.
    pub(super) tensors: Vec<StoredTensor>,
    /// Whose names and layouts they have.
    pub(super) layout: Layout,
    /// Keeps the file that is read from, if it is a copy.
    _copy: Option<NamedTempFile>,
}

/// Whose names and layouts a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// PyTorch's: `[out, in]`, and norms with `weight` and `bias`.
    PyTorch,
    /// Burn's, as in the checkpoints of a run, which say so: `[in, out]`, `gamma` and `beta`.
    Burn,
}

/// The contents of a safetensors or PyTorch file.
pub(super) fn read(path: &Path) -> Result<Contents, Kind> {
    if is_safetensors(path).map_err(Kind::Read)? {
        parse_safetensors(fs::read(path).map_err(Kind::Read)?)
    } else {
        read_pytorch(path)
    }
}

/// The contents of a safetensors file in memory.
pub(super) fn parse_safetensors(bytes: Vec<u8>) -> Result<Contents, Kind> {
    let layout = layout_of(&bytes);
    let mut store = SafetensorsStore::from_bytes(Some(bytes));
    let tensors = store.get_all_tensors().map_err(Kind::Safetensors)?;
    Ok(Contents {
        tensors: tensors.values().cloned().collect(),
        layout,
        _copy: None,
    })
}

/// What the metadata of a safetensors file say; PyTorch's if they say nothing.
fn layout_of(bytes: &[u8]) -> Layout {
    let header = || {
        let length = u64::from_le_bytes(*bytes.first_chunk()?);
        let end = usize::try_from(length).ok()?.checked_add(8)?;
        serde_json::from_slice::<serde_json::Value>(bytes.get(8..end)?).ok()
    };
    let is_burn = header().is_some_and(|header| header["__metadata__"]["layout"] == "burn");
    if is_burn {
        Layout::Burn
    } else {
        Layout::PyTorch
    }
}

fn read_pytorch(path: &Path) -> Result<Contents, Kind> {
    let copy = archive::readable(path).map_err(Kind::Read)?;
    let file = copy.as_ref().map_or(path, NamedTempFile::path);
    let tensors: Vec<_> = match PytorchReader::new(file) {
        Ok(reader) => reader.into_tensors().into_values().collect(),
        Err(PytorchError::Io(error)) => return Err(Kind::Read(error)),
        Err(error) => {
            return Err(match PytorchReader::read_pickle_data(file, None) {
                Ok(root) if !matches!(root, PickleValue::Dict(_)) => {
                    Kind::Nameless(describe(&root))
                }
                _ => Kind::Pytorch(error),
            });
        }
    };
    if tensors.is_empty() {
        let root = PytorchReader::read_pickle_data(file, None).map_err(Kind::Pytorch)?;
        return Err(Kind::Empty(describe(&root)));
    }
    Ok(Contents {
        tensors: tensors.into_iter().map(bridge::from_pytorch).collect(),
        layout: Layout::PyTorch,
        _copy: copy,
    })
}

/// What a pickled object is, in a few words.
fn describe(value: &PickleValue) -> String {
    const SHOWN: usize = 6;
    match value {
        PickleValue::Dict(entries) if entries.is_empty() => "an empty dictionary".to_owned(),
        PickleValue::Dict(entries) => {
            let mut keys: Vec<_> = entries.keys().map(|key| format!("`{key}`")).collect();
            keys.sort();
            let more = keys.len().saturating_sub(SHOWN);
            keys.truncate(SHOWN);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!("a dictionary with the keys {}{more}", keys.join(", "))
        }
        PickleValue::List(items) => match items.first() {
            None => "an empty list".to_owned(),
            Some(first) => format!(
                "a list of {} values, the first {}",
                items.len(),
                describe_short(first)
            ),
        },
        other => describe_short(other),
    }
}

/// What a pickled object is, without what is in it.
fn describe_short(value: &PickleValue) -> String {
    match value {
        PickleValue::None => "None".to_owned(),
        PickleValue::Bool(_) => "a bool".to_owned(),
        PickleValue::Int(_) => "an int".to_owned(),
        PickleValue::Float(_) => "a float".to_owned(),
        PickleValue::String(_) => "a string".to_owned(),
        PickleValue::Bytes(_) => "bytes".to_owned(),
        PickleValue::List(_) => "a list".to_owned(),
        PickleValue::Dict(_) => "a dictionary".to_owned(),
        PickleValue::Unsupported(kind) if kind == "torch.Tensor" => "a tensor".to_owned(),
        PickleValue::Unsupported(kind) => format!("an object of type `{kind}`"),
    }
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
