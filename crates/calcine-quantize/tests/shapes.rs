//! What does not fit is an error wherever a result is returned, as of the float network.

use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Int, Tensor};
use calcine_quantize::{
    Calibration, Method, Preparation, QatNetwork, QuantizationSettings, QuantizeError, Rounding,
    prepare, quantize, quantize_with_batches, reestimate,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors, trace};

use crate::models::{images, network};

/// What each function that takes batches says of one.
fn refused(
    network: &Network,
    calibration: &Calibration,
    batch: &Vec<AnyTensor>,
) -> Vec<(&'static str, Option<String>)> {
    fn said<T, E: ToString>(result: Result<T, E>) -> Option<String> {
        result.err().map(|error| error.to_string())
    }
    let batches = std::slice::from_ref(batch);
    let over = |change: fn(&mut QuantizationSettings)| {
        let mut settings = QuantizationSettings::default();
        change(&mut settings);
        said(quantize_with_batches(
            network,
            calibration,
            &settings,
            batches,
        ))
    };
    let smooth = Preparation {
        equalize: true,
        smooth: Some(0.5),
    };
    vec![
        ("calibration", said(Calibration::collect(network, batches))),
        (
            "smoothing",
            said(prepare(network.clone(), batches, &smooth)),
        ),
        ("norms", said(reestimate(network.clone(), batches))),
        ("biases", over(|s| s.weights.correct_bias = true)),
        ("rounding", over(|s| s.weights.rounding = Rounding::Gptq)),
        ("norms of integers", over(|s| s.weights.reestimate = true)),
    ]
}

#[test]
fn whatever_its_shape_a_batch_has_an_answer_or_an_error() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    let qat = QatNetwork::new(
        network.clone(),
        &calibration,
        &QuantizationSettings::default(),
        Method::Lsq,
    )
    .unwrap();
    let lengths = [0, 1, 2, 3, 4, 8];
    let mut shapes = vec![[2, 3, 8, 8], [1, 3, 8, 8], [0, 0, 0, 0], [5, 3, 16, 16]];
    for length in lengths {
        for axis in 0..4 {
            let mut shape = [2, 3, 8, 8];
            shape[axis] = length;
            shapes.push(shape);
        }
    }
    each(shapes, |shape| {
        // Burn's `reshape` takes a zero for "as it was".
        let x = || {
            let tensor = match shape.contains(&0) {
                true => Tensor::<4>::zeros(*shape, &device()),
                false => numbers(*shape),
            };
            vec![AnyTensor::from(tensor)]
        };
        let float = network.try_forward::<_, Vec<AnyTensor>>(x()).err();
        assert_eq!(float.is_none(), shape[0] > 0 && shape[1..] == [3, 8, 8]);
        let message = float.as_ref().map(ToString::to_string);
        assert_eq!(quantized.try_forward::<_, Vec<AnyTensor>>(x()).err(), float);
        assert_eq!(quantized.run(x(), &mut |_, _| {}).err(), float);
        assert_eq!(qat.try_forward::<_, Vec<AnyTensor>>(x()).err(), float);
        if float.is_some() {
            for (what, said) in refused(&network, &calibration, &x()) {
                assert_eq!(said, message, "{what}");
            }
        }
    });
}

#[test]
fn tensors_of_another_number_rank_or_kind_are_errors() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    let qat = QatNetwork::new(
        network.clone(),
        &calibration,
        &QuantizationSettings::default(),
        Method::Lsq,
    )
    .unwrap();
    let right = || AnyTensor::from(images(2, 0));
    let rows: [Vec<AnyTensor>; 5] = [
        vec![],
        vec![right(), right()],
        vec![numbers::<3>([3, 8, 8]).into()],
        vec![numbers::<6>([2, 3, 8, 8, 1, 1]).into()],
        vec![Tensor::<4, Int>::zeros([2, 3, 8, 8], &device()).into()],
    ];
    each(rows, |inputs| {
        let error = network
            .try_forward::<_, Vec<AnyTensor>>(inputs.clone())
            .err();
        assert!(error.is_some());
        assert_eq!(
            quantized
                .try_forward::<_, Vec<AnyTensor>>(inputs.clone())
                .err(),
            error
        );
        assert_eq!(
            qat.try_forward::<_, Vec<AnyTensor>>(inputs.clone()).err(),
            error
        );
        for (what, said) in refused(&network, &calibration, inputs) {
            assert_eq!(said, error.as_ref().map(ToString::to_string), "{what}");
        }
    });
    let outputs = quantized.try_forward::<_, Tensor<3>>(images(2, 0));
    assert!(matches!(outputs, Err(ForwardError::Outputs { .. })));
    let outputs = qat.try_forward::<_, (Tensor<2>, Tensor<2>)>(images(2, 0));
    assert!(matches!(outputs, Err(ForwardError::Outputs { .. })));
    let none: [Vec<AnyTensor>; 0] = [];
    let error = Calibration::collect(&network, &none).unwrap_err();
    assert!(matches!(error, QuantizeError::NoBatch));
    let mut settings = QuantizationSettings::default();
    settings.weights.correct_bias = true;
    let error = quantize_with_batches(&network, &calibration, &settings, &none).unwrap_err();
    assert!(matches!(error, QuantizeError::NoBatch));
}

