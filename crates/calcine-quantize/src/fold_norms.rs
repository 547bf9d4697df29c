use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_graph::{ElementKind, Source, Value, ValueId};
use calcine_trace::{AddedParameter, AnyTensor, Network, NetworkTensor};

use crate::QuantizeError;
use crate::layer::{FloatLayer, vector};
use crate::uses::Uses;

/// Batch-norm folding: returns the network without the norms that can be folded into layers.
///
/// ```text
/// w' = w·γ / √(σ² + ε)      b' = β + (b − μ)·γ / √(σ² + ε)
/// ```
///
/// The running statistics of the norm are used, so that the network computes the same in evaluation mode, up to
/// rounding. A norm is folded if it follows a convolution or a linear layer whose output nothing else consumes, and its
/// parameters are not shared. Layers without a bias get one, and the parameters of the norms are removed.
/// [`quantize`](crate::quantize) does this by itself. Reads from the device.
///
/// # Errors
///
/// If a parameter is not finite.
pub fn fold_norms(network: Network) -> Result<Network, QuantizeError> {
    let mut graph = network.graph().clone();
    let uses = Uses::new(&graph);
    let device = network.devices().into_iter().next().unwrap_or_default();
    let alone = |id: ValueId| uses.readers(id) == 1;
    let mut folded: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    let (mut added, mut gone) = (Vec::new(), vec![false; graph.nodes.len()]);
    for (index, node) in network.graph().nodes.iter().enumerate() {
        let Some(norm) = uses.norm_after(&graph, node) else {
            continue;
        };
        if !node.inputs[1..].iter().copied().all(alone) {
            continue;
        }
        let FloatLayer { weight, bias, .. } = FloatLayer::new(&network, &uses, node)?;
        let [weight, bias] = [weight, bias].map(narrowed);
        let path = graph.value(node.inputs[1]).name.clone();
        match node.inputs.get(2) {
            Some(id) => {
                folded.insert(graph.value(*id).name.clone(), bias);
            }
            None => {
                let own = beside(&path);
                graph.values.push(Value {
                    name: own.clone(),
                    shape: vec![bias.len().into()],
                    kind: ElementKind::Float,
                    source: Source::Parameter,
                });
                let id = ValueId(graph.values.len() - 1);
                graph.nodes[index].inputs.push(id);
                added.push(AddedParameter {
                    path: own,
                    after: path.clone(),
                    value: Tensor::from_floats(bias.as_slice(), &device),
                });
            }
        }
        folded.insert(path, weight);
        gone[norm] = true;
        graph.nodes[index].output = graph.nodes[norm].output;
    }
    let mut at = gone.iter();
    graph.nodes.retain(|_| at.next() == Some(&false));
    for (index, node) in graph.nodes.iter().enumerate() {
        let value = &mut graph.values[node.output.0];
        value.source = Source::Node(index);
        value.name.clone_from(&node.name);
    }
    let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| match which {
        NetworkTensor::Parameter(path) => match folded.get(path) {
            Some(values) => vector(values.clone(), &tensor.device(), &tensor.shape()),
            None => tensor,
        },
        NetworkTensor::Constant(_) => tensor,
    };
    Ok(network.rewritten(graph, &mut change, added)?.compacted())
}

/// The path of the bias for a weight: in the same layer, with the usual name.
fn beside(weight: &str) -> String {
    match weight.rsplit_once('.') {
        Some((layer, _)) => format!("{layer}.bias"),
        None => String::from("bias"),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "parameters are f32")]
fn narrowed(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}
