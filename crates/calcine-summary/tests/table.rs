//! The sparsity of a small model against counts in loops.

use burn::module::Module;
use burn::module::Param;
use burn::nn::conv::{Conv1d, Conv1dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use calcine_fold::Layout;
use calcine_params::Inventory;
use calcine_summary::{SparsityRow, SparsityTable, Weight, sparsity, sparsity_of};
use calcine_testkit::{device, values};

#[derive(Module, Debug)]
struct Net {
    up: ConvTranspose2d,
    norm: BatchNorm,
    line: Conv1d,
    fc: Linear,
    token: Param<Tensor<3>>,
}

/// Zeros in whole structures and beside them.
fn thinned<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let rest: usize = shape[2..].iter().product();
    let numbers = values(shape.iter().product())
        .into_iter()
        .enumerate()
        .map(|(i, x)| {
            let (first, second) = (i / rest / shape[1], i / rest % shape[1]);
            if first == 1 || second == 2 || i % 3 == 0 {
                0.0
            } else {
                x
            }
        });
    Tensor::from_data(
        TensorData::new(numbers.collect::<Vec<_>>(), shape),
        &device(),
    )
}

fn net() -> Net {
    let device = device();
    let mut up = ConvTranspose2dConfig::new([4, 6], [3, 2]).init(&device);
    let mut line = Conv1dConfig::new(6, 5, 3).with_bias(false).init(&device);
    let mut fc = LinearConfig::new(5, 4).init(&device);
    up.weight = Param::from_tensor(thinned([4, 6, 3, 2]));
    line.weight = Param::from_tensor(thinned([5, 6, 3]));
    fc.weight = Param::from_tensor(thinned([5, 4]));
    fc.bias = Some(Param::from_tensor(Tensor::from_data(
        [0.0, 1.0, 0.0, 2.0],
        &device,
    )));
    up.bias = Some(Param::from_tensor(Tensor::zeros([6], &device)));
    let norm = BatchNormConfig::new(6).init(&device);
    Net {
        up,
        norm,
        line,
        fc,
        token: Param::from_tensor(thinned([2, 3, 4])),
    }
}

/// The table of a model whose convolutions are known to have one group.
fn known(net: &Net) -> SparsityTable {
    let mut inventory = Inventory::from_module(net);
    inventory.tell_groups("up.weight", 1);
    inventory.tell_groups("line.weight", 1);
    sparsity_of(net, &inventory)
}

fn row<'a>(table: &'a SparsityTable, name: &str) -> &'a SparsityRow {
    table.rows.iter().find(|row| row.name == name).unwrap()
}

/// Percent of the groups of a stored weight that are all zero; `group(first, second)` by the stored
/// axes.
fn zero_groups<const D: usize>(weight: Tensor<D>, group: impl Fn(usize, usize) -> usize) -> f64 {
    let shape = weight.dims();
    let rest: usize = shape[2..].iter().product();
    let mut alive = std::collections::BTreeMap::<usize, bool>::new();
    for (i, x) in weight.into_data().iter::<f32>().enumerate() {
        *alive
            .entry(group(i / rest / shape[1], i / rest % shape[1]))
            .or_default() |= x != 0.0;
    }
    100.0 * (1.0 - alive.values().filter(|alive| **alive).count() as f64 / alive.len() as f64)
}

#[test]
fn every_weight_has_a_row_in_the_models_order_with_the_output_first() {
    let table = known(&net());
    let rows: Vec<_> = table
        .rows
        .iter()
        .map(|row| (row.name.as_str(), row.shape.as_slice(), row.numel))
        .collect();
    assert_eq!(
        rows,
        [
            ("up.weight", &[6, 4, 3, 2][..], 144),
            ("line.weight", &[5, 6, 3], 90),
            ("fc.weight", &[4, 5], 20),
            ("token", &[2, 3, 4], 24),
        ]
    );
}

#[test]
fn structures_are_counted_along_the_right_axes() {
    let net = net();
    let table = known(&net);
    let close =
        |ours: f64, expected: f64| approx::assert_relative_eq!(ours, expected, epsilon = 1e-9);

    let (up, weight) = (row(&table, "up.weight"), net.up.weight.val());
    close(up.filters, zero_groups(weight.clone(), |_, second| second));
    close(up.channels, zero_groups(weight.clone(), |first, _| first));
    close(
        up.kernels,
        zero_groups(weight, |first, second| 10 * first + second),
    );
    assert!(up.filters > 0.0 && up.channels > 0.0 && up.kernels > up.filters);
    assert_eq!((up.fc_outputs, up.fc_inputs), (0.0, 0.0));

    let (line, weight) = (row(&table, "line.weight"), net.line.weight.val());
    close(line.filters, zero_groups(weight.clone(), |first, _| first));
    close(
        line.channels,
        zero_groups(weight.clone(), |_, second| second),
    );
    close(
        line.kernels,
        zero_groups(weight, |first, second| 10 * first + second),
    );

    let (fc, weight) = (row(&table, "fc.weight"), net.fc.weight.val());
    close(
        fc.fc_outputs,
        zero_groups(weight.clone(), |_, second| second),
    );
    close(fc.fc_inputs, zero_groups(weight, |first, _| first));
    close(fc.kernels, fc.fc_outputs);
    assert_eq!((fc.filters, fc.channels), (0.0, 0.0));

    let token = row(&table, "token");
    assert_eq!(
        (token.filters, token.channels, token.kernels),
        (0.0, 0.0, 0.0),
        "of no known layer"
    );
    assert!(token.elements > 0.0);
}

