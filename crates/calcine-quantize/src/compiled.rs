//! The forward pass of a quantized network by `calcine-engine`.

use std::sync::{Arc, OnceLock};

use calcine_device::in_host_memory;
use calcine_engine::{Array, Engine, Options};
use calcine_trace::{AnyTensor, ForwardError, batch_size};

use crate::Quantized;

/// The engine of a network, which is compiled when it is first needed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compiled(OnceLock<Option<Arc<Engine>>>);

impl Compiled {
    /// The engine, if the network is in host memory and the engine computes every node bit for bit as [`Quantized::run`] does.
    fn engine(&self, network: &Quantized) -> Option<&Engine> {
        let compile = || {
            if !in_host_memory(network.device()) {
                return None;
            }
            let mut options = Options::default();
            options.threads = std::thread::available_parallelism().map_or(1, Into::into);
            let engine = Engine::compile(network, options).ok()?;
            engine.is_exact().then(|| Arc::new(engine))
        };
        self.0.get_or_init(compile).as_deref()
    }
}

impl Quantized {
    /// Computes the forward pass by the engine; `None` if the engine cannot compute it exactly.
    pub(crate) fn engine_pass(
        &self,
        inputs: &[AnyTensor],
    ) -> Result<Option<Vec<AnyTensor>>, ForwardError> {
        batch_size(self.graph(), inputs)?;
        let Some(engine) = self.compiled.engine(self) else {
            return Ok(None);
        };
        let Some(arrays) = inputs.iter().map(array).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let device = inputs
            .first()
            .map_or_else(|| self.device().clone(), AnyTensor::device);
        let outputs = engine.run(&arrays).ok();
        Ok(outputs.and_then(|outputs| {
            let outputs = outputs.into_iter();
            outputs
                .map(|output| AnyTensor::from_array(output, &device))
                .collect()
        }))
    }
}

/// A float tensor in the form that the engine reads; `None` for one of other elements, and for one with a NaN, which integers
/// cannot represent: operations of the device carry it to the outputs.
fn array(tensor: &AnyTensor) -> Option<Array> {
    let array = tensor.to_array();
    let is_number = |floats: &[f32]| floats.iter().all(|float| !float.is_nan());
    array.as_floats().is_some_and(is_number).then_some(array)
}
