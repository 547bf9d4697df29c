//! Random networks, written and read again.

use burn::tensor::{Device, TensorData};
use calcine_graph::ElementKind;
use calcine_onnx::{
    ExportOptions, Form, ImportOptions, Imported, export, export_quantized, import_file, read_bytes,
};
use calcine_quantize::{
    Calibration, QuantizationSettings, Quantized, Scheme, quantize, quantize_as,
};
use calcine_testkit::values;
use calcine_trace::{AnyTensor, Network};
use proptest::prelude::*;

use crate::maker::network;
use crate::runtime::{Output, output};

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_network_is_the_same_after_a_round_trip(
        steps in prop::collection::vec((0_u8..8, 0_usize..12), 0..10),
        opset in 13_i64..=25,
        batch in 1_usize..5,
    ) {
        let network = network(&steps);
        let mut options = ExportOptions::default();
        options.opset = Some(opset);
        let file = export(&network, &options).unwrap().to_bytes().unwrap();
        let again = read_bytes(&file, &ImportOptions::default(), &Device::flex()).unwrap();
        let count = batch * 2 * 8 * 8;
        let x = TensorData::new(values(count), vec![batch, 2, 8, 8]);
        let x = AnyTensor::from_data(x, ElementKind::Float, &Device::flex()).unwrap();
        let run = |network: &Network| output(&network.run(vec![x.clone()], &mut |_, tensor| tensor).unwrap()[0]);
        prop_assert!(run(&again).difference(&run(&network)) < 1e-5);
        let paths = |network: &Network| network.graph().parameters().map(|(_, value)| value.name.clone()).collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(paths(&again), paths(&network));
        prop_assert_eq!(again.graph().compute().unwrap().macs, network.graph().compute().unwrap().macs);
    }
}

/// What a network computes: the quantized one where the file has quantization parameters, else that of the file.
fn computed(imported: &Imported, x: &AnyTensor) -> Output {
    let outputs = match imported.parameters.is_empty() {
        true => imported
            .network
            .run(vec![x.clone()], &mut |_, tensor| tensor)
            .unwrap(),
        false => quantize_as(&imported.network, &imported.parameters)
            .unwrap()
            .run(vec![x.clone()], &mut |_, _| {})
            .unwrap(),
    };
    output(&outputs[0])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each form of a quantized network computes the same after it was read, and the integers and scales of its layers come back from the
    /// plain form.
    #[test]
    fn a_random_quantized_network_is_the_same_after_a_round_trip(
        steps in prop::collection::vec((0_u8..8, 0_usize..12), 0..8),
        bits in 2_u8..=8,
        weight_bits in 2_u8..=8,
        symmetric in any::<[bool; 2]>(),
        per_channel in any::<bool>(),
        batch in 1_usize..4,
    ) {
        let network = network(&steps);
        let images = |count: usize| {
            let data = TensorData::new(values(count * 2 * 8 * 8), vec![count, 2, 8, 8]);
            AnyTensor::from_data(data, ElementKind::Float, &Device::flex()).unwrap()
        };
        let scheme = |symmetric: bool| if symmetric { Scheme::Symmetric } else { Scheme::Affine };
        let mut settings = QuantizationSettings::default();
        (settings.activations.bits, settings.weights.bits) = (bits, weight_bits);
        (settings.activations.scheme, settings.weights.scheme) = (scheme(symmetric[0]), scheme(symmetric[1]));
        settings.weights.per_channel = per_channel;
        let seen = Calibration::collect(&network, &[vec![images(3)]]).unwrap();
        let own = quantize(&network, &seen, &settings).unwrap();
        let x = images(batch);
        let expected = output(&own.run(vec![x.clone()], &mut |_, _| {}).unwrap()[0]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("network.onnx");
        for (form, exact) in [(Form::Qdq, false), (Form::Qdq, true), (Form::QOperator, true), (Form::Integer, true)] {
            let mut options = ExportOptions::default();
            (options.form, options.exact) = (Some(form), Some(exact));
            export_quantized(&own, &options).unwrap().save(&file).unwrap();
            let imported = import_file(&file, &ImportOptions::default(), &Device::flex()).unwrap();
            let off = computed(&imported, &x).difference(&expected);
            // The exact forms are read as float networks, whose sums are rounded.
            let bound = if exact { 1e-5 } else { 1e-6 };
            prop_assert!(off < bound, "{form}, exact: {exact}: off by {off}");
            if !exact {
                let again = quantize_as(&imported.network, &imported.parameters).unwrap();
                let integers = |network: &Quantized| -> Vec<(Vec<i32>, Vec<f32>, Vec<i32>)> {
                    let layers = network.layers();
                    layers.map(|layer| (layer.weight.to_vec(), layer.scales.to_vec(), layer.bias.unwrap_or_default().to_vec())).collect()
                };
                prop_assert_eq!(integers(&again), integers(&own));
            }
        }
    }
}
