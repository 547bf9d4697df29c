use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, ParamId};
use burn::tensor::{Device, Tensor};
use calcine_graph::{Graph, Kind, Source, Value, ValueId};
use calcine_params::{Edit, Inventory, view};
use calcine_quant::{Quantizer, Scheme, fake_quantize, lsq, lsq_along};
use calcine_trace::{Added, AnyTensor, ForwardError, Network, RewriteError, Tensors};

use crate::layer::{FloatLayer, Layer};
use crate::plan::{Uses, grids, has_weights, makers};
use crate::quantized::assembled;
use crate::settings::ByLayer;
use crate::{Calibration, QuantizeError, Quantized, Settings};

/// The least step: a learned one that falls to zero stays there.
const LEAST: f64 = 1e-8;

/// A network that trains as the quantized one that it will be: quantization-aware training with learned steps (LSQ;
/// Esser et al., 2020).
///
/// Its forward pass moves weights and activations to their grids, gradients pass straight through, and the grids'
/// steps are parameters like others: `conv1.weight_step` of a weight (one, or one for each output), `conv1.conv_step`
/// of what a layer or another operation gives. Grids begin where [`quantize`](crate::quantize) puts them; steps that begin as powers of two
/// do not stay so. Inputs keep
/// their calibrated grid.
///
/// It is a Burn module: it trains with any optimizer, and masks and recipes act on the weights under the
/// model's own names. Zeros stay zero. Batch norms train as ever, and are folded when it
/// [becomes integers](Self::quantized). What is left of their shifts is rounded to a bias only then, to a unit of input
/// step times weight step: with 4 bits that moves one value in some hundred by a step, and the accuracy by a few tenths
/// either way.
#[derive(Clone)]
pub struct AwareNetwork {
    network: Network,
    plan: Arc<Plan>,
}

/// What is quantized where.
#[derive(Debug)]
struct Plan {
    /// Without the steps.
    graph: Graph,
    uses: Uses,
    /// As they began.
    grids: Vec<Option<Quantizer>>,
    weights: Vec<WeightPlan>,
    /// By the value at which it is settled.
    activations: BTreeMap<ValueId, ActivationPlan>,
}

#[derive(Debug)]
struct WeightPlan {
    /// The layer's position.
    node: usize,
    path: String,
    step: ValueId,
    axis: usize,
    bits: u8,
}

#[derive(Debug)]
struct ActivationPlan {
    /// The value that the grid was made for.
    maker: ValueId,
    step: ValueId,
    grid: Quantizer,
}

impl AwareNetwork {
    /// A network that is to be trained with these grids.
    ///
    /// # Errors
    ///
    /// As [`quantize`](crate::quantize).
    pub fn new(
        network: Network,
        seen: &Calibration,
        settings: &Settings,
    ) -> Result<Self, AwareError> {
        let graph = network.graph().clone();
        let uses = Uses::of(&graph);
        let by_layer = ByLayer::new(settings, &graph)?;
        let grids = grids(&graph, &uses, seen, &by_layer)?;
        let mut steps = Steps {
            graph: graph.clone(),
            added: Vec::new(),
            device: network.devices().into_iter().next().unwrap_or_default(),
        };
        let mut weights = Vec::new();
        let mut activations = BTreeMap::new();
        let mut home = None;
        for (index, node) in graph.nodes.iter().enumerate() {
            let own = by_layer.of(&node.name);
            if has_weights(&graph, node) && !own.float {
                let path = graph.value(node.inputs[1]).name.clone();
                let float = FloatLayer::of(&network, &uses, node)?;
                let folded = float.grids(&own)?;
                // The step of a channel before its norm.
                let unfolded = |(output, grid): (usize, &Quantizer)| match folded.len() {
                    1 => f64::from(grid.step),
                    _ => f64::from(grid.step) / float.factors[output].abs().max(LEAST),
                };
                let own_steps = folded.iter().enumerate().map(unfolded).collect();
                weights.push(WeightPlan {
                    node: index,
                    step: steps.add(&path, "weight_step", own_steps),
                    axis: float.axis,
                    bits: own.weights.bits,
                    path: path.clone(),
                });
                home = Some(path);
            }
            let makes = !uses.keeps_grid(index, &node.op);
            if let (Some(grid), Some(home), true) = (grids[node.output.0], &home, makes) {
                let name = format!("{}_step", node.op.name());
                let plan = ActivationPlan {
                    maker: node.output,
                    step: steps.add(home, &name, vec![f64::from(grid.step)]),
                    grid,
                };
                activations.insert(uses.settled(&graph, node.output), plan);
            }
        }
        let Steps {
            graph: with_steps,
            added,
            ..
        } = steps;
        let network = network.rewritten(with_steps, &mut |_, tensor| tensor, added)?;
        let plan = Plan {
            graph,
            uses,
            grids,
            weights,
            activations,
        };
        Ok(Self {
            network,
            plan: Arc::new(plan),
        })
    }

