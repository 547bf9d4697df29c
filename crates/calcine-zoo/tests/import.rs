//! Files written by PyTorch, against the logits that PyTorch computed.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use calcine_testkit::golden;
use calcine_zoo::{RESNET20_CIFAR10, ResNet, ResNetConfig};
use safetensors::SafeTensors;

use calcine_testkit::rows;

/// Logits are of the order of ten; PyTorch sums in another order.
const TOLERANCE: f32 = 1e-4;

#[test]
fn the_shipped_weights_give_pytorchs_logits_on_four_images() {
    let model = calcine_weights::load_bytes(resnet20(), RESNET20_CIFAR10).unwrap();
    let fixture = fixture("resnet20-logits.safetensors");
    check(
        &model,
        &std::fs::read(fixture).unwrap(),
        "shipped, 4 images",
    );
}

#[test]
fn reference_resnet20_logits_from_safetensors_and_pth_tar() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    if !models.is_dir() {
        println!("skipped: no {}", models.display());
        return;
    }
    let reference = std::fs::read(models.join("resnet20-cifar10.logits.safetensors")).unwrap();
    for file in ["resnet20-cifar10.safetensors", "resnet20-cifar10.pth.tar"] {
        let model = calcine_weights::load(resnet20(), &models.join(file)).unwrap();
        check(&model, &reference, file);
        let shipped = calcine_weights::load_bytes(resnet20(), RESNET20_CIFAR10).unwrap();
        assert_eq!(rows(&model), rows(&shipped), "{file}");
    }
}

#[test]
fn golden_resnet20_base_logits() {
    let model = golden_resnet(&Device::flex());
    check(
        &model,
        &golden::bytes("resnet20_base.safetensors"),
        "golden",
    );
}

/// The residual network of the golden vectors, as deep as they have it.
pub(crate) fn golden_resnet(device: &Device) -> ResNet {
    let parameters = golden::parameters("resnet20_base.safetensors");
    let file = SafeTensors::deserialize(&parameters).unwrap();
    let is_block = |name: &&&str| name.starts_with("layer1.") && name.ends_with(".conv1.weight");
    let blocks = file.names().iter().filter(is_block).count();
    let model = ResNetConfig::new(6 * blocks + 2).init(device).unwrap();
    calcine_weights::load_bytes(model, &parameters).unwrap()
}

#[test]
fn loaded_parameters_train_and_keep_their_device() {
    let device = Device::flex().autodiff();
    let model = ResNetConfig::new(20).init(&device).unwrap();
    let before: Vec<bool> = rows(&model).iter().map(|row| row.trains).collect();
    let model = calcine_weights::load_bytes(model, RESNET20_CIFAR10).unwrap();
    let after: Vec<bool> = rows(&model).iter().map(|row| row.trains).collect();
    assert_eq!(before, after);
    assert_eq!(after.iter().filter(|trains| **trains).count(), 65);
    assert!(model.fc.weight.val().device().is_autodiff());
}

#[test]
fn weights_loaded_without_autodiff_train_once_the_model_does() {
    let model = calcine_weights::load_bytes(resnet20(), RESNET20_CIFAR10).unwrap();
    let trained = rows(&model.train());
    assert_eq!(trained.iter().filter(|row| row.trains).count(), 65);
}

fn resnet20() -> ResNet {
    ResNetConfig::new(20).init(&Device::flex()).unwrap()
}

/// Compares the model's logits for `x` of the file with those of the file.
fn check(model: &ResNet, file: &[u8], name: &str) {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let read = |name: &str| {
        let view = tensors.tensor(name).unwrap();
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        TensorData::new(values, view.shape().to_vec())
    };
    let images = Tensor::<4>::from_data(read("x"), &Device::flex());
    let logits = model.forward(images).into_data();
    let expected = read("logits");
    assert_eq!(logits.shape(), expected.shape());
    let worst = logits
        .iter::<f32>()
        .zip(expected.iter::<f32>())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!("{name}: largest difference of a logit {worst:e}");
    assert!(worst < TOLERANCE, "{name}: {worst}");
}

/// A file of `tests/data`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}
