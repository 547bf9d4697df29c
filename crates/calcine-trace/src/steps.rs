use burn::backend::ir::{OperationIr, TensorId, TensorIr};
use calcine_graph::{Arithmetic, Op};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{TraceError, Untraceable};
use crate::lower::lower;
use crate::record::Recording;
use crate::step::{Ids, Step};

/// A recorded operation after translation.
struct Met {
    /// The steps of the operation, or the reason why it cannot be traced.
    steps: Result<Vec<Step>, Untraceable>,
    inputs: Vec<TensorId>,
    outputs: Vec<TensorId>,
}

/// The steps of a recording, without those that no output depends on.
///
/// Burn records a linear layer as the matrix product for the given batch, with or without flattening the leading axes,
/// followed by the addition of the bias. Since this differs between batch sizes, it is combined to one linear layer
/// again.
pub(crate) fn steps(recording: &Recording) -> Result<Vec<Step>, TraceError> {
    let mut met = Vec::new();
    let mut ids = Ids::new();
    let mut layer = String::new();
    for operation in &recording.operations {
        if matches!(operation, OperationIr::Init(_) | OperationIr::Drop(_)) {
            continue;
        }
        let names = operation
            .inputs()
            .filter_map(|input| recording.begun.parameters.get(&input.id));
        if let Some(path) = names.last() {
            layer = path
                .rsplit_once('.')
                .map_or(path.clone(), |(layer, _)| layer.to_owned());
        }
        let shape = operation.outputs().next();
        met.push(Met {
            steps: lower(operation, &mut ids).map_err(|op| Untraceable {
                op,
                layer: layer.clone(),
                shape: shape.map_or_else(Vec::new, |out| out.shape.to_vec()),
            }),
            inputs: operation.inputs().map(|input| input.id).collect(),
            outputs: operation.outputs().map(|output| output.id).collect(),
        });
    }
    let needed = needed(&met, recording);
    let mut steps = Vec::new();
    let mut untraceable = Vec::new();
    for (met, needed) in met.into_iter().zip(needed) {
        match met.steps {
            Ok(of_one) => steps.extend(of_one),
            Err(one) if needed && !untraceable.contains(&one) => untraceable.push(one),
            Err(_) => {}
        }
    }
    if !untraceable.is_empty() {
        return Err(TraceError::Operations(untraceable));
    }
    let mut linear = Linears::new(&steps, recording).found(&mut ids);
    let mut whole = Vec::with_capacity(steps.len());
    for (at, step) in steps.into_iter().enumerate() {
        match linear.remove(&at) {
            Some(found) => whole.extend(found),
            None => whole.push(step),
        }
    }
    Ok(alive(whole, recording))
}

/// Which operations an output depends on.
fn needed(met: &[Met], recording: &Recording) -> Vec<bool> {
    let mut wanted: FxHashSet<TensorId> = recording.outputs.iter().copied().collect();
    let mut needed = vec![false; met.len()];
    for (met, needed) in met.iter().zip(&mut needed).rev() {
        if met.outputs.iter().any(|id| wanted.contains(id)) {
            wanted.extend(&met.inputs);
            *needed = true;
        }
    }
    needed
}

/// The steps that an output depends on.
fn alive(steps: Vec<Step>, recording: &Recording) -> Vec<Step> {
    let mut needed: FxHashSet<TensorId> = recording.outputs.iter().copied().collect();
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

/// Finds matrix products that are linear layers: those of an activation and a matrix that is a parameter, or that is
/// computed only from parameters and constants, as in `x.matmul(w.transpose())`.
struct Linears<'a> {
    steps: &'a [Step],
    recording: &'a Recording,
    producers: FxHashMap<TensorId, usize>,
    consumers: FxHashMap<TensorId, Vec<usize>>,
    /// The tensors that depend on an input.
    data: FxHashSet<TensorId>,
    /// The tensors that are parameters, or are computed from parameters and not from inputs.
    weights: FxHashSet<TensorId>,
}

