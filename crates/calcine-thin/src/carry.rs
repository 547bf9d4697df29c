//! Applies plans to networks.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use calcine_graph::{Cut, ElementKind, Graph, Source, ThinningPlan, Value, ValueId};
use calcine_trace::{AddedParameter, AnyTensor, Network, NetworkTensor};

use crate::error::ThinError;

/// Applies a plan: returns the network without the channels that the plan removes.
///
/// Parameters, batch-norm statistics and constants are cut on their device; nothing is read. A network that is already
/// thinned is returned unchanged, so that a plan can be replayed without knowing whether it was applied before. If a
/// removed channel had an effect, the effect is lost: only the plans of [`thin`](crate::thin) avoid this, and
/// compensate the constants of removed channels.
///
/// # Errors
///
/// If the plan does not belong to this network.
pub fn apply(network: Network, plan: &ThinningPlan) -> Result<Network, ThinError> {
    carry(network, plan, &Shifts::default())
}

/// The values that are added to vectors of a network before they are cut.
#[derive(Debug, Default)]
pub(crate) struct Shifts {
    /// Values for the parameter with this path.
    pub(crate) existing: HashMap<String, Vec<f64>>,
    /// Values for a new bias of the node at this position: one number for each remaining output.
    pub(crate) added: Vec<(usize, Vec<f64>)>,
}

pub(crate) fn carry(
    network: Network,
    plan: &ThinningPlan,
    shifts: &Shifts,
) -> Result<Network, ThinError> {
    let thinned = plan.thin(network.graph())?;
    let unchanged = thinned.graph == *network.graph();
    if unchanged && shifts.existing.is_empty() && shifts.added.is_empty() {
        return Ok(network);
    }
    let mut graph = thinned.graph;
    let mut cuts: HashMap<String, Vec<Cut>> = HashMap::new();
    if !unchanged {
        for cut in plan.steps().iter().flatten() {
            cuts.entry(cut.parameter.clone())
                .or_default()
                .push(cut.clone());
        }
    }
    let device = device(&network);
    let mut added = Vec::new();
    for (position, bias) in &shifts.added {
        added.push(new_bias(&mut graph, *position, bias, &device));
    }
    let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| match which {
        NetworkTensor::Parameter(path) => {
            let shifted = match shifts.existing.get(path) {
                Some(by) => shift(tensor, by),
                None => tensor,
            };
            // A partly thinned network already has some of the cuts.
            let due = cuts.get(path).into_iter().flatten();
            due.fold(shifted, |tensor, cut| match tensor.shape()[cut.axis] {
                length if length == cut.length => tensor.select(cut.axis, &cut.keep),
                _ => tensor,
            })
        }
        NetworkTensor::Constant(id) => {
            let due = thinned
                .constants
                .iter()
                .filter(|((constant, _), _)| *constant == id);
            due.fold(tensor, |tensor, ((_, axis), keep)| {
                tensor.select(*axis, keep)
            })
        }
    };
    Ok(network.rewritten(graph, &mut change, added)?)
}

/// The device of the network.
fn device(network: &Network) -> Device {
    burn::module::Module::devices(network)
        .into_iter()
        .next()
        .unwrap_or_default()
}

/// Adds numbers to a vector.
fn shift(tensor: AnyTensor, by: &[f64]) -> AnyTensor {
    let device = tensor.device();
    match tensor.clone().float::<1>() {
        Some(vector) => (vector + numbers(by, &device)).into(),
        None => tensor,
    }
}

fn numbers(values: &[f64], device: &Device) -> Tensor<1> {
    #[allow(clippy::cast_possible_truncation, reason = "parameters are f32")]
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_floats(values.as_slice(), device)
}

/// Adds a bias to a node.
fn new_bias(graph: &mut Graph, position: usize, values: &[f64], device: &Device) -> AddedParameter {
    let weight = graph.nodes[position].inputs[1];
    let weight = graph.parameter_behind(weight).unwrap_or(weight);
    let after = graph.value(weight).name.clone();
    let wanted = match after.rsplit_once('.') {
        Some((layer, _)) => format!("{layer}.bias"),
        None => "bias".to_owned(),
    };
    let taken = |path: &str| graph.values.iter().any(|value| value.name == path);
    let mut path = wanted.clone();
    let mut count = 1;
    while taken(&path) {
        count += 1;
        path = format!("{wanted}_{count}");
    }
    let id = ValueId(graph.values.len());
    graph.values.push(Value {
        name: path.clone(),
        shape: vec![values.len().into()],
        kind: ElementKind::Float,
        source: Source::Parameter,
    });
    graph.nodes[position].inputs.push(id);
    AddedParameter {
        path,
        after,
        value: numbers(values, device).without_autodiff(),
    }
}
