use std::num::NonZero;

use burn::tensor::Device;
use calcine_device::in_host_memory;
use calcine_engine::{Engine, NetworkData, Options};
use calcine_graph::ElementKind;
use calcine_trace::{AnyTensor, Network, Tensors, typed_outputs};

use crate::experiment::device_of;

/// The forward pass of a float network that is only evaluated. It is computed by `calcine-engine` if the network is in
/// host memory and the engine supports all of its operations, and by Burn otherwise.
///
/// The engine adds floats in another order than Burn, so the outputs may differ in their last bits.
pub(crate) struct Inference<'a> {
    network: &'a Network,
    engine: Option<Engine>,
}

impl<'a> Inference<'a> {
    /// Prepares the network in its current state for all cores of the CPU.
    pub(crate) fn new(network: &'a Network) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let graph = network.graph();
        let mut outputs = graph.outputs.iter().map(|id| graph.value(*id).kind);
        let gives_floats = outputs.all(|kind| kind == ElementKind::Float);
        let engine = || compiled(&device_of(network), threads, network);
        Self {
            network,
            engine: gives_floats.then(engine).flatten(),
        }
    }

    /// Computes the outputs for a batch that fits the network.
    pub(crate) fn forward<X: Tensors, Y: Tensors>(&self, input: X) -> Y {
        let inputs = input.into_any();
        let by_engine = self.engine.as_ref().and_then(|engine| run(engine, &inputs));
        match by_engine.map(typed_outputs) {
            Some(Ok(outputs)) => outputs,
            _ => self.network.forward(inputs),
        }
    }
}

/// Creates an engine from a network; `None` if the network is not in host memory, or has an operation that the engine does
/// not support.
pub(crate) fn compiled(
    device: &Device,
    threads: usize,
    network: impl Into<NetworkData>,
) -> Option<Engine> {
    if !in_host_memory(device) {
        return None;
    }
    let mut options = Options::default();
    options.threads = threads;
    Engine::compile(network, options).ok()
}

/// Computes the outputs with the engine, and moves them to the device of the inputs; `None` if the engine does not
/// accept the inputs.
fn run(engine: &Engine, inputs: &[AnyTensor]) -> Option<Vec<AnyTensor>> {
    let device = inputs.first().map(AnyTensor::device).unwrap_or_default();
    let arrays: Vec<_> = inputs.iter().map(AnyTensor::to_array).collect();
    let outputs = engine.run(&arrays).ok()?.into_iter();
    let outputs = outputs.map(|output| AnyTensor::from_array(output, &device));
    outputs.collect()
}
