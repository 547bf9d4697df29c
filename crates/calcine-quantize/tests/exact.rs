//! The simulator is the integer engine, bit for bit.

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use calcine_observe::{Sampling, sample_layers};
use calcine_quant::GroupedWeight;
use calcine_quantize::{
    ActivationSettings, Calibration, FloatType, Override, QuantizationSettings, QuantizeError,
    Quantizer, RangeEstimator, Rounding, Scheme, WeightSettings, quantize, quantize_with_batches,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, Tensors, trace};

use crate::engine;
use crate::models::{images, network, read, reread};

fn settings(
    bits: [u8; 2],
    per_channel: bool,
    scheme: Scheme,
    range_estimator: RangeEstimator,
) -> QuantizationSettings {
    QuantizationSettings {
        weights: WeightSettings {
            bits: bits[0],
            per_channel,
            range_estimator,
            ..WeightSettings::default()
        },
        activations: ActivationSettings {
            bits: bits[1],
            scheme,
            range_estimator,
            power_of_two: false,
            dynamic: false,
        },
        ..QuantizationSettings::default()
    }
}

/// With a zero point for each step of a weight.
fn affine(mut settings: QuantizationSettings) -> QuantizationSettings {
    settings.weights.scheme = Scheme::Affine;
    settings
}

/// With steps that are powers of two.
fn shifts(mut settings: QuantizationSettings) -> QuantizationSettings {
    settings.weights.power_of_two = true;
    settings.activations.power_of_two = true;
    settings
}

#[test]
fn every_node_is_what_an_integer_engine_gives() {
    let rows = [
        settings([8, 8], true, Scheme::Affine, RangeEstimator::MinMax),
        settings([8, 8], false, Scheme::Symmetric, RangeEstimator::Average),
        settings([4, 4], true, Scheme::Affine, RangeEstimator::Mse),
        settings([2, 3], false, Scheme::Affine, RangeEstimator::Laplace),
        settings(
            [5, 7],
            true,
            Scheme::Symmetric,
            RangeEstimator::Percentile(99.0),
        ),
        settings([4, 6], true, Scheme::Affine, RangeEstimator::Entropy),
        shifts(settings(
            [8, 8],
            true,
            Scheme::Affine,
            RangeEstimator::MinMax,
        )),
        affine(settings(
            [8, 8],
            true,
            Scheme::Affine,
            RangeEstimator::MinMax,
        )),
        affine(settings(
            [4, 8],
            false,
            Scheme::Symmetric,
            RangeEstimator::Mse,
        )),
        affine(settings(
            [1, 2],
            true,
            Scheme::Affine,
            RangeEstimator::MinMax,
        )),
        shifts(affine(settings(
            [6, 8],
            true,
            Scheme::Affine,
            RangeEstimator::MinMax,
        ))),
        // Sums beyond 2²⁴ are made of parts.
        affine(settings(
            [8, 11],
            true,
            Scheme::Affine,
            RangeEstimator::MinMax,
        )),
        settings([8, 12], true, Scheme::Affine, RangeEstimator::MinMax),
    ];
    let network = network();
    let calibration = Calibration::collect(&network, &[images(6, 0), images(5, 7)]).unwrap();
    each(rows, |settings| {
        let quantized = quantize(&network, &calibration, settings).unwrap();
        let x = images(3, 11) * 1.5;
        let expected = engine::run(&quantized, &read(x.clone()), [3, 3, 8, 8]);
        let mut compared = 0;
        quantized
            .run(x.into_any(), &mut |node, found| {
                let expected = &expected[&node.name];
                assert_eq!(found.shape(), expected.shape, "{}", node.name);
                assert_eq!(read(found), expected.floats, "{}", node.name);
                compared += 1;
            })
            .unwrap();
        assert_eq!(compared, quantized.graph().nodes.len());
    });
}

