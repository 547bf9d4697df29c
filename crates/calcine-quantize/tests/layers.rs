//! Layers that are no plain convolutions: matrix products, embeddings, transposed convolutions, and layers in half precision.

use burn::module::{Module, Param};
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, Relu};
use burn::tensor::{Device, Int, Tensor};
use calcine_quantize::{
    Calibration, FloatType, Override, QuantizationSettings, QuantizeError, Quantizer, Scheme,
    quantize,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, Network, Tensors, trace};
use safetensors::{Dtype, SafeTensors};

use crate::models::{images, read, reread};

/// Sums of integers, in one part and in several, times one factor.
#[test]
fn matrix_products_are_those_of_integers() {
    let rows = [
        (8, Scheme::Affine, 20),
        // Sums beyond 2²⁴.
        (8, Scheme::Affine, 700),
        (12, Scheme::Affine, 40),
        (5, Scheme::Symmetric, 33),
    ];
    each(rows, |(bits, scheme, summed)| {
        let (a, b): (Tensor<3>, Tensor<3>) = (numbers([2, 3, *summed]), numbers([2, *summed, 4]));
        let (a, b) = (a + 0.8, b + 0.6);
        let samples = (a, b);
        // A last operation behind it, so that its result has a quantizer.
        let forward = |_: &Relu, (a, b): (Tensor<3>, Tensor<3>)| a.matmul(b).swap_dims(1, 2);
        let network = trace(&Relu::new(), samples.clone(), forward).unwrap();
        let calibration = Calibration::collect(&network, std::slice::from_ref(&samples)).unwrap();
        let mut settings = QuantizationSettings::default();
        settings.activations.bits = *bits;
        settings.activations.scheme = *scheme;
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let graph = quantized.graph();
        let quantizers = graph.inputs.iter().map(|id| &*graph.value(*id).name);
        let quantizers: Vec<_> = quantizers
            .map(|name| quantized.quantizer(name).unwrap())
            .collect();
        let out = quantized.quantizer(&graph.nodes[0].name).unwrap();
        let (a, b) = (read(samples.0.clone()), read(samples.1.clone()));
        let centred = |side: usize, x: f32| {
            i64::from(quantizers[side].quantize(x) - quantizers[side].zero_point)
        };
        let factor = quantizers[0].scale * quantizers[1].scale / out.scale;
        let mut expected = Vec::new();
        for at in 0..2 * 3 * 4 {
            // Swapped: the columns first.
            let (sample, column, row) = (at / 12, at / 3 % 4, at % 3);
            let sum: i64 = (0..*summed)
                .map(|k| {
                    let a = a[(sample * 3 + row) * summed + k];
                    let b = b[(sample * summed + k) * 4 + column];
                    centred(0, a) * centred(1, b)
                })
                .sum();
            let scaled = (sum as f32 * factor).round_ties_even() as i32;
            let q = (scaled + out.zero_point).clamp(out.low, out.high);
            expected.push(out.dequantize(q));
        }
        let inputs = samples.into_any();
        assert_eq!(reread(&quantized, &inputs), expected);
    });
}

#[derive(Module, Debug)]
struct Words {
    embedding: Embedding,
    fc: Linear,
}

fn words(device: &Device) -> (Network, Tensor<2, Int>, Tensor<2>) {
    let table: Tensor<2> = numbers([10, 6]);
    let table = table * Tensor::arange(1..11, device).float().reshape([10, 1]);
    let model = Words {
        embedding: Embedding {
            weight: Param::from_tensor(table.clone()),
        },
        fc: LinearConfig::new(6, 3).init(device),
    };
    assert_eq!(
        EmbeddingConfig::new(10, 6).init(device).weight.dims(),
        [10, 6]
    );
    let ids = Tensor::<2, Int>::from_ints([[0, 3, 9], [7, 7, 2]], device);
    let forward = |m: &Words, x: Tensor<2, Int>| m.fc.forward(m.embedding.forward(x));
    (trace(&model, ids.clone(), forward).unwrap(), ids, table)
}

