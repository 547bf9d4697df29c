use std::path::Path;

use burn::module::Module;
use burn::tensor::{TensorData, Transaction};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Inventory, Parameter, flat};
use calcine_schedule::Clock;
use calcine_sparsity::{Share, nonzero, nonzero_units};

use calcine_metric::{Evaluation, Metric};

use crate::{EpochRow, History};

/// Observes a run. The default implementation of every method does nothing.
///
/// A pair of observers calls both of them; pairs can be nested. [`Logged`](crate::Logged) writes reports to a
/// [`Log`](crate::Log).
pub trait Observer {
    /// Called before the first step. The clock is at the next step. Earlier reports of this and later steps are
    /// obsolete, because a resumed run repeats these steps.
    fn begin(&mut self, clock: &Clock) {
        let _ = clock;
    }

    /// Called every [`FitSettings::report_every`](crate::FitSettings::report_every) steps.
    fn step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// Called after the validation of an epoch.
    fn epoch(&mut self, report: &EpochReport<'_>) {
        let _ = report;
    }

    /// Called after a checkpoint was written.
    fn saved(&mut self, directory: &Path) {
        let _ = directory;
    }

    /// Whether the weights of an [`EpochReport`] should contain their values, in addition to their sparsity.
    fn wants_values(&self) -> bool {
        false
    }
}

/// A report that is made every few steps.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// The step that has just been done.
    pub clock: Clock,
    /// The number of epochs of the run.
    pub epochs: u64,
    /// The learning rate of that step.
    pub rate: f64,
    /// The means over the epoch so far.
    pub train: Evaluation,
    /// The metrics of the objective, in its order.
    pub metrics: Vec<Metric>,
    /// The terms that policies added to the loss of that step, by name.
    pub terms: Vec<(String, f64)>,
    /// The sparsity of the weights.
    pub sparsity: Share,
    /// The number of training samples since the last report.
    pub samples: u64,
    /// The number of training samples per second since the last report, without the time for the report itself.
    pub per_second: f64,
}

/// A report that is made after an epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EpochReport<'a> {
    /// The epoch.
    pub row: &'a EpochRow,
    /// All epochs so far, including this one.
    pub history: &'a History,
    /// The weights, in the order of the model.
    pub weights: &'a [WeightReport],
}

/// One weight (parameter of rank 2 or more) of a model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WeightReport {
    /// The path of the parameter.
    pub path: String,
    /// The sparsity.
    pub share: Share,
    /// The number of kernels of a convolution, or of outputs of a linear layer, that are not all zero; `None` for other
    /// weights.
    pub kernels: Option<Share>,
    /// The elements in stored order, if an observer [needs](Observer::wants_values) them.
    pub values: Option<Vec<f32>>,
}

impl WeightReport {
    /// The sparsity of each weight of a model. Reads the device once.
    #[must_use]
    pub fn sparsity<M: Module>(model: &M) -> Vec<Self> {
        Self::read(model, false)
    }

    /// The sparsity and the values of each weight of a model. Reads the device once, including all weights.
    #[must_use]
    pub fn with_values<M: Module>(model: &M) -> Vec<Self> {
        Self::read(model, true)
    }

    fn read<M: Module>(model: &M, values: bool) -> Vec<Self> {
        let inventory = Inventory::from_module(model);
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

/// The unit view of a weight: kernels of a convolution, or outputs of a linear layer.
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

/// An observer that does nothing.
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
