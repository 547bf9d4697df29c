use std::path::Path;

use burn::module::Module;
use burn::tensor::{TensorData, Transaction};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Inventory, Parameter, flat};
use calcine_schedule::Clock;
use calcine_sparsity::{Share, nonzero, nonzero_units};

use calcine_metric::{Evaluation, Metric};

use crate::{EpochRow, History};

/// Observes a run. Every method does nothing unless implemented.
///
/// A pair is both its halves; nest pairs for more. [`Logged`](crate::Logged) writes what is to be seen
/// to a [`Log`](crate::Log).
pub trait Observer {
    /// Before the first step. The clock is at the step that comes next: what was told of later ones is
    /// void, because a resumed run does them again.
    fn begin(&mut self, clock: &Clock) {
        let _ = clock;
    }

    /// Every [`FitSettings::report_every`](crate::FitSettings::report_every) steps.
    fn step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// After an epoch's validation.
    fn epoch(&mut self, report: &EpochReport<'_>) {
        let _ = report;
    }

    /// After a checkpoint.
    fn saved(&mut self, directory: &Path) {
        let _ = directory;
    }

    /// Whether the weights of an [`EpochReport`] should have their values, not only their sparsity.
    fn wants_values(&self) -> bool {
        false
    }
}

/// What a run tells every few steps.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// The step just done.
    pub clock: Clock,
    /// Epochs in all.
    pub epochs: u64,
    /// Learning rate of that step.
    pub rate: f64,
    /// Means over the epoch so far.
    pub train: Evaluation,
    /// The metrics of the objective, in its order.
    pub metrics: Vec<Metric>,
    /// What policies added to that step's loss, by their names.
    pub terms: Vec<(String, f64)>,
    /// How sparse the weights are.
    pub sparsity: Share,
    /// Training samples since the last report.
    pub samples: u64,
    /// How many of them a second, the report itself not counted.
    pub per_second: f64,
}

/// What a run tells after an epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EpochReport<'a> {
    /// The epoch.
    pub row: &'a EpochRow,
    /// All epochs so far, this one included.
    pub history: &'a History,
    /// Each weight, in the model's order.
    pub weights: &'a [WeightReport],
}

/// One weight (parameter of rank 2 or more) of a model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WeightReport {
    /// The parameter's path.
    pub path: String,
    /// How sparse it is.
    pub share: Share,
    /// How many of a convolution's kernels, or of a linear layer's outputs, are not all zero; `None` of
    /// other weights.
    pub kernels: Option<Share>,
    /// Its elements in stored order, if somebody [wants](Observer::wants_values) them.
    pub values: Option<Vec<f32>>,
}

impl WeightReport {
    /// How sparse each weight of a model is. Reads the device once.
    #[must_use]
    pub fn of<M: Module>(model: &M) -> Vec<Self> {
        Self::read(model, false)
    }

    /// The same with all values. Reads the device once, but every weight of the model.
    #[must_use]
    pub fn with_values<M: Module>(model: &M) -> Vec<Self> {
        Self::read(model, true)
    }

    fn read<M: Module>(model: &M, values: bool) -> Vec<Self> {
        let inventory = Inventory::of(model);
        let folds: Vec<Option<Fold>> = inventory.weights().map(kernels).collect();
        let mut transaction = Transaction::default();
        for (weight, fold) in flat(model, inventory.weights()).into_iter().zip(&folds) {
            transaction = transaction.register(nonzero(weight.clone()));
            if let Some(fold) = fold {
                transaction = transaction.register(nonzero_units(fold.rows(weight.clone())));
            }
            if values {
                transaction = transaction.register(weight);
            }
        }
        let mut read = transaction.execute().into_iter();
        let mut next = || read.next().expect("what was registered is read");
        let weights = inventory.weights().zip(&folds);
        weights
            .map(|(parameter, fold)| Self {
                path: parameter.path.clone(),
                share: share(&next(), parameter.numel()),
                kernels: fold.as_ref().map(|fold| share(&next(), fold.units())),
                values: values.then(|| next().iter::<f32>().collect()),
            })
            .collect()
    }
}

/// A convolution's kernels or a linear layer's outputs.
fn kernels(parameter: &Parameter) -> Option<Fold> {
    let granularity = match parameter.shape.len() {
        2 => Granularity::FcOutput,
        _ => Granularity::Kernel,
    };
    parameter.fold(granularity).ok()
}

fn share(count: &TensorData, total: usize) -> Share {
    Share {
        nonzero: count.iter::<u64>().next().expect("a count is one number"),
        total: total as u64,
    }
}

/// Observes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn begin(&mut self, clock: &Clock) {
        self.0.begin(clock);
        self.1.begin(clock);
    }

    fn step(&mut self, report: &StepReport) {
        self.0.step(report);
        self.1.step(report);
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        self.0.epoch(report);
        self.1.epoch(report);
    }

    fn saved(&mut self, directory: &Path) {
        self.0.saved(directory);
        self.1.saved(directory);
    }

    fn wants_values(&self) -> bool {
        self.0.wants_values() || self.1.wants_values()
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn begin(&mut self, clock: &Clock) {
        (**self).begin(clock);
    }

    fn step(&mut self, report: &StepReport) {
        (**self).step(report);
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        (**self).epoch(report);
    }

    fn saved(&mut self, directory: &Path) {
        (**self).saved(directory);
    }

    fn wants_values(&self) -> bool {
        (**self).wants_values()
    }
}
