//! Checks batches before they are used.

use calcine_graph::Graph;
use calcine_trace::{AnyTensor, Tensors, batch_size};

use crate::QuantizeError;
use crate::sensitive::{Sensitivity, sensitivities};

/// Checks that there are batches, that they match the inputs of the network, and that their values are finite; a mask
/// may contain −∞. Reads the device once per batch and input.
pub(crate) fn finite<I: Tensors + Clone>(
    graph: &Graph,
    batches: &[I],
) -> Result<(), QuantizeError> {
    if batches.is_empty() {
        return Err(QuantizeError::NoBatch);
    }
    let sensitive = sensitivities(graph);
    for (batch, inputs) in batches.iter().enumerate() {
        let inputs = inputs.clone().into_any();
        batch_size(graph, &inputs)?;
        for (id, input) in graph.inputs.iter().zip(inputs) {
            let masks = sensitive[id.0] == Some(Sensitivity::Mask);
            if !is_finite(input, masks) {
                let input = graph.value(*id).name.clone();
                return Err(QuantizeError::Batch { batch, input });
            }
        }
    }
    Ok(())
}

/// Whether all values of a float tensor are finite, or −∞ in a mask; true for tensors of other types.
fn is_finite(tensor: AnyTensor, masks: bool) -> bool {
    let Some(flat) = tensor.flat() else {
        return true;
    };
    let flat = match masks {
        true => flat.clamp_min(f32::MIN),
        false => flat,
    };
    // The difference of a value to itself is zero only if the value is finite.
    let differences = flat.clone() - flat;
    differences.equal_elem(0.0).all().into_scalar::<bool>()
}
