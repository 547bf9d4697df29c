//! Every recipe of `recipes/quantize`: the quantized ResNet-20, exported for each runtime and run there.

use calcine_onnx::Runtime;
use calcine_quantize::{QuantizationSettings, quantize_with};

use crate::engines::engines;
use crate::nets::{Row, differences};
use crate::resnet::{network, smooth_images};

fn settings(recipe: &str) -> QuantizationSettings {
    let recipe: toml::Table = recipe.parse().unwrap();
    recipe["quantize"].clone().try_into().unwrap()
}

#[test]
fn every_quantization_recipe_is_exported_for_every_runtime() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/quantize");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() > 15, "{files:?}");
    let (network, x, engines) = (network(), smooth_images(3), engines());
    let (mut rows, mut exact) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let settings = settings(&std::fs::read_to_string(&file).unwrap());
        let quantized =
            quantize_with(network.clone(), std::slice::from_ref(&x), &settings).unwrap();
        for &runtime in &engines {
            // OpenVINO takes the neighbouring integer next to ties. Of 4 bits that is a sixteenth of the range, and the outputs tell
            // nothing.
            let is_narrow =
                (1..8).contains(&settings.activations.bits) || settings.weights.bits < 8;
            if runtime == Runtime::OpenVino && is_narrow {
                continue;
            }
            rows.push(Row::new(&name, (runtime, None), &quantized, &x).unwrap());
            let is_integer = settings.activations.bits > 0 && !settings.activations.dynamic;
            exact.push(is_integer && runtime != Runtime::OpenVino);
        }
    }
    let found = differences(&rows);
    let wrong = found.iter().zip(exact).filter(|((name, off), exact)| {
        let bound = match exact {
            true => 0.0,
            false if name.contains("openvino") => 0.2,
            false => 1e-2,
        };
        *off > bound
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
