//! Files of our own.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_zoo::{Architecture, Classifier, ModelTask, RESNET20_CIFAR10, ResNetConfig};
use safetensors::SafeTensors;
use tempfile::tempdir;

use calcine_testkit::rows;

use crate::FAMILIES;

#[test]
fn saved_weights_load_bit_for_bit_and_save_to_the_same_bytes() {
    struct RoundTrip(Architecture);

    impl ModelTask for RoundTrip {
        type Output = ();

        fn run<M: Classifier + 'static>(self, model: M) {
            let directory = tempdir().unwrap();
            let [first, second] = ["a", "b"].map(|name| directory.path().join(name));
            calcine_weights::save(&model, &first).unwrap();
            self.0.build(
                2,
                &Device::flex(),
                Reload {
                    original: &model,
                    first: &first,
                    second: &second,
                },
            );
        }
    }

    struct Reload<'a, N> {
        original: &'a N,
        first: &'a std::path::Path,
        second: &'a std::path::Path,
    }

    impl<N: Module> ModelTask for Reload<'_, N> {
        type Output = ();

        fn run<M: Classifier + 'static>(self, model: M) {
            assert_ne!(rows(&model), rows(self.original));
            let model = calcine_weights::load(model, self.first).unwrap();
            assert_eq!(rows(&model), rows(self.original));
            calcine_weights::save(&model, self.second).unwrap();
            assert!(std::fs::read(self.first).unwrap() == std::fs::read(self.second).unwrap());
            let files = std::fs::read_dir(self.first.parent().unwrap())
                .unwrap()
                .count();
            assert_eq!(files, 2, "nothing is left beside the files");
        }
    }

    for architecture in FAMILIES {
        architecture.build(1, &Device::flex(), RoundTrip(architecture));
    }
}

#[test]
fn saved_files_have_the_names_and_shapes_of_the_shipped_one() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("resnet20.safetensors");
    std::fs::write(&path, "an older file").unwrap();
    calcine_weights::save(&ResNetConfig::new(20).init(&Device::flex()).unwrap(), &path).unwrap();
    let saved = std::fs::read(&path).unwrap();
    let layout = |bytes: &[u8]| {
        let file = SafeTensors::deserialize(bytes).unwrap();
        let mut layout: Vec<_> = file
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.shape().to_vec()))
            .collect();
        layout.sort();
        layout
    };
    assert_eq!(layout(&saved), layout(RESNET20_CIFAR10));
}

#[test]
fn saving_includes_the_statistics_of_the_last_training_step() {
    let device = Device::flex().autodiff();
    let model = ResNetConfig::new(8).init(&device).unwrap();
    let _ = model.forward(Tensor::random(
        [4, 3, 32, 32],
        Distribution::Default,
        &device,
    ));
    let directory = tempdir().unwrap();
    let path = directory.path().join("trained");
    calcine_weights::save(&model, &path).unwrap();
    let loaded =
        calcine_weights::load(ResNetConfig::new(8).init(&Device::flex()).unwrap(), &path).unwrap();
    let saved = loaded.bn1.running_mean.value().into_data();
    assert_eq!(saved, model.bn1.running_mean.value_sync().into_data());
    assert!(saved.iter::<f32>().any(|mean| mean != 0.0));
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("nowhere/weights.safetensors");
    let error = calcine_weights::save(&ResNetConfig::new(8).init(&Device::flex()).unwrap(), &path);
    let error = error.unwrap_err();
    assert_eq!(error.file(), Some(path.as_path()));
    assert!(error.to_string().starts_with("cannot write"), "{error}");
}
