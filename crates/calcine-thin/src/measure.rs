//! Measures the difference that inexact thinning makes.

use burn::module::Module;
use burn::tensor::Transaction;
use calcine_graph::{Graph, Op, Reduction, Summation};
use calcine_trace::{AnyTensor, Network};

use crate::error::ThinError;
use crate::report::{Difference, NarrowedNorm};

/// The mean of all elements.
const ALL: Op = Op::ReduceAll(Reduction::Mean);

/// The norms and means that are computed over fewer features than before.
pub(crate) fn narrowed(before: &Graph, after: &Graph) -> Vec<NarrowedNorm> {
    let mut all = Vec::new();
    for (node, thinned) in before.nodes.iter().zip(&after.nodes) {
        // A mean of all elements has no axis that could be named.
        if node.op.properties().summation != Summation::Mean || node.op == ALL {
            continue;
        }
        let last = before.value(node.inputs[0]).shape.len() - 1;
        let axis = node.op.properties().axes.first().copied().unwrap_or(last);
        let [features, left] = [(before, node), (after, thinned)]
            .map(|(graph, node)| graph.value(node.inputs[0]).shape[axis].length_for(1));
        if left < features {
            all.push(NarrowedNorm {
                node: node.name.clone(),
                op: node.op.name(),
                before: features,
                after: left,
            });
        }
    }
    all
}

/// The difference of the outputs for these inputs; `None` if there are no inputs.
pub(crate) fn difference(
    before: &Network,
    after: &Network,
    inputs: &[Vec<AnyTensor>],
) -> Result<Option<Difference>, ThinError> {
    if inputs.is_empty() {
        return Ok(None);
    }
    let (before, after) = (before.valid(), after.valid());
    let mut read = Transaction::default();
    let mut pairs = 0;
    for x in inputs {
        let run = |network: &Network| network.run(x.clone(), &mut |_, tensor| tensor);
        for (one, other) in run(&before)?.into_iter().zip(run(&after)?) {
            if let (Some(one), Some(other)) = (one.flat(), other.flat()) {
                read = read.register(one).register(other);
                pairs += 1;
            }
        }
    }
    let data = read.execute();
    let mut difference = Difference::default();
    let (mut squares, mut size) = (0.0, 0.0);
    for pair in data.chunks_exact(2).take(pairs) {
        for (one, other) in pair[0].iter::<f64>().zip(pair[1].iter::<f64>()) {
            let off = (one - other).abs();
            difference.largest = difference.largest.max(off);
            squares += off * off;
            size += one * one;
        }
    }
    if squares > 0.0 {
        difference.relative = (squares / size).sqrt();
    }
    Ok(Some(difference))
}
