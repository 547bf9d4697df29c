//! The short form of channel pruning.

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_criteria::{Apoz, Norm};
use calcine_testkit::networks::Residual;
use calcine_testkit::{device, each, numbers};
use calcine_thin::{
    ChannelSelection, PaddingEffect, ThinError, prune_channels, thin, zero_out_channels,
};
use calcine_trace::{Network, trace};

use crate::difference;

fn network() -> Network {
    let sample = numbers([1, 3, 8, 8]);
    trace(&Residual::new(&device()), sample, |m, x| m.forward(x)).unwrap()
}

/// It computes what the network computes with the same channels at zero, and is what the long form gives.
#[test]
fn pruned_channels_are_those_of_the_long_form() {
    let x = || numbers([2, 3, 8, 8]);
    let network = network();
    each([0.0, 0.25, 0.5, 1.0], |&level| {
        let thinned = prune_channels(network.clone(), &Norm::L1, level).unwrap();
        let axes = network.graph().axes().unwrap();
        let units = ChannelSelection::new(level).units(&network, &axes, &Norm::L1, |_| true);
        let zeroed = zero_out_channels(network.clone(), &axes, units).unwrap();
        let long = thin(zeroed.clone(), PaddingEffect::KeepBorder).unwrap();
        assert_eq!(thinned.plan, long.plan);
        let expected: Tensor<2> = zeroed.valid().forward(x());
        let found: Tensor<2> = thinned.network.valid().forward(x());
        assert!(difference(&found, &expected) < 1e-5);
        let smaller = thinned.report.after.parameters < thinned.report.before.parameters;
        assert_eq!(smaller, level > 0.0);
    });
}

#[test]
fn levels_and_criteria_that_cannot_be_are_refused() {
    each([-0.1, 1.1, f64::NAN], |&level| {
        let error = prune_channels(network(), &Norm::L1, level).unwrap_err();
        assert!(matches!(error, ThinError::Level { .. }), "{error}");
    });
    let error = prune_channels(network(), &Apoz, 0.5).unwrap_err();
    assert!(matches!(error, ThinError::Criterion { .. }), "{error}");
}
