//! Traced networks against the models that they were traced from.

use burn::module::{Module, ParamId};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_params::{Edit, Inventory, edit};
use calcine_trace::trace;
use calcine_train::stream;
use calcine_zoo::{Classifier, ModelTask};
use rand_distr::{Distribution, StandardNormal};

use calcine_testkit::rows;

use crate::FAMILIES;

/// Waves.
pub(crate) fn images(
    [channels, height, width]: [usize; 3],
    batch: usize,
    device: &Device,
) -> Tensor<4> {
    let shape = [batch, channels, height, width];
    let count = i64::try_from(shape.iter().product::<usize>()).unwrap();
    let numbers = Tensor::<1, Int>::arange(0..count, device).float();
    (numbers * 0.37).sin().reshape(shape)
}

/// The model with other kernels, of standard deviation `sqrt(2 / fan_in)` in every convolution: untrained, the signal of many
/// networks dies on its way through the norms, which do not yet normalise, and all logits are the last bias.
pub(crate) fn lively<M: Module>(model: M) -> M {
    struct Kernels(Vec<ParamId>);

    impl Edit for Kernels {
        fn wants(&self, id: ParamId) -> bool {
            self.0.contains(&id)
        }

        fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
            let shape = value.dims();
            let fan_in: usize = shape[1..].iter().product();
            let deviation = (2.0 / fan_in as f64).sqrt();
            let mut random = stream(1, "lively", shape.iter().product::<usize>() as u64);
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|_| {
                    let unit: f64 = StandardNormal.sample(&mut random);
                    (unit * deviation) as f32
                })
                .collect();
            Tensor::from_data(TensorData::new(values, shape), &value.device())
        }
    }

    let inventory = Inventory::from_module(&model);
    let kernels = inventory.iter().filter(|p| p.shape.len() == 4);
    let kernels = kernels.map(|kernel| kernel.id).collect();
    edit(model, &mut Kernels(kernels))
}

struct Compare([usize; 3], Device);

impl ModelTask for Compare {
    /// The largest difference between the logits of the two, with the model's own weights and with [`lively`] ones, there
    /// as a share of the largest logit.
    type Output = [f32; 2];

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let [own, _] = self.difference(&model);
        let [difference, scale] = self.difference(&lively(model));
        assert!(scale > 0.1, "the signal arrives");
        [own, difference / scale]
    }
}

impl Compare {
    /// The largest difference, and the largest logit.
    fn difference<M: Classifier + 'static>(&self, model: &M) -> [f32; 2] {
        let network = trace(model, images(self.0, 1, &self.1), M::forward).unwrap();
        let paths = |rows: Vec<calcine_testkit::Row>| -> Vec<(String, Vec<usize>)> {
            rows.into_iter().map(|row| (row.path, row.shape)).collect()
        };
        assert_eq!(paths(rows(&network)), paths(rows(model)));
        let mut largest = [0.0_f32; 2];
        for batch in [1, 2, 3, 5] {
            let images = images(self.0, batch, &self.1);
            let expected = model.forward(images.clone());
            let found: Tensor<2> = network.forward(images);
            let difference = (found - expected.clone()).abs().max();
            let numbers = [difference, expected.abs().max()].map(Tensor::into_scalar::<f32>);
            largest = [0, 1].map(|at| largest[at].max(numbers[at]));
        }
        largest
    }
}

#[test]
fn every_network_traced_computes_the_same_for_any_batch_under_the_same_names() {
    let device = Device::flex();
    for architecture in FAMILIES {
        let differences = architecture.build(
            1,
            &device,
            Compare(architecture.image_shape(), device.clone()),
        );
        let small = differences.iter().all(|difference| *difference <= 1e-5);
        assert!(small, "{architecture}: {differences:?}");
    }
}