impl<'a> Linears<'a> {
    fn new(steps: &'a [Step], recording: &'a Recording) -> Self {
        let mut producers = FxHashMap::default();
        let mut consumers: FxHashMap<TensorId, Vec<usize>> = FxHashMap::default();
        let mut data: FxHashSet<TensorId> = recording.inputs.iter().map(|input| input.id).collect();
        let mut weights: FxHashSet<TensorId> = recording.begun.parameters.keys().copied().collect();
        for (index, step) in steps.iter().enumerate() {
            producers.insert(step.output.id, index);
            for input in &step.inputs {
                consumers.entry(input.id).or_default().push(index);
            }
            if step.inputs.iter().any(|input| data.contains(&input.id)) {
                data.insert(step.output.id);
            } else if step.inputs.iter().any(|input| weights.contains(&input.id)) {
                weights.insert(step.output.id);
            }
        }
        Self {
            steps,
            recording,
            producers,
            consumers,
            data,
            weights,
        }
    }

    /// The linear layers, by the index of their last step.
    fn found(&self, ids: &mut Ids) -> FxHashMap<usize, Vec<Step>> {
        let products = self.steps.iter().enumerate();
        products
            .filter(|(_, step)| step.op == Op::Matmul)
            .filter_map(|(at, _)| self.linear(at, ids))
            .collect()
    }

    fn linear(&self, at: usize, ids: &mut Ids) -> Option<(usize, Vec<Step>)> {
        let [x, factor] = &self.steps[at].inputs[..] else {
            return None;
        };
        let (weight, reshaped) = self.weight(factor, ids)?;
        if !self.data.contains(&x.id) {
            return None;
        }
        let [_, out] = weight.shape[..] else {
            return None;
        };
        let mut inputs = vec![x.clone(), weight];
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
        Some((last, reshaped.into_iter().chain([step]).collect()))
    }

    /// The weight matrix of a factor, without leading axes of length 1, and the step that removes these axes if no
    /// recorded step does so.
    fn weight(&self, factor: &TensorIr, ids: &mut Ids) -> Option<(TensorIr, Option<Step>)> {
        if let Some(parameter) = self.parameter(factor, 2) {
            return Some((parameter.clone(), None));
        }
        if !self.weights.contains(&factor.id) {
            return None;
        }
        let leading = factor.shape.num_dims().checked_sub(2)?;
        if factor.shape[..leading].iter().any(|&length| length != 1) {
            return None;
        }
        if leading == 0 {
            return Some((factor.clone(), None));
        }
        let before = self.producers.get(&factor.id).map(|&at| &self.steps[at]);
        let matrix = before
            .filter(|step| step.op == Op::Reshape)
            .map(|step| &step.inputs[0]);
        if let Some(matrix) = matrix.filter(|matrix| matrix.shape[..] == factor.shape[leading..]) {
            return Some((matrix.clone(), None));
        }
        let matrix = ids.tensor(factor.shape[leading..].to_vec(), factor.dtype);
        let step = Step::of(Op::Reshape, [factor], &matrix);
        Some((matrix, Some(step)))
    }

    /// The parameter of this rank that a tensor is, if necessary without leading axes of length 1.
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
        let known = self.recording.begun.parameters.contains_key(&parameter.id);
        (same && known).then_some(parameter)
    }

    /// The step that adds a bias to the result of this step, and the bias.
    fn bias(&self, at: usize, out: usize) -> Option<(usize, &'a TensorIr)> {
        let (sum, step) = self.only_consumer(at)?;
        if step.op != Op::Zip(Arithmetic::Add) {
            return None;
        }
        // The operands may have either order.
        let product = self.steps[at].output.id;
        let other = step.inputs.iter().find(|input| input.id != product)?;
        let bias = self.parameter(other, 1)?;
        (bias.shape[..] == [out]).then_some((sum, bias))
    }

    /// The operand before its leading axes were flattened, and the step that restores them.
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

    /// The only step that uses the result of this step, unless the result is an output.
    fn only_consumer(&self, at: usize) -> Option<(usize, &'a Step)> {
        let output = self.steps[at].output.id;
        match self.consumers.get(&output)?[..] {
            [only] if !self.recording.outputs.contains(&output) => Some((only, &self.steps[only])),
            _ => None,
        }
    }
}
