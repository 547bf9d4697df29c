use std::collections::{BTreeMap, HashMap};

use burn::tensor::Tensor;
use calcine_graph::{Axes, UnitId, Value};
use calcine_trace::{AnyTensor, Network, NetworkTensor};

use crate::error::ThinError;

/// Zeroes units: the weights that produce them, with biases, scales, shifts and everything else that is applied to them
/// ([`Role::is_zeroed`](calcine_graph::Role::is_zeroed)).
///
/// The output of such a unit is exactly zero, so thinning it is exact, also at padded borders, unless a function behind
/// it maps zero to another value, as a sigmoid does. If only the weights are zeroed, biases and batch norms still
/// produce a constant. Each tensor is multiplied once per axis, however many units there are. Nothing is read.
///
/// # Errors
///
/// If a unit does not exist, or the axes belong to another network.
pub fn zero_out_channels(
    network: Network,
    axes: &Axes,
    units: impl IntoIterator<Item = UnitId>,
) -> Result<Network, ThinError> {
    let mut masks: HashMap<&str, BTreeMap<usize, Vec<f32>>> = HashMap::new();
    for id in units {
        let (Some(group), Some(unit)) = (axes.groups().get(id.group), axes.unit(id)) else {
            return Err(ThinError::Unit(id));
        };
        for (member, indices) in group.members.iter().zip(&unit.indices) {
            if member.role.is_zeroed() {
                let of = masks.entry(&member.path).or_default();
                let mask = of
                    .entry(member.axis)
                    .or_insert_with(|| vec![1.0; member.length]);
                indices.iter().for_each(|&index| mask[index] = 0.0);
            }
        }
    }
    let graph = network.graph().clone();
    let parameters: HashMap<&str, &Value> = graph
        .parameters()
        .map(|(_, value)| (value.name.as_str(), value))
        .collect();
    for (path, masks) in &masks {
        let value = parameters.get(path);
        let fits = |(axis, mask): (&usize, &Vec<f32>)| {
            let extent = value.and_then(|value| value.shape.get(*axis));
            extent.is_some_and(|extent| extent.length_for(1) == mask.len())
        };
        if !masks.iter().all(fits) {
            return Err(ThinError::Axes {
                path: (*path).to_owned(),
            });
        }
    }
    let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| match which {
        NetworkTensor::Parameter(path) => {
            let masks = masks.get(path).into_iter().flatten();
            masks.fold(tensor, |tensor, (axis, mask)| {
                let mask = Tensor::<1>::from_floats(mask.as_slice(), &tensor.device());
                tensor.scaled(*axis, mask)
            })
        }
        NetworkTensor::Constant(_) => tensor,
    };
    Ok(network.rewritten(graph, &mut change, Vec::new())?)
}
