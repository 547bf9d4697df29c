//! The adapter for Burn's own trainer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::{Device, Tensor};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};

use crate::Driver;

/// The trait for models inside Burn's trainer: the forward pass up to the loss, without backward pass and optimizer.
pub trait LossStep: Module {
    /// The input of a training step.
    type Batch: Send + 'static;
    /// The output for the metrics of the trainer.
    type Output: ItemLazy + 'static;

    /// The loss `[1]` and the output.
    fn loss_step(&self, batch: Self::Batch) -> (Tensor<1>, Self::Output);
}

/// A model and its driver as one module, for Burn's `SupervisedTraining`.
///
/// The wrapper does not change names: parameters keep the paths of the model. The learning rate is that of the trainer,
/// not that of the driver. Clones and forks share the driver, which belongs to one run.
///
/// # Several devices
///
/// With Burn's `ExecutionStrategy::MultiDevice`, the passes of the replicas are passes of one step, whose gradients are
/// added: masks, schedules and scales are those of the one driver, and equal on all replicas. The optimizer step is
/// executed on the main device, also with `MultiDeviceOptim::OptimSharded`. The passes of the replicas wait for each
/// other, because each needs the driver, so several devices are not faster than one.
/// `ExecutionStrategy::DistributedDataParallel` is not supported: each of its replicas executes its own optimizer
/// steps, which the one driver would count as steps of the run.
///
/// Create the model on a device with autodiff (`device.autodiff()`). If the trainer moves a model to such a device,
/// parameters that were created without autodiff are not tracked.
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
    /// Combines a model and a driver.
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
