//! Networks that PyTorch exported, if `CALCINE_ONNX_ZOO` is a folder of them: `NAME.x.bin` are four inputs, `NAME.KIND.y0.bin` the outputs that
//! ONNX Runtime gave.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use calcine_graph::ElementKind;
use calcine_onnx::{ExportOptions, ImportOptions, export, read_bytes, read_file};
use calcine_trace::{AnyTensor, Network};

use crate::runtime::{Output, output};

fn inputs(network: &Network, bytes: &[u8]) -> Vec<AnyTensor> {
    let value = network.graph().value(network.graph().inputs[0]);
    let shape = value.shape_at(4);
    let data = match value.kind {
        ElementKind::Int => {
            let chunks = bytes.as_chunks::<8>().0.iter();
            TensorData::new(
                chunks
                    .map(|chunk| i64::from_le_bytes(*chunk))
                    .collect::<Vec<_>>(),
                shape,
            )
        }
        _ => {
            let chunks = bytes.as_chunks::<4>().0.iter();
            TensorData::new(
                chunks
                    .map(|chunk| f32::from_le_bytes(*chunk))
                    .collect::<Vec<_>>(),
                shape,
            )
        }
    };
    vec![AnyTensor::from_data(data, value.kind, &Device::flex()).unwrap()]
}

/// How far the network's outputs are from those that are expected.
fn off(network: &Network, x: &[AnyTensor], expected: &[Vec<f32>]) -> f32 {
    let found = network.run(x.to_vec(), &mut |_, tensor| tensor).unwrap();
    assert_eq!(found.len(), expected.len());
    let each = found.iter().zip(expected).map(|(found, values)| {
        let expected = Output {
            shape: found.shape(),
            values: values.clone(),
        };
        output(found).difference(&expected)
    });
    each.fold(0.0, f32::max)
}

fn check(file: &Path) -> Result<(f32, f32, usize), String> {
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
    let device = Device::flex();
    let network =
        read_file(file, &ImportOptions::default(), &device).map_err(|error| error.to_string())?;
    let (name, _) = stem.rsplit_once('.').unwrap();
    let x = inputs(
        &network,
        &std::fs::read(folder.join(format!("{name}.x.bin"))).unwrap(),
    );
    let expected = (0..network.graph().outputs.len()).map(|at| {
        let bytes = std::fs::read(folder.join(format!("{stem}.y{at}.bin"))).unwrap();
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|chunk| f32::from_le_bytes(*chunk))
            .collect()
    });
    let expected: Vec<Vec<f32>> = expected.collect();
    let first = off(&network, &x, &expected);
    if std::env::var_os("CALCINE_ONNX_ONLY").is_some() {
        for (_, value) in network.graph().parameters() {
            println!("  {} {:?}", value.name, value.shape_at(1));
        }
    }
    let again = export(&network, &ExportOptions::default()).map_err(|error| error.to_string())?;
    let again = read_bytes(
        &again.to_bytes().unwrap(),
        &ImportOptions::default(),
        &device,
    );
    let again = again.map_err(|error| format!("read again: {error}"))?;
    Ok((
        first,
        off(&again, &x, &expected),
        network.graph().nodes.len(),
    ))
}

#[test]
fn exported_networks_are_read_and_written_again() {
    let Some(folder) = std::env::var_os("CALCINE_ONNX_ZOO") else {
        println!("left out: CALCINE_ONNX_ZOO names no folder of exported networks");
        return;
    };
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| calcine_onnx::is_onnx(file)).collect();
    files.sort();
    let only = std::env::var("CALCINE_ONNX_ONLY").unwrap_or_default();
    let mut failed = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        let found =
            std::panic::catch_unwind(|| check(&file)).unwrap_or_else(|_| Err("panics".to_owned()));
        match found {
            Ok((first, again, nodes)) if first < 1e-4 && again < 1e-4 => {
                println!("{name}: {first:.1e} {again:.1e}, {nodes} nodes");
            }
            other => {
                println!("{name}: {other:?}");
                failed.push(name);
            }
        }
    }
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
}
