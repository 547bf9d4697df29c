//! Files written by PyTorch, and other types of numbers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, TensorData};

use calcine_testkit::rows;

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
        let model = calcine_weights::load(tiny(), &fixture(file)).unwrap();
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

    let model = calcine_weights::load(Wrapped { module: tiny() }, &fixture("legacy.pth")).unwrap();
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
    let norm = calcine_weights::load_bytes(norm, &file).unwrap();
    assert_eq!(
        norm.gamma.val().to_data(),
        TensorData::from([1.5_f32, 0.25])
    );
}

/// A file of `tests/data`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}