/// With 16 bits throughout nearly nothing is lost.
#[test]
fn many_bits_come_close_to_the_float_network() {
    let network = network();
    let x = images(4, 3);
    let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    let float: Tensor<2> = network.forward(x.clone());
    let difference = |bits: [u8; 2]| {
        let quantizers = settings(bits, true, Scheme::Affine, RangeEstimator::MinMax);
        let quantized = quantize(&network, &calibration, &quantizers).unwrap();
        let found: Tensor<2> = quantized.forward(x.clone());
        (found - float.clone()).abs().max().into_scalar::<f32>()
    };
    let [rough, fine, finest] = [[4, 4], [8, 8], [8, 12]].map(difference);
    assert!(rough > fine && fine > finest, "{rough} {fine} {finest}");
    assert!(finest < 0.01, "{finest}");
}

#[test]
fn layers_may_stay_in_float_and_weights_alone_be_quantized() {
    let network = network();
    let x = images(4, 3);
    let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    let float: Tensor<2> = network.forward(x.clone());
    let off = |settings: &QuantizationSettings| {
        let found: Tensor<2> = quantize(&network, &calibration, settings)
            .unwrap()
            .forward(x.clone());
        (found - float.clone()).abs().max().into_scalar::<f32>()
    };
    let mut weights_alone = settings([8, 0], true, Scheme::Affine, RangeEstimator::MinMax);
    let eight = off(&weights_alone);
    weights_alone.weights.bits = 16;
    assert!(off(&weights_alone) < 1e-4 && eight > 1e-4);
    // In float throughout it is the network itself.
    let everything = QuantizationSettings {
        layers: vec![Override {
            name: "**".to_owned(),
            float: Some(FloatType::F32),
            ..Override::default()
        }],
        ..settings([8, 0], true, Scheme::Affine, RangeEstimator::MinMax)
    };
    assert!(off(&everything) < 1e-6);
    let first = QuantizationSettings {
        layers: vec![Override {
            name: "stem".to_owned(),
            float: Some(FloatType::F32),
            ..Override::default()
        }],
        ..QuantizationSettings::default()
    };
    let quantized = quantize(&network, &calibration, &first).unwrap();
    assert!(quantized.layers().all(|layer| layer.name != "stem"));
    assert_eq!(quantized.layers().count(), 5);
    assert!(off(&first) < 0.1);
}

/// Zero points serve weights that are not symmetric, are those of the weights' own ranges, and are in the file.
#[test]
fn affine_weights_err_less_where_they_reach_to_one_side() {
    let device = device();
    let shifted = LinearConfig::new(12, 6).init(&device);
    let weight = numbers([12, 6]) + 0.7;
    let model = Linear {
        weight: Param::from_tensor(weight.clone()),
        ..shifted
    };
    let x: Tensor<2> = numbers([20, 12]);
    let network = trace(&model, x.clone(), |m: &Linear, x| m.forward(x)).unwrap();
    let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    let float: Tensor<2> = model.forward(x.clone());
    let rows = [
        (3, None, Rounding::Nearest),
        (3, Some(5), Rounding::Nearest),
        (2, None, Rounding::Gptq),
        (4, Some(4), Rounding::AdaRound),
        (8, None, Rounding::AdaRound),
        (12, None, Rounding::Nearest),
    ];
    each(rows, |(bits, group, rounding)| {
        let off = |scheme| {
            let mut settings = settings([*bits, 0], true, Scheme::Affine, RangeEstimator::MinMax);
            settings.weights.scheme = scheme;
            settings.weights.group = *group;
            settings.weights.rounding = *rounding;
            let batches = std::slice::from_ref(&x);
            let found = quantize_with_batches(&network, &calibration, &settings, batches).unwrap();
            let layer = found.layers().next().unwrap();
            if scheme == Scheme::Affine {
                assert_eq!(layer.zero_points.len(), layer.scales.len());
                let top = (1 << bits) - 1;
                let columns = group.unwrap_or(12);
                let groups = 12_usize.div_ceil(columns);
                for (at, centred) in layer.weight.iter().enumerate() {
                    let (input, output) = (at / 6, at % 6);
                    let zero = layer.zero_points[output * groups + input / columns];
                    assert!((0..=top).contains(&(centred + zero)), "{at}");
                }
            } else {
                assert!(layer.zero_points.is_empty());
            }
            reread(&found, &x.clone().into_any());
            let given: Tensor<2> = found.forward(x.clone());
            (given - float.clone()).square().mean().into_scalar::<f32>()
        };
        let (symmetric, affine) = (off(Scheme::Symmetric), off(Scheme::Affine));
        assert!(affine < 0.7 * symmetric, "{affine} of {symmetric}");
    });
}

