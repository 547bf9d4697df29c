//! The simulator is the integer engine, bit for bit.

use burn::tensor::Tensor;
use calcine_quantize::{
    ActivationSettings, Calibration, Clip, Override, Scheme, Settings, WeightSettings, quantize,
};
use calcine_testkit::each;
use calcine_trace::{AnyTensor, Tensors};

use crate::engine;
use crate::models::{images, network};

fn read(tensor: AnyTensor) -> Vec<f32> {
    tensor.flat().unwrap().into_data().iter::<f32>().collect()
}

fn settings(bits: [u8; 2], per_channel: bool, scheme: Scheme, clip: Clip) -> Settings {
    Settings {
        weights: WeightSettings {
            bits: bits[0],
            per_channel,
            clip,
        },
        activations: ActivationSettings {
            bits: bits[1],
            scheme,
            clip,
        },
        layers: Vec::new(),
    }
}

#[test]
fn every_node_is_what_an_integer_engine_gives() {
    let rows = [
        settings([8, 8], true, Scheme::Affine, Clip::MinMax),
        settings([8, 8], false, Scheme::Symmetric, Clip::Average),
        settings([4, 4], true, Scheme::Affine, Clip::Mse),
        settings([2, 3], false, Scheme::Affine, Clip::Laplace),
        settings([5, 7], true, Scheme::Symmetric, Clip::Percentile(99.0)),
        // Sums beyond 2²⁴ are made of parts.
        settings([8, 12], true, Scheme::Affine, Clip::MinMax),
    ];
    let network = network();
    let seen = Calibration::of(&network, &[images(6, 0), images(5, 7)]).unwrap();
    each(rows, |settings| {
        let quantized = quantize(&network, &seen, settings).unwrap();
        let x = images(3, 11) * 1.5;
        let expected = engine::run(&quantized, &read(x.clone().into()), [3, 3, 8, 8]);
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
    let seen = Calibration::of(&network, &[x.clone()]).unwrap();
    let float: Tensor<2> = network.forward(x.clone());
    let difference = |bits: [u8; 2]| {
        let grids = settings(bits, true, Scheme::Affine, Clip::MinMax);
        let quantized = quantize(&network, &seen, &grids).unwrap();
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
    let seen = Calibration::of(&network, &[x.clone()]).unwrap();
    let float: Tensor<2> = network.forward(x.clone());
    let off = |settings: &Settings| {
        let found: Tensor<2> = quantize(&network, &seen, settings)
            .unwrap()
            .forward(x.clone());
        (found - float.clone()).abs().max().into_scalar::<f32>()
    };
    let mut weights_alone = settings([8, 0], true, Scheme::Affine, Clip::MinMax);
    let eight = off(&weights_alone);
    weights_alone.weights.bits = 16;
    assert!(off(&weights_alone) < 1e-4 && eight > 1e-4);
    // In float throughout it is the network itself.
    let everything = Settings {
        layers: vec![Override {
            name: "**".to_owned(),
            float: true,
            ..Override::default()
        }],
        ..Settings::default()
    };
    assert!(off(&everything) < 1e-6);
    let first = Settings {
        layers: vec![Override {
            name: "stem".to_owned(),
            float: true,
            ..Override::default()
        }],
        ..Settings::default()
    };
    let quantized = quantize(&network, &seen, &first).unwrap();
    assert!(quantized.layers().all(|layer| layer.name != "stem"));
    assert_eq!(quantized.layers().count(), 5);
    assert!(off(&first) < 0.1);
}
