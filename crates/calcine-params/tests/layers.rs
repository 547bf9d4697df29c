//! What each of Burn's layers with weights looks like to an inventory.

use burn::module::{Module, ModuleMapper, ModuleVisitor};
use burn::nn::attention::{CrossAttentionConfig, MultiHeadAttentionConfig};
use burn::nn::conv::{
    Conv1dConfig, Conv2d, Conv2dConfig, Conv3dConfig, ConvTranspose1dConfig, ConvTranspose2dConfig,
    ConvTranspose3dConfig, DeformConv2dConfig,
};
use burn::nn::norm::NormalizationConfig;
use burn::nn::transformer::TransformerEncoderConfig;
use burn::nn::{
    BatchNormConfig, BiGruConfig, BiLstmConfig, BiRnnConfig, EmbeddingConfig, GroupNormConfig,
    GruConfig, InstanceNormConfig, LayerNormConfig, LinearConfig, LinearLayout, LstmConfig,
    RmsNormConfig, RnnConfig,
};
use burn::tensor::Device;
use calcine_fold::{Fold, Granularity, Layout};
use calcine_params::{Groups, Inventory, Parameter, Role, tell_groups};
use calcine_testkit::{device, each};

/// One line a parameter: path, layer, shape, role.
fn listed<M: Module>(model: &M) -> Vec<String> {
    Inventory::from_module(model)
        .iter()
        .map(|p| format!("{} {} {:?} {:?}", p.path, p.layer, p.shape, p.role))
        .collect()
}

#[test]
fn norms_have_scales_and_shifts() {
    let device = device();
    let of = |layer: &str| {
        let scale = format!("gamma {layer} [4] NormScale");
        let shift = format!("beta {layer} [4] NormShift");
        [scale, shift]
    };
    let statistics =
        ["mean", "var"].map(|name| format!("running_{name} BatchNorm [4] RunningStatistic"));
    let batch = [of("BatchNorm"), statistics].concat();
    let norm = BatchNormConfig::new(4);
    let layer = LayerNormConfig::new(4);
    let rows = [
        (listed(&norm.init(&device)), batch.clone()),
        (listed(&layer.init(&device)), of("LayerNorm").to_vec()),
        (
            listed(&layer.with_bias(false).init(&device)),
            of("LayerNorm")[..1].to_vec(),
        ),
        (
            listed(&GroupNormConfig::new(2, 4).init(&device)),
            of("GroupNorm").to_vec(),
        ),
        (
            listed(&InstanceNormConfig::new(4).init(&device)),
            of("InstanceNorm").to_vec(),
        ),
        (
            listed(&RmsNormConfig::new(4).init(&device)),
            of("RmsNorm")[..1].to_vec(),
        ),
        (
            listed(&NormalizationConfig::Batch(norm).init(&device)),
            batch.iter().map(|line| format!("Batch.{line}")).collect(),
        ),
    ];
    each(rows, |(found, expected)| assert_eq!(found, expected));
}

/// Outputs, inputs and groups of a layer whose weight is called `weight`, cut into units by both sides.
fn check<M: Module>(layer: &M, expected: [usize; 3]) {
    let mut inventory = Inventory::from_module(layer);
    let [outputs, inputs, groups] = expected;
    let weight = inventory.get("weight").unwrap();
    let sides = |weight: &Parameter| [weight.outputs(), weight.inputs(), weight.groups.get()];
    let untold = match (weight.layer.as_str(), weight.layout().unwrap()) {
        ("Linear" | "Embedding", _) => expected.map(Some),
        (_, Layout::OutputFirst) => [Some(outputs), None, None],
        (_, Layout::InputFirst) => [None, Some(inputs), None],
    };
    assert_eq!(sides(weight), untold, "{weight:?}");
    inventory.tell_groups("weight", groups);
    let weight = inventory.get("weight").unwrap();
    assert_eq!(sides(weight), expected.map(Some), "{weight:?}");
    let (by_output, by_input) = match weight.shape.len() {
        2 => (Granularity::FcOutput, Granularity::FcInput),
        _ => (Granularity::Filter, Granularity::Channel),
    };
    let layout = weight.layout().unwrap();
    for (granularity, units) in [(by_output, outputs), (by_input, inputs)] {
        let fold = Fold::grouped(granularity, &weight.shape, layout, groups).unwrap();
        assert_eq!(fold.units(), units, "{granularity} of {weight:?}");
    }
    if let Some(bias) = inventory.get("bias") {
        assert_eq!((bias.numel(), bias.groups.get()), (outputs, Some(1)));
        assert_eq!((bias.outputs(), bias.inputs()), (None, None));
    }
}

