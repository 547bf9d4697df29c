//! Recognizes and reads files of networks and weights.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::tensor::Device;
use calcine::onnx::Imported;
use calcine::quantize::{Quantized, QuantizedFileError, quantize_as};
use calcine::trace::{Network, NetworkFileError};

use crate::failure::{Failure, bad};
use crate::terminal::stderr;

/// The contents of a file.
#[derive(Debug)]
pub(crate) enum Contents {
    /// A float network, as written by `calcine_trace::Network::save`, or of an ONNX file.
    Float(Box<Network>),
    /// A quantized network, as written by `calcine_quantize::Quantized::save`, or of a quantized ONNX file.
    Quantized(Box<Quantized>),
    /// Weights without a network, in the format of this name.
    Weights(&'static str),
}

/// Reads a file. Its format is recognized by its first bytes and its metadata, whatever its name is.
pub(crate) fn contents(file: &Path, device: &Device) -> Result<Contents, Failure> {
    let name = file.display();
    let wrong = |why: String| bad(format!("{name}: {why}"));
    let start = start(file).map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
    if !is_safetensors(&start) && is_onnx(&start) {
        let options = calcine::onnx::ImportOptions::default();
        let imported = calcine::onnx::import_file(file, &options, device);
        let imported = imported.map_err(|error| wrong(error.to_string()))?;
        return Ok(onnx(&name.to_string(), imported));
    }
    if !is_safetensors(&start) && (start.starts_with(b"PK\x03\x04") || start.first() == Some(&0x80))
    {
        return Ok(Contents::Weights("PyTorch"));
    }
    match Network::load(file, device) {
        Ok(network) => return Ok(Contents::Float(Box::new(network))),
        Err(NetworkFileError::NoNetwork) => {}
        Err(NetworkFileError::Format(error)) => {
            return Err(wrong(format!(
                "neither a network file nor a file of weights in a format that Calcine knows: {error}"
            )));
        }
        Err(error) => return Err(wrong(error.to_string())),
    }
    match Quantized::load(file, device) {
        Ok(network) => Ok(Contents::Quantized(Box::new(network))),
        Err(QuantizedFileError::NoNetwork) => Ok(Contents::Weights("safetensors")),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// The network of an ONNX file: a quantized one if the file has quantization parameters. What cannot be kept in integers
/// is reported on the terminal.
fn onnx(name: &str, imported: Imported) -> Contents {
    let Imported {
        network,
        parameters,
        left_out,
        ..
    } = imported;
    if !left_out.is_empty() {
        stderr(&format!(
            "{name}: these values and parameters are quantized in a way that Calcine does not have, and stay in float: {}",
            left_out.join(", ")
        ));
    }
    if parameters.is_empty() {
        return Contents::Float(Box::new(network));
    }
    match quantize_as(&network, &parameters) {
        Ok(quantized) => Contents::Quantized(Box::new(quantized)),
        Err(error) => {
            stderr(&format!(
                "{name}: the file is quantized, but is read as the float network that its integers represent: {error}"
            ));
            Contents::Float(Box::new(network))
        }
    }
}

fn start(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(file)?.take(16).read_to_end(&mut start)?;
    Ok(start)
}

/// Whether bytes begin like a safetensors file: the length of the header in eight bytes, and the header.
fn is_safetensors(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{')
}

/// Whether bytes begin like an ONNX model: `ir_version` as field 1, a small number, and another field of the model.
fn is_onnx(start: &[u8]) -> bool {
    match start {
        // Fields 2 to 4, 6 to 8 and 14 are texts and messages; field 5 is a number.
        [0x08, version, tag, ..] => {
            *version < 0x40 && [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72].contains(tag)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let directory = tempfile::tempdir().expect("there is a place for it");
        let told = |bytes: &[u8]| {
            let file = directory.path().join("file.bin");
            std::fs::write(&file, bytes).expect("it can be written");
            match contents(&file, &Device::flex()) {
                Ok(Contents::Weights(format)) => format.to_owned(),
                Ok(_) => "a network".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        assert!(told(b"\x08\x09\x12\x07pytorch").contains("no ONNX model"));
        assert!(told(b"\x08\x03:\x80\x10").contains("no ONNX model"));
        assert_eq!(told(b"PK\x03\x04rest"), "PyTorch");
        assert_eq!(told(b"\x80\x02rest"), "PyTorch");
        assert_eq!(told(b"\x02\0\0\0\0\0\0\0{}"), "safetensors");
        assert!(told(b"nothing that is known").contains("neither a network file"));
    }
}