/// Groups of columns are those of a weight that is quantized alone; the more of them, the less it errs, and the file keeps
/// them.
#[test]
fn groups_of_columns_have_steps_of_their_own() {
    let network = network();
    let x = images(4, 3);
    let batches = [x.clone(), images(6, 1)];
    let calibration = Calibration::collect(&network, &batches).unwrap();
    let float: Tensor<2> = network.forward(x.clone());
    let mut settings = settings([4, 0], true, Scheme::Affine, RangeEstimator::MinMax);
    let mut off = |group: usize, rounding: Rounding| {
        settings.weights = WeightSettings {
            group: Some(group),
            rounding,
            ..settings.weights
        };
        let found = quantize_with_batches(&network, &calibration, &settings, &batches).unwrap();
        for layer in found.layers() {
            let outputs = layer.shape[layer.output_axis];
            let columns = layer.weight.len() / outputs;
            let groups = columns.div_ceil(group);
            assert_eq!(layer.scales.len(), outputs * groups, "{}", layer.name);
            if rounding == Rounding::Nearest {
                // What the integers stand for, quantized alone, are these integers; so that what each group's quantizer
                // covers is that of its own largest weight.
                let row = |output: usize| {
                    (0..columns).map(move |column| match layer.output_axis {
                        0 => (output * columns + column, output * groups + column / group),
                        _ => (column * outputs + output, output * groups + column / group),
                    })
                };
                let order: Vec<(usize, usize)> = (0..outputs).flat_map(row).collect();
                let weight =
                    |(at, step): &(usize, usize)| layer.scales[*step] * layer.weight[*at] as f32;
                let weights: Vec<f32> = order.iter().map(weight).collect();
                let alone = GroupedWeight::quantize(&weights, columns, group, 4).unwrap();
                let ints: Vec<i32> = order.iter().map(|(at, _)| layer.weight[*at]).collect();
                assert_eq!(alone.ints(), ints, "{}", layer.name);
            }
        }
        reread(&found, &x.clone().into_any());
        let given: Tensor<2> = found.forward(x.clone());
        (given - float.clone())
            .powi_scalar(2)
            .mean()
            .into_scalar::<f32>()
    };
    let (one, three) = (off(10_000, Rounding::Nearest), off(3, Rounding::Nearest));
    assert!(three < one, "{three} of {one}");
    let (gptq, ada) = (off(10_000, Rounding::Gptq), off(10_000, Rounding::AdaRound));
    assert!(gptq < one && ada < one, "{gptq} and {ada} of {one}");
    assert!(off(3, Rounding::AdaRound) < three);

    settings.weights.rounding = Rounding::Nearest;
    settings.weights.group = Some(0);
    let error = quantize(&network, &calibration, &settings).unwrap_err();
    assert!(matches!(error, QuantizeError::Setting(_)), "{error}");
    settings.weights.group = Some(3);
    settings.activations.bits = 8;
    let error = quantize(&network, &calibration, &settings).unwrap_err();
    assert!(matches!(error, QuantizeError::Groups { name } if name == "stem"));
    settings.activations.dynamic = true;
    let error = quantize(&network, &calibration, &settings).unwrap_err();
    assert!(matches!(error, QuantizeError::Groups { .. }));
}

