//! Denominators, variances, and masks: what must not be rounded to a few integers.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    GroupNorm, GroupNormConfig, InstanceNorm, InstanceNormConfig, Linear, PaddingConfig2d, RmsNorm,
    RmsNormConfig,
};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Bool, Tensor, TensorData};
use calcine_quantize::{
    Calibration, FloatReason, FloatType, Method, Override, QatNetwork, QuantizationSettings,
    Quantized, quantize,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, Network, trace};

use crate::models::{read, reread};

#[derive(Module, Debug)]
struct Between {
    a: Conv2d,
    b: Conv2d,
    group: GroupNorm,
    instance: InstanceNorm,
    rms: RmsNorm,
}

/// Two convolutions; of the first, one filter is dead and one 100 times weaker than the others.
fn between() -> Between {
    let conv = |from, to| {
        Conv2dConfig::new([from, to], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&device())
    };
    let sizes: Vec<f32> = (0..8)
        .map(|filter| [1.0, 0.0, 0.01][filter.min(3) % 3])
        .collect();
    let sizes: Tensor<1> = Tensor::from_data(TensorData::new(sizes, [8]), &device());
    let mut a: Conv2d = conv(3, 8);
    a.weight = Param::from_tensor(numbers([8, 3, 3, 3]) * sizes.clone().reshape([8, 1, 1, 1]));
    a.bias = Some(Param::from_tensor(numbers([8]) * sizes * 0.3));
    let mut b: Conv2d = conv(8, 4);
    b.weight = Param::from_tensor(numbers([4, 8, 3, 3]));
    let scale = || Param::from_tensor(numbers([8]) * 0.5 + 1.0);
    let shift = || Param::from_tensor(numbers([8]) * 0.3);
    let mut group = GroupNormConfig::new(4, 8).init(&device());
    let mut instance = InstanceNormConfig::new(8).init(&device());
    let mut rms = RmsNormConfig::new(8).init(&device());
    (group.gamma, group.beta) = (Some(scale()), Some(shift()));
    (instance.gamma, instance.beta) = (Some(scale()), Some(shift()));
    rms.gamma = scale();
    Between {
        a,
        b,
        group,
        instance,
        rms,
    }
}

fn quantized(network: &Network, x: &[AnyTensor], settings: &QuantizationSettings) -> Quantized {
    let calibration = Calibration::collect(network, &[x.to_vec()]).unwrap();
    quantize(network, &calibration, settings).unwrap_or_else(|error| panic!("{error}"))
}

/// Why nodes stay in float, of those that could not be rounded.
fn kept_in_float(quantized: &Quantized) -> Vec<FloatReason> {
    let reasons = quantized
        .report()
        .float
        .iter()
        .map(|node| node.reason.clone());
    let own = |reason: &FloatReason| matches!(reason, FloatReason::Division | FloatReason::Mask);
    reasons.filter(own).collect()
}

/// Signal to quantization noise in decibels.
fn sqnr(network: &Network, quantized: &Quantized, x: &[AnyTensor]) -> f64 {
    let expected = network.run(x.to_vec(), &mut |_, t| t).unwrap();
    let expected = read(expected.into_iter().next().unwrap());
    let found = reread(quantized, x);
    let squares = |of: &mut dyn Iterator<Item = f32>| of.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let noise = squares(&mut expected.iter().zip(&found).map(|(a, b)| a - b));
    assert!(noise.is_finite(), "answers are no numbers");
    10.0 * (squares(&mut expected.iter().copied()) / noise).log10()
}

/// The network with all but its two convolutions in float, and the relu, which is what the second one is fed.
fn in_float(network: &Network, x: &[AnyTensor]) -> Quantized {
    let nodes = network.graph().nodes.iter();
    let others = nodes.filter(|node| {
        let fed = node.name.ends_with("relu");
        !["a", "b"].contains(&node.name.as_str()) && !fed
    });
    let others = others.map(|node| Override {
        name: node.name.clone(),
        float: Some(FloatType::F32),
        ..Override::default()
    });
    let settings = QuantizationSettings {
        layers: others.collect(),
        ..QuantizationSettings::default()
    };
    quantized(network, x, &settings)
}

