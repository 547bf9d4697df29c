use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use calcine_format::{Array, FloatType, NetworkData, Numbers};
use calcine_graph::{Action, Arithmetic, Extent, Graph, Map, Op};
use calcine_kernels::{Isa, ZeroSteps};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::EngineError;
use crate::compile::{Cache, Compiler};
use crate::independence::samples_are_independent;
use crate::model::Model;
use crate::plan::Plan;
use crate::report::{Execution, NodeReport};
use crate::step::Work;

/// The settings of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The number of threads among which the samples of a batch are divided. With 1, everything runs on the thread of
    /// the caller; so does a batch of one sample.
    pub threads: usize,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// The maximum number of samples that are computed together. Larger batches are divided into chunks of this size.
    pub chunk: usize,
    /// The type in which layers that compute in float store their weights. With 16 bits, they take half of the memory: the
    /// weights, after batch norms are folded into them, are rounded to the nearest numbers of the type, and the kernels convert
    /// them while they compute. Depthwise layers, and layers with a weight that would become infinite, keep 32 bits.
    pub weights: FloatType,
}

impl Default for Options {
    /// One thread, the fastest instruction set that this CPU has, chunks of 8 samples, and float weights of 32 bits.
    fn default() -> Self {
        Self {
            threads: 1,
            isa: Isa::best(),
            chunk: 8,
            weights: FloatType::F32,
        }
    }
}

/// A compiled network.
///
/// The weights are packed once, when the network is loaded. Any number of threads may call [`run`](Self::run) at the
/// same time. Each run allocates memory for its activations, which later runs reuse.
#[derive(Debug)]
pub struct Engine {
    model: Model,
    options: Options,
    pool: Option<ThreadPool>,
    /// Whether the samples of a batch can be computed independently of each other.
    independent: bool,
    plans: Mutex<(BTreeMap<usize, Arc<Plan>>, Cache)>,
}

/// The measured time of a node.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NodeTime {
    /// The name of the node.
    pub node: String,
    /// The operation of the node.
    pub operation: String,
    /// How the node is executed; `None` if the node is not needed for any output.
    pub execution: Option<Execution>,
    /// How many zero weights a layer has that runs by a kernel, whether they are skipped, and why.
    pub zeros: Option<ZeroSteps>,
    /// The median time for a batch.
    pub time: Duration,
}

impl Engine {
    /// Loads a network file, float or quantized, with the default options (one thread).
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or as [`from_bytes`](Self::from_bytes).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, EngineError> {
        Self::load_with(path, Options::default())
    }

