use burn::module::Module;
use burn::tensor::{Int, Tensor};
use calcine_format::NetworkFile;
use calcine_params::Inventory;
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use crate::{difference, numbers};
use calcine_testkit::networks::{Mixed, Residual, Text};

/// A network comes back from its file without the model's code, and computes the same bits.
#[test]
fn a_network_is_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("network.safetensors");
    let device = device();
    let models = [
        trace(&Residual::new(&device), numbers([1, 3, 8, 8]), |m, x| {
            m.forward(x)
        })
        .unwrap(),
        trace(&Mixed::new(&device), numbers([1, 2, 8, 8]), |m, x| {
            m.forward(x)
        })
        .unwrap(),
    ];
    for (network, channels) in models.into_iter().zip([3, 2]) {
        network.save(&file).unwrap();
        let again = Network::load(&file, &device).unwrap();
        let x = numbers([3, channels, 8, 8]);
        let (a, b): (Tensor<2>, Tensor<2>) = (network.forward(x.clone()), again.forward(x));
        assert_eq!(difference(&a, &b), 0.0);
        assert_eq!(again.graph(), network.graph());
        let bytes = network.to_bytes().unwrap();
        assert_eq!(again.to_bytes().unwrap(), bytes);
        let data = NetworkFile::from(&network);
        assert_eq!(data, NetworkFile::from_bytes(&bytes).unwrap());
        data.check().unwrap();
        let (ours, theirs) = (
            Inventory::from_module(&again),
            Inventory::from_module(&network),
        );
        let listed = |inventory: &Inventory| -> Vec<_> {
            let parameters = inventory.iter();
            parameters
                .map(|p| (p.path.clone(), p.layer.clone(), p.shape.clone(), p.groups))
                .collect()
        };
        assert_eq!(listed(&ours), listed(&theirs));
    }
}

#[test]
fn a_text_network_is_one_file() {
    let network = trace(
        &Text::new(&device()),
        Tensor::<2, Int>::zeros([1, Text::LENGTH], &device()),
        |m, x| m.forward(x),
    )
    .unwrap();
    let again = Network::from_bytes(&network.to_bytes().unwrap(), &device()).unwrap();
    let x = Tensor::<2, Int>::ones([2, Text::LENGTH], &device());
    let (a, b): (Tensor<3>, Tensor<3>) = (network.forward(x.clone()), again.forward(x));
    assert_eq!(difference(&a, &b), 0.0);
    assert_eq!(again.num_params(), network.num_params());
}

/// A path that a parameter has in another module finds it, also after the network was saved.
#[test]
fn a_parameter_is_found_by_its_other_path() {
    let network = trace(&Residual::new(&device()), numbers([1, 3, 8, 8]), |m, x| {
        m.forward(x)
    })
    .unwrap();
    let all = Inventory::from_module(&network);
    let [first, second] = [0, 1].map(|at| all.weights().nth(at).unwrap().path.clone());
    let named = network
        .with_alias(&first, "head.weight")
        // Paths of other parameters, or of none, say nothing.
        .with_alias(&first, &second)
        .with_alias("nowhere.weight", "tail.weight");
    let again = Network::from_bytes(&named.to_bytes().unwrap(), &device()).unwrap();
    for network in [named, again] {
        let inventory = Inventory::from_module(&network);
        assert_eq!(inventory.iter().len(), all.iter().len());
        assert_eq!(inventory.get("head.weight").unwrap().path, first);
        assert_eq!(inventory.get(&second).unwrap().path, second);
        let selected = inventory.select(&["head.*"]).unwrap();
        assert_eq!(selected.len(), 1);
        assert_eq!(selected[0].aliases, ["head.weight"]);
        assert!(inventory.get("tail.weight").is_none());
    }
}

/// What is recorded beside a network comes back with it, and is in no way of the network.
#[test]
fn metadata_are_saved_with_the_network() {
    let network = trace(&Residual::new(&device()), numbers([1, 3, 8, 8]), |m, x| {
        m.forward(x)
    })
    .unwrap();
    let plain = network.to_bytes().unwrap();
    let noted = network
        .with_metadata("b", "old")
        .with_metadata("b", "x")
        .with_metadata("a", "y");
    let again = Network::from_bytes(&noted.to_bytes().unwrap(), &device()).unwrap();
    let entries: Vec<_> = again.metadata().iter().collect();
    assert_eq!(
        entries,
        [
            (&"a".to_owned(), &"y".to_owned()),
            (&"b".to_owned(), &"x".to_owned())
        ]
    );
    assert_eq!(again.valid().compacted().metadata(), noted.metadata());
    assert_eq!(again.graph(), noted.graph());
    let without = Network::from_bytes(&plain, &device()).unwrap();
    assert!(without.metadata().is_empty());
}

#[test]
fn damaged_files_are_errors() {
    let network = trace(&Residual::new(&device()), numbers([1, 3, 8, 8]), |m, x| {
        m.forward(x)
    })
    .unwrap();
    let bytes = network.to_bytes().unwrap();
    for cut in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(
            Network::from_bytes(&bytes[..cut], &device()).is_err(),
            "{cut}"
        );
    }
    let plain = safetensors::serialize(
        std::iter::empty::<(&str, safetensors::tensor::TensorView<'_>)>(),
        None,
    );
    let error = Network::from_bytes(&plain.unwrap(), &device()).unwrap_err();
    assert!(error.to_string().contains("calcine.network"), "{error}");
}

/// Infinities are numbers of a graph like others, and JSON has none.
#[test]
fn masks_with_infinity_survive() {
    let forward = |_: &Empty, x: Tensor<2>| {
        let mask = x.clone().lower_scalar(0.0);
        x.mask_fill(mask, f32::NEG_INFINITY)
            .clamp_max(f32::INFINITY)
    };
    let network = trace(&Empty::new(), numbers([1, 4]), forward).unwrap();
    let again = Network::from_bytes(&network.to_bytes().unwrap(), &device()).unwrap();
    assert_eq!(again.graph(), network.graph());
}

/// A model without parameters of its own.
#[derive(Module, Debug)]
struct Empty {
    unused: burn::module::Param<Tensor<1>>,
}

impl Empty {
    fn new() -> Self {
        Self {
            unused: burn::module::Param::from_tensor(Tensor::zeros([1], &device())),
        }
    }
}

/// Burn's norms keep the update of the last forward pass in training aside; plain data has it, as the file has.
#[test]
fn plain_data_is_what_the_file_stores_during_training() {
    let device = device().autodiff();
    let network = trace(&Residual::new(&device), numbers([1, 3, 8, 8]), |m, x| {
        m.forward(x)
    })
    .unwrap()
    .train();
    let before = NetworkFile::from(&network);
    let x = Tensor::from_inner(numbers::<4>([4, 3, 8, 8]) * 3.0 + 1.0);
    let _: Tensor<2> = network.forward(x);
    let after = NetworkFile::from(&network);
    assert_ne!(after, before);
    let bytes = network.to_bytes().unwrap();
    assert_eq!(after, NetworkFile::from_bytes(&bytes).unwrap());
}