fn over_channels(x: Tensor<4>, epsilon: f64) -> Tensor<4> {
    let rms = (x.clone().square().mean_dim(1) + epsilon).sqrt();
    x / rms
}

/// Norms as Burn spells them, and by hand, with filters that are dead or weak: within a decibel of the network in which the
/// settings keep the norm in float.
#[test]
fn norms_that_are_arithmetic_lose_no_more_than_norms_in_float() {
    type Norm = Box<dyn Fn(&Between, Tensor<4>) -> Tensor<4>>;
    let rows: Vec<(&str, Norm)> = vec![
        ("group norm", Box::new(|m, x| m.group.forward(x))),
        ("instance norm", Box::new(|m, x| m.instance.forward(x))),
        (
            "rms norm",
            Box::new(|m, x| m.rms.forward(x.swap_dims(1, 3)).swap_dims(1, 3)),
        ),
        (
            "rms by hand, powers",
            Box::new(|_, x| {
                let power = x.clone().powf_scalar(2.0).mean_dim(1) + 1e-6;
                x * power.powf_scalar(-0.5)
            }),
        ),
        (
            "layer norm by hand",
            Box::new(|_, x| {
                let centred = x.clone() - x.mean_dim(1);
                centred.clone() / (centred.square().mean_dim(1) + 1e-5).sqrt() * 1.3 + 0.2
            }),
        ),
        (
            "instance norm of two moments",
            Box::new(|_, x| {
                let mean = |x: Tensor<4>| x.mean_dim(3).mean_dim(2);
                let of = mean(x.clone());
                let variance = mean(x.clone().square()) - of.clone().square();
                (x - of) * (variance.clamp_min(0.0) + 1e-5).sqrt().recip()
            }),
        ),
        (
            "length one",
            Box::new(|_, x| {
                let length = x.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
                x / length
            }),
        ),
        (
            "length one, without a bound",
            Box::new(|_, x| {
                let length = x.clone().abs().sum_dim(1);
                x / length
            }),
        ),
        (
            "over the largest",
            Box::new(|_, x| x.clone() / x.abs().max_dim(1)),
        ),
        (
            "local response",
            Box::new(|_, x| {
                let sums = x.clone().square().mean_dim(1) * 5.0;
                x / (sums * 0.1 + 1.0).powf_scalar(0.75)
            }),
        ),
    ];
    let x: Tensor<4> = numbers([4, 3, 8, 8]);
    let inputs: [AnyTensor; 1] = [x.clone().into()];
    for (name, norm) in rows {
        let network = trace(&between(), x.clone(), |m, x| {
            m.b.forward(relu(norm(m, m.a.forward(x))))
        })
        .unwrap();
        let ours = quantized(&network, &inputs, &QuantizationSettings::default());
        let float = in_float(&network, &inputs);
        let [ours_db, float_db] = [&ours, &float].map(|q| sqnr(&network, q, &inputs));
        assert!(
            ours_db > float_db - 1.0 && ours_db > 25.0,
            "{name}: {ours_db:.1} dB for {float_db:.1}"
        );
        let reasons = kept_in_float(&ours);
        let division = |reason: &FloatReason| *reason == FloatReason::Division;
        assert!(
            reasons.len() >= 2 && reasons.iter().all(division),
            "{name}: {reasons:?}"
        );
    }
}