/// Rounded for what layers are fed, what the layers give errs less; biases take up the rest of the means.
#[test]
fn weights_rounded_over_batches_err_less() {
    let network = network();
    let batches = [images(8, 0), images(7, 9)];
    let calibration = Calibration::collect(&network, &batches).unwrap();
    let layers = [
        "stem.weight",
        "inner.weight",
        "depthwise.weight",
        "grouped.weight",
        "head.weight",
    ];
    let error = |rounding, correct_bias| {
        let mut quantizers = settings([3, 0], true, Scheme::Affine, RangeEstimator::MinMax);
        (quantizers.weights.rounding, quantizers.weights.correct_bias) = (rounding, correct_bias);
        let quantized =
            quantize_with_batches(&network, &calibration, &quantizers, &batches).unwrap();
        let x = batches[0].clone();
        let mut total = 0.0;
        // Each layer by itself: fed by the float network.
        let found = sample_layers(&network, [x], &layers, &Sampling::default()).unwrap();
        for layer in quantized.layers() {
            let Some(samples) = found.get(&format!("{}.weight", layer.name)) else {
                continue;
            };
            if layer.name == "stem" || layer.name == "inner" {
                // A norm is folded in.
                continue;
            }
            let inner: usize = layer.shape[layer.output_axis + 1..].iter().product();
            let output = |at: usize| at / inner % layer.shape[layer.output_axis];
            let weights = layer.weight.iter().enumerate();
            let weights =
                weights.map(|(at, &q)| f64::from(layer.scales[output(at)]) * f64::from(q));
            let bias = network
                .graph()
                .parameter(&format!("{}.bias", layer.name))
                .unwrap();
            let bias = read(network.tensor(bias).unwrap());
            let bias: Vec<f64> = bias.into_iter().map(f64::from).collect();
            total += samples.error(&weights.collect::<Vec<_>>(), Some(&bias));
        }
        total
    };
    let nearest = error(Rounding::Nearest, false);
    for rounding in [Rounding::Gptq, Rounding::AdaRound] {
        let own = error(rounding, false);
        assert!(own < nearest, "{rounding:?}: {own} for {nearest}");
    }
    let mut asked = settings([4, 4], true, Scheme::Affine, RangeEstimator::MinMax);
    asked.weights.correct_bias = true;
    assert!(matches!(
        quantize(&network, &calibration, &asked),
        Err(QuantizeError::NoSamples)
    ));
}

/// The mean of what a layer gives is that of the float network again.
#[test]
fn corrected_biases_bring_back_the_means() {
    let network = network();
    // What has no mean needs no correction.
    let batches = [images(16, 0) + 2.0];
    let calibration = Calibration::collect(&network, &batches).unwrap();
    let mean = |correct_bias| {
        let mut quantizers = settings([2, 0], true, Scheme::Affine, RangeEstimator::MinMax);
        quantizers.weights.correct_bias = correct_bias;
        let quantized =
            quantize_with_batches(&network, &calibration, &quantizers, &batches).unwrap();
        let mut stem = Vec::new();
        quantized
            .run(batches[0].clone().into_any(), &mut |node, found| {
                if node.name == "stem_norm" {
                    stem = read(found);
                }
            })
            .unwrap();
        stem
    };
    let float = {
        let mut stem = Vec::new();
        network
            .run(batches[0].clone().into_any(), &mut |node, found| {
                if node.name == "stem_norm" {
                    stem = read(found.clone());
                }
                found
            })
            .unwrap();
        stem
    };
    let off = |found: Vec<f32>| {
        // Channel by channel: 16 images of 8 channels of 64 places.
        let sums = (0..8).map(|channel| {
            let own = (0..16)
                .flat_map(|image| (0..64).map(move |place| (image * 8 + channel) * 64 + place));
            own.map(|at| f64::from(found[at] - float[at]))
                .sum::<f64>()
                .abs()
        });
        sums.sum::<f64>()
    };
    let (without, with) = (off(mean(false)), off(mean(true)));
    assert!(with < 0.5 * without, "{with} for {without}");
}

