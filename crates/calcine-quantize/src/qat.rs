mod integers;
mod plan;
mod quantizers;

use std::fmt;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, RunningState};
use burn::tensor::{Device, Tensor};
use calcine_graph::Node;
use calcine_params::view;
use calcine_quant::{Method, fake_quantize};
use calcine_trace::{
    AnyTensor, ForwardError, Network, Observer, RewriteError, Tensors, batch_size, typed_outputs,
};

use self::plan::{QatPlan, Range};
use self::quantizers::FakeQuantize;
use crate::{Calibration, QuantizationReport, QuantizationSettings, QuantizeError};

/// The smallest scale: a learned scale that falls to zero stays there.
const LEAST: f64 = 1e-15;

/// A network in quantization-aware training, by the given [`Method`].
///
/// Its forward pass fake-quantizes weights and activations, and gradients pass straight through. What a method learns
/// are additional parameters: `conv1.weight_scale` for a weight (one scale, or one for each output), and
/// `conv1.conv_scale` or `conv1.conv_clip` for the output of a layer or another operation. Moving ranges are running
/// statistics like those of batch norms, under `ranges`. Quantizers are initialized like those of
/// [`quantize`](crate::quantize); scales that are initially powers of two do not stay so. Inputs keep their calibrated
/// quantizers.
///
/// It is a Burn module: it can be trained with any optimizer, and masks and recipes refer to weights by the names in
/// the model. Zeros stay zero, except with `Dorefa` and `Pact`, whose levels do not include zero. Batch norms are
/// trained as usual, and folded when the network is [converted to integers](Self::quantized). With one scale per
/// output, folding makes no difference; a single scale is that of the weight with its current norm folded in (simulated
/// folding; Krishnamoorthi, 2018). Biases are rounded to the integers that they will become, according to the running
/// statistics of the norms.
#[derive(Clone)]
pub struct QatNetwork {
    network: Network,
    plan: Arc<QatPlan>,
    ranges: Vec<Range>,
    stage: QatStage,
}

/// What changes during quantization-aware training; by default, everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QatStage {
    /// Whether activations are fake-quantized. Moving ranges are updated even before that.
    pub activations: bool,
    /// Whether moving ranges are updated.
    pub ranges: bool,
    /// Whether batch norms use and update the statistics of the batch.
    pub norms: bool,
    /// Whether biases are rounded to integers in units of the sums.
    pub biases: bool,
}

impl Default for QatStage {
    fn default() -> Self {
        Self {
            activations: true,
            ranges: true,
            norms: true,
            biases: true,
        }
    }
}

impl QatNetwork {
    /// Creates a network for quantization-aware training. Bits, schemes, initial ranges, accumulators, `first_last` and
    /// overrides are taken from the settings, and weights are quantized by the method. Settings for preparation and
    /// rounding are ignored.
    ///
    /// # Errors
    ///
    /// Those of [`quantize`](crate::quantize).
    pub fn new(
        network: Network,
        calibration: &Calibration,
        settings: &QuantizationSettings,
        method: Method,
    ) -> Result<Self, QatError> {
        let network = network.with_stored_weights();
        let (plan, network, ranges) = QatPlan::new(network, calibration, settings, method)?;
        Ok(Self {
            network,
            plan: Arc::new(plan),
            ranges,
            stage: QatStage::default(),
        })
    }

    /// The network without quantization, including the parameters of its quantizers.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The report on the settings and their effect.
    #[must_use]
    pub fn report(&self) -> &QuantizationReport {
        &self.plan.report
    }

    /// The same network at another stage of training. Batch norms that have been frozen stay frozen.
    #[must_use]
    pub fn with_stage(self, stage: QatStage) -> Self {
        let network = match stage.norms {
            true => self.network,
            false => self.network.with_frozen_statistics(),
        };
        Self {
            network,
            stage,
            ..self
        }
    }

