//! Parameters that a model uses in two places.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use calcine_testkit::device;
use calcine_train::checkpoint;

#[derive(Module, Debug)]
struct Tied {
    encoder: Param<Tensor<1>>,
    decoder: Param<Tensor<1>>,
}

fn tied(value: f32) -> Tied {
    let encoder = Param::from_tensor(Tensor::<1>::full([2], value, &device()));
    Tied {
        decoder: encoder.clone(),
        encoder,
    }
}

#[test]
fn a_checkpoint_restores_both_uses_of_a_parameter() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("model.safetensors");
    checkpoint::save_model(&tied(1.0), &file).unwrap();
    let loaded = checkpoint::load_model(tied(2.0), &file).unwrap();
    for parameter in [&loaded.encoder, &loaded.decoder] {
        let values: Vec<f32> = parameter.val().into_data().iter().collect();
        assert_eq!(values, [1.0, 1.0]);
    }
}
