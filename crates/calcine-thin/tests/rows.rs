//! A network thinned on the device under test: quick where every shape is compiled anew.

use burn::tensor::Tensor;
use calcine_graph::UnitId;
use calcine_testkit::{ConvNet, Mlp, device, each};
use calcine_thin::{PaddingEffect, thin, zero_out_channels};
use calcine_trace::{Network, trace};

use crate::{difference, numbers};

/// The first and the last unit of the first group.
fn thinned_as_masked<const D: usize>(network: Network, input: Tensor<D>) {
    let axes = network.graph().axes().unwrap();
    let last = axes.groups()[0].units.len() - 1;
    let units = [0, last].map(|unit| UnitId { group: 0, unit });
    let masked = zero_out_channels(network, &axes, units).unwrap();
    let thinned = thin(masked.clone(), PaddingEffect::KeepBorder).unwrap();
    let left = thinned.network.graph().axes().unwrap();
    assert_eq!(left.groups()[0].units.len(), last - 1);
    let before: Tensor<2> = masked.forward(input.clone());
    let after: Tensor<2> = thinned.network.forward(input);
    assert!(difference(&before, &after) < 1e-5);
}

#[test]
fn a_thinned_network_computes_what_the_masked_one_does() {
    each(["convolutions", "linear layers"], |&of| match of {
        "convolutions" => {
            let model = ConvNet::new(&device());
            let network = trace(&model, numbers([1, 2, 6, 6]), ConvNet::forward);
            thinned_as_masked(network.unwrap(), numbers([2, 2, 6, 6]));
        }
        _ => {
            let model = Mlp::new(&device());
            let network = trace(&model, numbers([1, 6]), Mlp::forward);
            thinned_as_masked(network.unwrap(), numbers([2, 6]));
        }
    });
}
