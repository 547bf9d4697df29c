//! The trained ResNet-20, exported in every form and run by ONNX Runtime.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use calcine_onnx::{ExportOptions, Form, export, export_quantized};
use calcine_quantize::{Calibration, QuantizationSettings, Quantized, quantize};
use calcine_trace::{AnyTensor, Network, trace};
use calcine_zoo::{RESNET20_CIFAR10, ResNetConfig};

use crate::runtime::{Job, Output, output, run};

/// So many images: the first of CIFAR-10's test set, if `CALCINE_DATA` is the folder of its binary files, else smooth noise.
fn images(count: usize) -> Tensor<4> {
    let device = Device::flex();
    let file = std::env::var_os("CALCINE_DATA").map(std::path::PathBuf::from);
    let file = file.and_then(|folder| std::fs::read(folder.join("test_batch.bin")).ok());
    let Some(bytes) = file else {
        device.seed(3);
        let coarse = Tensor::<4>::random([count, 3, 8, 8], Distribution::Normal(0.0, 0.6), &device);
        let fine = Tensor::<4>::random([count, 3, 32, 32], Distribution::Normal(0.0, 0.1), &device);
        let smooth = coarse
            .reshape([count, 3, 8, 1, 8, 1])
            .expand([count, 3, 8, 4, 8, 4]);
        return (smooth.reshape([count, 3, 32, 32]) + fine).clamp(-1.0, 1.0);
    };
    let records = bytes.chunks_exact(3073).take(count);
    let pixels = records.flat_map(|record| &record[1..]);
    let pixels: Vec<f32> = pixels
        .map(|v| (f32::from(*v) / 255.0 - 0.5) / 0.5)
        .collect();
    Tensor::from_data(TensorData::new(pixels, [count, 3, 32, 32]), &device)
}

fn network() -> Network {
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

fn quantized(network: &Network, settings: &QuantizationSettings) -> Quantized {
    let images = images(64);
    let seen = Calibration::collect(network, std::slice::from_ref(&images)).unwrap();
    quantize(network, &seen, settings).unwrap()
}

fn answers(output: &Output) -> Vec<usize> {
    let rows = output.values.chunks(output.shape[1]);
    let best = rows
        .map(|row| (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }));
    best.collect()
}

#[test]
fn resnet20_as_floats_is_the_network() {
    let network = network();
    let x = images(count());
    let jobs: Vec<Job> = [13, 17, 18, 21, 25]
        .into_iter()
        .map(|opset| {
            let mut options = ExportOptions::default();
            options.opset = Some(opset);
            let model = export(&network, &options).unwrap();
            assert_eq!(model.opset(), opset);
            Job {
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
        assert_eq!(answers(&outputs[0]), answers(&expected));
    }
}

/// The numbers of differing logits and answers of each form.
fn differences(settings: &QuantizationSettings, forms: &[(Form, bool)]) -> Option<Vec<[usize; 2]>> {
    let network = network();
    let quantized = quantized(&network, settings);
    let x = images(count());
    let jobs = forms.iter().map(|&(form, exact)| {
        let mut options = ExportOptions::default();
        options.form = form;
        options.exact = exact;
        let file = export_quantized(&quantized, &options).unwrap();
        Job {
            name: format!("{form}{exact}"),
            file: file.to_bytes().unwrap(),
            inputs: vec![x.clone().into()],
        }
    });
    let found = run(&jobs.collect::<Vec<_>>())?;
    let chunks = x.clone().split(100, 0);
    let rows = chunks
        .into_iter()
        .map(|chunk| quantized.forward::<_, Tensor<2>>(chunk));
    let expected = output(&AnyTensor::from(Tensor::cat(rows.collect(), 0)));
    let count = found.into_iter().map(|outputs| {
        let pairs = outputs[0].values.iter().zip(&expected.values);
        let logits = pairs.filter(|(a, b)| a != b).count();
        let (a, b) = (answers(&outputs[0]), answers(&expected));
        [logits, a.iter().zip(&b).filter(|(a, b)| a != b).count()]
    });
    Some(count.collect())
}

#[test]
fn resnet20_in_8_bits_gives_the_same_logits_in_onnx_runtime() {
    let forms = [
        (Form::Qdq, true),
        (Form::Qdq, false),
        (Form::QOperator, true),
        (Form::Integer, true),
    ];
    let Some(found) = differences(&QuantizationSettings::default(), &forms) else {
        return;
    };
    println!(
        "differing logits and answers of {} images: {found:?}",
        count()
    );
    for ((form, exact), [logits, answers]) in forms.into_iter().zip(found) {
        if exact {
            assert_eq!([logits, answers], [0, 0], "{form}");
        } else {
            // Fused sums are rounded elsewhere next to ties.
            assert!(answers * 1000 <= count(), "{form}: {answers}");
        }
    }
}
