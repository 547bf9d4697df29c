//! What networks compute, against counts in loops.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, activation};
use calcine_summary::{ComputeError, ComputeSettings, ComputeTable, Rows, compute};
use calcine_testkit::{ConvNet, Mlp, device};
use calcine_trace::{Network, trace};

/// The convolutional network with all weights one. (Of drawn ones, one in eight million is zero.)
fn ones() -> ConvNet {
    let mut net = ConvNet::new(&device());
    net.conv.weight = Param::from_tensor(net.conv.weight.val().ones_like());
    net.head.weight = Param::from_tensor(net.head.weight.val().ones_like());
    net
}

/// The same with every third weight of its convolution at zero, and the first inputs of its classifier.
fn net() -> ConvNet {
    let mut net = ones();
    let weight = net.conv.weight.val();
    let third = Tensor::<1, burn::tensor::Int>::arange(0..144, &device())
        .remainder_scalar(3)
        .equal_scalar(0)
        .reshape(weight.dims());
    net.conv.weight = Param::from_tensor(weight.mask_fill(third, 0.0));
    net.head.weight = Param::from_tensor(net.head.weight.val().slice_fill(0..3, 0.0));
    net
}

fn traced(net: &ConvNet) -> Network {
    let images = Tensor::<4>::zeros([1, 2, 6, 6], &device());
    trace(net, images, ConvNet::forward).unwrap()
}

fn table(net: &ConvNet, batch: usize, rows: Rows) -> ComputeTable {
    let settings = ComputeSettings { batch, rows };
    compute(traced(net).graph(), net, &settings).unwrap()
}

/// Multiplies every place of a 6 × 6 image with every weight that is not zero.
fn count_in_loops(net: &ConvNet) -> u64 {
    let weights = net.conv.weight.val().into_data();
    let mut count = 0;
    for _place in 0..6 * 6 {
        for weight in weights.iter::<f32>() {
            if weight != 0.0 {
                count += 1;
            }
        }
    }
    let head = net.head.weight.val().into_data();
    count + head.iter::<f32>().filter(|weight| *weight != 0.0).count() as u64
}

#[test]
fn macs_of_zero_weights_are_told_from_the_others() {
    let net = net();
    let table = table(&net, 1, Rows::Layers);
    assert_eq!(table.macs, 36 * 144 + 32);
    assert_eq!(table.nonzero_macs, count_in_loops(&net));
    assert_eq!((table.weights, table.nonzero_weights), (176, 96 + 20));
    let expected = 1.0 - (36 * 96 + 20) as f64 / (36 * 144 + 32) as f64;
    approx::assert_relative_eq!(table.mac_sparsity(), expected);
    let shares: f64 = table.rows.iter().map(|row| row.share).sum();
    approx::assert_relative_eq!(shares, 100.0);
}

#[test]
fn layers_with_zeros_have_notes_for_a_drawing() {
    let notes = table(&net(), 1, Rows::Layers).notes();
    let notes: Vec<_> = notes
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(notes, [("conv", "33.3 % zeros"), ("head", "37.5 % zeros")]);
    assert!(table(&ones(), 1, Rows::Layers).notes().is_empty());
}

#[test]
fn a_batch_has_more_of_everything_but_weights() {
    let (one, four) = (table(&net(), 1, Rows::Nodes), table(&net(), 4, Rows::Nodes));
    assert_eq!(
        (four.macs, four.nonzero_macs),
        (4 * one.macs, 4 * one.nonzero_macs)
    );
    assert_eq!(four.activation_bytes, 4 * one.activation_bytes);
    assert_eq!(four.peak_bytes, 4 * one.peak_bytes);
    assert_eq!(
        (four.weights, four.parameters, four.stored),
        (one.weights, one.parameters, one.stored)
    );
    assert_eq!(four.rows[0].ofm, [4, 8, 6, 6]);
}

#[test]
fn all_operations_have_rows_if_asked_for_and_the_totals_stay() {
    let (layers, mut nodes) = (
        table(&net(), 1, Rows::Layers),
        table(&net(), 1, Rows::Nodes),
    );
    let names = |table: &ComputeTable| -> Vec<String> {
        table.rows.iter().map(|row| row.name.clone()).collect()
    };
    assert_eq!(names(&layers), ["conv", "head"]);
    assert_eq!(names(&nodes)[..3], ["conv", "norm", "norm.relu"]);
    let volumes: u64 = nodes.rows.iter().map(|row| row.ofm_volume).sum();
    assert_eq!(nodes.activation_bytes, 4 * volumes);
    // The largest feature map and the one that it is made of.
    assert_eq!(nodes.peak_bytes, 4 * 2 * 8 * 36);
    nodes.rows.clone_from(&layers.rows);
    assert_eq!(nodes, layers);
}