#[test]
fn matrices_know_their_outputs_and_inputs() {
    let device = device();
    let linear = LinearConfig::new(3, 5);
    check(&linear.init(&device), [5, 3, 1]);
    check(
        &linear.with_layout(LinearLayout::Col).init(&device),
        [5, 3, 1],
    );
    // An embedding is a linear layer of one-hot inputs.
    check(&EmbeddingConfig::new(9, 4).init(&device), [4, 9, 1]);
}

#[test]
fn convolutions_know_their_outputs_inputs_and_groups() {
    let device = device();
    check(&Conv1dConfig::new(6, 4, 3).init(&device), [4, 6, 1]);
    check(&Conv2dConfig::new([6, 4], [3, 1]).init(&device), [4, 6, 1]);
    check(
        &Conv3dConfig::new([6, 4], [3, 2, 1]).init(&device),
        [4, 6, 1],
    );
    let grouped = Conv1dConfig::new(6, 4, 3).with_groups(2);
    check(&grouped.init(&device), [4, 6, 2]);
    let grouped = Conv2dConfig::new([6, 4], [3, 1]).with_groups(2);
    check(&grouped.init(&device), [4, 6, 2]);
    let grouped = Conv3dConfig::new([6, 4], [3, 2, 1]).with_groups(2);
    check(&grouped.init(&device), [4, 6, 2]);
    let depthwise = Conv2dConfig::new([6, 12], [3, 3]).with_groups(6);
    check(&depthwise.with_bias(false).init(&device), [12, 6, 6]);
    let deformable = DeformConv2dConfig::new([6, 4], [3, 3]).with_weight_groups(2);
    check(&deformable.with_offset_groups(3).init(&device), [4, 6, 2]);
}

#[test]
fn transposed_convolutions_know_their_outputs_inputs_and_groups() {
    let device = device();
    check(
        &ConvTranspose1dConfig::new([6, 4], 3).init(&device),
        [4, 6, 1],
    );
    let grouped = ConvTranspose1dConfig::new([6, 4], 3).with_groups(2);
    check(&grouped.init(&device), [4, 6, 2]);
    let grouped = ConvTranspose2dConfig::new([6, 4], [3, 3]).with_groups(2);
    check(&grouped.init(&device), [4, 6, 2]);
    let grouped = ConvTranspose3dConfig::new([6, 4], [3, 3, 1]).with_groups(2);
    check(&grouped.init(&device), [4, 6, 2]);
}

#[test]
fn a_shape_that_leaves_one_number_proves_the_groups() {
    let device = device();
    let groups = |shape: [usize; 2]| {
        let conv = Conv2dConfig::new(shape, [3, 3]).init(&device);
        let up = ConvTranspose2dConfig::new(shape, [3, 3]).init(&device);
        let inventory = Inventory::from_module(&(conv, up));
        ["0.weight", "1.weight"].map(|path| inventory.get(path).unwrap().groups)
    };
    assert_eq!(groups([4, 1]), [Groups::Known(1), Groups::Unknown]);
    assert_eq!(groups([1, 4]), [Groups::Unknown, Groups::Known(1)]);
}

/// A module that tells the groups of the first convolution of each pair.
#[derive(Debug, Clone)]
struct Telling(Vec<(Conv2d, Option<Conv2d>)>);

impl Module for Telling {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        let first = self.0.iter().map(|(conv, _)| (conv.weight.id, conv.groups));
        tell_groups(|| first);
        self.0.visit(visitor);
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map(mapper))
    }

    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.0.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self(self.0.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        Self(self.0.to_device(device))
    }

    fn train(self) -> Self {
        Self(self.0.train())
    }

    fn valid(&self) -> Self {
        Self(self.0.valid())
    }

    fn materialize(self) -> Self {
        Self(self.0.materialize())
    }
}

#[test]
fn the_groups_of_each_layer_are_its_own_where_the_module_tells_them() {
    let device = device();
    let conv = |groups| {
        let config = Conv2dConfig::new([4, 4], [3, 3]).with_groups(groups);
        config.init(&device)
    };
    let model = Telling(vec![(conv(2), Some(conv(1))), (conv(4), None)]);
    let inventory = Inventory::from_module(&vec![model.clone()]);
    let groups = inventory.iter().map(|p| (p.path.as_str(), p.groups.get()));
    let expected = [
        ("0.0.0.weight", Some(2)),
        ("0.0.0.bias", Some(1)),
        ("0.0.1.weight", None),
        ("0.0.1.bias", Some(1)),
        ("0.1.0.weight", Some(4)),
        ("0.1.0.bias", Some(1)),
    ];
    assert_eq!(groups.collect::<Vec<_>>(), expected);
    // What is told to one inventory is not told to the next.
    let next = Inventory::from_module(&model.0);
    let unknown = |path| next.get(path).unwrap().groups == Groups::Unknown;
    assert!(
        ["0.0.weight", "0.1.weight", "1.0.weight"]
            .into_iter()
            .all(unknown)
    );
}