/// Each layer is fed integers of the batch's own range, whatever was calibrated: the sums of loops over them, times both
/// steps.
#[test]
fn dynamic_ranges_are_those_of_the_batch() {
    let network = network();
    let rows = [
        (8, Scheme::Affine, 0.02),
        (6, Scheme::Symmetric, 0.1),
        (12, Scheme::Affine, 0.02),
    ];
    each(rows, |(bits, scheme, allowed)| {
        let mut settings = QuantizationSettings::default();
        settings.activations.bits = *bits;
        settings.activations.scheme = *scheme;
        settings.activations.dynamic = true;
        let quantized = quantize(&network, &Calibration::empty(), &settings).unwrap();
        // Ten times as large images are ten times as much, and as exact.
        for times in [1.0, 10.0] {
            let x = images(4, 3) * times;
            let expected: Tensor<2> = network.forward(x.clone());
            let found: Tensor<2> = quantized.forward(x.clone());
            let scale = expected.clone().abs().max().into_scalar::<f32>();
            let off = (expected - found).abs().max().into_scalar::<f32>() / scale;
            assert!(off < *allowed, "{off}");
        }
        let x = images(2, 3);
        let inputs = read(x.clone());
        let ends = inputs
            .iter()
            .fold([0.0_f32; 2], |[low, high], x| [low.min(*x), high.max(*x)]);
        let quantizer =
            Quantizer::from_range(ends[0].into(), ends[1].into(), *bits, *scheme).unwrap();
        let ints: Vec<i64> = inputs
            .iter()
            .map(|x| i64::from(quantizer.quantize(*x) - quantizer.zero_point))
            .collect();
        let stem = quantized.layers().next().unwrap();
        let mut sums = vec![0_i64; 2 * 8 * 64];
        for (at, sum) in sums.iter_mut().enumerate() {
            let (image, filter, row, column) = (at / 512, at / 64 % 8, at / 8 % 8, at % 8);
            for (tap, weight) in stem.weight[filter * 27..][..27].iter().enumerate() {
                let (channel, i, j) = (tap / 9, row + tap / 3 % 3, column + tap % 3);
                if (1..=8).contains(&i) && (1..=8).contains(&j) {
                    let x = ints[((image * 3 + channel) * 8 + i - 1) * 8 + j - 1];
                    *sum += x * i64::from(*weight);
                }
            }
        }
        let mut found = Vec::new();
        let mut observe = |node: &calcine_graph::Node, result: AnyTensor| {
            if node.name == "stem" {
                found = read(result);
            }
        };
        quantized.run(x.into_any(), &mut observe).unwrap();
        let biases = stem_biases(&network);
        for (at, (sum, found)) in sums.iter().zip(found).enumerate() {
            let filter = at / 64 % 8;
            let expected = *sum as f32 * stem.scales[filter] * quantizer.scale + biases[filter];
            let off = (expected - found).abs();
            assert!(
                off < 1e-5 * expected.abs().max(1.0),
                "{at}: {found} for {expected}"
            );
        }
    });
}

/// `β − μ·γ/√(σ² + ε)` of the first norm.
fn stem_biases(network: &calcine_trace::Network) -> Vec<f32> {
    let inventory = calcine_params::Inventory::from_module(network);
    let [gamma, beta, mean, variance] =
        ["gamma", "beta", "running_mean", "running_var"].map(|part| {
            let parameter = inventory.get(&format!("stem_norm.{part}")).unwrap();
            let flat = calcine_params::flat(network, [parameter]).remove(0);
            flat.into_data().iter::<f32>().collect::<Vec<_>>()
        });
    let bias = |o: usize| beta[o] - mean[o] * gamma[o] / (variance[o] + 1e-5).sqrt();
    (0..8).map(bias).collect()
}
