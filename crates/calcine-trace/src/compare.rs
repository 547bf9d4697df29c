//! Checks that a network computes the same outputs as its model.

use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use calcine_graph::{ElementKind, Graph, Node, Op, ValueId};

use crate::error::TraceError;
use crate::network::Network;
use crate::order::has_equal;
use crate::record::attempt;
use crate::tensor::{AnyTensor, Tensors, with_rank};

/// The largest allowed difference, as a share of the largest output: devices choose other kernels for other shapes.
const SHARE: f64 = 1e-3;

/// Runs model and network with the same inputs and compares every output. Of an output that depends on the order of
/// equal elements, only kind and shape are compared. Reads the device.
pub(crate) fn agree<M: Module, I: Tensors, O: Tensors>(
    network: &Network,
    model: &M,
    sample: Vec<AnyTensor>,
    forward: &impl Fn(&M, I) -> O,
) -> Result<(), TraceError> {
    let differs = |output, what| TraceError::SampleDiffers { output, what };
    let Some(inputs) = I::from_any(sample.clone()) else {
        return Err(TraceError::Sample {
            expected: I::expected(),
        });
    };
    let expected = attempt(|| forward(model, inputs).into_any())?;
    let mut ties = Ties::new(network, &sample);
    let found = network.valid().run(sample, &mut |node, tensor| {
        ties.met(node, &tensor);
        tensor
    });
    let found = found.map_err(|error| differs(0, format!("is an error: {error}")))?;
    if found.len() != expected.len() {
        return Err(differs(
            0,
            format!("is one of {}, not of {}", found.len(), expected.len()),
        ));
    }
    let outputs = network.graph().outputs.iter().zip(found).zip(expected);
    for (output, ((id, found), expected)) in outputs.enumerate() {
        if let Some(what) = difference(found, expected, ties.open[id.0]) {
            return Err(differs(output, what));
        }
    }
    Ok(())
}

/// Finds the values that depend on the order of equal elements. Burn's functions leave that order open, so the model
/// may have another one.
struct Ties<'a> {
    network: &'a Network,
    /// For each value, whether it depends on such an order.
    open: Vec<bool>,
    /// The tensors that are sorted, if they are known.
    sorted: HashMap<ValueId, Option<AnyTensor>>,
}

impl<'a> Ties<'a> {
    fn new(network: &'a Network, sample: &[AnyTensor]) -> Self {
        let graph = network.graph();
        let sorts = graph.nodes.iter();
        let sorts = sorts.filter(|node| matches!(node.op, Op::ArgSort { .. }));
        let operands = sorts.map(|node| (node.inputs[0], network.tensor(node.inputs[0])));
        let mut sorted: HashMap<ValueId, Option<AnyTensor>> = operands.collect();
        for (id, input) in graph.inputs.iter().zip(sample) {
            sorted
                .entry(*id)
                .and_modify(|known| *known = Some(input.clone()));
        }
        Self {
            network,
            open: vec![false; graph.values.len()],
            sorted,
        }
    }

    fn met(&mut self, node: &Node, result: &AnyTensor) {
        let graph = self.network.graph();
        let mut operands = node.inputs.clone();
        if is_sorted(graph, node) {
            operands.truncate(1);
        }
        let tied = match node.op {
            Op::ArgSort { axis, .. } => {
                let x = self.sorted.get(&node.inputs[0]).cloned().flatten();
                x.is_some_and(|x| has_equal(x, axis))
            }
            _ => false,
        };
        self.open[node.output.0] = tied || operands.iter().any(|id| self.open[id.0]);
        let sorted = self.sorted.entry(node.output);
        sorted.and_modify(|known| *known = Some(result.clone()));
    }
}

/// Whether the node returns the elements of its operand in sorted order, which is the same for every order of equal
/// elements.
fn is_sorted(graph: &Graph, node: &Node) -> bool {
    let Op::Gather(along) = node.op else {
        return false;
    };
    let order = graph.producer(node.inputs[1]);
    order.is_some_and(|order| {
        let same_axis = matches!(order.op, Op::ArgSort { axis, .. } if axis == along);
        same_axis && order.inputs[0] == node.inputs[0]
    })
}

/// The difference between the two tensors, if there is one; only of kind and shape if the order of its elements is
/// `open`.
fn difference(found: AnyTensor, expected: AnyTensor, open: bool) -> Option<String> {
    if (found.kind(), found.shape()) != (expected.kind(), expected.shape()) {
        let described = |tensor: &AnyTensor| format!("{:?} {:?}", tensor.kind(), tensor.shape());
        return Some(format!(
            "is {}, not {}",
            described(&found),
            described(&expected)
        ));
    }
    if open {
        return None;
    }
    let (found, expected) = (numbers(found), numbers(expected));
    let finite = expected.iter().filter(|number| number.is_finite());
    let largest = finite.fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let near = |found: f64, expected: f64| {
        let both_nan = found.is_nan() && expected.is_nan();
        both_nan || found == expected || (found - expected).abs() <= SHARE * largest
    };
    let mut pairs = found.into_iter().zip(expected);
    let (found, expected) = pairs.find(|&(found, expected)| !near(found, expected))?;
    Some(format!("has {found} where the model has {expected}"))
}

fn numbers(tensor: AnyTensor) -> Vec<f64> {
    with_rank!(tensor.rank(), D => match tensor.kind() {
        ElementKind::Float => tensor.of::<D, burn::tensor::Float>().into_data().iter::<f64>().collect(),
        ElementKind::Int => tensor.of::<D, Int>().into_data().iter::<f64>().collect(),
        ElementKind::Bool => {
            let tensor: Tensor<D, burn::tensor::Bool> = tensor.of();
            tensor.into_data().iter::<bool>().map(|b| f64::from(u8::from(b))).collect()
        }
    })
}
