//! A segmentation network, an encoder and a decoder, on synthetic shapes. It is trained, pruned and thinned during the
//! run, and trained again with quantization for 8-bit integers. The example takes a few seconds.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_recipe::Recipe;
use calcine_run::{Experiment, Finished};
use calcine_train::{Batch, BatchIter, Data, Segmentation, stream};
use rand::RngExt;

/// The height and width of an image.
const SIDE: usize = 16;

/// The number of images in a batch.
const BATCH: usize = 16;

/// The number of batches of an epoch.
const STEPS: u64 = 12;

/// Halves the resolution, doubles it again, and classifies each pixel as background, square or cross.
#[derive(Module, Debug)]
struct Net {
    encode: Conv2d,
    norm: BatchNorm,
    deepen: Conv2d,
    decode: ConvTranspose2d,
    classify: Conv2d,
}

impl Net {
    fn new(device: &Device) -> Self {
        let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
        let convolution = |channels| Conv2dConfig::new(channels, [3, 3]).with_padding(same.clone());
        Self {
            encode: convolution([1, 16]).with_stride([2, 2]).init(device),
            norm: BatchNormConfig::new(16).init(device),
            deepen: convolution([16, 24]).init(device),
            decode: ConvTranspose2dConfig::new([24, 12], [2, 2])
                .with_stride([2, 2])
                .init(device),
            classify: convolution([12, 3]).init(device),
        }
    }

    /// Images `[n, 1, 16, 16]` to logits `[n, 3, 16, 16]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let features = relu(self.norm.forward(self.encode.forward(images)));
        let features = relu(self.deepen.forward(features));
        self.classify.forward(relu(self.decode.forward(features)))
    }
}

/// Noisy images, each with a square and a cross, which are drawn from the seed.
struct Shapes(Device);

impl Shapes {
    fn batch(
        &self,
        split: &str,
        position: u64,
        device: &Device,
    ) -> Batch<Tensor<4>, Tensor<3, Int>> {
        let mut random = stream(7, split, position);
        let mut pixels = vec![0.0_f32; BATCH * SIDE * SIDE];
        let mut classes = vec![0_i64; BATCH * SIDE * SIDE];
        for image in 0..BATCH {
            for class in [1, 2] {
                let (top, left) = (random.random_range(0..12), random.random_range(0..12));
                for (y, x) in (0..5).flat_map(|y| (0..5).map(move |x| (y, x))) {
                    if class == 2 && y != 2 && x != 2 {
                        continue;
                    }
                    let (row, column) = (top + y, left + x);
                    if row < SIDE && column < SIDE {
                        let at = (image * SIDE + row) * SIDE + column;
                        pixels[at] = if class == 1 { 1.0 } else { -1.0 };
                        classes[at] = class;
                    }
                }
            }
        }
        for pixel in &mut pixels {
            *pixel += 0.5 * (random.random::<f32>() - 0.5);
        }
        Batch::new(
            Tensor::from_data(TensorData::new(pixels, [BATCH, 1, SIDE, SIDE]), device),
            Tensor::from_data(TensorData::new(classes, [BATCH, SIDE, SIDE]), device),
        )
    }
}

impl Data<Tensor<4>, Tensor<3, Int>> for Shapes {
    fn steps_per_epoch(&self) -> u64 {
        STEPS
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<4>, Tensor<3, Int>> {
        let device = self.0.clone().autodiff();
        let batch = move |step| self.batch("train", epoch * STEPS + step, &device);
        Box::new((first_step..STEPS).map(batch))
    }

    fn validation(&self) -> BatchIter<'_, Tensor<4>, Tensor<3, Int>> {
        Box::new((0..4).map(|position| self.batch("validation", position, &self.0)))
    }
}

/// Prunes 40 % of the channels in the first epochs, removes them before epoch 4, and continues training.
const THIN: &str = r#"
format = 1
[train]
epochs = 6
lr = 0.01
optimizer = "adam"
seed = 1
[pruner.channels]
params = ["encode.weight", "deepen.weight"]
score = "l1"
granularity = "filter"
dependency = "auto"
level = { curve = "cubic", from = 0.1, to = 0.4 }
[thin]
at = [4]
[[policy]]
pruner = "channels"
start = 2
end = 4
"#;

/// Trains for 8-bit weights and activations.
const QUANTIZE: &str = r#"
format = 1
[train]
epochs = 2
lr = 0.001
optimizer = "adam"
seed = 1
[quantize.weights]
bits = 8
[quantize.activations]
bits = 8
[quantize.training]
images = 64
"#;

#[allow(clippy::print_stdout, reason = "an example shows its results")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(1);
    let (model, data) = (Net::new(&device), Shapes(device.clone()));
    let out = tempfile::tempdir()?;

    let sample = Tensor::<4>::zeros([1, 1, SIDE, SIDE], &device);
    let objective = Segmentation::new(3);
    let experiment = Experiment::trace(&model, sample, Net::forward, objective, &data)?;
    let finished = experiment.train(&Recipe::parse(THIN)?, out.path().join("thin"))?;
    let Finished::Whole {
        report, network, ..
    } = finished
    else {
        return Err("nobody stopped it".into());
    };
    println!("before: {}\nthinned: {}", report.before, report.after);
    let sizes = report.thinned.as_ref().ok_or("the recipe thins")?;
    println!(
        "{} of {} parameters",
        sizes.parameters, sizes.parameters_before
    );
    assert!(sizes.parameters < sizes.parameters_before);
    assert!(report.after.value("mean_iou") > 60.0);

    let thinned = Experiment::new(*network, objective, &data);
    let finished = thinned.train(&Recipe::parse(QUANTIZE)?, out.path().join("quantize"))?;
    let Finished::Whole { report, .. } = finished else {
        return Err("nobody stopped it".into());
    };
    let integers = report.quantized.as_ref().ok_or("the recipe quantizes")?;
    println!(
        "in integers: {}, {} bytes",
        integers.evaluation, integers.bytes
    );
    assert!(integers.evaluation.value("mean_iou") > 50.0);
    Ok(())
}
