use burn::backend::ir::{TensorId, TensorIr};
use burn::tensor::{DType, Slice};
use calcine_graph::{Extent, Op, Range};

/// An operation of one recording, as an operation of a graph.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<TensorIr>,
    pub(crate) output: TensorIr,
}

impl Step {
    pub(crate) fn of<'a>(
        op: Op,
        inputs: impl IntoIterator<Item = &'a TensorIr>,
        output: &TensorIr,
    ) -> Self {
        Self {
            op,
            inputs: inputs.into_iter().cloned().collect(),
            output: output.clone(),
        }
    }
}

/// Ids for tensors between the steps of one recorded operation. They count down from the largest number, because Burn
/// counts up.
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) const fn new() -> Self {
        Self(u64::MAX)
    }

    pub(crate) fn tensor(&mut self, shape: Vec<usize>, dtype: DType) -> TensorIr {
        self.0 -= 1;
        TensorIr::uninit(TensorId::new(self.0), shape.into(), dtype)
    }
}

/// A range with positions from 0. In Burn, negative positions count from the end.
pub(crate) fn range(slice: &Slice, length: usize) -> Range {
    let position = |at: isize| match usize::try_from(at) {
        Ok(at) => at.min(length),
        Err(_) => length.saturating_sub(at.unsigned_abs()),
    };
    Range {
        start: Extent::fixed(position(slice.start)),
        end: Extent::fixed(slice.end.map_or(length, position)),
        step: slice.step,
    }
}
