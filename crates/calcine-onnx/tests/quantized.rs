//! Quantized networks of many settings in every form, as ONNX Runtime computes them.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2dConfig, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_onnx::{
    ExportError, ExportOptions, Form, ImportOptions, export, export_quantized, import_file,
    read_bytes,
};
use calcine_quantize::{
    Calibration, QuantizationSettings, Quantized, Scheme, quantize, quantize_as,
};
use calcine_trace::{AnyTensor, trace};

use crate::runtime::{Job, output, python, run};

#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    norm: BatchNorm,
    depthwise: Conv2d,
    branch: Conv2d,
    tokens: Linear,
    head: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        device.seed(11);
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
            branch: conv([8, 8], 1),
            tokens: LinearConfig::new(16, 12).init(device),
            head: LinearConfig::new(12, 5).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
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
        let tokens = relu(self.tokens.forward(tokens));
        self.head.forward(tokens.mean_dim(1).squeeze_dim::<2>(1))
    }
}

fn quantized(settings: &QuantizationSettings) -> (Quantized, Tensor<4>) {
    let device = Device::flex();
    let net = Net::new(&device);
    let x = Tensor::<4>::random([16, 3, 8, 8], Distribution::Normal(0.0, 1.0), &device);
    let network = trace(&net, x.clone(), |net, x| net.forward(x)).unwrap();
    // Others than those that are run, so that some numbers are beyond the ranges.
    let seen = Tensor::<4>::random([16, 3, 8, 8], Distribution::Normal(0.0, 0.8), &device);
    let seen = Calibration::collect(&network, std::slice::from_ref(&seen)).unwrap();
    (quantize(&network, &seen, settings).unwrap(), x)
}

/// The largest difference of each form's outputs; `None` for a form that the network does not have.
fn differences(
    cases: &[(&str, QuantizationSettings)],
    forms: &[Form],
) -> Option<Vec<(String, f32)>> {
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for (name, settings) in cases {
        let (quantized, x) = quantized(settings);
        let own: Tensor<2> = quantized.forward(x.clone());
        let own = output(&AnyTensor::from(own));
        for &form in forms {
            let mut options = ExportOptions::default();
            options.form = Some(form);
            let model = match export_quantized(&quantized, &options) {
                Ok(model) => model,
                Err(error @ ExportError::Nodes(_)) => {
                    println!("{name} as {form}: {error}");
                    continue;
                }
                Err(error) => panic!("{name} as {form}: {error}"),
            };
            let file = model.to_bytes().unwrap();
            assert_eq!(
                file,
                export_quantized(&quantized, &options)
                    .unwrap()
                    .to_bytes()
                    .unwrap()
            );
            if form == Form::Qdq && quantized.layers().all(|layer| layer.dynamic.is_none()) {
                let again = read_bytes(&file, &ImportOptions::default(), &Device::flex());
                // 8 bits in float: what rounding alone makes different.
                let again = again.unwrap_or_else(|error| panic!("{name}: {error}"));
                let float: Tensor<2> = again.forward(x.clone());
                assert_eq!(float.dims(), [16, 5]);
            }
            jobs.push(Job {
                name: format!("{name}_{form}"),
                file,
                inputs: vec![x.clone().into()],
            });
            expected.push(own.clone());
        }
    }
    let found = run(&jobs)?;
    let each = jobs.iter().zip(found).zip(expected);
    Some(
        each.map(|((job, found), expected)| (job.name.clone(), found[0].difference(&expected)))
            .collect(),
    )
}

fn settings(change: impl Fn(&mut QuantizationSettings)) -> QuantizationSettings {
    let mut settings = QuantizationSettings::default();
    change(&mut settings);
    settings
}

#[test]
fn integer_networks_are_equal_bit_for_bit() {
    let cases = [
        ("default", QuantizationSettings::default()),
        (
            "symmetric",
            settings(|s| s.activations.scheme = Scheme::Symmetric),
        ),
        ("per_tensor", settings(|s| s.weights.per_channel = false)),
        (
            "powers",
            settings(|s| (s.weights.power_of_two, s.activations.power_of_two) = (true, true)),
        ),
        (
            "four_bits",
            settings(|s| (s.weights.bits, s.activations.bits) = (4, 4)),
        ),
        (
            "affine",
            settings(|s| (s.weights.scheme, s.weights.per_channel) = (Scheme::Affine, false)),
        ),
        (
            "affine_channels",
            settings(|s| s.weights.scheme = Scheme::Affine),
        ),
    ];
    let Some(found) = differences(&cases, &Form::QUANTIZED) else {
        return;
    };
    let wrong: Vec<_> = found.iter().filter(|(_, off)| *off != 0.0).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(found.len() >= 18, "{found:?}");
}

/// What runs in float there differs by rounding: of 16 bits, and of weights alone.
#[test]
fn other_widths_are_computed_in_float() {
    let weights_only = |s: &mut QuantizationSettings| s.activations.bits = 0;
    let cases = [
        ("sixteen", settings(|s| s.activations.bits = 16)),
        ("weights_8", settings(weights_only)),
        (
            "weights_16",
            settings(|s| (s.activations.bits, s.weights.bits) = (0, 16)),
        ),
        (
            "groups",
            settings(|s| (s.activations.bits, s.weights.bits, s.weights.group) = (0, 4, Some(8))),
        ),
        (
            "affine_groups",
            settings(|s| {
                (s.activations.bits, s.weights.bits, s.weights.group) = (0, 4, Some(8));
                s.weights.scheme = Scheme::Affine;
            }),
        ),
    ];
    let Some(found) = differences(&cases, &[Form::Qdq]) else {
        return;
    };
    assert_eq!(found.len(), cases.len());
    for (name, off) in found {
        assert!(off < 5e-3, "{name}: {off}");
    }
}

