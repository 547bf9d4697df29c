//! Engines of networks in memory, without a file.

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use calcine_engine::{Array, Engine, EngineError, Isa, NetworkData, Options};
use calcine_format::{Bias, NetworkFile, Numbers, QuantizedFile};
use calcine_quantize::{Calibration, QuantizationSettings, Scheme, quantize};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, trace};

use crate::models::{images, network};

/// An engine of a network computes what the engine of its file computes, bit for bit.
#[test]
fn an_engine_of_a_network_is_that_of_its_file() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(6, 0)]).unwrap();
    let x = [AnyTensor::from(images(3, 5)).to_array()];
    let rows = [
        (8, Scheme::Symmetric),
        (4, Scheme::Symmetric),
        (5, Scheme::Affine),
        (12, Scheme::Affine),
    ];
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let rows = isas.flat_map(|isa| rows.map(|row| (isa, row)));
    each(rows, |(isa, (bits, scheme))| {
        let mut options = Options::default();
        options.isa = *isa;
        let mut settings = QuantizationSettings::default();
        (settings.weights.bits, settings.weights.scheme) = (*bits, *scheme);
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let same = |engine: Engine, bytes: &[u8]| {
            let loaded = Engine::from_bytes(bytes, options.clone()).unwrap();
            assert_eq!(engine.report(), loaded.report());
            assert_eq!(engine.run(&x).unwrap(), loaded.run(&x).unwrap());
        };
        let engine = Engine::compile(&quantized, options.clone()).unwrap();
        assert!(engine.is_quantized());
        same(engine, &quantized.to_bytes().unwrap());
        let engine = Engine::compile(&network, options.clone()).unwrap();
        assert!(!engine.is_quantized());
        same(engine, &network.to_bytes().unwrap());
    });
}

/// Plain data is public, so that everyone can build it: what does not fit is an error that says where, not a panic.
#[test]
fn data_that_does_not_fit_is_refused() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(6, 0)]).unwrap();
    let mut settings = QuantizationSettings::default();
    settings.weights.scheme = Scheme::Affine;
    let quantized = quantize(&network, &calibration, &settings).unwrap();
    let refused = |data: NetworkData, with: &str| {
        let error = Engine::compile(data, Options::default()).unwrap_err();
        assert!(matches!(error, EngineError::File(_)), "{error}");
        assert!(error.to_string().contains(with), "{error}: expected {with}");
    };
    let of_layer = |change: fn(&mut calcine_format::IntegerWeights), with: &str| {
        let mut data = QuantizedFile::from(&quantized);
        let layer = data.layers.values_mut().next().unwrap();
        change(layer);
        let name = layer.name.clone();
        refused(data.into(), with);
        name
    };
    of_layer(|layer| layer.ints.truncate(3), "has 3 numbers");
    of_layer(
        |layer| layer.ints[1] = 1 << 20,
        "has 1048576, which has no 8 bits",
    );
    of_layer(|layer| layer.bits = 40, "40-bit weights");
    of_layer(|layer| layer.axis = 3, "along 3");
    of_layer(|layer| layer.scales[0] = f32::NAN, "a scale of NaN");
    of_layer(|layer| layer.scales.truncate(2), "2 scales");
    of_layer(|layer| layer.zero_points.truncate(2), "has 2 numbers");
    of_layer(|layer| layer.zero_points[0] = 256, "a zero point of 256");
    of_layer(
        |layer| layer.bias = Bias::Ints(vec![1]),
        "a bias of 1 integers",
    );
    of_layer(
        |layer| layer.bias = Bias::Floats(Vec::new()),
        "a bias of 0 floats",
    );
    of_layer(|layer| layer.name.push('x'), "are called");

    let mut data = QuantizedFile::from(&quantized);
    data.quantizers.pop();
    refused(data.into(), "quantizers for");
    let mut data = QuantizedFile::from(&quantized);
    let layer = data.layers.pop_first().unwrap().1;
    refused(data.clone().into(), "is missing");
    data.layers.insert(usize::MAX, layer);
    refused(data.into(), "there is no node");

    let mut data = NetworkFile::from(&network);
    let (id, array) = data.tensors.pop_first().unwrap();
    refused(data.clone().into(), "is missing");
    let shortened = Array {
        numbers: Numbers::Floats(vec![0.0]),
        ..array.clone()
    };
    data.tensors.insert(id, shortened);
    refused(data.clone().into(), "of 1 numbers");
    data.tensors.insert(id, Array::floats(vec![1], vec![0.0]));
    refused(data.clone().into(), "the graph has");
    data.tensors.insert(id, array);
    data.graph.nodes.swap(0, 1);
    Engine::compile(data, Options::default()).unwrap_err();
}

/// Layers whose weights are zero for most inputs skip them, in float and in integers, and the report says so.
#[test]
fn zero_weights_are_skipped_where_that_is_faster() {
    let x = numbers([6, 64]);
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let rows = isas.flat_map(|isa| [0, 8, 60].map(|zeros| (isa, zeros)));
    each(rows, |(isa, zeros)| {
        let mut layer: Linear = LinearConfig::new(64, 40).init(&device());
        let weight = numbers([64, 40]).slice_fill([0..*zeros, 0..40], 0.0);
        layer.weight = Param::from_tensor(weight);
        let network = trace(&layer, x.clone(), |m, x| m.forward(x)).unwrap();
        let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        let settings = QuantizationSettings::default();
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let mut options = Options::default();
        options.isa = *isa;
        let inputs = [AnyTensor::from(x.clone()).to_array()];
        let outputs = |network: NetworkData| {
            let engine = Engine::compile(network, options.clone()).unwrap();
            let report = engine.report();
            let zeros = report.iter().find_map(|row| row.zeros).unwrap();
            (engine.run(&inputs).unwrap().remove(0), zeros)
        };

        let (found, steps) = outputs((&network).into());
        assert_eq!((steps.all, steps.zero), (3 * 64, 3 * zeros));
        assert_eq!(steps.skipped, *zeros == 60, "{steps}");
        let expected: Tensor<2> = network.forward(x.clone());
        let expected = AnyTensor::from(expected).to_array();
        let both = found.as_floats().unwrap().iter();
        for (found, expected) in both.zip(expected.as_floats().unwrap()) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }

        let (found, steps) = outputs((&quantized).into());
        assert_eq!((steps.all, steps.zero), (3 * 16, 3 * zeros / 4));
        assert_eq!(steps.skipped, *zeros == 60, "{steps}");
        let expected = quantized.run(vec![x.clone().into()], &mut |_, _| {});
        assert_eq!(found, expected.unwrap()[0].to_array());
    });
}
