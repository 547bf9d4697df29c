//! Files that do not fit.

use std::collections::BTreeMap;

use burn::tensor::Device;
use calcine_weights::{Problem, WeightsError};
use calcine_zoo::{RESNET20_CIFAR10, ResNet, ResNetConfig, SimpleNetConfig};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use calcine_testkit::rows;

fn resnet20() -> ResNet {
    ResNetConfig::new(20).init(&Device::flex()).unwrap()
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The error of loading the shipped weights after `edit`.
fn error_after(edit: impl Fn(&mut Tensors)) -> WeightsError {
    let file = SafeTensors::deserialize(RESNET20_CIFAR10).unwrap();
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            (
                name,
                (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
            )
        })
        .collect();
    edit(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    calcine_weights::load_bytes(resnet20(), &bytes).unwrap_err()
}

fn zeros(shape: &[usize]) -> (Dtype, Vec<usize>, Vec<u8>) {
    (
        Dtype::F32,
        shape.to_vec(),
        vec![0; 4 * shape.iter().product::<usize>()],
    )
}

#[test]
fn each_way_not_to_fit_is_told_with_name_and_shapes() {
    type Edit = fn(&mut Tensors);
    let table: [(Edit, &str); 7] = [
        (
            |t| drop(t.remove("bn1.weight")),
            "`bn1.weight` is missing, expected shape [16]",
        ),
        (
            |t| drop(t.insert("fc.weight".into(), zeros(&[64, 10]))),
            "`fc.weight` has shape [64, 10], expected [10, 64]",
        ),
        (
            |t| drop(t.insert("fc.weight".into(), zeros(&[10, 64, 1]))),
            "`fc.weight` has shape [10, 64, 1], expected [10, 64]",
        ),
        (
            |t| drop(t.insert("conv1.bias".into(), zeros(&[16]))),
            "`conv1.bias` of shape [16] is not a parameter of the model",
        ),
        (
            |t| drop(t.insert("module.fc.bias".into(), zeros(&[10]))),
            "`fc.bias` is there twice, as `fc.bias` and as `module.fc.bias`",
        ),
        (
            |t| drop(t.insert("bn1.bias".into(), (Dtype::I32, vec![16], vec![0; 64]))),
            "`bn1.bias` has type I32, expected F32",
        ),
        (
            |t| drop(t.insert("layer3.2.bn1.num_batches_tracked".into(), zeros(&[2]))),
            "",
        ),
    ];
    for (edit, message) in table {
        // One more problem, so that the edit which is none is an error as well.
        let error = error_after(|tensors| {
            edit(tensors);
            tensors.remove("layer1.0.conv1.weight");
        });
        let missing = "`layer1.0.conv1.weight` is missing, expected shape [16, 16, 3, 3]";
        let told: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
        let mut expected = vec![missing];
        expected.extend(Some(message).filter(|message| !message.is_empty()));
        assert_eq!(told.len(), expected.len(), "{told:?}");
        assert!(
            expected.iter().all(|e| told.iter().any(|t| t == e)),
            "{told:?}"
        );
    }
}

#[test]
fn all_problems_of_a_file_are_listed_at_once() {
    let error = error_after(|tensors| {
        tensors.remove("conv1.weight");
        tensors.insert("fc.bias".into(), zeros(&[11]));
        tensors.insert("extra.weight".into(), zeros(&[1, 2]));
    });
    assert_eq!(error.problems().len(), 3);
    let missing = Problem::Missing {
        parameter: "conv1.weight".to_owned(),
        expected: vec![16, 3, 3, 3],
    };
    assert!(error.problems().contains(&missing));
    assert_eq!(
        error.to_string(),
        "the file in memory does not fit the model: `conv1.weight` is missing, expected shape [16, 3, 3, 3]; \
         `fc.bias` has shape [11], expected [10]; `extra.weight` of shape [1, 2] is not a parameter of the model; \
         `--weights-ignore` leaves tensors out"
    );
}

#[test]
fn weights_of_another_architecture_are_refused() {
    let simple = SimpleNetConfig::new().init(&Device::flex());
    let error = calcine_weights::load_bytes(simple, RESNET20_CIFAR10).unwrap_err();
    assert_eq!(error.problems().len(), 10 + 107);
    let text = error.to_string();
    assert!(
        !text.contains('\n') && text.contains("another model"),
        "{text}"
    );
}

#[test]
fn a_failed_load_leaves_clones_alone() {
    let model = resnet20();
    let clone = model.clone();
    let before = rows(&clone);
    let cut = &RESNET20_CIFAR10[..RESNET20_CIFAR10.len() - 1];
    calcine_weights::load_bytes(model, cut).unwrap_err();
    assert_eq!(rows(&clone), before);
}

#[test]
fn cut_files_are_errors() {
    let whole = RESNET20_CIFAR10;
    for length in (0..20_000).step_by(1997).chain([whole.len() - 1]) {
        calcine_weights::load_bytes(resnet20(), &whole[..length]).unwrap_err();
    }
}
