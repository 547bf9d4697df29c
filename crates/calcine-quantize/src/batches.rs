//! Batches, before anything goes by them.

use calcine_graph::Graph;
use calcine_trace::{AnyTensor, Tensors, batch_size};

use crate::QuantizeError;

/// Checks that there are batches, that they fit, and that their numbers are finite. Reads the device once a batch and input.
pub(crate) fn finite<I: Tensors + Clone>(
    graph: &Graph,
    batches: &[I],
) -> Result<(), QuantizeError> {
    if batches.is_empty() {
        return Err(QuantizeError::NoBatch);
    }
    for (batch, inputs) in batches.iter().enumerate() {
        let inputs = inputs.clone().into_any();
        batch_size(graph, &inputs)?;
        for (id, input) in graph.inputs.iter().zip(inputs) {
            if !is_finite(input) {
                let input = graph.value(*id).name.clone();
                return Err(QuantizeError::Batch { batch, input });
            }
        }
    }
    Ok(())
}

/// Whether all numbers of a float tensor are finite; those of another kind are.
fn is_finite(tensor: AnyTensor) -> bool {
    let Some(flat) = tensor.flat() else {
        return true;
    };
    // Of a number that is not finite the difference to itself is none.
    let differences = flat.clone() - flat;
    differences.equal_elem(0.0).all().into_scalar::<bool>()
}