/// Functions whose results are ruined by the rounding of small operands.
#[test]
fn functions_that_magnify_take_floats() {
    type Forward = fn(Tensor<4>) -> Tensor<4>;
    let rows: [(&str, Forward); 10] = [
        ("reciprocal", |x| (x.abs() + 1e-3).recip()),
        ("quotient of two", |x| (x.clone() + 0.1) / (x.abs() + 0.01)),
        ("logarithm", |x| (x.abs() + 1e-6).log()),
        ("logarithm of one more", |x| x.abs().log1p()),
        ("root", |x| x.abs().sqrt()),
        ("power", |x| (x.abs() + 1e-3).powf_scalar(-1.5)),
        ("exponential", |x| (x * 4.0).exp()),
        ("softplus", |x| (x.exp() + 1.0).log()),
        ("swish by hand", |x| x.clone() / (x.neg().exp() + 1.0)),
        ("softmax by hand", |x| {
            let e = (x.clone() - x.max_dim(1)).exp();
            e.clone() / e.sum_dim(1)
        }),
    ];
    let x: Tensor<4> = numbers([4, 3, 8, 8]);
    let inputs: [AnyTensor; 1] = [x.clone().into()];
    each(rows, |(name, function)| {
        let function = *function;
        let network = trace(&between(), x.clone(), move |m, x| {
            m.b.forward(relu(function(m.a.forward(x))))
        })
        .unwrap();
        let ours = quantized(&network, &inputs, &QuantizationSettings::default());
        let float = in_float(&network, &inputs);
        let [db, float_db] = [&ours, &float].map(|q| sqnr(&network, q, &inputs));
        assert!(
            db > float_db - 1.0 && db > 20.0,
            "{name}: {db:.1} dB for {float_db:.1}"
        );
        assert!(!kept_in_float(&ours).is_empty());
        // The network trains on the same values, and becomes the same integers.
        let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        let qat = QatNetwork::new(
            network,
            &calibration,
            &QuantizationSettings::default(),
            Method::Lsq,
        )
        .unwrap();
        let fake_quantized: Tensor<4> = qat.forward(x.clone());
        let integers: Tensor<4> = qat.quantized().unwrap().forward(x.clone());
        let largest = fake_quantized.clone().abs().max().into_scalar::<f32>();
        let off = (fake_quantized - integers).abs().max().into_scalar::<f32>();
        assert!(
            off < 0.02 * largest,
            "{name}: integers are off by {off} of {largest}"
        );
    });
}

#[derive(Module, Debug)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
}

/// Attention with weights and biases of its own for each seed.
fn attention(seed: usize) -> Attention {
    let first = 1000 * seed;
    let numbers = calcine_testkit::values(first + 4 * 72);
    let mut numbers = numbers[first..].chunks(72).map(|own| {
        let [weight, bias] = [&own[..64], &own[64..]];
        let weight = Tensor::<1>::from_floats(weight, &device()).reshape([8, 8]);
        let bias = Tensor::from_floats(bias, &device()) * 0.3;
        Linear {
            weight: Param::from_tensor(weight),
            bias: Some(Param::from_tensor(bias)),
        }
    });
    let mut next = || numbers.next().unwrap();
    Attention {
        q: next(),
        k: next(),
        v: next(),
        o: next(),
    }
}

/// Attention over a causal mask that is filled in.
#[test]
fn masked_attention_keeps_its_answers() {
    fn causal(x: &Tensor<3>) -> Tensor<3, Bool> {
        let hidden: Vec<bool> = (0..36).map(|at| at % 6 > at / 6).collect();
        let hidden = TensorData::new(hidden, [1, 6, 6]);
        Tensor::<3, Bool>::from_data(hidden, &x.device()).expand(x.dims())
    }
    let x: Tensor<3> = numbers([4, 6, 8]);
    let inputs: [AnyTensor; 1] = [x.clone().into()];
    let masks = [f32::NEG_INFINITY, f32::MIN, -1e9, -1e4, -100.0];
    let masks = std::iter::once(None).chain(masks.map(Some));
    let mut means = masks.map(|hidden| {
        let forward = |m: &Attention, x: Tensor<3>| {
            let keys = m.k.forward(x.clone()).swap_dims(1, 2);
            let scores = m.q.forward(x.clone()).matmul(keys) / 3.0;
            let scores = match hidden {
                Some(hidden) => scores.clone().mask_fill(causal(&scores), hidden),
                None => scores,
            };
            m.o.forward(softmax(scores, 2).matmul(m.v.forward(x)))
        };
        let models = 0..8;
        let decibels = models.map(|seed| {
            let network = trace(&attention(seed), x.clone(), forward).unwrap();
            let ours = quantized(&network, &inputs, &QuantizationSettings::default());
            let masks = kept_in_float(&ours).contains(&FloatReason::Mask);
            assert_eq!(masks, hidden.is_some());
            sqnr(&network, &ours, &inputs)
        });
        let decibels: Vec<f64> = decibels.collect();
        decibels.iter().sum::<f64>() / 8.0
    });
    // Without a mask, the loss is what the same roundings cost anyway.
    let without = means.next().unwrap();
    for db in means {
        assert!(
            db > 36.0 && db > without - 0.5,
            "{db:.1} dB, without a mask {without:.1}"
        );
    }
}

