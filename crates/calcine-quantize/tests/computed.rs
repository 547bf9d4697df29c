//! Layers whose weight is computed from parameters: stored transposed, or multiplied with a scale.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use calcine_quantize::{
    Calibration, Method, QatNetwork, QuantizationSettings, Quantized, quantize,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::trace;

use crate::models::read;

#[derive(Module, Debug)]
struct Net {
    first: Dense,
    last: Dense,
}

/// A weight `[out, in]`, as PyTorch keeps it.
#[derive(Module, Debug)]
struct Dense {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

type Forward = fn(&Dense, Tensor<2>) -> Tensor<2>;

#[test]
fn a_computed_weight_has_integers() {
    let dense = |outputs: usize, inputs: usize| Dense {
        weight: Param::from_tensor(numbers([outputs, inputs])),
        bias: Param::from_tensor(numbers([outputs])),
    };
    let model = Net {
        first: dense(8, 6),
        last: dense(4, 8),
    };
    let rows: [(&str, Forward); 3] = [
        ("transposed", |m, x| {
            x.matmul(m.weight.val().transpose()) + m.bias.val().unsqueeze()
        }),
        ("scaled", |m, x| {
            x.matmul((m.weight.val() * 0.25).transpose()) + m.bias.val().unsqueeze()
        }),
        ("without a bias", |m, x| {
            x.matmul(m.weight.val().transpose())
        }),
    ];
    each(rows, |(_, layer)| {
        let layer = *layer;
        let forward = |m: &Net, x: Tensor<2>| layer(&m.last, relu(layer(&m.first, x)));
        let network = trace(&model, numbers([1, 6]), forward).unwrap();
        let x: Tensor<2> = numbers([16, 6]);
        let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
        let names: Vec<&str> = quantized.layers().map(|layer| layer.name).collect();
        assert_eq!(names, ["first", "last"]);
        let float = read(network.forward::<_, Tensor<2>>(x.clone()));
        let ints = read(quantized.forward::<_, Tensor<2>>(x.clone()));
        let largest = float.iter().fold(0.0_f32, |most, y| most.max(y.abs()));
        let pairs = float.iter().zip(&ints);
        assert!(
            pairs
                .into_iter()
                .all(|(a, b)| (a - b).abs() < 0.03 * largest)
        );
        let again = Quantized::from_bytes(&quantized.to_bytes().unwrap(), &device()).unwrap();
        assert_eq!(read(again.forward::<_, Tensor<2>>(x.clone())), ints);
        let qat = QatNetwork::new(
            network.clone(),
            &calibration,
            &QuantizationSettings::default(),
            Method::Lsq,
        );
        let names = qat.unwrap().quantized().unwrap();
        assert_eq!(names.layers().count(), 2);
    });
}
