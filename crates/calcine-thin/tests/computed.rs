//! Layers whose weight is computed from parameters, as `x.matmul(w.transpose())`.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use calcine_graph::UnitId;
use calcine_params::Inventory;
use calcine_testkit::{each, numbers};
use calcine_thin::{PaddingEffect, thin, zero_out_channels};
use calcine_trace::trace;

#[derive(Module, Debug)]
struct Net {
    first: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    last: Param<Tensor<2>>,
    last_bias: Param<Tensor<1>>,
}

type Forward = fn(&Net, Tensor<2>) -> Tensor<2>;

#[test]
fn channels_of_transposed_weights_are_removed() {
    let model = Net {
        first: Param::from_tensor(numbers([6, 3])),
        bias: Param::from_tensor(numbers([6])),
        last: Param::from_tensor(numbers([2, 6])),
        last_bias: Param::from_tensor(numbers([2])),
    };
    let rows: [(&str, Forward); 3] = [
        ("with biases", |m, x| {
            let hidden = x.matmul(m.first.val().transpose()) + m.bias.val().unsqueeze();
            relu(hidden).matmul(m.last.val().transpose()) + m.last_bias.val().unsqueeze()
        }),
        ("without", |m, x| {
            let hidden = x.matmul(m.first.val().transpose());
            relu(hidden).matmul(m.last.val().transpose())
        }),
        ("a constant is made up for", |m, x| {
            let hidden = x.matmul(m.first.val().transpose()) + m.bias.val().unsqueeze();
            let carried = relu(hidden) + 0.5;
            carried.matmul(m.last.val().transpose()) + m.last_bias.val().unsqueeze()
        }),
    ];
    each(rows, |(_, forward)| {
        let network = trace(&model, numbers([1, 3]), *forward).unwrap();
        let axes = network.graph().axes().unwrap();
        let units = [1, 4].map(|unit| UnitId { group: 0, unit });
        let silent = zero_out_channels(network, &axes, units.to_vec()).unwrap();
        let x = numbers([5, 3]);
        let before: Tensor<2> = silent.forward(x.clone());
        let thinned = thin(silent, PaddingEffect::KeepBorder).unwrap();
        let after: Tensor<2> = thinned.network.forward(x);
        assert!((before - after).abs().max().into_scalar::<f32>() < 1e-6);
        let inventory = Inventory::from_module(&thinned.network);
        assert_eq!(inventory.get("first").unwrap().shape, [4, 3]);
        assert_eq!(inventory.get("last").unwrap().shape, [2, 4]);
    });
}
