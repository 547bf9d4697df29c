use std::collections::{HashMap, HashSet};

use burn::backend::ir::{OperationIr, TensorId, TensorIr};
use calcine_graph::{Arithmetic, Op};

use crate::TraceError;
use crate::lower::lower;
use crate::record::Recording;

/// An operation of one recording, in the graph's terms.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<TensorIr>,
    pub(crate) output: TensorIr,
}

/// What a recording computes, without what no output depends on.
///
/// Burn records a linear layer as the matrix product that it would compute for just this batch, folded into
/// two axes or not, with the bias added. What differs from batch to batch is put together again.
pub(crate) fn steps(recording: &Recording) -> Result<Vec<Step>, TraceError> {
    let mut steps = Vec::new();
    let mut layer = "input".to_owned();
    for operation in &recording.operations {
        if matches!(operation, OperationIr::Init(_) | OperationIr::Drop(_)) {
            continue;
        }
        let names = operation
            .inputs()
            .filter_map(|input| recording.parameters.get(&input.id));
        if let Some(path) = names.last() {
            layer = path
                .rsplit_once('.')
                .map_or(path.clone(), |(layer, _)| layer.to_owned());
        }
        let lowered = lower(operation).map_err(|op| TraceError::Operation {
            op,
            layer: layer.clone(),
            shape: operation
                .outputs()
                .next()
                .map_or_else(Vec::new, |out| out.shape.to_vec()),
        })?;
        steps.push(Step {
            op: lowered.op,
            inputs: lowered.inputs.into_iter().cloned().collect(),
            output: lowered.output.clone(),
        });
    }
    let linear = Linears::of(&steps, recording).found();
    for (at, step) in linear {
        steps[at] = step;
    }
    Ok(alive(steps, recording))
}

/// The steps that an output depends on.
fn alive(steps: Vec<Step>, recording: &Recording) -> Vec<Step> {
    let mut needed: HashSet<TensorId> = recording.outputs.iter().copied().collect();
    let mut alive: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps.into_iter().rev() {
        if needed.contains(&step.output.id) {
            needed.extend(step.inputs.iter().map(|input| input.id));
            alive.push(step);
        }
    }
    alive.reverse();
    alive
}

/// Finds matrix products that are linear layers.
struct Linears<'a> {
    steps: &'a [Step],
    recording: &'a Recording,
    producers: HashMap<TensorId, usize>,
    consumers: HashMap<TensorId, Vec<usize>>,
}

impl<'a> Linears<'a> {
    fn of(steps: &'a [Step], recording: &'a Recording) -> Self {
        let mut producers = HashMap::new();
        let mut consumers: HashMap<TensorId, Vec<usize>> = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            producers.insert(step.output.id, index);
            for input in &step.inputs {
                consumers.entry(input.id).or_default().push(index);
            }
        }
        Self {
            steps,
            recording,
            producers,
            consumers,
        }
    }

    /// Each linear layer, and the position of its last step.
    fn found(&self) -> Vec<(usize, Step)> {
        let products = self.steps.iter().enumerate();
        products
            .filter(|(_, step)| step.op == Op::Matmul)
            .filter_map(|(at, _)| self.linear(at))
            .collect()
    }

    fn linear(&self, at: usize) -> Option<(usize, Step)> {
        let [x, factor] = &self.steps[at].inputs[..] else {
            return None;
        };
        let weight = self.parameter(factor, 2)?;
        let [_, out] = weight.shape[..] else {
            return None;
        };
        let mut inputs = vec![x.clone(), weight.clone()];
        let mut last = at;
        if let Some((sum, bias)) = self.bias(last, out) {
            inputs.push(bias.clone());
            last = sum;
        }
        if let Some((whole, back)) = self.folded(x, last) {
            inputs[0] = whole.clone();
            last = back;
        }
        let step = Step {
            op: Op::Linear,
            inputs,
            output: self.steps[last].output.clone(),
        };
        Some((last, step))
    }

    /// The parameter of this rank that a tensor is, or is with axes of length 1 before.
    fn parameter(&self, tensor: &'a TensorIr, rank: usize) -> Option<&'a TensorIr> {
        let parameter = match self.producers.get(&tensor.id) {
            Some(&at) if self.steps[at].op == Op::Reshape => &self.steps[at].inputs[0],
            Some(_) => return None,
            None => tensor,
        };
        let leading = tensor.shape.num_dims().checked_sub(rank)?;
        let same = parameter.shape.num_dims() == rank
            && tensor.shape[..leading].iter().all(|&length| length == 1)
            && tensor.shape[leading..] == parameter.shape[..];
        let known = self.recording.parameters.contains_key(&parameter.id);
        (same && known).then_some(parameter)
    }

    /// The step that adds a bias to the result of this one, and the bias.
    fn bias(&self, at: usize, out: usize) -> Option<(usize, &'a TensorIr)> {
        let (sum, step) = self.only_consumer(at)?;
        if step.op != Op::Zip(Arithmetic::Add) || step.inputs[0].id != self.steps[at].output.id {
            return None;
        }
        let bias = self.parameter(&step.inputs[1], 1)?;
        (bias.shape[..] == [out]).then_some((sum, bias))
    }

    /// The operand before its leading axes were folded into one, and the step that unfolds them again.
    fn folded(&self, x: &TensorIr, last: usize) -> Option<(&'a TensorIr, usize)> {
        let fold = &self.steps[*self.producers.get(&x.id)?];
        if fold.op != Op::Reshape {
            return None;
        }
        let whole = &fold.inputs[0];
        let (at, back) = self.only_consumer(last)?;
        let leading = whole.shape.num_dims() - 1;
        let unfolds = back.op == Op::Reshape
            && back.output.shape.num_dims() == leading + 1
            && back.output.shape[..leading] == whole.shape[..leading]
            && x.shape.num_dims() == 2
            && x.shape[1] == whole.shape[leading];
        unfolds.then_some((whole, at))
    }

    /// The one step that uses the result of this one, if it is one and the caller does not get it.
    fn only_consumer(&self, at: usize) -> Option<(usize, &'a Step)> {
        let output = self.steps[at].output.id;
        match self.consumers.get(&output)?[..] {
            [only] if !self.recording.outputs.contains(&output) => Some((only, &self.steps[only])),
            _ => None,
        }
    }
}
