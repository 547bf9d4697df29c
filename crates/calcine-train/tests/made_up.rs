//! Models with known weights, synthetic batches, and a magnitude pruner.

use burn::module::{Module, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_criteria::{Level, Magnitude};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_params::{Edit, Inventory, edit, flat};
use calcine_schedule::{Curve, Window};
use calcine_testkit::{ConvNet, Mlp, device, values};
use calcine_train::{Batch, BatchIter, Data, Policy, Prune, Target, Unit, When, stream};
use rand::RngExt;

pub(crate) fn training_device() -> Device {
    device().autodiff()
}

/// The model with reproducible weights: `draw` chooses which. (Burn's generator is global, so tests
/// that run side by side would disturb each other.)
pub(crate) fn drawn<M: Module>(model: M, draw: usize) -> M {
    let trainable: Vec<ParamId> = Inventory::from_module(&model)
        .iter()
        .filter(|p| p.is_trainable())
        .map(|p| p.id)
        .collect();
    edit(
        model,
        &mut Draw {
            trainable,
            at: 1000 * draw,
        },
    )
}

struct Draw {
    trainable: Vec<ParamId>,
    at: usize,
}

impl Edit for Draw {
    fn wants(&self, id: ParamId) -> bool {
        self.trainable.contains(&id)
    }

    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        let from = self.at;
        self.at += value.shape().num_elements();
        let numbers: Vec<f32> = values(self.at)[from..].iter().map(|x| 0.5 * x).collect();
        Tensor::from_data(TensorData::new(numbers, value.shape()), &value.device())
    }
}

pub(crate) fn mlp(draw: usize) -> Mlp {
    drawn(Mlp::new(&training_device()), draw)
}

pub(crate) fn conv_net(draw: usize) -> ConvNet {
    drawn(ConvNet::new(&training_device()), draw)
}

/// The stored values of a parameter.
pub(crate) fn stored<M: Module>(model: &M, path: &str) -> Vec<f32> {
    let inventory = Inventory::from_module(model);
    let parameter = inventory
        .get(path)
        .unwrap_or_else(|| panic!("no parameter {path}"));
    read(flat(model, [parameter]).remove(0))
}

pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(crate) fn zeros(values: &[f32]) -> usize {
    values.iter().filter(|x| **x == 0.0).count()
}

/// Batches of noise around a pattern for each class; a batch is a function of its position.
pub(crate) struct MadeUp<const D: usize> {
    /// Batches an epoch.
    pub(crate) steps: u64,
    /// After so many steps of the run the data is gone.
    pub(crate) dies_at: u64,
    pub(crate) shape: [usize; D],
    pub(crate) classes: usize,
    pub(crate) validation: u64,
    pub(crate) device: Device,
}

impl MadeUp<2> {
    pub(crate) fn for_mlp(steps: u64) -> Self {
        Self {
            steps,
            dies_at: u64::MAX,
            shape: [12, 6],
            classes: 3,
            validation: 2,
            device: training_device(),
        }
    }
}

impl MadeUp<4> {
    pub(crate) fn for_conv_net(steps: u64) -> Self {
        Self {
            steps,
            dies_at: u64::MAX,
            shape: [8, 2, 6, 6],
            classes: 4,
            validation: 2,
            device: training_device(),
        }
    }
}

impl<const D: usize> MadeUp<D> {
    pub(crate) fn batch(&self, name: &str, position: u64) -> Batch<Tensor<D>, Tensor<1, Int>> {
        let mut noise = stream(11, name, position);
        let images = self.shape[0];
        let size = self.shape[1..].iter().product::<usize>();
        let labels: Vec<i32> = (0..images)
            .map(|_| noise.random_range(0..self.classes as i32))
            .collect();
        let mut input = Vec::with_capacity(images * size);
        for label in &labels {
            for i in 0..size {
                let pattern = if i % self.classes == *label as usize {
                    1.0
                } else {
                    -0.3
                };
                input.push(pattern + noise.random::<f32>() - 0.5);
            }
        }
        Batch::new(
            Tensor::from_data(TensorData::new(input, self.shape), &self.device),
            Tensor::from_data(TensorData::new(labels, [images]), &self.device),
        )
    }
}

impl<const D: usize> Data<Tensor<D>, Tensor<1, Int>> for MadeUp<D> {
    fn steps_per_epoch(&self) -> u64 {
        self.steps
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<D>, Tensor<1, Int>> {
        let positions = (first_step..self.steps).map(move |step| epoch * self.steps + step);
        let alive = positions.take_while(|position| *position < self.dies_at);
        Box::new(alive.map(|position| self.batch("train", position)))
    }

    fn validation(&self) -> BatchIter<'_, Tensor<D>, Tensor<1, Int>> {
        let plain = self.device.clone().without_autodiff();
        Box::new((0..self.validation).map(move |position| {
            let Batch { input, target } = self.batch("validation", position);
            Batch::new(input.without_autodiff(), target.to_device(&plain))
        }))
    }
}

/// Magnitude, element, level: the amount over the window, of every parameter that matches.
pub(crate) fn prune<M: Module>(
    model: &M,
    name: &str,
    pattern: &str,
    amount: impl Curve + Send + Sync + 'static,
    when: When,
) -> Prune {
    let inventory = Inventory::from_module(model);
    let unit_of = |parameter: &calcine_params::Parameter| {
        let fold = Fold::new(Granularity::Element, &parameter.shape, Layout::OutputFirst);
        Unit::new(parameter.clone(), fold.unwrap())
    };
    let parameters = inventory
        .select(&[pattern])
        .unwrap()
        .into_iter()
        .map(unit_of)
        .collect();
    let target = Target::new(parameters, Box::new(amount));
    Prune::new(
        name,
        vec![target],
        Box::new(Magnitude),
        Box::new(Level::default()),
        when,
    )
}

pub(crate) fn epochs(start: u64, end: u64) -> When {
    When::epochs(Window::new(start, end, 1).unwrap())
}

pub(crate) fn steps(list: &[u64]) -> When {
    When::steps(Window::list(list.to_vec()).unwrap())
}

pub(crate) fn boxed<M: Module>(policy: impl Policy<M> + 'static) -> Box<dyn Policy<M>> {
    Box::new(policy)
}

/// Momentum and weight decay: what moves weights whose gradient is zero.
pub(crate) fn sgd() -> ModuleOptimizer {
    SgdConfig::new()
        .with_momentum(Some(
            MomentumConfig::new().with_momentum(0.9).with_dampening(0.0),
        ))
        .with_weight_decay(Some(WeightDecayConfig::new(1e-2)))
        .init()
}
