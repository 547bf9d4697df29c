use std::cell::RefCell;

use burn::tensor::{Int, Tensor, activation};
use calcine_train::{Batch, Classification, Data, Draw, Evaluation};

use super::data::{Images, Labelled};
use crate::Classifier;

/// Validation images on a device, normalised and uploaded once, to be evaluated on again and again.
#[derive(Debug)]
pub(super) struct Validation {
    batches: Vec<Labelled>,
    draw: Draw,
}

impl Validation {
    pub(super) fn new(images: &Images, draw: Draw, batch_size: usize, seed: u64) -> Self {
        let batches = images.sample(draw, batch_size, seed).into_iter().flatten();
        Self {
            batches: batches.collect(),
            draw,
        }
    }

    /// The images of each batch.
    pub(super) fn batches(&self) -> impl Iterator<Item = Tensor<4>> + '_ {
        self.batches.iter().map(|batch| batch.input.clone())
    }

    /// The batches with their labels.
    pub(super) fn labelled(&self) -> impl Iterator<Item = Labelled> + '_ {
        self.batches.iter().cloned()
    }

    /// How many images there are.
    pub(super) fn images(&self) -> usize {
        self.batches
            .iter()
            .map(|batch| batch.target.dims()[0])
            .sum()
    }

    /// Evaluates a model; with the loss of each image if they were drawn at random, else with none.
    pub(super) fn evaluate<M: Classifier>(&self, model: &M) -> (Evaluation, Vec<f32>) {
        let losses = RefCell::new(Vec::new());
        let batches = self.batches.iter().map(|Batch { input, target }| {
            Batch::new((input.clone(), target.clone()), target.clone())
        });
        let evaluation = calcine_train::evaluate(
            batches,
            |(images, labels)| {
                let logits = model.forward(images);
                if matches!(self.draw, Draw::Random(_)) {
                    losses
                        .borrow_mut()
                        .push(cross_entropies(logits.clone(), labels));
                }
                logits
            },
            &Classification,
        );
        let losses = losses.into_inner();
        if losses.is_empty() {
            return (evaluation, Vec::new());
        }
        let losses = Tensor::cat(losses, 0).into_data();
        (evaluation, losses.iter::<f32>().collect())
    }
}

/// The cross-entropy of each image.
///
/// # Shapes
///
/// `logits`: `[n, classes]`; `labels`: `[n]`; result: `[n]`.
fn cross_entropies(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let [n, _] = logits.dims();
    let picked = activation::log_softmax(logits, 1).gather(1, labels.reshape([n, 1]));
    picked.reshape([n]).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimpleNetConfig;
    use burn::tensor::Device;
    use calcine_data::Normalization;
    use calcine_data::cifar10::synthetic;
    use calcine_recipe::Recipe;

    /// Of 100 validation images, in batches of 32.
    fn validation(draw: Draw, seed: u64) -> Validation {
        let recipe = Recipe::parse("format = 1\n[train]\nepochs = 1\nvalidation = 0.5\n").unwrap();
        let data = synthetic(1, 200, 1);
        let images = Images::new(
            data,
            recipe.train(),
            Normalization::default(),
            None,
            &Device::flex(),
        )
        .unwrap();
        Validation::new(&images, draw, 32, seed)
    }

    fn losses(draw: Draw, seed: u64) -> (Evaluation, Vec<f32>) {
        let model = SimpleNetConfig::new().init(&Device::flex());
        validation(draw, seed).evaluate(&model)
    }

    #[test]
    fn there_are_no_more_images_than_there_are() {
        let draws = [
            (Draw::All, 100),
            (Draw::First(40), 40),
            (Draw::Random(40), 40),
        ];
        for (draw, images) in draws.into_iter().chain([(Draw::Random(500), 100)]) {
            assert_eq!(validation(draw, 0).images(), images, "{draw:?}");
        }
    }

    #[test]
    fn the_losses_of_images_drawn_at_random_average_to_the_loss() {
        let (evaluation, losses) = losses(Draw::Random(70), 0);
        assert_eq!(losses.len(), 70);
        let mean = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / 70.0;
        assert!(
            (mean - evaluation.loss).abs() < 1e-5,
            "{mean} is not {}",
            evaluation.loss
        );
    }

    #[test]
    fn a_seed_decides_what_is_drawn_and_all_at_random_is_all() {
        assert_eq!(losses(Draw::Random(30), 1), losses(Draw::Random(30), 1));
        assert_ne!(losses(Draw::Random(30), 1).1, losses(Draw::Random(30), 2).1);
        let (all, none) = losses(Draw::All, 0);
        assert_eq!(losses(Draw::Random(100), 3).0, all);
        assert!(none.is_empty());
    }
}