/// A row of an embedding is integers times the row's step, or the table's.
#[test]
fn embeddings_are_rows_of_integers() {
    let (network, ids, table) = words(&device());
    let calibration = Calibration::collect(&network, std::slice::from_ref(&ids)).unwrap();
    let rows = [
        (8, true, Scheme::Symmetric, None),
        (4, false, Scheme::Symmetric, None),
        (3, true, Scheme::Affine, None),
        (4, true, Scheme::Symmetric, Some(4)),
    ];
    each(rows, |(bits, per_channel, scheme, group)| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = *bits;
        settings.weights.per_channel = *per_channel;
        settings.weights.scheme = *scheme;
        settings.weights.group = *group;
        settings.activations.bits = if group.is_some() { 0 } else { 8 };
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let layer = quantized.layers().next().unwrap();
        let steps = if *per_channel { 10 } else { 1 };
        assert_eq!(layer.name, "embedding");
        assert_eq!(layer.scales.len(), steps * group.map_or(1, |_| 2));
        assert_eq!((layer.bias, layer.output_axis), (None, 0));
        // Within half a step of the table.
        let table = read(table.clone());
        for (at, (q, w)) in layer.weight.iter().zip(&table).enumerate() {
            let step = match (steps, group) {
                (1, _) => layer.scales[0],
                (_, None) => layer.scales[at / 6],
                (_, Some(_)) => layer.scales[at / 6 * 2 + at % 6 / 4],
            };
            assert!((step * *q as f32 - w).abs() <= 0.501 * step, "{at}");
        }
        let mut found = Vec::new();
        let mut observe = |node: &calcine_graph::Node, result: AnyTensor| {
            if node.name == "embedding" {
                found = read(result);
            }
        };
        quantized.run(ids.clone().into_any(), &mut observe).unwrap();
        let ids = [0, 3, 9, 7, 7, 2];
        for (at, found) in found.iter().enumerate() {
            let (row, column) = (ids[at / 6], at % 6);
            let of = row * 6 + column;
            let step = match (steps, group) {
                (1, _) => layer.scales[0],
                (_, None) => layer.scales[row],
                (_, Some(_)) => layer.scales[row * 2 + column / 4],
            };
            let expected = step * layer.weight[of] as f32;
            let fake_quantized =
                |quantizer: Quantizer| quantizer.dequantize(quantizer.quantize(expected));
            let expected = quantized
                .quantizer("embedding")
                .map_or(expected, fake_quantized);
            assert_eq!(*found, expected, "{at}");
        }
        let given = reread(&quantized, &ids_of(&network));
        assert_eq!(given.len(), 2 * 3 * 3);
    });
}

#[derive(Module, Debug)]
struct Tied {
    embedding: Embedding,
}

/// A table that words are looked up in and that answers are made of: integers of the rows for the one, of the columns for
/// the other, in one file.
#[test]
fn a_tied_embedding_is_in_the_file_twice() {
    let device = device();
    let embedding = Embedding {
        weight: Param::from_tensor(numbers([10, 6])),
    };
    let model = Tied { embedding };
    let ids = Tensor::<2, Int>::from_ints([[0, 3, 9], [7, 7, 2]], &device);
    let forward = |m: &Tied, x: Tensor<2, Int>| {
        let decoder = m.embedding.weight.val().transpose().unsqueeze::<3>();
        m.embedding.forward(x).matmul(decoder)
    };
    let network = trace(&model, ids.clone(), forward).unwrap();
    let calibration = Calibration::collect(&network, std::slice::from_ref(&ids)).unwrap();
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    assert_eq!(quantized.layers().count(), 2);
    let given = reread(&quantized, &ids.clone().into_any());
    let expected: Tensor<3> = network.forward(ids);
    for (given, expected) in given.iter().zip(read(expected)) {
        assert!((given - expected).abs() < 0.1, "{given} for {expected}");
    }
}

fn ids_of(network: &Network) -> Vec<AnyTensor> {
    let device = network.devices().into_iter().next().unwrap();
    Tensor::<2, Int>::from_ints([[0, 3, 9], [7, 7, 2]], &device).into_any()
}

/// Each input adds its integers times the kernel's to the places around it.
#[test]
fn transposed_convolutions_are_sums_of_integers() {
    let device = device();
    let layer = ConvTranspose2dConfig::new([3, 5], [3, 3])
        .with_stride([2, 2])
        .with_padding([1, 1])
        .init(&device);
    let weight: Tensor<4> = numbers([3, 5, 3, 3]);
    let model = ConvTranspose2d {
        weight: Param::from_tensor(weight),
        bias: Some(Param::from_tensor(numbers([5]))),
        ..layer
    };
    let x = images(2, 5);
    let forward = |m: &ConvTranspose2d, x: Tensor<4>| m.forward(x).swap_dims(2, 3);
    let network = trace(&model, x.clone(), forward).unwrap();
    let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    let rows = [
        (8, 8, true, Scheme::Symmetric),
        (4, 8, false, Scheme::Affine),
        (8, 12, true, Scheme::Symmetric),
    ];
    each(rows, |(weights, activations, per_channel, scheme)| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = *weights;
        settings.weights.per_channel = *per_channel;
        settings.weights.scheme = *scheme;
        settings.activations.bits = *activations;
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let layer = quantized.layers().next().unwrap();
        assert_eq!((layer.output_axis, layer.shape), (1, &[3, 5, 3, 3][..]));
        let graph = quantized.graph();
        let quantizer = quantized
            .quantizer(&graph.value(graph.inputs[0]).name)
            .unwrap();
        let out = quantized.quantizer(&graph.nodes[0].name).unwrap();
        let ints: Vec<i32> = read(x.clone())
            .into_iter()
            .map(|x| quantizer.quantize(x) - quantizer.zero_point)
            .collect();
        // 8 places become 15.
        let mut sums = vec![0_i32; 2 * 5 * 15 * 15];
        for (at, x) in ints.iter().enumerate() {
            let (image, channel, row, column) = (at / 192, at / 64 % 3, at / 8 % 8, at % 8);
            for (tap, w) in layer.weight[channel * 45..][..45].iter().enumerate() {
                let output = tap / 9;
                let y = (2 * row + tap / 3 % 3).checked_sub(1).filter(|y| *y < 15);
                let z = (2 * column + tap % 3).checked_sub(1).filter(|z| *z < 15);
                if let (Some(y), Some(z)) = (y, z) {
                    sums[((image * 5 + output) * 15 + y) * 15 + z] += x * w;
                }
            }
        }
        let mut expected = vec![0.0; sums.len()];
        for (at, sum) in sums.iter().enumerate() {
            let output = at / 225 % 5;
            let step = layer.scales[if *per_channel { output } else { 0 }];
            let factor = quantizer.scale * step / out.scale;
            let sum = sum + layer.bias.unwrap()[output];
            let scaled = (sum as f32 * factor).round_ties_even() as i32;
            let q = (scaled + out.zero_point).clamp(out.low, out.high);
            let (plane, y, z) = (at / 225, at / 15 % 15, at % 15);
            expected[(plane * 15 + z) * 15 + y] = out.dequantize(q);
        }
        assert_eq!(reread(&quantized, &x.clone().into_any()), expected);
    });
}

