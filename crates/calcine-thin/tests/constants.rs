//! What is known to be constant is constant, for every operation of the table that traces are replayed by.

use burn::tensor::Tensor;
use calcine_graph::{ConstantSlices, Graph, Stored, ValueId, constant_slices};
use calcine_testkit::{each, numbers};
use calcine_trace::{AnyTensor, Network, trace};

use crate::operator_table::{Bank, rows};

/// What the first two channels of every input are.
const CHANNELS: [f64; 2] = [0.0, 0.75];

fn input(batch: usize, shift: f64) -> Tensor<4> {
    let x = numbers([batch, 4, 6, 5]) + shift;
    let rest = x.clone().slice_dim(1, 2..4);
    let of = |value: f64| Tensor::<4>::full([batch, 1, 6, 5], value, &x.device());
    Tensor::cat(vec![of(CHANNELS[0]), of(CHANNELS[1]), rest], 1)
}

fn stored(network: &Network) -> Vec<Option<Stored>> {
    let numbers = |id: usize| {
        let tensor = network.tensor(ValueId(id))?;
        let shape = tensor.shape();
        let values = tensor.flat()?.into_data().iter::<f32>().collect();
        Some(Stored { shape, values })
    };
    (0..network.graph().values.len()).map(numbers).collect()
}

/// How many slices of the tensor are known; all of them are what is known.
fn compare(graph: &Graph, id: ValueId, known: &ConstantSlices, tensor: &AnyTensor) -> usize {
    let Some(flat) = tensor.clone().flat() else {
        return 0;
    };
    let values: Vec<f32> = flat.into_data().iter::<f32>().collect();
    let shape = tensor.shape();
    let mut count = 0;
    for (axis, extent) in graph.value(id).shape.iter().enumerate() {
        // Of an axis that grows with the batch there is a slice for each index that a sample adds.
        let indices = match extent.is_fixed() {
            true => extent.fixed,
            false if extent.fixed == 0 => extent.per_sample,
            false => continue,
        };
        let inner: usize = shape[axis + 1..].iter().product();
        for index in 0..indices {
            let Some(number) = known.value_at(axis, index) else {
                continue;
            };
            count += 1;
            for (place, &value) in values.iter().enumerate() {
                let at = place / inner % shape[axis];
                if at % indices == index {
                    let off = (f64::from(value) - number).abs();
                    assert!(
                        off <= 1e-4 * number.abs().max(1.0),
                        "{}: axis {axis}, index {index} is {value}, not {number}",
                        graph.value(id).name
                    );
                }
            }
        }
    }
    count
}

#[test]
fn constants_of_every_operation_are_what_it_computes() {
    let bank = Bank::new();
    let found = std::cell::Cell::new(0);
    each(rows(), |row| {
        let network = trace(&bank, input(1, 0.0), row.forward).unwrap();
        let graph = network.graph();
        let stored = stored(&network);
        let [zero, other] = CHANNELS.map(Some);
        let given = |id: ValueId| match &stored[id.0] {
            _ if graph.inputs.contains(&id) => {
                ConstantSlices::along(4, 1, vec![zero, other, None, None])
            }
            Some(stored) => stored.slices(),
            None => ConstantSlices::unknown(graph.value(id).shape.len()),
        };
        let known = constant_slices(graph, &given, &|id| stored[id.0].as_ref());
        for (batch, shift) in [(1, 0.0), (3, 0.21)] {
            let inputs = vec![input(batch, shift).into()];
            let outputs = network.run(inputs, &mut |node, tensor| {
                let id = node.output;
                found.set(found.get() + compare(graph, id, &known[id.0], &tensor));
                tensor
            });
            outputs.unwrap();
        }
    });
    // The rows that mix channels know nothing; all others know something.
    assert!(found.get() > 1000, "{} slices are known", found.get());
}
