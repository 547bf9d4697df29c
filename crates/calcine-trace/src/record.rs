use std::collections::{BTreeMap, HashMap};

use burn::backend::capture::{CaptureBackend, CapturedGraph};
use burn::backend::ir::{OperationIr, TensorId};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

use crate::TraceError;
use crate::tensor::{AnyTensor, Tensors, with_kind, with_rank};

/// One forward pass as Burn's capture device saw it.
pub(crate) struct Recording {
    /// The size of the batch.
    pub(crate) batch: usize,
    /// Every operation, in order.
    pub(crate) operations: Vec<OperationIr>,
    /// The tensors that the pass began with, and their values.
    pub(crate) values: BTreeMap<TensorId, TensorData>,
    /// What each parameter is called.
    ///
    /// One that the model has twice goes by its first path.
    pub(crate) parameters: HashMap<TensorId, String>,
    pub(crate) inputs: Vec<TensorId>,
    pub(crate) outputs: Vec<TensorId>,
}

/// Runs `forward` once with a batch of this size, made of the sample's first element.
pub(crate) fn record<M: Module, I: Tensors, O: Tensors>(
    model: &M,
    sample: &[AnyTensor],
    batch: usize,
    forward: impl FnOnce(&M, I) -> O,
) -> Result<Recording, TraceError> {
    let device = Device::capture();
    let mut parameters = HashMap::new();
    let sample: Vec<AnyTensor> = sample.iter().map(|input| repeated(input, batch)).collect();
    let mut expected = None;
    let captured = device.capture_scope(|scope| {
        // Without autodiff, and with running statistics of its own: capture would move the model's.
        let model = model.valid().materialize().to_device(&device);
        model.visit(&mut Names {
            path: Vec::new(),
            first: HashMap::new(),
            parameters: &mut parameters,
        });
        let inputs: Vec<AnyTensor> = sample
            .into_iter()
            .map(|input| input.to_device(&device))
            .collect();
        let ids: Vec<TensorId> = inputs.iter().map(id).collect();
        let Some(inputs) = I::from_any(inputs) else {
            expected = Some(I::expected());
            return scope.complete(ids, []);
        };
        let outputs = forward(&model, inputs).into_any();
        let outputs: Vec<TensorId> = outputs.iter().map(id).collect();
        scope.complete(ids, outputs)
    });
    if let Some(expected) = expected {
        return Err(TraceError::Sample { expected });
    }
    let CapturedGraph { graph, values } =
        captured.map_err(|error| TraceError::Capture(error.to_string()))?;
    Ok(Recording {
        batch,
        operations: graph.operations,
        values,
        parameters,
        inputs: graph.inputs,
        outputs: graph.outputs,
    })
}

/// The tensor's first element along its first axis, this many times.
fn repeated(input: &AnyTensor, batch: usize) -> AnyTensor {
    with_kind!(input.kind(), K => with_rank!(input.rank(), D => {
        let tensor: Tensor<D, K> = input.clone().of();
        tensor.narrow(0, 0, 1).repeat_dim(0, batch).into()
    }))
}

/// What the capture device calls the tensor.
fn id(tensor: &AnyTensor) -> TensorId {
    with_kind!(tensor.kind(), K => {
        let tensor: Tensor<1, K> = tensor.clone().of();
        let primitive = tensor.try_into_primitive::<CaptureBackend>();
        primitive.expect("the tensor is on the capture device").id()
    })
}

/// Collects the names of all parameters on a capture device.
struct Names<'a> {
    path: Vec<String>,
    first: HashMap<ParamId, String>,
    parameters: &'a mut HashMap<TensorId, String>,
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
