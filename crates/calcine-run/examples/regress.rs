//! A regressor that removes noise from signals, measured by its peak signal-to-noise ratio. It is trained and pruned
//! with its own dense form as the teacher, then quantized after training, and scanned. The example takes a few seconds.

use std::ops::ControlFlow;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use calcine_fold::Granularity;
use calcine_quantize::QuantizationSettings;
use calcine_recipe::Recipe;
use calcine_run::{Experiment, Finished, QuantizeSettings, ScanSettings};
use calcine_sensitivity::{Scan, suggest};
use calcine_train::{Batch, BatchIter, Data, Regression, stream};
use rand::RngExt;

/// The number of samples of a signal.
const LENGTH: usize = 16;

/// The number of signals in a batch.
const BATCH: usize = 32;

/// The number of batches of an epoch.
const STEPS: u64 = 20;

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    second: Linear,
    last: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(LENGTH, 64).init(device),
            second: LinearConfig::new(64, 64).init(device),
            last: LinearConfig::new(64, LENGTH).init(device),
        }
    }

    fn forward(&self, signals: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(signals));
        self.last.forward(relu(self.second.forward(hidden)))
    }
}

/// Sine waves between 0 and 1, and the same with noise.
struct Waves(Device);

impl Waves {
    fn batch(&self, split: &str, position: u64, device: &Device) -> Batch<Tensor<2>, Tensor<2>> {
        let mut random = stream(11, split, position);
        let (mut noisy, mut clean) = (Vec::new(), Vec::new());
        for _ in 0..BATCH {
            let (phase, frequency) = (6.0 * random.random::<f32>(), 0.2 + random.random::<f32>());
            for at in 0..LENGTH {
                let value = 0.5 + 0.5 * (phase + frequency * at as f32).sin();
                clean.push(value);
                noisy.push(value + 0.4 * (random.random::<f32>() - 0.5));
            }
        }
        let tensor = |values| Tensor::from_data(TensorData::new(values, [BATCH, LENGTH]), device);
        Batch::new(tensor(noisy), tensor(clean))
    }
}

impl Data<Tensor<2>, Tensor<2>> for Waves {
    fn steps_per_epoch(&self) -> u64 {
        STEPS
    }

    fn epoch(&self, epoch: u64, first_step: u64) -> BatchIter<'_, Tensor<2>, Tensor<2>> {
        let device = self.0.clone().autodiff();
        let batch = move |step| self.batch("train", epoch * STEPS + step, &device);
        Box::new((first_step..STEPS).map(batch))
    }

    fn validation(&self) -> BatchIter<'_, Tensor<2>, Tensor<2>> {
        Box::new((0..8).map(|position| self.batch("validation", position, &self.0)))
    }
}

const DENSE: &str = r#"
format = 1
[train]
epochs = 8
lr = 0.003
optimizer = "adam"
seed = 1
"#;

/// Prunes 70 % of the weights, with the dense network as the teacher.
const PRUNE: &str = r#"
format = 1
[train]
epochs = 8
lr = 0.002
optimizer = "adam"
seed = 1
[pruner.weights]
params = ["*.weight"]
score = "magnitude"
level = { curve = "cubic", from = 0.0, to = 0.7 }
[distill]
student = 0.5
teacher = 0.5
[[policy]]
pruner = "weights"
start = 0
end = 6
"#;

#[allow(clippy::print_stdout, reason = "an example shows its results")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(1);
    let (model, data) = (Net::new(&device), Waves(device.clone()));
    let out = tempfile::tempdir()?;

    let sample = Tensor::<2>::zeros([1, LENGTH], &device);
    let objective = Regression::new().with_peak(1.0);
    let experiment = Experiment::trace(&model, sample, Net::forward, objective, &data)?;
    let dense = whole(experiment.train(&Recipe::parse(DENSE)?, out.path().join("dense"))?)?;
    let experiment = Experiment::new(dense, objective, &data);
    let pruned = whole(experiment.train(&Recipe::parse(PRUNE)?, out.path().join("pruned"))?)?;

    let experiment = Experiment::new(pruned, objective, &data);
    let pruned = experiment.evaluate()?;
    println!("pruned: {}", pruned.evaluation);
    assert!(pruned.sparsity.total().sparsity() > 0.69);
    let settings = QuantizeSettings::new(QuantizationSettings::default());
    let run = experiment.quantize(&settings, &mut |_| ControlFlow::Continue(()))?;
    println!("in integers: {}", run.after);
    assert!(run.after.value("psnr") > 15.0);

    let scan = ScanSettings::new(Scan::new(Granularity::Element).with_levels([0.7, 0.8, 0.9]));
    let scanned = experiment.scan(&scan, &out.path().join("scan"), &mut |_| ())?;
    for layer in suggest(&scanned.sensitivity, &scanned.metric, 1.0) {
        println!(
            "{}: {} costs {:.2} dB",
            layer.parameter, layer.level, layer.drop
        );
    }
    Ok(())
}

/// The network of a run that was not stopped.
#[allow(clippy::print_stdout, reason = "an example shows its results")]
fn whole(finished: Finished) -> Result<calcine_trace::Network, Box<dyn std::error::Error>> {
    match finished {
        Finished::Whole {
            report, network, ..
        } => {
            println!("{} -> {}", report.before, report.after);
            Ok(*network)
        }
        _ => Err("nobody stopped it".into()),
    }
}