    /// Like [`load`](Self::load), with options.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(path: impl AsRef<Path>, options: Options) -> Result<Self, EngineError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| EngineError::Io {
            path: path.display().to_string(),
            error,
        })?;
        let network = NetworkData::from_bytes(&bytes)?;
        drop(bytes);
        Self::of(network, options)
    }

    /// Compiles the network in the bytes of a network file.
    ///
    /// # Errors
    ///
    /// If the bytes contain no network, or as [`compile`](Self::compile).
    pub fn from_bytes(bytes: &[u8], options: Options) -> Result<Self, EngineError> {
        Self::of(NetworkData::from_bytes(bytes)?, options)
    }

    /// Compiles a network in memory: a `&calcine_trace::Network`, a `&calcine_quantize::Quantized`, or plain data
    /// ([`NetworkData`]).
    ///
    /// The engine copies the weights; later changes of the network do not change it.
    ///
    /// # Errors
    ///
    /// If parts of the network are inconsistent, if it has an operation that the engine does not support, if the CPU does
    /// not have the instruction set, or if the threads cannot be started.
    pub fn compile(network: impl Into<NetworkData>, options: Options) -> Result<Self, EngineError> {
        let network = network.into();
        network.check()?;
        Self::of(network, options)
    }

    /// Compiles a network whose parts are consistent.
    fn of(network: NetworkData, options: Options) -> Result<Self, EngineError> {
        let model = Model::new(network);
        if !options.isa.is_available() {
            return Err(EngineError::Isa(options.isa));
        }
        let threads = options.threads.max(1);
        let pool = match threads {
            1 => None,
            _ => {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build();
                Some(pool.map_err(|error| EngineError::Threads {
                    threads,
                    error: error.to_string(),
                })?)
            }
        };
        let mut engine = Self {
            independent: samples_are_independent(&model),
            model,
            options,
            pool,
            plans: Mutex::default(),
        };
        engine.plan(1)?;
        engine.drop_packed_weights();
        Ok(engine)
    }

    /// Drops the weights of the layers that have packed them, if no batch size needs them in another form.
    ///
    /// How weights are packed depends on lengths of axes, which are a multiple of the batch plus a constant. What is the same for
    /// one and two samples is the same for all batches.
    fn drop_packed_weights(&mut self) {
        let packed = self.plans().1.layers();
        if !self.independent || self.plan(2).is_err() || self.plans().1.layers() != packed {
            return;
        }
        self.plans().0.remove(&2);
        self.model.drop_weights(&packed.into_iter().collect());
    }

    /// The graph of the network.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.model.graph
    }

    /// Whether the network is quantized.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        self.model.is_quantized()
    }

    /// The options with which the network was loaded.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Runs the network, and returns its outputs as floats.
    ///
    /// # Shapes
    ///
    /// The inputs have the shapes of the network's inputs, with any batch size that is the same for all of them.
    ///
    /// # Errors
    ///
    /// If the inputs do not have the number, kinds or shapes of the network's inputs.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, EngineError> {
        let mut outputs = Vec::new();
        self.run_into(inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// Like [`run`](Self::run), but writes into the arrays of an earlier run. If their shapes are the same, the outputs
    /// need no new memory.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_into(&self, inputs: &[Array], outputs: &mut Vec<Array>) -> Result<(), EngineError> {
        let batch = self.batch(inputs)?;
        let converted: Vec<Option<Vec<f32>>> = inputs.iter().map(converted).collect();
        let numbers: Vec<&[f32]> = inputs
            .iter()
            .zip(&converted)
            .map(|(array, converted)| match (&array.numbers, converted) {
                (Numbers::Floats(floats), _) => &floats[..],
                (_, Some(converted)) => &converted[..],
                _ => &[],
            })
            .collect();
        let chunk = match self.independent {
            true => {
                let share = batch.div_ceil(self.options.threads.max(1));
                self.options.chunk.clamp(1, share.max(1))
            }
            false => batch,
        };
        let whole = self.plan(chunk)?;
        let rest = match batch % chunk {
            0 => None,
            rest => Some((rest, self.plan(rest)?)),
        };
        let graph = &self.model.graph;
        outputs.resize_with(graph.outputs.len(), || {
            Array::floats(Vec::new(), Vec::new())
        });
        let mut each = Vec::new();
        for ((id, output), shape) in graph
            .outputs
            .iter()
            .zip(outputs.iter_mut())
            .zip(whole.output_shapes())
        {
            output.shape = graph.value(*id).shape_at(batch);
            let count: usize = output.shape.iter().product();
            if !matches!(&output.numbers, Numbers::Floats(old) if old.len() == count) {
                output.numbers = Numbers::Floats(vec![0.0; count]);
            }
            each.push(shape.iter().product::<usize>());
        }
        let mut parts: Vec<(usize, Vec<&mut [f32]>)> = Vec::new();
        let mut lines: Vec<_> = outputs
            .iter_mut()
            .zip(&each)
            .map(|(output, each)| match &mut output.numbers {
                Numbers::Floats(floats) => floats.chunks_mut((*each).max(1)),
                Numbers::Ints(_) | Numbers::Bools(_) => [].chunks_mut(1),
            })
            .collect();
        for first in (0..batch).step_by(chunk.max(1)) {
            let own = lines.iter_mut().map(|line| line.next().unwrap_or_default());
            parts.push((first, own.collect()));
        }
        let run = |(first, own): &mut (usize, Vec<&mut [f32]>)| {
            let (count, plan) = match &rest {
                Some((rest, plan)) if *first + chunk > batch => (*rest, plan),
                _ => (chunk, &whole),
            };
            let inputs: Vec<&[f32]> = match self.independent {
                true => numbers
                    .iter()
                    .map(|numbers| {
                        let each = numbers.len() / batch.max(1);
                        &numbers[*first * each..(*first + count) * each]
                    })
                    .collect(),
                false => numbers.clone(),
            };
            let take = |at: usize, floats: &[f32]| own[at].copy_from_slice(floats);
            plan.run(self.options.isa, &inputs, take, None);
        };
        match &self.pool {
            Some(pool) if parts.len() > 1 => pool.install(|| parts.par_iter_mut().for_each(run)),
            _ => parts.iter_mut().for_each(run),
        }
        Ok(())
    }

    /// Whether every node is computed exactly: in integer arithmetic, or by single float operations whose result IEEE
    /// 754 defines.
    ///
    /// If it is, the outputs are equal to those of `calcine_quantize::Quantized`, bit for bit. Sums of floats and
    /// functions such as a sigmoid are not exact: their last bit depends on the implementation.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let Ok(plan) = self.plan(1) else {
            return false;
        };
        let mut nodes = self.model.graph.nodes.iter().zip(&plan.executions);
        nodes.all(|(node, execution)| match execution {
            Some(
                Execution::Codes
                | Execution::Integers
                | Execution::PlainIntegers
                | Execution::Moved
                | Execution::Copied
                | Execution::Fused(_),
            ) => true,
            Some(
                Execution::Table | Execution::Floats | Execution::Constant | Execution::PlainFloats,
            ) => is_correctly_rounded(&node.op),
            None => true,
        })
    }

    /// How each node is executed, in the order of execution.
    #[must_use]
    pub fn report(&self) -> Vec<NodeReport> {
        let Ok(plan) = self.plan(1) else {
            return Vec::new();
        };
        let nodes = self.model.graph.nodes.iter().enumerate();
        let rows = nodes.filter_map(|(index, node)| {
            let own = plan.steps.iter().filter(|step| step.node == index);
            let conversions = own.filter(|step| is_conversion(&step.work)).count();
            let zeros = plan.zeros(index);
            plan.executions[index].clone().map(|execution| NodeReport {
                node: node.name.clone(),
                operation: node.op.to_string(),
                execution,
                zeros,
                conversions,
            })
        });
        rows.collect()
    }

    /// The number of bytes of weights and other constants, packed or not, and of the activations of a run with this batch size
    /// on one thread.
    ///
    /// # Errors
    ///
    /// If the network cannot be compiled for the batch.
    pub fn memory(&self, batch: usize) -> Result<[usize; 2], EngineError> {
        let chunk = if self.independent {
            batch.min(self.options.chunk)
        } else {
            batch
        };
        let plan = self.plan(chunk.max(1))?;
        let weights = self.plans().1.bytes() + self.model.bytes();
        Ok([weights, plan.bytes()])
    }

    /// Runs the network on one thread `runs` times, and returns the median time of each node.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn profile(&self, inputs: &[Array], runs: u32) -> Result<Vec<NodeTime>, EngineError> {
        let batch = self.batch(inputs)?;
        let converted: Vec<Vec<f32>> = inputs
            .iter()
            .map(|array| {
                let floats = array.as_floats().map(<[f32]>::to_vec);
                floats
                    .or_else(|| self::converted(array))
                    .unwrap_or_default()
            })
            .collect();
        let numbers: Vec<&[f32]> = converted.iter().map(Vec::as_slice).collect();
        let plan = self.plan(batch)?;
        let mut times = vec![Vec::new(); plan.steps.len()];
        for _ in 0..runs.max(1) {
            plan.run(self.options.isa, &numbers, |_, _| {}, Some(&mut times));
        }
        for times in &mut times {
            times.sort();
        }
        let nodes = self.model.graph.nodes.iter().enumerate();
        let rows = nodes.map(|(index, node)| {
            let own = plan
                .steps
                .iter()
                .zip(&times)
                .filter(|(step, _)| step.node == index);
            NodeTime {
                node: node.name.clone(),
                operation: node.op.to_string(),
                execution: plan.executions[index].clone(),
                zeros: plan.zeros(index),
                time: own.map(|(_, times)| times[times.len() / 2]).sum(),
            }
        });
        Ok(rows.collect())
    }

    fn plans(&self) -> MutexGuard<'_, (BTreeMap<usize, Arc<Plan>>, Cache)> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan for a batch of this size; it is compiled at the first use.
    fn plan(&self, batch: usize) -> Result<Arc<Plan>, EngineError> {
        let mut plans = self.plans();
        let (plans, cache) = &mut *plans;
        if let Some(plan) = plans.get(&batch) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Compiler::compile(&self.model, &self.options, batch, cache)?);
        plans.insert(batch, plan.clone());
        Ok(plan)
    }

    /// Checks the inputs, and returns their batch size.
    fn batch(&self, inputs: &[Array]) -> Result<usize, EngineError> {
        let graph = &self.model.graph;
        let expected = |index: usize| {
            let value = graph.inputs.get(index).map(|id| graph.value(*id));
            value.map_or_else(
                || format!("{} inputs", graph.inputs.len()),
                |value| {
                    let shape: Vec<String> = value.shape.iter().map(Extent::to_string).collect();
                    format!("{:?} [{}]", value.kind, shape.join(", "))
                },
            )
        };
        if inputs.len() != graph.inputs.len() {
            return Err(EngineError::Input {
                index: inputs.len().min(graph.inputs.len()),
                found: format!("one of {} inputs", inputs.len()),
                expected: format!("{} inputs", graph.inputs.len()),
            });
        }
        let mut batch = None;
        for (index, (id, input)) in graph.inputs.iter().zip(inputs).enumerate() {
            let value = graph.value(*id);
            let lengths = value.shape.iter().zip(&input.shape);
            let own = lengths
                .filter(|(extent, _)| !extent.is_fixed())
                .map(|(extent, length)| length.saturating_sub(extent.fixed) / extent.per_sample)
                .next();
            batch = batch.or(own);
            let fits =
                value.shape_at(batch.unwrap_or(1)) == input.shape && value.kind == input.kind();
            let count: usize = input.shape.iter().product();
            let held = match &input.numbers {
                Numbers::Floats(numbers) => numbers.len(),
                Numbers::Ints(numbers) => numbers.len(),
                Numbers::Bools(numbers) => numbers.len(),
            };
            if !fits || batch == Some(0) || held != count {
                return Err(EngineError::Input {
                    index,
                    found: format!("{:?} {:?} of {held} numbers", input.kind(), input.shape),
                    expected: expected(index),
                });
            }
        }
        Ok(batch.unwrap_or(1))
    }
}