/// Parameters of layers in half precision are the nearest, take two bytes, and are computed with in `f32`.
#[test]
fn layers_in_half_precision_take_half_the_bytes() {
    let (network, ids, table) = words(&device());
    let calibration = Calibration::collect(&network, std::slice::from_ref(&ids)).unwrap();
    let of = |float| QuantizationSettings {
        layers: vec![Override {
            name: "embedding".to_owned(),
            float: Some(float),
            ..Override::default()
        }],
        ..QuantizationSettings::default()
    };
    let whole = quantize(&network, &calibration, &of(FloatType::F32)).unwrap();
    let rows = [(FloatType::F16, Dtype::F16), (FloatType::Bf16, Dtype::BF16)];
    each(rows, |(float, dtype)| {
        let quantized = quantize(&network, &calibration, &of(*float)).unwrap();
        assert_eq!(quantized.layers().count(), 1);
        assert_eq!(whole.stored_bytes() - quantized.stored_bytes(), 2 * 60);
        let bytes = quantized.to_bytes().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let stored = file.tensor("float/embedding.weight").unwrap();
        assert_eq!((stored.dtype(), stored.shape()), (*dtype, &[10, 6][..]));
        let half_precision: Vec<f32> = read(table.clone())
            .iter()
            .map(|x| float.nearest(*x))
            .collect();
        assert_eq!(float.from_bytes(stored.data()), half_precision);
        assert_ne!(half_precision, read(table.clone()));
        let mut found = Vec::new();
        let mut observe = |node: &calcine_graph::Node, result: AnyTensor| {
            if node.name == "embedding" {
                found = read(result);
            }
        };
        quantized.run(ids.clone().into_any(), &mut observe).unwrap();
        let expected: Vec<f32> = [0, 3, 9, 7, 7, 2]
            .iter()
            .flat_map(|row| half_precision[row * 6..][..6].to_vec())
            .collect();
        assert_eq!(found, expected);
        reread(&quantized, &ids.clone().into_any());
    });
    // Ten times ten thousand is no f16.
    let large = Words {
        embedding: Embedding {
            weight: Param::from_tensor(table * 10_000.0),
        },
        fc: LinearConfig::new(6, 3).init(&device()),
    };
    let forward = |m: &Words, x: Tensor<2, Int>| m.fc.forward(m.embedding.forward(x));
    let network = trace(&large, ids.clone(), forward).unwrap();
    let error = quantize(&network, &calibration, &of(FloatType::F16)).unwrap_err();
    assert!(
        matches!(&error, QuantizeError::Beyond { name, .. } if name == "embedding.weight"),
        "{error}"
    );
    quantize(&network, &calibration, &of(FloatType::Bf16)).unwrap();
}

/// A look-up beyond the table is an error that names the layer.
#[test]
fn a_word_beyond_the_table_is_an_error() {
    let embedding = Embedding {
        weight: Param::from_tensor(numbers([10, 6])),
    };
    let ids = Tensor::<2, Int>::from_ints([[0, 3, 9]], &device());
    let network = trace(&embedding, ids.clone(), |m, x| m.forward(x)).unwrap();
    let calibration = Calibration::collect(&network, std::slice::from_ref(&ids)).unwrap();
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    let error = quantized
        .try_forward::<_, Tensor<3>>(ids + 7)
        .err()
        .unwrap();
    assert!(error.to_string().contains("`embedding`"), "{error}");
}
