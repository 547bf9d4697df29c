//! Networks that the tests quantize, and how they are exported and run.

use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::pool::{AvgPool2dConfig, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_onnx::{ExportError, ExportOptions, Form, Runtime, export_quantized};
use calcine_quantize::{Calibration, QuantizationSettings, Quantized, quantize};
use calcine_trace::{Network, trace};

use crate::engines::{Array, Job, run};

/// Strides, padding, depthwise and grouped filters, a bounded relu, residual sums and products, a concatenation, pools, linear
/// layers of tokens, a mean.
#[derive(Module, Debug)]
pub(crate) struct Net {
    stem: Conv2d,
    norm: BatchNorm,
    depthwise: Conv2d,
    branch: Conv2d,
    tokens: Linear,
    head: Linear,
}

impl Net {
    /// `groups` are those of the filters of the branch.
    pub(crate) fn new(device: &Device, groups: usize) -> Self {
        let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
        let conv = |channels, groups| {
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(padding.clone())
                .with_groups(groups)
                .init(device)
        };
        Self {
            stem: conv([3, 8], 1),
            norm: BatchNormConfig::new(8).init(device),
            depthwise: conv([8, 8], 8),
            branch: conv([8, 8], groups),
            tokens: LinearConfig::new(16, 12).init(device),
            head: LinearConfig::new(12, 5).init(device),
        }
    }

    fn tokens(&self, x: Tensor<4>) -> Tensor<3> {
        let x = self.norm.forward(self.stem.forward(x)).clamp(0.0, 1.5);
        let x = MaxPool2dConfig::new([2, 2])
            .with_strides([2, 2])
            .init()
            .forward(x);
        let y = relu(self.depthwise.forward(x.clone()) + x.clone());
        let z = self.branch.forward(y.clone());
        let z = z.clone() * y + z;
        let z = Tensor::cat(vec![x, z], 1);
        let z = AvgPool2dConfig::new([2, 2])
            .with_strides([2, 2])
            .init()
            .forward(z);
        let [batch, channels, height, width] = z.dims();
        let tokens = z.reshape([batch, channels, height * width]).swap_dims(1, 2);
        relu(self.tokens.forward(tokens))
    }

    fn head(&self, tokens: Tensor<3>) -> Tensor<2> {
        self.head.forward(tokens.mean_dim(1).squeeze_dim::<2>(1))
    }

    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let tokens = self.tokens(x);
        let scores = tokens.clone().matmul(tokens.clone().swap_dims(1, 2));
        self.head(scores.matmul(tokens))
    }
}

/// A transposed convolution between two others.
#[derive(Module, Debug)]
pub(crate) struct Decoder {
    down: Conv2d,
    up: ConvTranspose2d,
    last: Conv2d,
}

impl Decoder {
    pub(crate) fn new(device: &Device) -> Self {
        Self {
            down: Conv2dConfig::new([3, 6], [3, 3])
                .with_stride([2, 2])
                .init(device),
            up: ConvTranspose2dConfig::new([6, 4], [3, 3])
                .with_stride([2, 2])
                .with_padding([1, 1])
                .init(device),
            last: Conv2dConfig::new([4, 5], [5, 5]).init(device),
        }
    }

    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.up.forward(relu(self.down.forward(x))));
        self.last.forward(x).flatten::<2>(1, 3)
    }
}

/// Does something with the random numbers of a seed. A device has one generator for all threads, so others wait.
pub(crate) fn seeded<T>(seed: u64, work: impl FnOnce() -> T) -> T {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _held = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    Device::flex().seed(seed);
    work()
}

/// Random images, more than one.
pub(crate) fn images(spread: f64) -> Tensor<4> {
    seeded(6, || drawn(6, spread))
}

fn drawn(count: usize, spread: f64) -> Tensor<4> {
    let normal = Distribution::Normal(0.0, spread);
    Tensor::random([count, 3, 8, 8], normal, &Device::flex())
}

/// The network that quantizers are made for, with other images than it is run on, so that some numbers are beyond the ranges.
pub(crate) fn quantized(network: &Network, settings: &QuantizationSettings) -> Quantized {
    let images = seeded(5, || drawn(6, 0.8));
    let seen = Calibration::collect(network, &[images]).unwrap();
    quantize(network, &seen, settings).unwrap()
}

pub(crate) fn net() -> Network {
    net_and_images().0
}

