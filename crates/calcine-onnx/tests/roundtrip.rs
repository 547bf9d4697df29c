//! Random networks, written and read again.

use burn::tensor::{Device, TensorData};
use calcine_graph::ElementKind;
use calcine_onnx::{ExportOptions, ImportOptions, export, read_bytes};
use calcine_testkit::values;
use calcine_trace::{AnyTensor, Network};
use proptest::prelude::*;

use crate::maker::network;
use crate::runtime::output;

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
