use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn::backend::capture::{CaptureBackend, CapturedGraph};
use burn::backend::ir::{OperationIr, TensorId, TensorIr};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::TraceError;
use crate::tensor::{AnyTensor, Tensors, with_kind, with_rank};

/// The operations of one forward pass, as recorded by Burn's capture device.
pub(crate) struct Recording {
    /// The batch size.
    pub(crate) batch: usize,
    /// All operations, in execution order.
    pub(crate) operations: Vec<OperationIr>,
    /// The tensors that existed before the passes of this recording.
    pub(crate) begun: Arc<Begun>,
    pub(crate) inputs: Vec<TensorIr>,
    /// The outputs; a tensor may occur more than once.
    pub(crate) outputs: Vec<TensorId>,
}

/// The tensors that exist before a forward pass, except for its inputs.
pub(crate) struct Begun {
    /// The values of the tensors.
    pub(crate) values: BTreeMap<TensorId, TensorData>,
    /// The path of each parameter. A parameter that occurs twice in the model has its first path.
    pub(crate) parameters: FxHashMap<TensorId, String>,
}

impl Recording {
    /// The length of the longest axis among the results of all operations.
    pub(crate) fn longest(&self) -> usize {
        let made = self.operations.iter().flat_map(OperationIr::outputs);
        let lengths = made.flat_map(|tensor| tensor.shape.iter().copied().max());
        lengths.max().unwrap_or_default()
    }
}

/// The inputs and the outputs of a pass.
struct Ends {
    batch: usize,
    inputs: Vec<TensorId>,
    outputs: Vec<TensorId>,
}

/// Runs `forward` once for each of these batch sizes. Each batch repeats the first element of the sample.
///
/// The capture device computes nothing and stores only the tensors that it is given, so batches may be arbitrarily
/// large. The model is moved to the device once, and all passes are recorded one after another.
pub(crate) fn record<M: Module, I: Tensors, O: Tensors>(
    device: &Device,
    model: impl FnOnce(&Device) -> M,
    sample: &[AnyTensor],
    batches: &[usize],
    forward: impl Fn(&M, I) -> O,
) -> Result<Vec<Recording>, TraceError> {
    let mut parameters = FxHashMap::default();
    let mut ends: Vec<Ends> = Vec::new();
    let mut expected = None;
    let first: Vec<AnyTensor> = sample.iter().map(first_element).collect();
    let captured = attempt(|| {
        device.capture_scope(|scope| {
            let model = model(device);
            model.visit(&mut Names {
                path: Vec::new(),
                first: HashMap::new(),
                parameters: &mut parameters,
            });
            let first = first.into_iter().map(|input| input.to_device(device));
            let first: Vec<AnyTensor> = first.collect();
            let given: Vec<TensorId> = first.iter().map(id).collect();
            let mut once: Vec<TensorId> = Vec::new();
            // Dropping a tensor is recorded too, so the tensors are kept.
            let mut kept = Vec::new();
            for &batch in batches {
                let repeated: Vec<AnyTensor> =
                    first.iter().map(|input| repeated(input, batch)).collect();
                let inputs = repeated.iter().map(id).collect();
                let Some(repeated) = I::from_any(repeated) else {
                    expected = Some(I::expected());
                    return scope.complete(given, []);
                };
                let found = forward(&model, repeated).into_any();
                let outputs: Vec<TensorId> = found.iter().map(id).collect();
                let mut met: FxHashSet<TensorId> = once.iter().copied().collect();
                once.extend(outputs.iter().filter(|id| met.insert(**id)));
                ends.push(Ends {
                    batch,
                    inputs,
                    outputs,
                });
                kept.push(found);
            }
            scope.complete(given, once)
        })
    })?;
    if let Some(expected) = expected {
        return Err(TraceError::Sample { expected });
    }
    let CapturedGraph { graph, values } =
        captured.map_err(|error| TraceError::Capture(error.to_string()))?;
    let begun = Arc::new(Begun { values, parameters });
    passes(graph.operations, ends, &begun)
}

/// The operations of each pass: a pass begins with the operation that creates the first of its inputs.
fn passes(
    operations: Vec<OperationIr>,
    ends: Vec<Ends>,
    begun: &Arc<Begun>,
) -> Result<Vec<Recording>, TraceError> {
    let missing = || TraceError::Capture("an input is missing".to_owned());
    let mut recordings: Vec<Recording> = Vec::with_capacity(ends.len());
    let mut operations = operations.into_iter().peekable();
    let mut ends = ends.into_iter().peekable();
    while let Some(Ends {
        batch,
        inputs,
        outputs,
    }) = ends.next()
    {
        let mut starts: FxHashMap<TensorId, TensorIr> = FxHashMap::default();
        let mut own = Vec::new();
        let next = ends.peek().and_then(|next| next.inputs.first().copied());
        while let Some(operation) =
            operations.next_if(|operation| !operation.outputs().any(|out| Some(out.id) == next))
        {
            if operation.outputs().any(|out| inputs.contains(&out.id)) {
                starts.extend(operation.outputs().map(|out| (out.id, out.clone())));
                continue;
            }
            // The parameters of a model that is created here are initialized here. They are among the tensors that
            // exist before the pass.
            let is_parameter = |out: &TensorIr| begun.parameters.contains_key(&out.id);
            if !operation.outputs().any(is_parameter) {
                own.push(operation);
            }
        }
        let inputs: Option<Vec<TensorIr>> =
            inputs.iter().map(|id| starts.get(id).cloned()).collect();
        recordings.push(Recording {
            batch,
            operations: own,
            begun: begun.clone(),
            inputs: inputs.ok_or_else(missing)?,
            outputs,
        });
    }
    Ok(recordings)
}

/// Calls code of the model; a panic becomes [`TraceError::Panic`].
pub(crate) fn attempt<T>(what: impl FnOnce() -> T) -> Result<T, TraceError> {
    caught(what).map_err(|message| TraceError::Panic { message })
}

/// Calls the function, and returns the message of a panic as an error. Burn has no other way to report that an
/// operation cannot be computed.
pub(crate) fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a message").to_owned()
    })
}

/// The first element of the tensor along its first axis, without autodiff.
pub(crate) fn first_element(input: &AnyTensor) -> AnyTensor {
    let input = input.clone().without_autodiff();
    with_kind!(input.kind(), K => with_rank!(input.rank(), D => {
        input.of::<D, K>().narrow(0, 0, 1).into()
    }))
}

/// Repeats a tensor of length 1 along its first axis.
fn repeated(input: &AnyTensor, batch: usize) -> AnyTensor {
    with_kind!(input.kind(), K => with_rank!(input.rank(), D => {
        let tensor: Tensor<D, K> = input.clone().of();
        let mut shape: [usize; D] = tensor.dims();
        shape[0] = batch;
        tensor.expand(shape).into()
    }))
}

/// The id of the tensor on the capture device.
fn id(tensor: &AnyTensor) -> TensorId {
    with_kind!(tensor.kind(), K => {
        let tensor: Tensor<1, K> = tensor.clone().of();
        let primitive = tensor.try_into_primitive::<CaptureBackend>();
        primitive.expect("the tensor is on the capture device").id()
    })
}

/// Collects the paths of all parameters on a capture device.
struct Names<'a> {
    path: Vec<String>,
    first: HashMap<ParamId, String>,
    parameters: &'a mut FxHashMap<TensorId, String>,
}

impl ModuleVisitor for Names<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = AnyTensor::from(param.val());
        let path = self
            .first
            .entry(param.id)
            .or_insert_with(|| self.path.join("."));
        self.parameters.insert(id(&tensor), path.clone());
    }
}
