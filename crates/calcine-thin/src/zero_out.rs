use std::collections::{BTreeMap, HashMap};

use burn::tensor::Tensor;
use calcine_graph::{Axes, UnitId, Value};
use calcine_trace::{AnyTensor, Network, NetworkTensor};

use crate::error::ThinError;

/// Zeros units: the weights that make them, with biases, scales, shifts and all else that meets them
/// ([`Role::is_zeroed`](calcine_graph::Role::is_zeroed)).
///
/// What is zeroed this way says nothing at all, so that thinning it is exact, at padded borders too, unless a
/// function behind it makes something of zero, as a sigmoid does. Zeroing weights alone leaves what biases and
/// batch norms make of zero. Each tensor is multiplied once an axis, however many units there are. Nothing is read.
///
/// # Errors
///
/// If there is no such unit, or the axes are another network's.
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