/// A file's quantization parameters make the quantized network that it was written from.
#[test]
fn quantized_files_are_quantized_networks_again() {
    let weights_only = |s: &mut QuantizationSettings| s.activations.bits = 0;
    let cases = [
        ("default", QuantizationSettings::default()),
        (
            "symmetric",
            settings(|s| s.activations.scheme = Scheme::Symmetric),
        ),
        ("per_tensor", settings(|s| s.weights.per_channel = false)),
        (
            "affine_channels",
            settings(|s| s.weights.scheme = Scheme::Affine),
        ),
        ("weights_8", settings(weights_only)),
        (
            "groups",
            settings(|s| (s.activations.bits, s.weights.bits, s.weights.group) = (0, 4, Some(8))),
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (name, settings) in cases {
        let (quantized, x) = quantized(&settings);
        let own: Tensor<2> = quantized.forward(x.clone());
        let own = output(&AnyTensor::from(own));
        for form in [Form::Qdq, Form::QOperator] {
            let mut options = ExportOptions::default();
            options.form = Some(form);
            options.exact = Some(false);
            let Ok(model) = export_quantized(&quantized, &options) else {
                continue;
            };
            let file = folder.path().join(format!("{name}_{form}.onnx"));
            std::fs::write(&file, model.to_bytes().unwrap()).unwrap();
            let imported = import_file(&file, &ImportOptions::default(), &Device::flex()).unwrap();
            assert_eq!(imported.left_out, [] as [String; 0], "{name} as {form}");
            let again = quantize_as(&imported.network, &imported.parameters).unwrap();
            // The last layer of the other form is written with `MatMulInteger`, and is read as that.
            let layers = again.layers().count();
            let missing = usize::from(form == Form::QOperator);
            assert!(
                layers + missing >= quantized.layers().count(),
                "{name} as {form}: {layers}"
            );
            let found: Tensor<2> = again.forward(x.clone());
            let off = output(&AnyTensor::from(found)).difference(&own);
            println!("{name} as {form}: {off:.1e}");
            if off > 1e-6 {
                wrong.push((name, form.to_string(), off));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Files that other tools quantized: each output is that of `ONNX Runtime` within two of its codes, after six layers.
#[test]
fn files_that_onnx_runtime_quantized_give_its_outputs() {
    let Some(python) = python() else {
        println!("left out: no Python with onnx and onnxruntime; CALCINE_PYTHON names one");
        return;
    };
    let device = Device::flex();
    let net = Net::new(&device);
    let x = Tensor::<4>::random([16, 3, 8, 8], Distribution::Normal(0.0, 1.0), &device);
    let network = trace(&net, x.clone(), |net, x| net.forward(x)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let float = folder.path().join("float.onnx");
    let model = export(&network, &ExportOptions::default()).unwrap();
    std::fs::write(&float, model.to_bytes().unwrap()).unwrap();
    let bytes: Vec<u8> = x
        .to_data()
        .iter::<f32>()
        .flat_map(f32::to_le_bytes)
        .collect();
    let inputs = folder.path().join("inputs");
    std::fs::write(&inputs, bytes).unwrap();
    let done = std::process::Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/quantize_static.py"
        ))
        .args([&float, &inputs])
        .arg("16,3,8,8")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let names = ["qdq_uint8_channels", "qdq_int8", "qoperator"];
    let jobs = names.map(|name| Job {
        name: name.to_owned(),
        file: std::fs::read(folder.path().join(format!("{name}.onnx"))).unwrap(),
        inputs: vec![x.clone().into()],
    });
    let expected = run(&jobs).unwrap();
    for (name, expected) in names.into_iter().zip(expected) {
        let file = folder.path().join(format!("{name}.onnx"));
        let imported = import_file(&file, &ImportOptions::default(), &device).unwrap();
        assert_eq!(imported.left_out, [] as [String; 0], "{name}");
        assert!(
            imported.parameters.weights.len() >= 5,
            "{name}: {:?}",
            imported.parameters.weights.keys()
        );
        let graph = imported.network.graph();
        let output_name = &graph.value(graph.outputs[0]).name;
        let scale = imported.parameters.activations[output_name].scale;
        let again = quantize_as(&imported.network, &imported.parameters).unwrap();
        let found: Tensor<2> = again.forward(x.clone());
        let found = output(&AnyTensor::from(found));
        let off = found.values.iter().zip(&expected[0].values);
        let off: Vec<f32> = off.map(|(a, b)| (a - b).abs() / scale).collect();
        let most = off.iter().copied().fold(0.0, f32::max);
        let equal = off.iter().filter(|off| **off < 0.01).count();
        println!(
            "{name}: {equal} of {} outputs are equal, the others within {most} codes",
            off.len()
        );
        // Its sums of two, products and means round after they have added the zero point, which later layers pass on.
        assert!(most < 2.01, "{name}: {most} codes");
    }
}