/// With images drawn after it.
pub(crate) fn net_and_images() -> (Network, Tensor<4>) {
    let device = Device::flex();
    seeded(11, || {
        let net = Net::new(&device, 2);
        let network = trace(&net, drawn(6, 1.0), |net, x| net.forward(x)).unwrap();
        (network, drawn(6, 1.0))
    })
}

/// The same without products of activations and groups, and images drawn for it.
pub(crate) fn net_without_products() -> (Network, Tensor<4>) {
    let device = Device::flex();
    seeded(11, || {
        let net = Net::new(&device, 1);
        let x = drawn(16, 1.0);
        let network = trace(&net, x.clone(), |net, x| net.head(net.tokens(x))).unwrap();
        (network, x)
    })
}

pub(crate) fn decoder() -> Network {
    let device = Device::flex();
    seeded(12, || {
        let images = drawn(6, 1.0);
        trace(&Decoder::new(&device), images, |net, x| net.forward(x)).unwrap()
    })
}

/// What the network computes, as an array.
pub(crate) fn own(quantized: &Quantized, x: &Tensor<4>) -> Array {
    array(&quantized.forward::<_, Tensor<2>>(x.clone()))
}

pub(crate) fn array<const D: usize>(tensor: &Tensor<D>) -> Array {
    Array {
        shape: tensor.dims().to_vec(),
        values: tensor.to_data().iter::<f32>().collect(),
    }
}

/// A row of a table: a quantized network in a form for a runtime.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) runtime: Runtime,
    pub(crate) expected: Array,
    job: Job,
}

impl Row {
    /// The row, and twice the same bytes; what cannot be exported says so.
    pub(crate) fn new(
        name: &str,
        (runtime, form): (Runtime, Option<Form>),
        quantized: &Quantized,
        x: &Tensor<4>,
    ) -> Result<Self, ExportError> {
        let mut options = ExportOptions::default();
        options.runtime = Some(runtime);
        options.form = form;
        let file = export_quantized(quantized, &options)?.to_bytes()?;
        let again = export_quantized(quantized, &options)?.to_bytes()?;
        assert_eq!(file, again, "{name}: two exports are of the same bytes");
        let form_name = options.form_of(quantized);
        // Otherwise ONNX Runtime rounds activations that we have in float, and OpenVINO computes in bfloat16 on some processors.
        let option = match runtime {
            Runtime::OpenVino => ["INFERENCE_PRECISION_HINT", "f32"],
            _ => ["session.qdq_matmulnbits_accuracy_level", "1"],
        };
        Ok(Self {
            name: format!("{name}, {runtime}, {form_name}"),
            runtime,
            expected: own(quantized, x),
            job: Job {
                file,
                input: array(x),
                batch: x.dims()[0],
                options: [option.map(str::to_owned).into()].into(),
            },
        })
    }
}

/// The largest difference of each row's outputs, relative to the largest of them where that is above 1.
pub(crate) fn differences(rows: &[Row]) -> Vec<(String, f32)> {
    let mut found = vec![f32::INFINITY; rows.len()];
    for runtime in Runtime::ALL {
        let own: Vec<usize> = (0..rows.len())
            .filter(|at| rows[*at].runtime == runtime)
            .collect();
        if own.is_empty() {
            continue;
        }
        let jobs: Vec<Job> = own.iter().map(|at| rows[*at].job.clone()).collect();
        for (at, done) in own.into_iter().zip(run(runtime, &jobs)) {
            let done = done.unwrap_or_else(|error| panic!("{}: {error}", rows[at].name));
            found[at] = difference(&done.output, &rows[at].expected);
        }
    }
    rows.iter().map(|row| row.name.clone()).zip(found).collect()
}

fn difference(found: &Array, expected: &Array) -> f32 {
    assert_eq!(found.shape, expected.shape);
    let largest = expected
        .values
        .iter()
        .fold(1.0_f32, |all, x| all.max(x.abs()));
    let pairs = found.values.iter().zip(&expected.values);
    // NaN is the largest difference of all.
    let off = pairs.map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
    off.fold(0.0_f32, |all, off| {
        if off.is_nan() {
            f32::INFINITY
        } else {
            all.max(off)
        }
    }) / largest
}

/// The forms that are offered for a runtime and computed there in integers, or at least in whole numbers.
pub(crate) fn exact_forms(runtime: Runtime) -> &'static [Form] {
    match runtime {
        Runtime::OnnxRuntime => &[Form::Qdq, Form::QOperator, Form::Integer],
        Runtime::Tract => &[Form::Integer],
        Runtime::Rten => &[Form::Qdq],
        _ => &[],
    }
}
