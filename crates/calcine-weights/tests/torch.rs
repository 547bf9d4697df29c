//! Files as `torch.save` writes them: a pickle of the object and the storages of its tensors, in a zip archive.

/// A Python object.
#[derive(Debug, Clone)]
pub(crate) enum Py {
    None,
    Int(i32),
    Float(f64),
    Text(&'static str),
    List(Vec<Self>),
    Dict(Vec<(String, Self)>),
    /// An instance of `torch.nn.Module`: its parameters, buffers and modules.
    Module([Vec<(String, Self)>; 3]),
    Tensor(PyTensor),
}

/// A view of a storage.
#[derive(Debug, Clone)]
pub(crate) struct PyTensor {
    /// `FloatStorage`, and so on.
    pub(crate) storage: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl PyTensor {
    /// A contiguous tensor of floats.
    pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Self {
        Self::of(
            "FloatStorage",
            shape,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    /// A contiguous tensor.
    pub(crate) fn of(storage: &'static str, shape: &[usize], bytes: Vec<u8>) -> Self {
        let strides = (0..shape.len())
            .map(|axis| shape[axis + 1..].iter().product())
            .collect();
        Self {
            storage,
            bytes,
            offset: 0,
            shape: shape.to_vec(),
            strides,
        }
    }

    fn element_size(&self) -> usize {
        match self.storage {
            "DoubleStorage" | "LongStorage" => 8,
            "HalfStorage" | "BFloat16Storage" => 2,
            "BoolStorage" | "ByteStorage" => 1,
            _ => 4,
        }
    }
}

/// A dictionary.
pub(crate) fn dict<K: Into<String>>(entries: impl IntoIterator<Item = (K, Py)>) -> Py {
    Py::Dict(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

/// The bytes of the archive that `torch.save(object, "STEM.pth")` writes.
pub(crate) fn save(object: &Py, stem: &str) -> Vec<u8> {
    let mut storages = Vec::new();
    let mut pickle = vec![0x80, 2];
    put(object, &mut pickle, &mut storages);
    pickle.push(b'.');
    let mut entries = vec![
        (format!("{stem}/data.pkl"), pickle),
        (format!("{stem}/byteorder"), b"little".to_vec()),
    ];
    let numbered = storages.into_iter().enumerate();
    entries.extend(numbered.map(|(index, bytes)| (format!("{stem}/data/{index}"), bytes)));
    entries.push((format!("{stem}/version"), b"3\n".to_vec()));
    zip(&entries)
}

fn put(object: &Py, pickle: &mut Vec<u8>, storages: &mut Vec<Vec<u8>>) {
    match object {
        Py::None => pickle.push(b'N'),
        Py::Int(value) => int(*value as usize, pickle),
        Py::Float(value) => {
            pickle.push(b'G');
            pickle.extend(value.to_be_bytes());
        }
        Py::Text(value) => text(value, pickle),
        Py::List(items) => {
            pickle.extend(b"](");
            items.iter().for_each(|item| put(item, pickle, storages));
            pickle.push(b'e');
        }
        Py::Dict(entries) => {
            pickle.extend(b"}(");
            for (key, value) in entries {
                text(key, pickle);
                put(value, pickle, storages);
            }
            pickle.push(b'u');
        }
        Py::Module(tables) => {
            pickle.extend(b"c__main__\nNet\n)\x81");
            let names = ["_parameters", "_buffers", "_modules"];
            let state = names.into_iter().zip(tables);
            let state = state.map(|(name, table)| (name, Py::Dict(table.clone())));
            put(&dict(state), pickle, storages);
            pickle.push(b'b');
        }
        Py::Tensor(tensor) => {
            pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            text("storage", pickle);
            pickle.extend(format!("ctorch\n{}\n", tensor.storage).bytes());
            text(&storages.len().to_string(), pickle);
            text("cpu", pickle);
            int(tensor.bytes.len() / tensor.element_size(), pickle);
            pickle.extend(b"tQ");
            int(tensor.offset, pickle);
            for sizes in [&tensor.shape, &tensor.strides] {
                pickle.push(b'(');
                sizes.iter().for_each(|size| int(*size, pickle));
                pickle.push(b't');
            }
            pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
            storages.push(tensor.bytes.clone());
        }
    }
}

fn int(value: usize, pickle: &mut Vec<u8>) {
    pickle.push(b'J');
    pickle.extend((value as i32).to_le_bytes());
}

fn text(value: &str, pickle: &mut Vec<u8>) {
    pickle.push(b'X');
    pickle.extend((value.len() as u32).to_le_bytes());
    pickle.extend(value.bytes());
}

/// An archive as PyTorch's writer makes it: stored entries, and at the end the 64-bit records before a 32-bit one with
/// true numbers in it. No checksums, as with `compute_crc32=False`.
fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in entries {
        let offset = file.len() as u32;
        let sizes = [0, bytes.len() as u32, bytes.len() as u32]
            .map(u32::to_le_bytes)
            .concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        // Versions, flags, method, time and date.
        let head = [0_u16, 0, 0, 0, 0].map(u16::to_le_bytes).concat();
        file.extend(b"PK\x03\x04");
        file.extend([&head, &sizes, &lengths].into_iter().flatten());
        file.extend(name.bytes());
        file.extend(bytes);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend([&head, &sizes, &lengths].into_iter().flatten());
        // Comment, disk, attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
    }
    let (start, size, count) = (
        file.len() as u64,
        directory.len() as u64,
        entries.len() as u64,
    );
    file.extend(directory);
    let end = file.len() as u64;
    file.extend(b"PK\x06\x06");
    file.extend(44_u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([count, count, size, start].map(u64::to_le_bytes).concat());
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend(end.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count as u16, count as u16].map(u16::to_le_bytes).concat());
    file.extend([size as u32, start as u32].map(u32::to_le_bytes).concat());
    file.extend([0, 0]);
    file
}
