use std::cell::RefCell;
use std::fmt;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_fold::Layout;
use calcine_graph::Op;
use calcine_metric::{Evaluation, Metric};
use calcine_quantize::Quantized;
use calcine_summary::{SparsityTable, Weight, sparsity};
use calcine_trace::{AnyTensor, Network, Tensors, TraceError, trace};
use calcine_train::{Batch, BatchIter, Data, Draw, FitError, Objective, evaluate};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::inference::Inference;
use crate::origin::{add_evaluation, entries};
use crate::{Model, Names, Origin, RunError};

/// A network, the objective by which it is measured and trained, and its data: the input of all jobs.
///
/// `X` is the type of a batch of inputs: a tensor, a tuple of tensors, or a list.
///
/// # Examples
///
/// Executes a recipe on a model of your own:
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Int, Tensor};
/// use calcine_recipe::Recipe;
/// use calcine_run::Experiment;
/// use calcine_train::{Batch, BatchIter, Classification, Data};
///
/// # struct Rows(Device);
/// # impl Data<Tensor<2>, Tensor<1, Int>> for Rows {
/// #     fn steps_per_epoch(&self) -> u64 { 2 }
/// #     fn epoch(&self, _: u64, first: u64) -> BatchIter<'_, Tensor<2>, Tensor<1, Int>> {
/// #         let device = self.0.clone().autodiff();
/// #         let rows = move |_| Batch::new(Tensor::ones([3, 4], &device), Tensor::zeros([3], &device));
/// #         Box::new((first..2).map(rows))
/// #     }
/// #     fn validation(&self) -> BatchIter<'_, Tensor<2>, Tensor<1, Int>> {
/// #         let batch = Batch::new(Tensor::ones([3, 4], &self.0), Tensor::zeros([3], &self.0));
/// #         Box::new(std::iter::once(batch))
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let device = Device::flex();
/// # let data = Rows(device.clone());
/// # let directory = tempfile::tempdir()?;
/// # let out = directory.path().join("run");
/// let model: Linear = LinearConfig::new(4, 10).init(&device);
/// let sample = Tensor::<2>::zeros([1, 4], &device);
/// let experiment = Experiment::trace(&model, sample, |m, x| m.forward(x), Classification, &data)?;
///
/// let recipe = Recipe::parse("format = 1\n[train]\nepochs = 2\nlr = 0.1\n")?;
/// let finished = experiment.train(&recipe, &out)?;
/// # assert!(out.join("model.safetensors").exists());
/// # let _ = finished;
/// # Ok(())
/// # }
/// ```
pub struct Experiment<'a, X: 'static, O: Objective> {
    pub(crate) model: Model,
    pub(crate) objective: O,
    pub(crate) data: &'a dyn Data<X, O::Target>,
    pub(crate) names: Names,
    pub(crate) details: Map<String, Value>,
}

/// The split of the data on which something was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The test split.
    Test,
    /// The validation split, if the data has no test split.
    Validation,
}

impl Split {
    /// The name of the split: `test` or `validation`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Validation => "validation",
        }
    }
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluated {
    /// The names of the model, the data and the device.
    pub origin: Origin,
    /// The loss, the metrics, and the number of samples.
    pub evaluation: Evaluation,
    /// The split.
    pub split: Split,
    /// The sparsity of the network.
    pub sparsity: SparsityTable,
    /// The duration in seconds.
    pub seconds: f64,
}

/// One line: the model, the number of samples, the metrics and the loss.
impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { model, samples, .. } = &self.origin.names;
        let (count, split) = (self.evaluation.count, self.split.name());
        let shown = self.evaluation.shown(&self.origin.metrics);
        write!(f, "{model} on {count} {split} {samples}: {shown}")
    }
}

/// One JSON object. For a classifier of images, it has `model`, `data`, `device`, `top1`, `top5`, `loss`,
/// `test_images`, `sparsity`, `parameters`, `nonzero`, `seconds` and `images_per_second`.
impl Serialize for Evaluated {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let weights = self.sparsity.total();
        let (count, samples) = (self.evaluation.count, &self.origin.names.samples);
        let mut map = self.origin.to_map();
        add_evaluation(&mut map, &self.evaluation, "");
        let rate = count as f64 / self.seconds;
        map.insert(format!("{}_{samples}", self.split.name()), count.into());
        map.insert(format!("{samples}_per_second"), rate.into());
        map.extend(entries(json!({
            "sparsity": weights.sparsity(),
            "parameters": weights.total,
            "nonzero": weights.nonzero,
            "seconds": self.seconds,
        })));
        map.serialize(to)
    }
}