#[test]
fn inputs_have_equally_many_samples() {
    let model: Linear = LinearConfig::new(3, 3).init(&device());
    let forward = |m: &Linear, (a, b): (Tensor<2>, Tensor<2>)| m.forward(a) + m.forward(b);
    let rows = |count: usize| numbers::<2>([5, 3]).repeat_dim(0, 2).slice_dim(0, 0..count);
    let of = |[a, b]: [usize; 2]| (rows(a), rows(b));
    let network = trace(&model, of([1, 1]), forward).unwrap();
    let calibration = Calibration::collect(&network, &[of([2, 2])]).unwrap();
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    let qat = QatNetwork::new(
        network.clone(),
        &calibration,
        &QuantizationSettings::default(),
        Method::Lsq,
    )
    .unwrap();
    let rows = [
        ([2, 2], true),
        ([7, 7], true),
        ([2, 4], false),
        ([1, 4], false),
        ([4, 1], false),
        ([0, 0], false),
    ];
    each(rows, |(rows, fits)| {
        let float = network.try_forward::<_, Tensor<2>>(of(*rows)).err();
        assert_eq!(float.is_none(), *fits);
        assert_eq!(
            quantized.try_forward::<_, Tensor<2>>(of(*rows)).err(),
            float
        );
        assert_eq!(qat.try_forward::<_, Tensor<2>>(of(*rows)).err(), float);
        for (what, said) in refused(&network, &calibration, &of(*rows).into_any()) {
            assert_eq!(said.is_none(), *fits, "{what}: {said:?}");
        }
    });
}

/// What depends on the numbers themselves: a word that the table does not have.
#[test]
fn positions_beyond_the_end_are_errors() {
    let model: Embedding = EmbeddingConfig::new(5, 3).init(&device());
    let ids = |ids: [i32; 2]| Tensor::<2, Int>::from_data([ids], &device());
    let forward = |m: &Embedding, ids: Tensor<2, Int>| m.forward(ids) * 2.0;
    let network = trace(&model, ids([0, 1]), forward).unwrap();
    let calibration = Calibration::collect(&network, &[ids([0, 4])]).unwrap();
    let mut in_float = QuantizationSettings::default();
    in_float.activations.bits = 0;
    for settings in [QuantizationSettings::default(), in_float] {
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let found = quantized.try_forward::<_, Tensor<3>>(ids([0, 5]));
        assert!(matches!(found, Err(ForwardError::Operation { .. })));
        assert!(quantized.try_forward::<_, Tensor<3>>(ids([0, 4])).is_ok());
    }
    let found = Calibration::collect(&network, &[ids([0, 5])]);
    let operation = matches!(
        found,
        Err(QuantizeError::Forward(ForwardError::Operation { .. }))
    );
    assert!(operation);
}

/// One sample of one batch, in a corner that no sampled position may see.
#[test]
fn numbers_that_are_not_finite_are_refused_by_all_that_goes_by_batches() {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(2, 0)]).unwrap();
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bad = images(2, 0).slice_fill([1..2, 2..3, 7..8, 7..8], number);
        let batches = [vec![AnyTensor::from(images(2, 0))], vec![bad.into()]];
        let mut weights_alone = QuantizationSettings::default();
        weights_alone.activations.bits = 0;
        let rows: [fn(&mut QuantizationSettings); 4] = [
            |s| s.weights.rounding = Rounding::Gptq,
            |s| s.weights.rounding = Rounding::AdaRound,
            |s| s.weights.correct_bias = true,
            |s| s.weights.reestimate = true,
        ];
        for change in rows {
            let mut settings = weights_alone.clone();
            change(&mut settings);
            let error =
                quantize_with_batches(&network, &calibration, &settings, &batches).unwrap_err();
            let named =
                matches!(&error, QuantizeError::Batch { batch: 1, input } if input == "input");
            assert!(named, "{error}");
        }
        let error = reestimate(network.clone(), &batches).unwrap_err();
        assert!(
            matches!(error, QuantizeError::Batch { batch: 1, .. }),
            "{error}"
        );
        let smooth = Preparation {
            smooth: Some(0.5),
            ..Preparation::default()
        };
        let error = prepare(network.clone(), &batches, &smooth).unwrap_err();
        assert!(
            matches!(error, QuantizeError::Batch { batch: 1, .. }),
            "{error}"
        );
        // Ranges are of finite numbers, so that a quantizer says that it has none.
        let partly = Calibration::collect(&network, &batches).unwrap();
        let error = quantize(&network, &partly, &QuantizationSettings::default()).unwrap_err();
        assert!(
            matches!(error, QuantizeError::NotCalibrated { .. }),
            "{error}"
        );
    }
}
