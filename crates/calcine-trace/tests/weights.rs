//! Linear layers whose weight is computed from parameters first.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use calcine_params::Inventory;
use calcine_testkit::{each, numbers};
use calcine_trace::graph::Op;
use calcine_trace::{Network, trace};

use crate::difference;

/// A layer that keeps its weight as PyTorch does, `[out, in]`, beside a scale and a table that is used twice.
#[derive(Module, Debug)]
struct Model {
    fc: Dense,
    table: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Dense {
    weight: Param<Tensor<2>>,
    cube: Param<Tensor<3>>,
    bias: Param<Tensor<1>>,
    scale: Param<Tensor<2>>,
}

fn model() -> Model {
    Model {
        fc: Dense {
            weight: Param::from_tensor(numbers([4, 3])),
            cube: Param::from_tensor(numbers([2, 2, 3])),
            bias: Param::from_tensor(numbers([4])),
            scale: Param::from_tensor(numbers([4, 1])),
        },
        table: Param::from_tensor(numbers([5, 3])),
    }
}

type Forward = fn(&Model, Tensor<3>) -> Tensor<3>;

fn spellings() -> Vec<(&'static str, &'static str, Forward)> {
    vec![
        ("transposed", "fc.weight", |m, x| {
            let y = x.matmul(m.fc.weight.val().transpose().unsqueeze());
            y + m.fc.bias.val().unsqueeze()
        }),
        ("the bias before", "fc.weight", |m, x| {
            let y = x.matmul(m.fc.weight.val().transpose().unsqueeze());
            m.fc.bias.val().unsqueeze::<3>() + y
        }),
        ("transposed with three axes", "fc.weight", |m, x| {
            x.matmul(m.fc.weight.val().unsqueeze::<3>().swap_dims(1, 2))
        }),
        ("permuted, as einsum does", "fc.weight", |m, x| {
            x.matmul(m.fc.weight.val().permute([1, 0]).reshape([1, 3, 4]))
        }),
        ("scaled by a number", "fc.weight", |m, x| {
            x.matmul((m.fc.weight.val() * 0.5).transpose().unsqueeze())
        }),
        ("scaled for each output", "fc.weight", |m, x| {
            let weight = m.fc.weight.val() * m.fc.scale.val();
            x.matmul(weight.transpose().unsqueeze())
        }),
        ("from three axes", "fc.cube", |m, x| {
            x.matmul(m.fc.cube.val().reshape([4, 3]).transpose().unsqueeze())
        }),
        ("folded rows", "fc.weight", |m, x| {
            let [batch, length, _] = x.dims();
            let rows: Tensor<2> = x.reshape([batch * length, 3]);
            let y = rows.matmul(m.fc.weight.val().transpose());
            (y + m.fc.bias.val().unsqueeze()).reshape([batch, length, 4])
        }),
    ]
}

#[test]
fn a_product_with_a_computed_matrix_is_a_layer() {
    let model = model();
    each(spellings(), |(_, path, forward)| {
        let network = trace(&model, numbers([1, 2, 3]), forward).unwrap();
        let graph = network.graph();
        let layers: Vec<_> = graph
            .nodes
            .iter()
            .filter(|node| node.op == Op::Linear)
            .collect();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].name, "fc");
        let weight = graph.weight(layers[0]).unwrap();
        assert_eq!(graph.value(weight).name, *path);
        let compute = graph.compute().unwrap();
        assert_eq!((compute.macs, compute.weights), (2 * 3 * 4, 12));
        assert_eq!(compute.rows.iter().filter(|row| row.is_layer).count(), 1);
    });
}

#[test]
fn a_computed_weight_can_be_a_parameter_of_its_own() {
    let model = model();
    each(spellings(), |(_, path, forward)| {
        let network = trace(&model, numbers([1, 2, 3]), forward).unwrap();
        let stored = network.clone().with_stored_weights();
        let x = numbers([5, 2, 3]);
        let (a, b): (Tensor<3>, Tensor<3>) =
            (network.forward(x.clone()), stored.forward(x.clone()));
        assert_eq!(difference(&a, &b), 0.0);
        let inventory = Inventory::from_module(&stored);
        assert_eq!(inventory.get(path).unwrap().shape, [3, 4]);
        stored.graph().check().unwrap();
        let layer = stored.graph().node("fc").unwrap();
        assert_eq!(stored.graph().value(layer.inputs[1]).name, *path);
        let again = Network::from_bytes(&stored.to_bytes().unwrap(), &calcine_testkit::device());
        let c: Tensor<3> = again.unwrap().forward(x);
        assert_eq!(difference(&a, &c), 0.0);
    });
    let plain = trace(&model, numbers([1, 3]), |m: &Model, x: Tensor<2>| {
        x.matmul(m.table.val().slice_dim(0, 0..3))
    });
    let plain = plain.unwrap();
    let stored = plain.clone().with_stored_weights();
    assert_eq!(
        Inventory::from_module(&stored).get("table").unwrap().shape,
        [3, 3]
    );
}

/// What is a table and, transposed, a head, stays a table.
#[test]
fn a_weight_that_is_also_used_as_it_is_becomes_a_second_one() {
    let forward = |m: &Model, x: Tensor<2>| {
        let hidden = x.matmul(m.table.val());
        hidden.matmul(m.table.val().transpose())
    };
    let network = trace(&model(), numbers([1, 5]), forward).unwrap();
    let stored = network.clone().with_stored_weights();
    let shape = |path: &str| {
        Inventory::from_module(&stored)
            .get(path)
            .map(|p| p.shape.clone())
    };
    assert_eq!(shape("table"), Some(vec![5, 3]));
    assert_eq!(shape("table_2"), Some(vec![3, 5]));
    let x = numbers([4, 5]);
    let (a, b): (Tensor<2>, Tensor<2>) = (network.forward(x.clone()), stored.forward(x));
    assert_eq!(difference(&a, &b), 0.0);
}