#[test]
fn a_network_and_its_model_have_the_same_table() {
    let net = net();
    let network = traced(&net);
    let settings = ComputeSettings::default();
    let of_network = compute(network.graph(), &network, &settings).unwrap();
    assert_eq!(
        of_network,
        compute(network.graph(), &net, &settings).unwrap()
    );
}

/// One weight in two places, and a product of two activations.
#[derive(Module, Debug)]
struct Tied {
    one: Linear,
    other: Linear,
}

impl Tied {
    fn forward(&self, x: Tensor<2>) -> Tensor<3> {
        let x = self
            .other
            .forward(activation::relu(self.one.forward(x)))
            .unsqueeze_dim::<3>(2);
        x.clone().matmul(x.swap_dims(1, 2))
    }
}

#[test]
fn a_shared_weight_counts_once_and_products_of_activations_count_whole() {
    let mut one: Linear = LinearConfig::new(5, 5).with_bias(false).init(&device());
    one.weight = Param::from_tensor(one.weight.val().slice_fill(0..2, 0.0));
    let tied = Tied {
        other: one.clone(),
        one,
    };
    let network = trace(&tied, Tensor::<2>::zeros([1, 5], &device()), Tied::forward).unwrap();
    let table = compute(network.graph(), &tied, &ComputeSettings::default()).unwrap();
    assert_eq!(
        (table.weights, table.nonzero_weights, table.parameters),
        (25, 15, 25)
    );
    let rows: Vec<_> = table
        .rows
        .iter()
        .map(|row| (row.macs, row.nonzero_macs))
        .collect();
    assert_eq!(rows, [(25, 15), (25, 15), (25, 25)]);
}

#[test]
fn a_graph_of_another_model_is_refused() {
    let net = net();
    let network = traced(&net);
    let settings = ComputeSettings::default();
    let error = compute(network.graph(), &Mlp::new(&device()), &settings).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the graph's `conv` multiplies with the parameter `conv.weight`, which the model does not have: \
         is it the graph of another model?"
    );
    let mut wider = net.clone();
    wider.head = LinearConfig::new(8, 5).init(&device());
    let error = compute(network.graph(), &wider, &settings).unwrap_err();
    let ComputeError::Size {
        parameter,
        graph,
        model,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((parameter.as_str(), graph, model), ("head.weight", 32, 40));
    let settings = ComputeSettings {
        batch: usize::MAX,
        ..settings
    };
    let error = compute(network.graph(), &net, &settings).unwrap_err();
    assert!(matches!(error, ComputeError::Graph(_)), "{error}");
}

#[test]
fn the_table_is_text_in_every_format() {
    let table = table(&net(), 2, Rows::Layers);
    assert_eq!(
        table.to_csv(),
        "name,type,attributes,ifm,ifm_volume,ofm,ofm_volume,weights,nonzero_weights,macs,nonzero_macs,share\n\
         conv,Conv2d,\"k=(3, 3), padding=(1, 1)\",2x2x6x6,144,2x8x6x6,576,144,96,10368,6912,99.38650306748467\n\
         head,Linear,,2x8,16,2x4,8,32,20,64,40,0.6134969325153374\n"
    );
    let json = table.to_json();
    assert_eq!(json["macs"], 10_432);
    assert_eq!(json["rows"][0]["type"], "Conv2d");
    assert_eq!(json["stored"]["dense"], 4 * (176 + 4 + 4 * 8));
    let text = table.to_string();
    let (sheet, lines) = text
        .split_once("╯\n")
        .or_else(|| text.split_once("┘\n"))
        .unwrap();
    assert!(sheet.contains("10,368"), "{sheet}");
    assert_eq!(
        lines,
        "MACs of 2 samples: 10,432; with weights that are not zero: 6,952 (33.36 % saved)\n\
         Trainable parameters: 196 in 784 bytes; 212 with running statistics\n\
         Activations: 7,456 bytes in all, 4,608 alive at once\n\
         Stored, in bytes: 848 as f32, 630 with bitmasks, 1,128 as CSR, 368 with int8 weights"
    );
    assert_eq!(table.sheet().to_markdown().lines().count(), 2 + 2 + 1);
}
