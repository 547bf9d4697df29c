//! Traced networks against the models that they were traced from.

use burn::tensor::{Device, Int, Tensor};
use calcine_trace::trace;
use calcine_zoo::{Architecture, Classifier, ModelTask};

use calcine_testkit::rows;

pub(crate) fn images(batch: usize, device: &Device) -> Tensor<4> {
    let count = i64::try_from(batch * 3 * 32 * 32).unwrap();
    let numbers = Tensor::<1, Int>::arange(0..count, device).float();
    (numbers * 0.37).sin().reshape([batch, 3, 32, 32])
}

struct Compare(Device);

impl ModelTask for Compare {
    type Output = f32;

    /// The largest difference between the logits of the two.
    fn run<M: Classifier + 'static>(self, model: M) -> f32 {
        let network = trace(&model, images(1, &self.0), M::forward).unwrap();
        let paths = |rows: Vec<calcine_testkit::Row>| -> Vec<(String, Vec<usize>)> {
            rows.into_iter().map(|row| (row.path, row.shape)).collect()
        };
        assert_eq!(paths(rows(&network)), paths(rows(&model)));
        let difference = |batch| {
            let images = images(batch, &self.0);
            let found: Tensor<2> = network.forward(images.clone());
            let difference = (found - model.forward(images)).abs().max();
            difference.into_scalar::<f32>()
        };
        difference(1).max(difference(3))
    }
}

#[test]
fn every_network_traced_computes_the_same_for_any_batch_under_the_same_names() {
    let device = Device::flex();
    for architecture in Architecture::ALL {
        let difference = architecture.build(1, &device, Compare(device.clone()));
        assert!(difference <= 1e-5, "{architecture}: {difference}");
    }
}