    /// The network without quantization, but with its steps.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The logits, or whatever it gives, with weights and activations on their grids. Nothing is read.
    ///
    /// # Errors
    ///
    /// If inputs or outputs do not fit.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        let inventory = Inventory::of(&self.network);
        let mut on_grids = OnGrids(BTreeMap::new());
        for weight in &self.plan.weights {
            if let (Some(parameter), Some(steps)) =
                (inventory.get(&weight.path), self.step(weight.step))
            {
                let top = f64::from((1_i32 << (weight.bits - 1)) - 1);
                on_grids.0.insert(parameter.id, (steps, weight.axis, top));
            }
        }
        let network = view(&self.network, &mut on_grids);
        let inputs = inputs.into_any().into_iter().zip(&self.plan.graph.inputs);
        let inputs = inputs.map(|(input, id)| match self.plan.grids[id.0] {
            Some(grid) => each(input, |x| fake_quantize(x, &grid)),
            None => input,
        });
        let outputs = network.run(inputs.collect(), &mut |node, tensor| {
            let Some(plan) = self.plan.activations.get(&node.output) else {
                return tensor;
            };
            let [low, high] = plan.grid.centred().map(f64::from);
            match self.step(plan.step) {
                Some(step) => each(tensor, |x| lsq(x, step, low, high)),
                None => tensor,
            }
        })?;
        let given = format!(
            "{:?}",
            outputs.iter().map(AnyTensor::shape).collect::<Vec<_>>()
        );
        O::from_any(outputs).ok_or_else(|| ForwardError::Outputs {
            given,
            asked: O::expected(),
        })
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

    /// The network in integers, as it was trained to be. Reads the device.
    ///
    /// # Errors
    ///
    /// As [`quantize`](crate::quantize).
    pub fn quantized(&self) -> Result<Quantized, QuantizeError> {
        let network = self.network.valid();
        let plan = &*self.plan;
        let read = |step: ValueId| -> Vec<f64> {
            let values = network.tensor(step).and_then(AnyTensor::flat);
            let values = values.map(|values| values.into_data().iter::<f64>().collect::<Vec<_>>());
            let values = values.unwrap_or_default().into_iter();
            values.map(|step| step.abs().max(LEAST)).collect()
        };
        let mut learned = BTreeMap::new();
        for activation in plan.activations.values() {
            #[allow(clippy::cast_possible_truncation, reason = "steps are f32 everywhere")]
            let step = read(activation.step)
                .first()
                .map_or(activation.grid.step, |&step| step as f32);
            learned.insert(
                activation.maker,
                Quantizer {
                    step,
                    ..activation.grid
                },
            );
        }
        let makers = makers(&plan.graph, &plan.uses, &plan.grids);
        let grids: Vec<Option<Quantizer>> = (plan.grids.iter().zip(makers))
            .map(|(grid, maker)| {
                maker
                    .and_then(|maker| learned.get(&maker).copied())
                    .or(*grid)
            })
            .collect();
        let mut layers = BTreeMap::new();
        for weight in &plan.weights {
            let node = &plan.graph.nodes[weight.node];
            let float = FloatLayer::of(&network, &plan.uses, node)?;
            let steps = read(weight.step);
            let top = f64::from((1_i32 << (weight.bits - 1)) - 1);
            let on_grid = |output: usize| {
                let step = steps[if steps.len() == 1 { 0 } else { output }];
                let largest = step * float.factors[output].abs() * top;
                Quantizer::over(-largest, largest, weight.bits, Scheme::Symmetric)
            };
            let own: Result<Vec<_>, _> = (0..float.factors.len()).map(on_grid).collect();
            let input = grids[node.inputs[0].0].as_ref();
            let layer = Layer::nearest(&node.name, &float, &own?, weight.bits, input)?;
            layers.insert(weight.node, layer);
        }
        assembled(&network, plan.graph.clone(), &plan.uses, grids, layers)
    }

