//! The adapter for Burn's own trainer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::{Device, Tensor};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use crate::Driver;

/// What a user's model implements: the forward pass up to the loss. No backward, no optimizer.
pub trait LossStep: Module {
    /// What a training step takes.
    type Batch: Send + 'static;
    /// What the trainer's metrics take.
    type Output: ItemLazy + 'static;

    /// The loss `[1]` and the output.
    fn loss_step(&self, batch: Self::Batch) -> (Tensor<1>, Self::Output);
}

/// A model and its driver, as one module for Burn's `SupervisedTraining`.
///
/// The wrapper is invisible to names: parameters keep the model's own paths. The learning rate is the
/// trainer's, not the driver's. Clones and forks share the driver, which belongs to one run.
///
/// # Several devices
///
/// With Burn's `ExecutionStrategy::MultiDevice`, the passes of the replicas are passes of one step, whose gradients are added
/// up: masks, schedules and scales are those of the one driver, and equal on all replicas. The optimizer's step is taken on
/// the main device, also with `MultiDeviceOptim::OptimSharded`. The replicas' passes wait for one another, because each
/// needs the driver, so that several devices are no faster than one. `ExecutionStrategy::DistributedDataParallel` is not
/// supported: each of its replicas takes optimizer steps of its own, which the one driver would count as steps of the run.
///
/// Create the model on a device with autodiff (`device.autodiff()`): the trainer's own move to one leaves
/// parameters that were made without it untracked.
///
/// # Examples
///
/// `examples/supervised.rs` of this crate trains a model with a pruner inside `SupervisedTraining`.
pub struct Compressed<M: Module> {
    /// The user's model.
    pub model: M,
    driver: Arc<Mutex<Driver<M>>>,
}

impl<M: Module> Compressed<M> {
    /// Joins a model and a driver.
    #[must_use]
    pub fn new(model: M, driver: Driver<M>) -> Self {
        Self {
            model,
            driver: Arc::new(Mutex::new(driver)),
        }
    }

    fn with_model(&self, model: M) -> Self {
        Self {
            model,
            driver: Arc::clone(&self.driver),
        }
    }
}

impl<M: LossStep> TrainStep for Compressed<M> {
    type Input = M::Batch;
    type Output = M::Output;

    fn step(&self, batch: M::Batch) -> TrainOutput<M::Output> {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = driver.forward_backward(&self.model, batch, M::loss_step);
        TrainOutput {
            grads: pass.gradients,
            item: pass.output,
        }
    }

    fn optimize_multi(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: MultiGradientsParams,
    ) -> Self {
        let devices = self.model.devices();
        let mut sum = GradientsAccumulator::new();
        for (own, _) in gradients.grads {
            let own = match devices.first() {
                Some(main) => own.to_device(main, &self.model),
                None => own,
            };
            sum.accumulate(&self.model, own);
        }
        let gradients = sum.grads();
        self.optimize(optimizer, rate, gradients)
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let Self { model, driver } = self;
        let stepped = {
            let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
            driver.step_at(rate, model, optimizer, gradients)
        };
        Self {
            model: stepped,
            driver,
        }
    }
}

impl<M: Module + InferenceStep> InferenceStep for Compressed<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn step(&self, input: M::Input) -> M::Output {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = driver.masked_model(&self.model);
        drop(driver);
        seen.step(input)
    }
}

impl<M: Module> Module for Compressed<M> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        let Self { model, driver } = self;
        Self {
            model: model.fork(device),
            driver,
        }
    }

    fn to_device(self, device: &Device) -> Self {
        let Self { model, driver } = self;
        Self {
            model: model.to_device(device),
            driver,
        }
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.model.visit(visitor);
    }

    fn map<V: ModuleMapper>(self, mapper: &mut V) -> Self {
        let Self { model, driver } = self;
        Self {
            model: model.map(mapper),
            driver,
        }
    }

    fn valid(&self) -> Self {
        self.with_model(self.model.valid())
    }

    fn train(self) -> Self {
        let Self { model, driver } = self;
        Self {
            model: model.train(),
            driver,
        }
    }

    fn materialize(self) -> Self {
        let Self { model, driver } = self;
        Self {
            model: model.materialize(),
            driver,
        }
    }
}

impl<M: Module> Clone for Compressed<M> {
    fn clone(&self) -> Self {
        self.with_model(self.model.clone())
    }
}

impl<M: Module> fmt::Debug for Compressed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressed")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl<M: Module> fmt::Display for Compressed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.model)
    }
}
