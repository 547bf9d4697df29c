//! Prints the contents of a network file, float or quantized: `describe FILE`.

use calcine_format::{FileError, NetworkFile, QuantizedFile};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(path) = std::env::args().nth(1) else {
        println!("usage: describe FILE");
        return Ok(());
    };
    let bytes = std::fs::read(path)?;
    match NetworkFile::from_bytes(&bytes) {
        Ok(file) => {
            for node in &file.graph.nodes {
                println!("{}: {}", node.name, node.op);
            }
        }
        Err(FileError::NoNetwork(_)) => {
            let file = QuantizedFile::from_bytes(&bytes)?;
            for (index, node) in file.graph.nodes.iter().enumerate() {
                let bits = file.layers.get(&index).map(|layer| layer.bits);
                let bits = bits.map_or(String::new(), |bits| format!(", weights of {bits} bits"));
                let quantizer = file.quantizers[node.output.0];
                let quantizer = quantizer.map_or("float".to_owned(), |q| format!("{q:?}"));
                println!("{}: {}{bits}, {quantizer}", node.name, node.op);
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
