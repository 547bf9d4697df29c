//! Files written by PyTorch, against the logits that PyTorch computed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use calcine_testkit::golden;
use calcine_zoo::{ResNet, ResNetConfig, weights};
use safetensors::SafeTensors;

use crate::rows::rows;

/// Logits are of the order of ten; PyTorch sums in another order.
const TOLERANCE: f32 = 1e-4;

#[test]
fn the_shipped_weights_give_pytorchs_logits_on_four_images() {
    let model = weights::load_bytes(resnet20(), weights::RESNET20_CIFAR10).unwrap();
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
        let model = weights::load(resnet20(), &models.join(file)).unwrap();
        check(&model, &reference, file);
        let shipped = weights::load_bytes(resnet20(), weights::RESNET20_CIFAR10).unwrap();
        assert_eq!(rows(&model), rows(&shipped), "{file}");
    }
}

#[test]
fn golden_resnet20_base_logits() {
    let bytes = golden::bytes("resnet20_base.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let parameters = tensors
        .tensors()
        .into_iter()
        .filter(|(name, _)| name != "x" && name != "logits");
    let parameters = safetensors::serialize(parameters, None).unwrap();
    let model = weights::load_bytes(resnet20(), &parameters).unwrap();
    check(&model, &bytes, "golden");
}

#[test]
fn loaded_parameters_train_and_keep_their_device() {
    let device = Device::flex().autodiff();
    let model = ResNetConfig::new(20).init(&device).unwrap();
    let before: Vec<bool> = rows(&model).iter().map(|row| row.trains).collect();
    let model = weights::load_bytes(model, weights::RESNET20_CIFAR10).unwrap();
    let after: Vec<bool> = rows(&model).iter().map(|row| row.trains).collect();
    assert_eq!(before, after);
    assert_eq!(after.iter().filter(|trains| **trains).count(), 65);
    assert!(model.fc.weight.val().device().is_autodiff());
}

#[test]
fn weights_loaded_without_autodiff_train_once_the_model_does() {
    let model = weights::load_bytes(resnet20(), weights::RESNET20_CIFAR10).unwrap();
    let trained = rows(&model.train());
    assert_eq!(trained.iter().filter(|row| row.trains).count(), 65);
}

/// What `tests/data/make_checkpoints.py` writes weights of.
#[derive(Module, Debug)]
pub(crate) struct Tiny {
    fc: Linear,
    norm: BatchNorm,
}

pub(crate) fn tiny() -> Tiny {
    let device = Device::flex();
    Tiny {
        fc: LinearConfig::new(3, 2).init(&device),
        norm: BatchNormConfig::new(2).init(&device),
    }
}

#[test]
fn checkpoints_of_old_and_new_pytorch_load_into_any_module() {
    for file in ["legacy.pth", "zip.pth.tar"] {
        let model = weights::load(tiny(), &fixture(file)).unwrap();
        let values: HashMap<_, _> = rows(&model)
            .into_iter()
            .map(|row| (row.path, (row.shape, row.values)))
            .collect();
        let transposed = (vec![3, 2], vec![1., 4., 2., 5., 3., 6.]);
        assert_eq!(values["fc.weight"], transposed, "{file}");
        assert_eq!(values["fc.bias"].1, [7., 8.]);
        assert_eq!(values["norm.gamma"].1, [9., 10.]);
        assert_eq!(values["norm.beta"].1, [11., 12.]);
        assert_eq!(values["norm.running_mean"].1, [13., 14.]);
        assert_eq!(values["norm.running_var"].1, [15., 16.]);
    }
}

#[test]
fn path_elements_module_do_not_count_on_either_side() {
    #[derive(Module, Debug)]
    struct Wrapped {
        module: Tiny,
    }

    let model = weights::load(Wrapped { module: tiny() }, &fixture("legacy.pth")).unwrap();
    assert_eq!(rows(&model)[1].path, "module.fc.bias");
    assert_eq!(rows(&model)[1].values, [7., 8.]);
}

#[test]
fn other_float_types_are_converted_to_the_modules() {
    let bytes = [1.5_f64, 0.25].map(f64::to_le_bytes).concat();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![2], &bytes);
    let view = view.unwrap();
    let names = ["bias", "running_mean", "running_var", "weight"];
    let file = safetensors::serialize(names.map(|name| (name, &view)), None).unwrap();
    let norm = BatchNormConfig::new(2).init(&Device::flex());
    let norm = weights::load_bytes(norm, &file).unwrap();
    assert_eq!(
        norm.gamma.val().to_data(),
        TensorData::from([1.5_f32, 0.25])
    );
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
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}
