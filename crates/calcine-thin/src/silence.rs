use std::collections::HashMap;

use burn::tensor::Tensor;
use calcine_graph::{Axes, Role, UnitId};
use calcine_trace::{AnyTensor, Network, Which};

use crate::ThinError;

/// Zeros units: the weights, biases, scales and shifts that make them.
///
/// What is zeroed this way says nothing at all, so that thinning it is exact, at padded borders too, unless a
/// function behind it makes something of zero, as a sigmoid does. Zeroing weights alone leaves what biases and
/// batch norms make of zero. Nothing is read.
///
/// # Errors
///
/// If there is no such unit, or the axes are another network's.
pub fn silence(
    network: Network,
    axes: &Axes,
    units: impl IntoIterator<Item = UnitId>,
) -> Result<Network, ThinError> {
    let mut zeros: HashMap<&str, Vec<(usize, Vec<usize>)>> = HashMap::new();
    for id in units {
        let (Some(group), Some(unit)) = (axes.groups().get(id.group), axes.unit(id)) else {
            return Err(ThinError::Unit(id));
        };
        for (member, indices) in group.members.iter().zip(&unit.indices) {
            let makes = matches!(
                member.role,
                Role::Output | Role::Bias | Role::Norm | Role::Channelwise
            );
            if makes {
                let axis = (member.axis, indices.clone());
                zeros.entry(&member.path).or_default().push(axis);
            }
        }
    }
    let graph = network.graph().clone();
    for (path, axes) in &zeros {
        let value = graph.parameter(path).map(|id| graph.value(id));
        let fits = |(axis, indices): &(usize, Vec<usize>)| {
            let length = value
                .and_then(|value| value.shape.get(*axis))
                .map_or(0, |extent| extent.at(1));
            indices.iter().all(|&index| index < length)
        };
        if !axes.iter().all(fits) {
            return Err(ThinError::Axes {
                path: (*path).to_owned(),
            });
        }
    }
    let mut change = |which: Which<'_>, tensor: AnyTensor| match which {
        Which::Parameter(path) => {
            let axes = zeros.get(path).into_iter().flatten();
            axes.fold(tensor, |tensor, (axis, indices)| {
                zeroed(tensor, *axis, indices)
            })
        }
        Which::Constant(_) => tensor,
    };
    Ok(network.rewritten(graph, &mut change, Vec::new())?)
}

/// The tensor with zeros at these positions of an axis.
fn zeroed(tensor: AnyTensor, axis: usize, positions: &[usize]) -> AnyTensor {
    let length = tensor.shape()[axis];
    let mut keep = vec![1.0_f32; length];
    for &position in positions {
        keep[position] = 0.0;
    }
    let device = tensor.device();
    let keep = Tensor::<1>::from_floats(keep.as_slice(), &device);
    tensor.scaled(axis, keep)
}
