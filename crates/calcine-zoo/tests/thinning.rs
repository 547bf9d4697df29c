//! The theorem on the reference networks: masked and thinned, they compute the same.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_criteria::Norm;
use calcine_thin::{ChannelSelection, PaddingEffect, in_place, thin, zero_out_channels};
use calcine_trace::trace;
use calcine_zoo::{Architecture, Classifier, ModelTask};

use crate::tracing::images;

struct Thin(Device);

impl ModelTask for Thin {
    /// The largest difference of the logits, and the multiply-accumulates before and after.
    type Output = (f32, u64, u64);

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let network = trace(&model.valid(), images(1, &self.0), M::forward).unwrap();
        let axes = network.graph().axes().unwrap();
        let units = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
        let silent = zero_out_channels(network, &axes, units).unwrap();
        let before: Tensor<2> = silent.forward(images(2, &self.0));
        let thinned = thin(silent.clone(), PaddingEffect::KeepBorder).unwrap();
        let after: Tensor<2> = thinned.network.forward(images(2, &self.0));
        let scale = before.clone().abs().max().into_scalar::<f32>().max(1.0);
        let difference = (before - after.clone()).abs().max().into_scalar::<f32>() / scale;
        // The plain model, thinned by the same plan, computes it too.
        let masked = model.valid().load_record(silent.into_record());
        let plain = in_place(masked, &thinned.plan).unwrap();
        assert_eq!(plain.num_params(), thinned.network.num_params());
        let again = in_place(plain, &thinned.plan).unwrap();
        let found = again.forward(images(2, &self.0));
        let off = (found - after.clone()).abs().max().into_scalar::<f32>();
        assert!(off <= 1e-5 * scale, "{off}");
        let report = thinned.report;
        (difference, report.before.macs, report.after.macs)
    }
}

#[test]
fn every_network_thinned_computes_what_it_computed_masked() {
    let device = Device::flex();
    for architecture in Architecture::ALL {
        let (difference, before, after) = architecture.build(1, &device, Thin(device.clone()));
        assert!(difference <= 1e-5, "{architecture}: {difference}");
        // Half the channels in and half of them out; the images keep theirs.
        assert!(after * 2 < before, "{architecture}: {after} of {before}");
    }
}
