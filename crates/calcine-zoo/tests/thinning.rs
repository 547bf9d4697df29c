//! The theorem on the reference networks: masked and thinned, they compute the same.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_criteria::Norm;
use calcine_graph::Op;
use calcine_thin::{ChannelSelection, PaddingEffect, ThinError, in_place, thin, zero_out_channels};
use calcine_trace::trace;
use calcine_zoo::{Classifier, ModelTask};

use crate::FAMILIES;
use crate::tracing::{images, lively};

struct Thin([usize; 3], Device);

impl ModelTask for Thin {
    /// The largest difference of the logits, and the multiply-accumulates before and after.
    type Output = (f32, u64, u64);

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let model = lively(model);
        let network = trace(&model.valid(), images(self.0, 1, &self.1), M::forward).unwrap();
        let axes = network.graph().axes().unwrap();
        let units = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
        let silent = zero_out_channels(network.clone(), &axes, units).unwrap();
        let before: Tensor<2> = silent.forward(images(self.0, 2, &self.1));
        let thinned = thin(silent.clone(), PaddingEffect::KeepBorder).unwrap();
        let after: Tensor<2> = thinned.network.forward(images(self.0, 2, &self.1));
        let scale = before.clone().abs().max().into_scalar::<f32>().max(1.0);
        let difference = (before - after.clone()).abs().max().into_scalar::<f32>() / scale;
        let any =
            |found: &dyn Fn(&Op) -> bool| network.graph().nodes.iter().any(|node| found(&node.op));
        let grouped = any(&|op| matches!(op, Op::Convolution(of) if of.groups > 1));
        // The numbers of zeros beside a skip are in the code of the module.
        let padded = any(&|op| matches!(op, Op::Pad { padding, .. } if padding[1] != [0, 0]));
        let masked = model.valid().load_record(silent.into_record());
        if grouped {
            // Burn's convolutions keep their number of groups, so only a network can be thinned across grouped ones.
            let plain = in_place(masked, &thinned.plan, network.graph());
            assert!(matches!(plain, Err(ThinError::Layer { .. })));
        } else if padded {
            let plain = in_place(masked, &thinned.plan, network.graph());
            assert!(matches!(plain, Err(ThinError::Code { .. })), "{plain:?}");
        } else {
            // The plain model, thinned by the same plan, computes it too.
            let plain = in_place(masked, &thinned.plan, network.graph()).unwrap();
            assert_eq!(plain.num_params(), thinned.network.num_params());
            let again = in_place(plain, &thinned.plan, network.graph()).unwrap();
            let found = again.forward(images(self.0, 2, &self.1));
            let off = (found - after).abs().max().into_scalar::<f32>();
            assert!(off <= 1e-5 * scale, "{off}");
        }
        let report = thinned.report;
        (difference, report.before.macs, report.after.macs)
    }
}

#[test]
fn every_network_thinned_computes_what_it_computed_masked() {
    let device = Device::flex();
    for architecture in FAMILIES {
        let (difference, before, after) =
            architecture.build(1, &device, Thin(architecture.image_shape(), device.clone()));
        assert!(difference <= 1e-5, "{architecture}: {difference}");
        // Half the channels in and half of them out; the images keep theirs.
        assert!(after * 2 < before, "{architecture}: {after} of {before}");
    }
}
