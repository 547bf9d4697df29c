//! What is recorded beside a network, and the names of its weights, in files.

use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor};
use calcine_onnx::{
    ExportOptions, Form, ImportOptions, Runtime, export, export_quantized, import_file, read_bytes,
};
use calcine_quantize::{QuantizationSettings, quantize_as};
use calcine_trace::trace;
use calcine_zoo::{RESNET20_CIFAR10, ResNetConfig};

use crate::nets::{net, quantized};
use crate::runtime::python;

const RECIPE: &str = "format = 1\n\n[train]\nepochs = 1 # µ\n";

#[test]
fn a_file_has_the_metadata_of_its_network_and_of_the_options() {
    let network = net()
        .with_metadata("calcine.recipe", RECIPE)
        .with_metadata("author", "nobody");
    let mut options = ExportOptions::default();
    options.runtime = Some(Runtime::Tract);
    options
        .metadata
        .insert("author".to_owned(), "somebody".to_owned());
    let file = export(&network, &options).unwrap().to_bytes().unwrap();
    assert_eq!(
        file,
        export(&network, &options).unwrap().to_bytes().unwrap()
    );
    let read = |file: &[u8]| read_bytes(file, &ImportOptions::default(), &Device::flex()).unwrap();
    let again = read(&file);
    let found: Vec<_> = again.metadata().iter().collect();
    let found: Vec<_> = found.into_iter().map(|(k, v)| (&**k, &**v)).collect();
    let expected = [
        ("author", "somebody"),
        ("calcine.form", "float"),
        ("calcine.recipe", RECIPE),
        ("calcine.runtime", "tract"),
        ("calcine.sparsity", "0.0000"),
    ];
    assert_eq!(found, expected);
    // The runtime is that of the new file, which is for none.
    let file = export(&again, &ExportOptions::default()).unwrap();
    let again = read(&file.to_bytes().unwrap());
    assert_eq!(again.metadata().get("calcine.runtime"), None);
    assert_eq!(again.metadata().get("calcine.recipe").unwrap(), RECIPE);
}

#[test]
fn a_quantized_network_keeps_the_metadata_of_the_float_network() {
    let network = net().with_metadata("calcine.recipe", RECIPE);
    let own = quantized(&network, &QuantizationSettings::default());
    let own = own.with_metadata("calcine.measured", "{}");
    let folder = tempfile::tempdir().unwrap();
    for form in [Form::Qdq, Form::QOperator] {
        let mut options = ExportOptions::default();
        options.form = Some(form);
        let file = folder.path().join(format!("{form}.onnx"));
        export_quantized(&own, &options)
            .unwrap()
            .save(&file)
            .unwrap();
        let imported = import_file(&file, &ImportOptions::default(), &Device::flex()).unwrap();
        let again = quantize_as(&imported.network, &imported.parameters).unwrap();
        let found = |key: &str| again.metadata().get(key).map(String::as_str);
        assert_eq!(found("calcine.form"), Some(form.name()));
        assert_eq!(found("calcine.recipe"), Some(RECIPE));
        assert_eq!(found("calcine.measured"), Some("{}"));
    }
}

/// The weights of a network that was written as ONNX, read, and written as safetensors are the tensors of PyTorch's file, by name, shape and
/// value. PyTorch reads them (`safetensors.torch.load_file`) if the Python has it, else NumPy.
#[test]
fn weights_of_a_network_that_was_read_have_the_names_of_pytorch() {
    let Some(python) = python() else {
        println!("left out: no Python with onnx and onnxruntime; CALCINE_PYTHON names one");
        return;
    };
    let device = Device::flex();
    let model = ResNetConfig::new(20).init(&device).unwrap();
    let model = calcine_weights::load_bytes(model, RESNET20_CIFAR10).unwrap();
    let sample = Tensor::zeros([1, 3, 32, 32], &device);
    let network = trace(&model, sample, |model, x| model.forward(x)).unwrap();
    let file = export(&network, &ExportOptions::default()).unwrap();
    let file = file.to_bytes().unwrap();
    let network = read_bytes(&file, &ImportOptions::default(), &device).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (original, written) = (
        folder.path().join("original"),
        folder.path().join("written"),
    );
    std::fs::write(&original, RESNET20_CIFAR10).unwrap();
    calcine_weights::save(&network, &written).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights.py");
    let done = Command::new(python)
        .arg(script)
        .args([&original, &written])
        .output()
        .unwrap();
    let (out, err) = (&done.stdout, String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{err}");
    let out = String::from_utf8_lossy(out);
    let (compared, reader) = out.trim().split_once(' ').unwrap();
    println!("read by {reader}");
    let compared: usize = compared.parse().unwrap();
    assert!(compared >= 100, "{compared} tensors");
}
