//! Files that PyTorch wrote, in all its usual wrappings: see `data/make_torch.py`.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine_trace::trace;
use calcine_weights::{Derivation, LoadOptions};
use safetensors::SafeTensors;

use crate::import::fixture;
use calcine_testkit::{Row, rows};

/// The network of `make_torch.py`.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    fc: Linear,
}

impl Net {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.norm.forward(self.conv.forward(images));
        self.fc
            .forward(features.mean_dim(3).mean_dim(2).flatten(1, 3))
    }
}

fn net() -> Net {
    let device = Device::flex();
    Net {
        conv: Conv2dConfig::new([2, 3], [2, 2])
            .with_bias(false)
            .init(&device),
        norm: BatchNormConfig::new(3).init(&device),
        fc: LinearConfig::new(3, 4).init(&device),
    }
}

fn expected(file: &str) -> Vec<Row> {
    rows(&calcine_weights::load(net(), &fixture("torch").join(file)).unwrap())
}

fn largest_difference(a: &[Row], b: &[Row]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!((&a.path, &a.shape), (&b.path, &b.shape));
        a.values.iter().zip(&b.values)
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_wrapping_has_the_same_weights_bit_for_bit() {
    let plain = expected("expected.safetensors");
    for (file, prefix) in [
        ("state", ""),
        ("parallel", "state_dict.module"),
        ("compiled", "model._orig_mod"),
        ("averaged", "module"),
        ("net", "net"),
        ("ema", "ema.module"),
        ("model_state_dict", "model_state_dict"),
        ("lightning", "state_dict.model"),
        ("legacy", "state_dict"),
        ("channels_last", ""),
    ] {
        let path = fixture("torch").join(file).with_extension("pth");
        let (model, report) = LoadOptions::default().load(net(), &path).unwrap();
        assert_eq!(rows(&model), plain, "{file}");
        assert_eq!(report.prefix, prefix, "{file}");
        assert_eq!(
            (report.loaded.len(), report.masks.len()),
            (plain.len(), 0),
            "{file}"
        );
    }
    let halves = rows(&calcine_weights::load(net(), &fixture("torch/halves.pth")).unwrap());
    assert!(largest_difference(&halves, &plain) < 4e-3);
}

#[test]
fn pruned_weights_come_with_their_masks() {
    let path = fixture("torch/pruned.pth");
    let (model, report) = LoadOptions::default().load(net(), &path).unwrap();
    let file = std::fs::read(fixture("torch/pruned-expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    let ignore = vec!["*.weight_mask".to_owned()];
    let options = LoadOptions {
        ignore,
        ..LoadOptions::default()
    };
    let (plain, _) = options
        .load(net(), &fixture("torch/pruned-expected.safetensors"))
        .unwrap();
    assert_eq!(rows(&model), rows(&plain));
    let masks = report.masks_for(&model, &Device::flex());
    assert_eq!(
        masks.paths().collect::<Vec<_>>(),
        ["conv.weight", "fc.weight"]
    );
    for row in rows(&model)
        .iter()
        .filter(|row| row.path.ends_with("weight"))
    {
        let mask = file.tensor(&format!("{}_mask", row.path)).unwrap();
        let zeros = mask
            .data()
            .chunks_exact(4)
            .filter(|bytes| **bytes == [0; 4])
            .count();
        let keep: Vec<bool> = masks
            .keep(&row.path)
            .unwrap()
            .into_data()
            .iter::<bool>()
            .collect();
        assert_eq!(keep.iter().filter(|keep| !**keep).count(), zeros);
        assert!(
            keep.iter()
                .zip(&row.values)
                .all(|(keep, value)| *keep || *value == 0.0),
            "{}",
            row.path
        );
    }
}

#[test]
fn weight_norms_of_both_kinds_are_computed() {
    let plain = expected("expected.safetensors");
    for file in ["weight_norm_old.pth", "weight_norm_new.pth"] {
        let path = fixture("torch").join(file);
        let (model, report) = LoadOptions::default().load(net(), &path).unwrap();
        assert!(largest_difference(&rows(&model), &plain) < 1e-6, "{file}");
        let derived: Vec<_> = report.derived.iter().map(|(_, how)| *how).collect();
        assert_eq!(derived, [Derivation::WeightNorm; 2], "{file}");
    }
}

#[test]
fn a_traced_network_takes_the_same_files_as_the_model() {
    let device = Device::flex();
    let images = Tensor::<4>::random([3, 2, 5, 5], burn::tensor::Distribution::Default, &device);
    let network = trace(&net(), images.clone(), Net::forward).unwrap();
    for file in [
        "parallel.pth",
        "pruned.pth",
        "weight_norm_new.pth",
        "expected.safetensors",
    ] {
        let path = fixture("torch").join(file);
        let (model, of_model) = LoadOptions::default().load(net(), &path).unwrap();
        let (network, of_network) = LoadOptions::default().load(network.clone(), &path).unwrap();
        assert_eq!(of_model.loaded.len(), of_network.loaded.len());
        let by_path = |mut rows: Vec<Row>| {
            rows.sort_by(|a, b| a.path.cmp(&b.path));
            rows.into_iter()
                .map(|row| (row.path, row.shape, row.values))
                .collect::<Vec<_>>()
        };
        assert_eq!(by_path(rows(&network)), by_path(rows(&model)), "{file}");
        let found: Tensor<2> = network.forward(images.clone());
        assert_eq!(
            found.into_data(),
            model.forward(images.clone()).into_data(),
            "{file}"
        );
        let masks = of_network.masks_for(&network, &device);
        assert_eq!(masks.len(), if file == "pruned.pth" { 2 } else { 0 });
    }
}