impl<'a, X, O> Experiment<'a, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Creates an experiment with a traced or a quantized network.
    pub fn new(model: impl Into<Model>, objective: O, data: &'a dyn Data<X, O::Target>) -> Self {
        Self {
            model: model.into(),
            objective,
            data,
            names: Names::default(),
            details: Map::new(),
        }
    }

    /// Traces a module with its forward pass of a sample, and creates an experiment with the network. The sample is on
    /// the device without autodiff, and may have any batch size.
    ///
    /// # Errors
    ///
    /// If the module cannot be traced.
    pub fn trace<M: Module>(
        model: &M,
        sample: X,
        forward: impl Fn(&M, X) -> O::Output,
        objective: O,
        data: &'a dyn Data<X, O::Target>,
    ) -> Result<Self, TraceError> {
        let network = trace(&model.valid(), sample, forward)?;
        Ok(Self::new(network, objective, data))
    }

    /// Sets the names of model, data, device and samples in reports and messages.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Adds entries to every report, such as the source of the data. Their keys must not be those of a report.
    #[must_use]
    pub fn with_details(self, details: Map<String, Value>) -> Self {
        Self { details, ..self }
    }

    /// The network.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The metrics of the objective.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        self.objective.metrics()
    }

    /// The names that the results of this experiment contain.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            names: self.names.clone(),
            metrics: self.metrics(),
            details: self.details.clone(),
        }
    }

    /// Evaluates the network on the test split, or on the validation split if there is no test split.
    ///
    /// # Errors
    ///
    /// If both splits are empty, or the network does not fit the inputs or the objective.
    pub fn evaluate(&self) -> Result<Evaluated, RunError> {
        let began = Instant::now();
        self.check_forward()?;
        let ((evaluation, split), sparsity) = match &self.model {
            Model::Float(network) => {
                let network = network.valid();
                (self.measure_float(&network)?, sparsity(&network))
            }
            Model::Quantized(network) => (
                self.measure(|x| network.forward(x))?,
                sparsity_of_integers(network),
            ),
        };
        Ok(Evaluated {
            origin: self.origin(),
            evaluation,
            split,
            sparsity,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// Evaluates any forward pass in the same way as [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    ///
    /// If both splits are empty.
    pub fn measure(
        &self,
        forward: impl Fn(X) -> O::Output,
    ) -> Result<(Evaluation, Split), RunError> {
        let test = evaluate(self.data.test(), &forward, &self.objective);
        if let Some(failure) = self.data.failure() {
            return Err(FitError::Data(failure).into());
        }
        if test.count > 0 {
            return Ok((test, Split::Test));
        }
        let validation = evaluate(self.data.validation(), &forward, &self.objective);
        if let Some(failure) = self.data.failure() {
            return Err(FitError::Data(failure).into());
        }
        if validation.count > 0 {
            return Ok((validation, Split::Validation));
        }
        Err(RunError::NoSamples {
            split: "test and validation",
        })
    }

    /// Evaluates a float network without autodiff.
    pub(crate) fn measure_float(&self, network: &Network) -> Result<(Evaluation, Split), RunError> {
        let inference = Inference::new(network);
        self.measure(|x| inference.forward(x))
    }

    /// The float network without autodiff.
    pub(crate) fn network(&self) -> Result<Network, RunError> {
        match &self.model {
            Model::Float(network) => Ok(network.valid()),
            Model::Quantized(_) => Err(RunError::Quantized),
        }
    }

    /// Computes one batch, so that inputs or outputs that do not fit cause an error before a job begins.
    pub(crate) fn check_forward(&self) -> Result<(), RunError> {
        let any = || {
            let splits = self.data.test().chain(self.data.validation());
            splits.chain(self.data.epoch(0, 0)).next()
        };
        let Some(batch) = any() else {
            return Ok(());
        };
        let inputs = without_autodiff(batch.input);
        match &self.model {
            Model::Float(network) => network.valid().try_forward::<_, O::Output>(inputs)?,
            Model::Quantized(network) => network.try_forward::<_, O::Output>(inputs)?,
        };
        Ok(())
    }

    /// Draws samples of the validation split.
    pub(crate) fn sample(
        &self,
        draw: Draw,
        batch_size: usize,
        seed: u64,
    ) -> Result<Vec<Batch<X, O::Target>>, RunError> {
        let batches: Vec<_> = match self.data.sample(draw, batch_size, seed) {
            Some(batches) => batches.collect(),
            None => {
                let limit = match draw {
                    Draw::All => usize::MAX,
                    Draw::First(limit) | Draw::Random(limit) => limit,
                };
                let mut count = 0;
                let enough = |batch: &Batch<X, O::Target>| {
                    let before = count;
                    count += self.objective.count(&batch.target);
                    before < limit
                };
                self.data.validation().take_while(enough).collect()
            }
        };
        if batches.is_empty() {
            return Err(RunError::NoSamples {
                split: "validation",
            });
        }
        Ok(batches)
    }

    /// The inputs of the first training batches of the first epoch, without autodiff.
    pub(crate) fn first_inputs(&self, batches: usize) -> Vec<Vec<AnyTensor>> {
        let first: BatchIter<'_, X, O::Target> = self.data.epoch(0, 0);
        let first = first.take(batches);
        first.map(|batch| without_autodiff(batch.input)).collect()
    }

    /// Evaluates given batches, with the loss of each sample if that is requested and the objective supports it.
    pub(crate) fn evaluate_on(
        &self,
        batches: &[Batch<X, O::Target>],
        forward: impl Fn(X) -> O::Output,
        with_losses: bool,
    ) -> (Evaluation, Vec<f32>) {
        let losses = RefCell::new(Vec::new());
        let pairs = batches.iter().map(|Batch { input, target }| {
            Batch::new((input.clone(), target.clone()), target.clone())
        });
        let forward = |(input, target)| {
            let output = forward(input);
            if with_losses {
                let own = self.objective.losses(output.clone(), target);
                losses.borrow_mut().extend(own);
            }
            output
        };
        let evaluation = evaluate(pairs, forward, &self.objective);
        let losses: Vec<Tensor<1>> = losses.into_inner();
        if losses.is_empty() {
            return (evaluation, Vec::new());
        }
        let losses = Tensor::cat(losses, 0).into_data();
        (evaluation, losses.iter::<f32>().collect())
    }

    /// The number of samples in the batches.
    pub(crate) fn count(&self, batches: &[Batch<X, O::Target>]) -> usize {
        let counts = batches
            .iter()
            .map(|batch| self.objective.count(&batch.target));
        counts.sum()
    }
}

impl<X: 'static, O: Objective> std::fmt::Debug for Experiment<'_, X, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Experiment")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The tensors of an input, without autodiff.
pub(crate) fn without_autodiff<X: Tensors>(input: X) -> Vec<AnyTensor> {
    let tensors = input.into_any().into_iter();
    tensors.map(AnyTensor::without_autodiff).collect()
}

/// The device of a network, without autodiff.
pub(crate) fn device_of<M: Module>(network: &M) -> Device {
    let devices = network.collect_devices(Vec::new()).into_iter();
    let mut devices = devices.map(Device::without_autodiff);
    devices.next().unwrap_or_default()
}

/// The sparsity of the weights of a quantized network: the share of integers that represent zero.
#[must_use]
pub fn sparsity_of_integers(quantized: &Quantized) -> SparsityTable {
    let groups = |name: &str| {
        let mut nodes = quantized.graph().nodes.iter();
        match nodes.find(|node| node.name == name).map(|node| &node.op) {
            Some(Op::Convolution(convolution)) => convolution.groups,
            _ => 1,
        }
    };
    let weights = quantized.layers().map(|layer| {
        let values: Vec<f32> = layer.weight.iter().map(|int| *int as f32).collect();
        Weight {
            name: format!("{}.weight", layer.name),
            shape: layer.shape.to_vec(),
            layout: Some(match layer.output_axis {
                0 => Layout::OutputFirst,
                _ => Layout::InputFirst,
            }),
            groups: groups(layer.name),
            values: Tensor::from_data(values.as_slice(), quantized.device()),
        }
    });
    SparsityTable::of_weights(weights.collect())
}
