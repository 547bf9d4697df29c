use burn::tensor::{Int, Tensor, activation};
use calcine_metric::Metric;

use super::classification::kullback_leibler;
use super::{MetricSums, Objective, Totals};
use crate::Distillation;

/// The objective of semantic segmentation: mean cross-entropy over the pixels, and as metrics mean intersection over
/// union and pixel accuracy, in percent.
///
/// The output is logits `[n, classes, height, width]`, and the target classes `[n, height, width]`. A sample is an
/// image. Pixels of the [ignored class](Self::with_ignored) are left out of the loss and the metrics; the mean of a
/// batch is over the other pixels, and the means of several batches are weighted by their numbers of images.
///
/// Both metrics come from the confusion matrix over all pixels: the intersection over union of a class is
/// `TP / (TP + FP + FN)`, and the mean is over the classes that occur as a target or as a prediction. The predicted
/// class is the one with the largest logit; among equal logits, it is the one that `argmax` of the backend returns.
///
/// With a teacher, the divergence is the Kullback-Leibler divergence, averaged over the pixels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    classes: usize,
    ignored: Option<i64>,
}

impl Segmentation {
    /// An objective with the classes 0 to `classes − 1`.
    #[must_use]
    pub const fn new(classes: usize) -> Self {
        Self {
            classes,
            ignored: None,
        }
    }

    /// Ignores pixels of this class, which is usually 255.
    #[must_use]
    pub const fn with_ignored(self, class: i64) -> Self {
        Self {
            ignored: Some(class),
            ..self
        }
    }

    /// A mask of the pixels that count, and the targets with a valid class everywhere: `[n, h, w]`.
    fn counted(&self, target: Tensor<3, Int>) -> (Option<Tensor<3>>, Tensor<3, Int>) {
        match self.ignored {
            None => (None, target),
            Some(class) => {
                let ignored = target.clone().equal_scalar(class);
                let counts = ignored.clone().bool_not().float();
                (Some(counts), target.mask_fill(ignored, 0))
            }
        }
    }

    /// The cross-entropy of each pixel, which is 0 if the pixel is ignored, and the mask of the pixels that count: `[n,
    /// h, w]`.
    fn pixels(&self, output: Tensor<4>, target: Tensor<3, Int>) -> (Tensor<3>, Option<Tensor<3>>) {
        let (counts, target) = self.counted(target);
        let log = activation::log_softmax(output, 1).gather(1, target.unsqueeze_dim(1));
        let losses: Tensor<3> = log.neg().squeeze_dim(1);
        match counts {
            None => (losses, None),
            Some(counts) => {
                // On the device of the losses, which may track gradients.
                let counts = counts.to_device(&losses.device());
                (losses * counts.clone(), Some(counts))
            }
        }
    }
}

impl Objective for Segmentation {
    type Output = Tensor<4>;
    type Target = Tensor<3, Int>;

    fn metrics(&self) -> Vec<Metric> {
        vec![
            Metric::higher("mean_iou", "%"),
            Metric::higher("pixel_accuracy", "%"),
        ]
    }

    fn count(&self, target: &Tensor<3, Int>) -> usize {
        target.dims()[0]
    }

    fn loss(&self, output: Tensor<4>, target: Tensor<3, Int>) -> Tensor<1> {
        match self.pixels(output, target) {
            (losses, None) => losses.mean(),
            (losses, Some(counts)) => losses.sum() / counts.sum().clamp_min(1.0),
        }
    }

    fn sums(&self, output: Tensor<4>, target: Tensor<3, Int>) -> MetricSums {
        let classes = self.classes;
        let predicted: Tensor<3, Int> = output.without_autodiff().argmax(1).squeeze_dim(1);
        let pixels = target.shape().num_elements();
        let device = predicted.device();
        let index = Tensor::<1, Int>::arange(0..classes as i64, &device).reshape([1, classes]);
        // One row per pixel, with a single 1 at its class; rows of ignored pixels are zero.
        let one_hot = |values: Tensor<3, Int>| {
            let values = values.reshape([pixels, 1]);
            values.equal(index.clone()).float()
        };
        let (counts, target) = self.counted(target);
        let mut rows = one_hot(target);
        if let Some(counts) = counts {
            rows = rows * counts.without_autodiff().reshape([pixels, 1]);
        }
        // The matrix product is exact, because a batch has fewer than 2²⁴ pixels.
        let confusion = rows.transpose().matmul(one_hot(predicted));
        MetricSums::from_counts(confusion.reshape([classes * classes]).int())
    }

    fn values(&self, totals: &Totals) -> Vec<f64> {
        let classes = self.classes;
        let at = |row: usize, column: usize| {
            let count = totals.counts.get(row * classes + column);
            count.map_or(0.0, |&count| count as f64)
        };
        let hits: f64 = (0..classes).map(|class| at(class, class)).sum();
        let all: f64 = totals.counts.iter().map(|&count| count as f64).sum();
        let union = |class: usize| {
            let others = (0..classes).map(|other| at(class, other) + at(other, class));
            others.sum::<f64>() - at(class, class)
        };
        let ratios = (0..classes).filter(|&class| union(class) > 0.0);
        let ratios: Vec<f64> = ratios
            .map(|class| at(class, class) / union(class))
            .collect();
        let mean_iou = ratios.iter().sum::<f64>() / ratios.len() as f64;
        vec![100.0 * mean_iou, 100.0 * hits / all]
    }

    fn losses(&self, output: Tensor<4>, target: Tensor<3, Int>) -> Option<Tensor<1>> {
        let [n, height, width] = target.dims();
        let (losses, counts) = self.pixels(output, target);
        let per_image = |values: Tensor<3>| values.reshape([n, height * width]).sum_dim(1);
        let losses = match counts {
            None => per_image(losses).div_scalar((height * width) as f64),
            Some(counts) => per_image(losses) / per_image(counts).clamp_min(1.0),
        };
        Some(losses.reshape([n]))
    }

    fn divergence(
        &self,
        student: Tensor<4>,
        teacher: Tensor<4>,
        temperature: f64,
    ) -> Option<Tensor<1>> {
        let [_, _, height, width] = student.dims();
        let terms = kullback_leibler(student, teacher, 1, temperature);
        Some(terms.sum().div_scalar((height * width) as f64))
    }

    fn check_distillation(&self, _: &Distillation) -> Result<(), String> {
        Ok(())
    }
}
