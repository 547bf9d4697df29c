//! Random networks with random settings: the codes that the Rust runtimes compute are those of `Quantized`.

use burn::tensor::{Device, Tensor, TensorData};
use calcine_onnx::{Form, Runtime};
use calcine_quantize::{Calibration, QuantizationSettings, Scheme, quantize};
use calcine_testkit::values;
use proptest::prelude::*;

use crate::engines::engines;
use crate::maker::network;
use crate::nets::{Row, differences};

fn images(count: usize, spread: f32) -> Tensor<4> {
    let numbers = values(count * 2 * 8 * 8)
        .into_iter()
        .map(|x| spread * x)
        .collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(numbers, [count, 2, 8, 8]), &Device::flex())
}

/// Steps without functions that each runtime approximates in its own way.
fn steps() -> impl Strategy<Value = Vec<(u8, usize)>> {
    let maps = prop_oneof![Just(0_usize), Just(5)];
    let step = prop_oneof![
        (
            prop_oneof![Just(0_u8), Just(1), Just(4), Just(5), Just(7)],
            0_usize..12
        ),
        (prop_oneof![Just(2_u8), Just(3)], maps),
    ];
    prop::collection::vec(step, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rust_runtimes_compute_the_codes_of_random_networks(
        steps in steps(),
        bits in 2_u8..=8,
        weight_bits in 2_u8..=8,
        symmetric in any::<[bool; 2]>(),
        per_channel in any::<bool>(),
        batch in 1_usize..4,
    ) {
        let network = network(&steps);
        let scheme = |symmetric: bool| if symmetric { Scheme::Symmetric } else { Scheme::Affine };
        let mut settings = QuantizationSettings::default();
        (settings.activations.bits, settings.weights.bits) = (bits, weight_bits);
        (settings.activations.scheme, settings.weights.scheme) = (scheme(symmetric[0]), scheme(symmetric[1]));
        settings.weights.per_channel = per_channel;
        let seen = Calibration::collect(&network, &[images(3, 0.8)]).unwrap();
        let quantized = quantize(&network, &seen, &settings).unwrap();
        let x = images(batch, 1.0);
        let forms = [(Runtime::Tract, Form::Integer), (Runtime::Rten, Form::Qdq)];
        let engines = engines();
        let rows: Vec<Row> = forms
            .into_iter()
            .filter(|(runtime, _)| engines.contains(runtime))
            .map(|(runtime, form)| Row::new("random", (runtime, Some(form)), &quantized, &x).unwrap())
            .collect();
        for (name, off) in differences(&rows) {
            prop_assert_eq!(off, 0.0, "{}", name);
        }
    }
}
