//! Quantized files that are read: our own, and those of ONNX Runtime's `quantize_static`.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use calcine_onnx::{ExportOptions, Form, ImportOptions, export, export_quantized, import_file};
use calcine_quantize::{QuantizationSettings, Scheme, quantize_as};
use calcine_trace::{AnyTensor, Network};

use crate::forms::settings;
use crate::nets::{images, net, net_and_images, net_without_products, quantized};
use crate::runtime::{Job, output, python, run};

/// A file's quantization parameters make the quantized network that it was written from.
#[test]
fn quantized_files_are_quantized_networks_again() {
    let weights_only = |s: &mut QuantizationSettings| s.activations.bits = 0;
    let cases = [
        ("default", QuantizationSettings::default()),
        (
            "symmetric",
            settings(|s| s.activations.scheme = Scheme::Symmetric),
        ),
        ("per_tensor", settings(|s| s.weights.per_channel = false)),
        (
            "affine_channels",
            settings(|s| s.weights.scheme = Scheme::Affine),
        ),
        ("weights_8", settings(weights_only)),
        (
            "groups",
            settings(|s| (s.activations.bits, s.weights.bits, s.weights.group) = (0, 4, Some(8))),
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (network, x) = (net(), images(1.0));
    let mut wrong = Vec::new();
    for (name, settings) in cases {
        let quantized = quantized(&network, &settings);
        let own: Tensor<2> = quantized.forward(x.clone());
        let own = output(&AnyTensor::from(own));
        for form in [Form::Qdq, Form::QOperator] {
            let mut options = ExportOptions::default();
            options.form = Some(form);
            options.exact = Some(false);
            let Ok(model) = export_quantized(&quantized, &options) else {
                continue;
            };
            let file = folder.path().join(format!("{name}_{form}.onnx"));
            std::fs::write(&file, model.to_bytes().unwrap()).unwrap();
            let imported = import_file(&file, &ImportOptions::default(), &Device::flex()).unwrap();
            assert_eq!(imported.left_out, [] as [String; 0], "{name} as {form}");
            let again = quantize_as(&imported.network, &imported.parameters).unwrap();
            // The last layer of the other form is written with `MatMulInteger`, and is read as that.
            let layers = again.layers().count();
            let missing = usize::from(form == Form::QOperator);
            assert!(
                layers + missing >= quantized.layers().count(),
                "{name} as {form}: {layers}"
            );
            let found: Tensor<2> = again.forward(x.clone());
            let off = output(&AnyTensor::from(found)).difference(&own);
            println!("{name} as {form}: {off:.1e}");
            if off > 1e-6 {
                wrong.push((name, form.to_string(), off));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Files that ONNX Runtime's tool quantized give the outputs of ONNX Runtime. The bound is in integers of the output. For the second network it is
/// 2, because ONNX Runtime's own outputs with and without its optimizations differ by as much: fused sums and products round after they have
/// added the zero point. For other images than these, they differ by 6 in the first network, too.
#[test]
fn files_that_onnx_runtime_quantized_give_its_outputs() {
    let Some(python) = python() else {
        println!("left out: no Python with onnx and onnxruntime; CALCINE_PYTHON names one");
        return;
    };
    let (network, x) = net_and_images();
    outputs_differ_at_most(1.0, &python, &network, &x);
    let (network, x) = net_without_products();
    outputs_differ_at_most(2.0, &python, &network, &x);
}

fn outputs_differ_at_most(bound: f32, python: &Path, network: &Network, x: &Tensor<4>) {
    let folder = tempfile::tempdir().unwrap();
    let float = folder.path().join("float.onnx");
    let model = export(network, &ExportOptions::default()).unwrap();
    std::fs::write(&float, model.to_bytes().unwrap()).unwrap();
    let bytes: Vec<u8> = x
        .to_data()
        .iter::<f32>()
        .flat_map(f32::to_le_bytes)
        .collect();
    let inputs = folder.path().join("inputs");
    std::fs::write(&inputs, bytes).unwrap();
    let done = std::process::Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/quantize_static.py"
        ))
        .args([&float, &inputs])
        .arg(x.dims().map(|length| length.to_string()).join(","))
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let names = ["qdq_uint8_channels", "qdq_int8", "qoperator"];
    let jobs = names.map(|name| Job {
        name: name.to_owned(),
        file: std::fs::read(folder.path().join(format!("{name}.onnx"))).unwrap(),
        inputs: vec![x.clone().into()],
    });
    let expected = run(&jobs).unwrap();
    for (name, expected) in names.into_iter().zip(expected) {
        let file = folder.path().join(format!("{name}.onnx"));
        let imported = import_file(&file, &ImportOptions::default(), &Device::flex()).unwrap();
        assert_eq!(imported.left_out, [] as [String; 0], "{name}");
        assert!(
            imported.parameters.weights.len() >= 5,
            "{name}: {:?}",
            imported.parameters.weights.keys()
        );
        let graph = imported.network.graph();
        let output_name = &graph.value(graph.outputs[0]).name;
        let scale = imported.parameters.activations[output_name].scale;
        let again = quantize_as(&imported.network, &imported.parameters).unwrap();
        let found: Tensor<2> = again.forward(x.clone());
        let found = output(&AnyTensor::from(found));
        let off = found.values.iter().zip(&expected[0].values);
        let off: Vec<f32> = off.map(|(a, b)| (a - b).abs() / scale).collect();
        let most = off.iter().copied().fold(0.0, f32::max);
        let equal = off.iter().filter(|off| **off < 0.01).count();
        println!(
            "{name}: {equal} of {} outputs are equal, the others within {most} codes",
            off.len()
        );
        assert!(most < bound + 0.01, "{name}: {most} codes");
    }
}