/// Whether IEEE 754 defines the result of the operation on floats, so that every correct implementation gives the same
/// bits.
fn is_correctly_rounded(op: &Op) -> bool {
    match op {
        Op::Map(map) => matches!(
            map,
            Map::Relu
                | Map::Abs
                | Map::Negate
                | Map::Sign
                | Map::Floor
                | Map::Ceil
                | Map::Truncate
                | Map::Round
                | Map::Clamp { .. }
                | Map::ClampMin(_)
                | Map::ClampMax(_)
        ),
        Op::Scalar(arithmetic, _) | Op::Zip(arithmetic) => matches!(
            arithmetic,
            Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Multiply
        ),
        Op::MaxPool(_) => true,
        op => op.properties().action == Action::Move,
    }
}

/// Converts integers and booleans to floats; returns `None` for floats.
#[allow(clippy::cast_precision_loss, reason = "positions of axes")]
fn converted(array: &Array) -> Option<Vec<f32>> {
    match &array.numbers {
        Numbers::Floats(_) => None,
        Numbers::Ints(ints) => Some(ints.iter().map(|int| *int as f32).collect()),
        Numbers::Bools(bools) => Some(bools.iter().map(|b| f32::from(u8::from(*b))).collect()),
    }
}

fn is_conversion(work: &Work) -> bool {
    matches!(
        work,
        Work::ToCodes { .. }
            | Work::ToFloats(_)
            | Work::CodesToPlain { .. }
            | Work::FloatsToPlain(_)
            | Work::Scale(_)
            | Work::Quantize { .. }
            | Work::QuantizeImage { .. }
    )
}