/// A mask that the model adds, made of its constants, and one that the caller gives: −∞ and −1e9 stay what they are before a
/// softmax, and before one that is spelled out.
#[test]
fn masks_that_are_added_are_as_the_model_or_the_caller_has_them() {
    let causal = |hidden: f32| {
        let mask = (0..144).map(|at| if at % 6 > at / 6 % 6 { hidden } else { 0.0 });
        TensorData::new(mask.collect::<Vec<f32>>(), [4, 6, 6])
    };
    let x: Tensor<3> = numbers([4, 6, 8]);
    for hidden in [f32::NEG_INFINITY, -1e9] {
        let given = Tensor::<3>::from_data(causal(hidden), &device());
        let inputs: [AnyTensor; 2] = [x.clone().into(), given.clone().into()];
        for (own, by_hand) in [(false, false), (false, true), (true, false), (true, true)] {
            let forward = |m: &Attention, (x, given): (Tensor<3>, Tensor<3>)| {
                let keys = m.k.forward(x.clone()).swap_dims(1, 2);
                let scores = m.q.forward(x.clone()).matmul(keys);
                let mask = if own {
                    let mask = Tensor::<3>::from_data(causal(hidden), &x.device());
                    mask.narrow(0, 0, 1) + given * 0.0
                } else {
                    given
                };
                let masked = scores + mask;
                let shares = if by_hand {
                    let e = (masked.clone() - masked.max_dim(2)).exp();
                    e.clone() / e.sum_dim(2)
                } else {
                    softmax(masked, 2)
                };
                m.o.forward(shares.matmul(m.v.forward(x)))
            };
            let inputs = match own {
                true => [
                    inputs[0].clone(),
                    Tensor::<3>::zeros([4, 6, 6], &device()).into(),
                ],
                false => inputs.clone(),
            };
            let network = trace(&attention(0), (x.clone(), given.clone()), forward).unwrap();
            let ours = quantized(&network, &inputs, &QuantizationSettings::default());
            let db = sqnr(&network, &ours, &inputs);
            assert!(db > 36.0, "{hidden}, {own}, {by_hand}: {db:.1} dB");
        }
    }
}

/// A maximum over what a mask leaves.
#[test]
fn masked_maxima_keep_their_answers() {
    let x: Tensor<3> = numbers([4, 6, 8]);
    for hidden in [f32::NEG_INFINITY, -1e9] {
        let forward = |m: &Attention, x: Tensor<3>| {
            let y = m.q.forward(x);
            let mask = y.clone().lower_elem(-0.5);
            m.o.forward(y.mask_fill(mask, hidden).max_dim(1))
        };
        let network = trace(&attention(0), x.clone(), forward).unwrap();
        let inputs = [x.clone().into()];
        let ours = quantized(&network, &inputs, &QuantizationSettings::default());
        let db = sqnr(&network, &ours, &inputs);
        assert!(db > 30.0, "{hidden}: {db:.1} dB");
    }
}

/// A reciprocal does not keep a whole network in float: layers before and behind are in integers.
#[test]
fn what_is_not_divided_by_stays_in_integers() {
    let x: Tensor<4> = numbers([4, 3, 8, 8]);
    let forward = |m: &Between, x: Tensor<4>| {
        let y = relu(m.a.forward(x));
        let z = y.clone() + over_channels(y, 1e-5);
        m.b.forward(relu(z.clone()) + z)
    };
    let network = trace(&between(), x.clone(), forward).unwrap();
    let ours = quantized(&network, &[x.into()], &QuantizationSettings::default());
    let graph = network.graph();
    // The stream, its sum with the norm, and what follows.
    for node in graph
        .nodes
        .iter()
        .filter(|n| n.name.contains("relu") || n.op.name() == "add")
    {
        let fed: Vec<_> = node
            .inputs
            .iter()
            .map(|id| graph.value(*id).name.clone())
            .collect();
        let scalar = matches!(node.op, calcine_graph::Op::Scalar(..));
        assert!(
            scalar || ours.quantizer(&node.name).is_some(),
            "{} of {fed:?}",
            node.name
        );
    }
    assert_eq!(kept_in_float(&ours).len(), 4, "square, mean, ε, root");
}