    /// Computes the outputs with fake-quantized weights and activations. Nothing is read from the device.
    ///
    /// # Errors
    ///
    /// If the inputs or outputs do not match those of the network.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        let plan = &*self.plan;
        let mut fake_quantized = FakeQuantize::default();
        for weight in &plan.weights {
            let value = plan.graph.nodes[weight.node].inputs[1];
            if let Some(id) = self.network.parameter_id(value) {
                fake_quantized.add(id, self.weight_quantizer(weight));
            }
        }
        let network = view(&self.network, &mut fake_quantized);
        let inputs = inputs.into_any();
        batch_size(&plan.graph, &inputs)?;
        let inputs = inputs.into_iter().zip(&plan.graph.inputs);
        let inputs = inputs.map(|(input, id)| match plan.quantizers[id.0] {
            Some(quantizer) if self.stage.activations => {
                map_floats(input, |x| fake_quantize(x, &quantizer))
            }
            _ => input,
        });
        let outputs = network.run_observed(inputs.collect(), &mut FakeQuantizedPass(self))?;
        typed_outputs(outputs)
    }

    /// Like [`try_forward`](Self::try_forward), for matching tensors.
    ///
    /// # Panics
    ///
    /// If they do not match.
    pub fn forward<I: Tensors, O: Tensors>(&self, inputs: I) -> O {
        match self.try_forward(inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Rounds biases and fake-quantizes activations in a pass.
struct FakeQuantizedPass<'a>(&'a QatNetwork);

impl Observer for FakeQuantizedPass<'_> {
    fn wants(&self, node: &Node) -> bool {
        self.0.plan.activations.contains_key(&node.output)
    }

    fn shift(&mut self, node: &Node) -> Option<(usize, Tensor<1>)> {
        let weight = self.0.plan.biased.get(&node.output)?;
        self.0.bias_error(&self.0.plan.weights[*weight])
    }

    fn observe(&mut self, node: &Node, result: AnyTensor) -> AnyTensor {
        match self.0.plan.activations.get(&node.output) {
            Some(activation) => map_floats(result, |x| self.0.fake_quantized(activation, x)),
            None => result,
        }
    }
}

/// Why a network cannot be prepared for quantization-aware training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QatError {
    /// The network cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Scales cannot be added to the network.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

/// Applies a function to each element of a float tensor.
fn map_floats(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    match tensor.clone().flat() {
        Some(flat) => AnyTensor::shaped(change(flat), &shape),
        None => tensor,
    }
}

/// The module in the paths of ranges.
const RANGES: (&str, &str) = ("ranges", "Struct:QatNetwork");

impl QatNetwork {
    /// Replaces the ranges by functions of themselves.
    fn with_ranges(
        &self,
        change: impl Fn(RunningState<Tensor<1>>) -> RunningState<Tensor<1>>,
    ) -> Vec<Range> {
        let ranges = self.ranges.iter();
        let change = |(name, range): &Range| (name.clone(), change(range.clone()));
        ranges.map(change).collect()
    }
}

impl Module for QatNetwork {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.network.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self {
            ranges: self.with_ranges(|range| range.fork(device)),
            network: self.network.fork(device),
            ..self
        }
    }

    fn to_device(self, device: &Device) -> Self {
        Self {
            ranges: self.with_ranges(|range| range.to_device(device)),
            network: self.network.to_device(device),
            ..self
        }
    }

    fn train(self) -> Self {
        Self {
            ranges: self.with_ranges(Module::train),
            network: self.network.train(),
            ..self
        }
    }

    fn valid(&self) -> Self {
        Self {
            network: self.network.valid(),
            plan: self.plan.clone(),
            ranges: self.with_ranges(|range| range.valid()),
            stage: self.stage,
        }
    }

    fn materialize(self) -> Self {
        Self {
            network: self.network.materialize(),
            ..self
        }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.network.visit(visitor);
        let (module, owner) = RANGES;
        for (name, range) in &self.ranges {
            visitor.enter_module(module, owner);
            visitor.enter_module(name, "Struct:Ranges");
            range.visit(visitor);
            visitor.exit_module(name, "Struct:Ranges");
            visitor.exit_module(module, owner);
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let network = self.network.map(mapper);
        let (module, owner) = RANGES;
        let mut ranges = Vec::with_capacity(self.ranges.len());
        for (name, range) in self.ranges {
            mapper.enter_module(module, owner);
            mapper.enter_module(&name, "Struct:Ranges");
            let range = range.map(mapper);
            mapper.exit_module(&name, "Struct:Ranges");
            mapper.exit_module(module, owner);
            ranges.push((name, range));
        }
        Self {
            network,
            ranges,
            ..self
        }
    }
}

impl fmt::Debug for QatNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}