    /// A learned step, positive.
    fn step(&self, step: ValueId) -> Option<Tensor<1>> {
        let step = self.network.tensor(step).and_then(AnyTensor::flat)?;
        Some(step.abs().clamp_min(LEAST))
    }
}

/// A network that cannot be trained on grids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwareError {
    /// It cannot be quantized either.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// It has no room for steps.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
}

/// Steps that become parameters.
struct Steps {
    graph: Graph,
    added: Vec<Added>,
    device: Device,
}

impl Steps {
    /// Behind a parameter, under a name that its module does not have yet.
    fn add(&mut self, after: &str, name: &str, steps: Vec<f64>) -> ValueId {
        let module = after.rsplit_once('.').map_or("", |(module, _)| module);
        let path = |name: &str| match module {
            "" => name.to_owned(),
            module => format!("{module}.{name}"),
        };
        let taken = |path: &str| self.graph.values.iter().any(|value| value.name == path);
        let mut own = path(name);
        let mut count = 1;
        while taken(&own) {
            count += 1;
            own = path(&format!("{name}_{count}"));
        }
        self.graph.values.push(Value {
            name: own.clone(),
            shape: vec![steps.len().into()],
            kind: Kind::Float,
            source: Source::Parameter,
        });
        #[allow(clippy::cast_possible_truncation, reason = "steps are f32 everywhere")]
        let steps: Vec<f32> = steps.into_iter().map(|step| step as f32).collect();
        self.added.push(Added {
            path: own,
            after: after.to_owned(),
            value: Tensor::from_floats(steps.as_slice(), &self.device),
        });
        ValueId(self.graph.values.len() - 1)
    }
}

/// Weights on their grids: steps, axis and largest integer by parameter.
struct OnGrids(BTreeMap<ParamId, (Tensor<1>, usize, f64)>);

impl Edit for OnGrids {
    fn wants(&self, id: ParamId) -> bool {
        self.0.contains_key(&id)
    }

    fn edit<const D: usize>(&mut self, id: ParamId, value: Tensor<D>) -> Tensor<D> {
        match self.0.get(&id) {
            Some((steps, axis, top)) => lsq_along(value, steps.clone(), *axis, -top, *top),
            None => value,
        }
    }
}

/// Each element of a float tensor.
fn each(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    match tensor.clone().flat() {
        Some(flat) => AnyTensor::shaped(change(flat), &shape),
        None => tensor,
    }
}

impl Module for AwareNetwork {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.network.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self {
            network: self.network.fork(device),
            ..self
        }
    }

    fn to_device(self, device: &Device) -> Self {
        Self {
            network: self.network.to_device(device),
            ..self
        }
    }

    fn train(self) -> Self {
        Self {
            network: self.network.train(),
            ..self
        }
    }

    fn valid(&self) -> Self {
        Self {
            network: self.network.valid(),
            plan: self.plan.clone(),
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
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self {
            network: self.network.map(mapper),
            ..self
        }
    }
}

impl fmt::Debug for AwareNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}
