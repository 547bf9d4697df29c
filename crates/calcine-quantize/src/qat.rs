mod integers;
mod plan;
mod quantizers;

use std::fmt;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, RunningState};
use burn::tensor::{Device, Tensor};
use calcine_params::view;
use calcine_quant::{Method, fake_quantize};
use calcine_trace::{
    AnyTensor, ForwardError, Network, RewriteError, Tensors, batch_size, typed_outputs,
};

use self::plan::{QatPlan, Range};
use self::quantizers::FakeQuantize;
use crate::{Calibration, QuantizationReport, QuantizationSettings, QuantizeError};

/// The least scale: a learned one that falls to zero stays there.
const LEAST: f64 = 1e-15;

/// A network that trains as the quantized one that it will be: quantization-aware training, by the [`Method`] asked for.
///
/// Its forward pass moves weights and activations to their quantizers, and gradients pass straight through. What a method
/// learns is parameters like others: `conv1.weight_scale` of a weight (one, or one for each output), `conv1.conv_scale` or
/// `conv1.conv_clip` of what a layer or another operation gives. Ranges that follow training are running statistics as
/// those of batch norms are, under `ranges`. Quantizers begin where [`quantize`](crate::quantize) puts them; scales that begin
/// as powers of two do not stay so. Inputs keep their calibrated quantizer.
///
/// It is a Burn module: it trains with any optimizer, and masks and recipes act on the weights under the
/// model's own names. Zeros stay zero, but for `Dorefa` and `Pact`, whose levels have none. Batch norms train as ever, and
/// are folded when it [becomes integers](Self::quantized): a scale for each output makes no difference of that, and one for
/// all is that of the weight with its norm folded in, as it is by then (simulated folding; Krishnamoorthi, 2018). Biases
/// are rounded to what sums can take as they will be, by the norms' running statistics.
#[derive(Clone)]
pub struct QatNetwork {
    network: Network,
    plan: Arc<QatPlan>,
    ranges: Vec<Range>,
    stage: QatStage,
}

/// What of a network moves while it is quantization-aware; all of it unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QatStage {
    /// Whether activations are fake-quantized. Ranges follow training before they are, too.
    pub activations: bool,
    /// Whether ranges follow training.
    pub ranges: bool,
    /// Whether batch norms use and update statistics of the batch.
    pub norms: bool,
    /// Whether biases are rounded to what sums of integers can take.
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
    /// A network that is to be trained with these quantizers: bits, schemes, ranges to begin with, sums, ends and overrides are the
    /// settings', weights go to their quantizers by the method, and what settings do before or after that says nothing here.
    ///
    /// # Errors
    ///
    /// As [`quantize`](crate::quantize).
    pub fn new(
        network: Network,
        calibration: &Calibration,
        settings: &QuantizationSettings,
        method: Method,
    ) -> Result<Self, QatError> {
        let network = network.with_stored_weights();
        let (plan, network, ranges) = QatPlan::of(network, calibration, settings, method)?;
        Ok(Self {
            network,
            plan: Arc::new(plan),
            ranges,
            stage: QatStage::default(),
        })
    }

    /// The network without quantization, but with what its quantizers have learned.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What the settings ask for, and what it comes to.
    #[must_use]
    pub fn report(&self) -> &QuantizationReport {
        &self.plan.report
    }

    /// The same at another stage of its training. Batch norms that were frozen stay so.
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

    /// The logits, or whatever it gives, with weights and activations fake-quantized. Nothing is read.
    ///
    /// # Errors
    ///
    /// If inputs or outputs do not fit.
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
                each(input, |x| fake_quantize(x, &quantizer))
            }
            _ => input,
        });
        let outputs = network.run(inputs.collect(), &mut |node, tensor| {
            let biased = plan.biased.get(&node.output);
            let biased = biased.map(|weight| &plan.weights[*weight]);
            let tensor = match biased.and_then(|weight| self.bias_error(weight)) {
                Some((axis, error)) => tensor.shifted(axis, error),
                None => tensor,
            };
            match plan.activations.get(&node.output) {
                Some(activation) => each(tensor, |x| self.fake_quantized(activation, x)),
                None => tensor,
            }
        })?;
        typed_outputs(outputs)
    }

    /// As [`try_forward`](Self::try_forward), for tensors that fit.
    ///
    /// # Panics
    ///
    /// If they do not.
    pub fn forward<I: Tensors, O: Tensors>(&self, inputs: I) -> O {
        match self.try_forward(inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A network that cannot be trained quantization-aware.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QatError {
    /// It cannot be quantized either.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// It has no room for scales.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

/// Each element of a float tensor.
fn each(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    match tensor.clone().flat() {
        Some(flat) => AnyTensor::shaped(change(flat), &shape),
        None => tensor,
    }
}

/// The module that the paths of ranges begin with.
const RANGES: (&str, &str) = ("ranges", "Struct:QatNetwork");

impl QatNetwork {
    /// With other ranges, each made of its own.
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