#[test]
fn structures_of_convolutions_of_unknown_groups_are_not_counted_and_say_so() {
    let net = net();
    let (table, known) = (sparsity(&net), known(&net));
    for (row, known) in table.rows.iter().zip(&known.rows) {
        let is_convolution = ["up.weight", "line.weight"].contains(&row.name.as_str());
        assert_eq!(row.structures_known, !is_convolution, "{}", row.name);
        assert!(known.structures_known, "{}", row.name);
        assert_eq!((row.nonzero, row.elements), (known.nonzero, known.elements));
    }
    for (table, unknown) in [(table, 2), (known, 0)] {
        let lines = table.to_string();
        let marks = lines.lines().filter(|line| line.matches('?').count() == 3);
        assert_eq!(marks.count(), unknown, "{lines}");
    }
}

#[test]
fn elements_and_moments_are_those_of_the_weight() {
    let net = net();
    let table = sparsity(&net);
    let numbers: Vec<f64> = net.up.weight.val().into_data().iter::<f64>().collect();
    let up = row(&table, "up.weight");
    let nonzero = numbers.iter().filter(|x| **x != 0.0).count();
    assert_eq!(up.nonzero, nonzero as u64);
    approx::assert_relative_eq!(
        up.elements,
        100.0 * (1.0 - nonzero as f64 / 144.0),
        max_relative = 1e-12
    );
    let mean = numbers.iter().sum::<f64>() / 144.0;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    approx::assert_relative_eq!(up.mean, mean, epsilon = 1e-7, max_relative = 1e-5);
    approx::assert_relative_eq!(up.std, (squares / 143.0).sqrt(), max_relative = 1e-5);
    let magnitude = numbers.iter().map(|x| x.abs()).sum::<f64>() / 144.0;
    approx::assert_relative_eq!(up.abs_mean, magnitude, max_relative = 1e-5);
}

#[test]
fn totals_are_of_the_weights_and_of_everything_that_trains() {
    let net = net();
    let table = sparsity(&net);
    let weights: u64 = table.rows.iter().map(|row| row.nonzero).sum();
    assert_eq!(
        (table.total().nonzero, table.total().total),
        (weights, 144 + 90 + 20 + 24)
    );
    // Of the biases 2 of 10 are not zero, of the norm's scale and shift 6 of 12; the running
    // statistics do not count.
    assert_eq!(
        (table.all.nonzero, table.all.total),
        (weights + 2 + 6, 278 + 10 + 12)
    );
}

#[test]
fn a_model_in_training_has_the_same_table() {
    assert_eq!(sparsity(&net().train()), sparsity(&net()));
}

#[test]
fn weights_without_a_model_have_the_same_rows() {
    let net = net();
    let fc = Weight {
        name: "fc.weight".to_owned(),
        shape: vec![5, 4],
        layout: Some(Layout::LINEAR),
        groups: 1,
        values: net.fc.weight.val().reshape([20]),
    };
    // The same as PyTorch stores it.
    let transposed = Weight {
        shape: vec![4, 5],
        layout: Some(Layout::OutputFirst),
        groups: 1,
        values: net.fc.weight.val().swap_dims(0, 1).reshape([20]),
        ..fc.clone()
    };
    let mut expected = row(&sparsity(&net), "fc.weight").clone();
    for weight in [fc, transposed] {
        let table = SparsityTable::of_weights(vec![weight]);
        // Sums in another order.
        expected.std = table.rows[0].std;
        expected.mean = table.rows[0].mean;
        expected.abs_mean = table.rows[0].abs_mean;
        assert_eq!(table.rows, [expected.clone()]);
        assert_eq!(table.all, table.total());
    }
}

#[test]
fn vectors_and_unknown_layers_have_elements_only() {
    let of = |shape: &[usize], layout| Weight {
        name: "w".to_owned(),
        shape: shape.to_vec(),
        layout,
        groups: 1,
        values: Tensor::zeros([shape.iter().product::<usize>()], &device()),
    };
    let table = SparsityTable::of_weights(vec![
        of(&[6], Some(Layout::InputFirst)),
        of(&[2, 3], None),
        of(&[1, 2, 1, 1, 1, 2], Some(Layout::InputFirst)),
    ]);
    for row in &table.rows {
        assert_eq!((row.elements, row.nonzero), (100.0, 0));
        assert_eq!((row.kernels, row.filters, row.fc_outputs), (0.0, 0.0, 0.0));
    }
    assert_eq!(
        SparsityTable::of_weights(Vec::new()).total().sparsity(),
        0.0
    );
}