/// The gates of a recurrent layer, each of two linear layers.
fn gates<'a>(prefix: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names
        .into_iter()
        .flat_map(|gate| {
            [("input", 3), ("hidden", 5)].map(|(from, inputs)| {
                let path = format!("{prefix}{gate}.{from}_transform");
                [
                    format!("{path}.weight Linear [{inputs}, 5] Weight"),
                    format!("{path}.bias Linear [5] Bias"),
                ]
            })
        })
        .flatten()
        .collect()
}

#[test]
fn recurrent_layers_are_gates_of_two_linear_layers() {
    const LSTM: [&str; 4] = ["input_gate", "forget_gate", "output_gate", "cell_gate"];
    const GRU: [&str; 3] = ["update_gate", "reset_gate", "new_gate"];
    let device = device();
    let both_ways = |names: &[&str]| {
        let way = |prefix| gates(prefix, names.iter().copied());
        [way("forward."), way("reverse.")].concat()
    };
    let coupled = LstmConfig::new(3, 5, true).with_input_forget(true);
    let rows = [
        (
            listed(&LstmConfig::new(3, 5, true).init(&device)),
            gates("", LSTM),
        ),
        (
            listed(&coupled.init(&device)),
            gates("", ["input_gate", "output_gate", "cell_gate"]),
        ),
        (
            listed(&GruConfig::new(3, 5, true).init(&device)),
            gates("", GRU),
        ),
        (
            listed(&RnnConfig::new(3, 5, true).init(&device)),
            gates("", ["gate"]),
        ),
        (
            listed(&BiLstmConfig::new(3, 5, true).init(&device)),
            both_ways(&LSTM),
        ),
        (
            listed(&BiGruConfig::new(3, 5, true).init(&device)),
            both_ways(&GRU),
        ),
        (
            listed(&BiRnnConfig::new(3, 5, true).init(&device)),
            both_ways(&["gate"]),
        ),
    ];
    each(rows, |(found, expected)| assert_eq!(found, expected));
}

#[test]
fn the_weights_of_a_gate_are_linear_weights() {
    let lstm = LstmConfig::new(3, 5, false).init(&device());
    let inventory = Inventory::from_module(&lstm);
    let hidden = inventory
        .select(&["*.hidden_transform.weight"])
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(hidden.len(), 4);
    let input = inventory.get("cell_gate.input_transform.weight").unwrap();
    assert_eq!((input.outputs(), input.inputs()), (Some(5), Some(3)));
}

#[test]
fn attention_is_four_linear_layers() {
    let device = device();
    let four = |shapes: [[usize; 2]; 4]| -> Vec<String> {
        let line = |(name, [inputs, outputs]): (&str, [usize; 2])| {
            [
                format!("{name}.weight Linear [{inputs}, {outputs}] Weight"),
                format!("{name}.bias Linear [{outputs}] Bias"),
            ]
        };
        let names = ["query", "key", "value", "output"];
        names.into_iter().zip(shapes).flat_map(line).collect()
    };
    let own = MultiHeadAttentionConfig::new(8, 2).init(&device);
    assert_eq!(listed(&own), four([[8, 8]; 4]));
    let cross = CrossAttentionConfig::new(8, 6, 2, 1, 4).init(&device);
    assert_eq!(listed(&cross), four([[8, 8], [6, 4], [6, 4], [8, 8]]));
}

#[test]
fn a_transformer_is_attention_norms_and_two_linear_layers() {
    let encoder = TransformerEncoderConfig::new(8, 16, 2, 1).init(&device());
    let inventory = Inventory::from_module(&encoder);
    let weights: Vec<&str> = inventory.weights().map(|p| p.path.as_str()).collect();
    let expected = [
        "layers.0.mha.query.weight",
        "layers.0.mha.key.weight",
        "layers.0.mha.value.weight",
        "layers.0.mha.output.weight",
        "layers.0.pwff.linear_inner.weight",
        "layers.0.pwff.linear_outer.weight",
    ];
    assert_eq!(weights, expected);
    let inner = inventory.get("layers.0.pwff.linear_inner.weight").unwrap();
    assert_eq!((inner.outputs(), inner.inputs()), (Some(16), Some(8)));
    let norms = inventory.iter().filter(|p| p.role == Role::NormScale);
    assert_eq!(norms.count(), 2);
}
