//! The trained ResNet-20, exported in every opset and run by ONNX Runtime.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use calcine_onnx::{ExportOptions, Form, Runtime, export, export_quantized};
use calcine_quantize::{Calibration, QuantizationSettings, quantize};
use calcine_trace::{Network, trace};
use calcine_zoo::{RESNET20_CIFAR10, ResNetConfig};

use crate::engines::{Array, Job, engines, run as run_in};
use crate::nets::{array, exact_forms, seeded};
use crate::runtime::{self, output, run};

/// How many images are run at once.
const BATCH: usize = 100;

/// Smooth noise of bytes, as images are.
pub(crate) fn smooth_images(count: usize) -> Tensor<4> {
    let device = Device::flex();
    let random = |length, spread| {
        Tensor::<4>::random(
            [count, 3, length, length],
            Distribution::Normal(0.0, spread),
            &device,
        )
    };
    let (coarse, fine) = seeded(3, || (random(8, 0.6), random(32, 0.1)));
    let smooth = coarse
        .reshape([count, 3, 8, 1, 8, 1])
        .expand([count, 3, 8, 4, 8, 4]);
    let pixels = (smooth.reshape([count, 3, 32, 32]) + fine).clamp(-1.0, 1.0);
    let bytes = ((pixels + 1.0) * 127.5).round();
    (bytes / 255.0 - 0.5) / 0.5
}

/// So many images of a file of CIFAR-10 in the folder that `CALCINE_DATA` names, and their classes; else smooth noise.
fn images(file: &str, count: usize) -> (Tensor<4>, Vec<usize>) {
    let Some(folder) = std::env::var_os("CALCINE_DATA").map(std::path::PathBuf::from) else {
        return (smooth_images(count), vec![0; count]);
    };
    let bytes = std::fs::read(folder.join(file)).unwrap();
    let records: Vec<&[u8]> = bytes.chunks_exact(3073).take(count).collect();
    let pixels = records.iter().flat_map(|record| &record[1..]);
    let pixels: Vec<f32> = pixels
        .map(|v| (f32::from(*v) / 255.0 - 0.5) / 0.5)
        .collect();
    let labels = records
        .iter()
        .map(|record| usize::from(record[0]))
        .collect();
    let x = TensorData::new(pixels, [records.len(), 3, 32, 32]);
    (Tensor::from_data(x, &Device::flex()), labels)
}

pub(crate) fn network() -> Network {
    let device = Device::flex();
    let model = ResNetConfig::new(20).init(&device).unwrap();
    let model = calcine_weights::load_bytes(model, RESNET20_CIFAR10).unwrap();
    let sample = Tensor::<4>::zeros([1, 3, 32, 32], &device);
    trace(&model.valid(), sample, |model, x| model.forward(x)).unwrap()
}

fn count() -> usize {
    let asked = std::env::var("CALCINE_TEST_IMAGES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(64)
}

fn answers(logits: &Array) -> Vec<usize> {
    let rows = logits.values.chunks(logits.shape[1]);
    let best = |row: &[f32]| {
        (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best })
    };
    rows.map(best).collect()
}

fn differing<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn resnet20_as_floats_is_the_network() {
    let network = network();
    let x = smooth_images(64);
    let jobs: Vec<runtime::Job> = [13, 17, 18, 21, 25]
        .into_iter()
        .map(|opset| {
            let mut options = ExportOptions::default();
            options.opset = Some(opset);
            let model = export(&network, &options).unwrap();
            assert_eq!(model.opset(), opset);
            runtime::Job {
                name: format!("float{opset}"),
                file: model.to_bytes().unwrap(),
                inputs: vec![x.clone().into()],
            }
        })
        .collect();
    let Some(found) = run(&jobs) else { return };
    let expected: Tensor<2> = network.forward(x);
    let expected = output(&expected.into());
    for outputs in found {
        assert!(outputs[0].difference(&expected) < 1e-5);
    }
}

/// All forms in all runtimes. With `CALCINE_DATA` and `CALCINE_TEST_IMAGES=10000` this prints the table of `docs/results.md`.
#[test]
fn resnet20_in_8_bits_gives_the_same_logits_in_every_runtime() {
    let network = network();
    let (seen, _) = images("data_batch_1.bin", 200);
    let (x, labels) = images("test_batch.bin", count());
    let statistics = Calibration::collect(&network, std::slice::from_ref(&seen)).unwrap();
    let quantized = quantize(&network, &statistics, &QuantizationSettings::default()).unwrap();
    let pass = |run: &dyn Fn(Tensor<4>) -> Tensor<2>| {
        let batches = x.clone().split(BATCH, 0).into_iter();
        array(&Tensor::cat(batches.map(run).collect(), 0))
    };
    let float = pass(&|x| network.forward(x));
    let eight = pass(&|x| quantized.forward(x));
    println!(
        "| runtime | form | differing logits | differing answers | right | images/s | kernels |"
    );
    println!("|---|---|---|---|---|---|---|");
    for runtime in engines() {
        let mut rows = Vec::new();
        let mut options = ExportOptions::default();
        options.runtime = Some(runtime);
        rows.push((
            "float".to_owned(),
            export(&network, &options).unwrap(),
            &float,
            false,
        ));
        for (form, exact) in [
            (Form::Qdq, true),
            (Form::Qdq, false),
            (Form::QOperator, true),
            (Form::Integer, true),
        ] {
            (options.form, options.exact) = (Some(form), Some(exact));
            // Those that the runtime cannot compute are refused.
            if let Ok(model) = export_quantized(&quantized, &options) {
                let title = if exact {
                    form.to_string()
                } else {
                    format!("{form}, fused")
                };
                rows.push((
                    title,
                    model,
                    &eight,
                    exact && exact_forms(runtime).contains(&form),
                ));
            }
        }
        let jobs = rows.iter().map(|(_, model, ..)| Job {
            file: model.to_bytes().unwrap(),
            input: array(&x),
            batch: BATCH,
            options: [].into(),
        });
        let done = run_in(runtime, &jobs.collect::<Vec<_>>());
        for ((title, _, expected, is_exact), done) in rows.into_iter().zip(done) {
            let done = done.unwrap_or_else(|error| panic!("{runtime}, {title}: {error}"));
            let logits = differing(&done.output.values, &expected.values);
            let found = answers(&done.output);
            let answers = differing(&found, &answers(expected));
            println!(
                "| {} | {title} | {logits} | {answers} | {} | {:.0} | {} |",
                runtime.title(),
                labels.len() - differing(&found, &labels),
                labels.len() as f64 / done.seconds,
                done.kernels
                    .iter()
                    .map(|(kernel, count)| format!("{count} {kernel}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            if is_exact {
                assert_eq!([logits, answers], [0, 0], "{runtime}, {title}");
            }
            // Everything else is rounded elsewhere next to ties, or in bfloat16.
            let one_in = match runtime {
                Runtime::OnnxRuntime => 1000,
                _ => 50,
            };
            assert!(
                answers * one_in <= labels.len(),
                "{runtime}, {title}: {answers}"
            );
        }
    }
}
