//! Who teaches the network that is trained.

use burn::tensor::{Device, Int, Tensor};
use calcine_recipe::DistillationSettings;
use calcine_train::{Data, DistillationData};

use super::setup::Setup;
use super::{ReferenceError, Weights};
use crate::{Architecture, Classifier, ModelTask};
use calcine_weights::LoadOptions;

/// Logits of images. Neither tracks gradients.
type Forward = Box<dyn Fn(Tensor<4>) -> Tensor<2>>;

/// A network in evaluation whose answers count, and how much.
pub(super) struct Teacher {
    forward: Forward,
    pub(super) distillation: DistillationSettings,
}

impl Teacher {
    /// The recipe's, if it has one, and it has learned anything.
    pub(super) fn of(setup: &Setup) -> Result<Option<Self>, ReferenceError> {
        let Some(distillation) = setup.recipe.distillation().cloned() else {
            return Ok(None);
        };
        let architecture = match &distillation.model {
            Some(name) => name.parse()?,
            None => setup.architecture,
        };
        let weights = match &distillation.weights {
            Some(word) => word.parse().unwrap_or(Weights::Default),
            None => setup.begins_with.clone(),
        };
        if weights == Weights::None {
            if setup.source.is_synthetic() {
                tracing::warn!("nobody has learned these images: training without a teacher");
                return Ok(None);
            }
            return Err(ReferenceError::NoTeacher);
        }
        let device = setup.images.inference();
        let forward = match weights.network(device)? {
            Some(network) => answers(&network),
            None => architecture.build(
                0,
                device,
                Load {
                    weights,
                    architecture,
                },
            )?,
        };
        Ok(Some(Self {
            forward,
            distillation,
        }))
    }

    /// The images with what the teacher says of them.
    pub(super) fn teach<'a>(
        &'a self,
        images: &'a dyn Data<Tensor<4>, Tensor<1, Int>>,
        device: &'a Device,
    ) -> DistillationData<'a, Tensor<4>, Tensor<1, Int>, impl Fn(Tensor<4>) -> Tensor<2> + 'a> {
        let logits = |images: Tensor<4>| {
            let logits = (self.forward)(images.without_autodiff());
            logits.to_device(device)
        };
        DistillationData::new(images, logits).starting(self.distillation.start)
    }
}

struct Load {
    weights: Weights,
    architecture: Architecture,
}

impl ModelTask for Load {
    type Output = Result<Forward, ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        Ok(answers(&self.weights.load(
            model,
            self.architecture,
            &LoadOptions::default(),
        )?))
    }
}

fn answers<M: Classifier + 'static>(model: &M) -> Forward {
    let model = model.valid();
    Box::new(move |images| model.forward(images))
}
