//! Batches, before anything goes by them.

use calcine_graph::Graph;
use calcine_trace::{AnyTensor, Tensors, batch_size};

use crate::QuantizeError;
use crate::sensitive::{Sensitivity, sensitivities};

/// Checks that there are batches, that they fit, and that their numbers are finite; a mask may be −∞. Reads the device once a batch and input.
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

/// Whether all numbers of a float tensor are finite, or −∞ if it masks; those of another kind are.
fn is_finite(tensor: AnyTensor, masks: bool) -> bool {
    let Some(flat) = tensor.flat() else {
        return true;
    };
    let flat = match masks {
        true => flat.clamp_min(f32::MIN),
        false => flat,
    };
    // Of a number that is not finite the difference to itself is none.
    let differences = flat.clone() - flat;
    differences.equal_elem(0.0).all().into_scalar::<bool>()
}
