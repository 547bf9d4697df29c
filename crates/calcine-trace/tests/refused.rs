//! Forward passes that no recording is true of.

use std::cell::Cell;

use burn::module::Module;
use burn::nn::gru::{Gru, GruConfig};
use burn::nn::{BiLstm, BiLstmConfig, Linear, LinearConfig, Lstm, LstmConfig};
use burn::tensor::{Device, Distribution, Int, Tensor};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{AnyTensor, TraceError, trace, trace_made};

use crate::difference;

fn layer() -> Linear {
    LinearConfig::new(3, 2).init(&device())
}

type Forward = fn(&Linear, Tensor<2>) -> Tensor<2>;

/// The network does what the model does for every batch, or there is none.
#[test]
fn what_depends_on_the_batch_is_right_or_an_error() {
    let rows: Vec<(&str, Forward)> = vec![
        ("the first rows, cut by Burn", |m, x| {
            m.forward(x.slice_dim(0, 0..8))
        }),
        ("the first rows, cut by Rust", |m, x| {
            let rows = x.dims()[0].min(8);
            m.forward(x.slice_dim(0, 0..rows))
        }),
        ("the first thousand rows", |m, x| {
            let rows = x.dims()[0].min(1000);
            m.forward(x.slice_dim(0, 0..rows))
        }),
        ("the last rows", |m, x| {
            let rows = x.dims()[0];
            m.forward(x.slice_dim(0, rows.saturating_sub(5)..rows))
        }),
        ("other work for more than four", |m, x| {
            let rows = x.dims()[0];
            let y = m.forward(x);
            if rows > 4 { y * 2.0 } else { y }
        }),
        ("other work for one", |m, x| {
            let rows = x.dims()[0];
            let y = m.forward(x);
            if rows == 1 { y * 2.0 } else { y }
        }),
        ("divided by the batch", |m, x| {
            let rows = x.dims()[0];
            m.forward(x) / rows as f32
        }),
        ("the batch as a number", |m, x| {
            let rows = x.dims()[0] as f32;
            let row = Tensor::<2>::from_floats([[rows, 1.0, 2.0]], &x.device());
            m.forward(x + row)
        }),
        ("as many rows again", |m, x| {
            m.forward(Tensor::cat(vec![x.clone(), x], 0))
        }),
        ("one row more", |m, x| {
            let zeros = Tensor::<2>::zeros([1, 3], &x.device());
            m.forward(Tensor::cat(vec![x, zeros], 0))
        }),
        ("all but the first row", |m, x| {
            let rows = x.dims()[0];
            m.forward(x.slice_dim(0, 1.min(rows - 1)..rows))
        }),
        ("repeated as often as the batch", |m, x| {
            let rows = x.dims()[0];
            m.forward(x.slice_dim(0, 0..1).repeat_dim(0, rows))
        }),
        ("a step for each row", |m, x| {
            let rows = x.dims()[0];
            (0..rows).fold(m.forward(x), |y, _| y + 1.0)
        }),
    ];
    each(rows, |(_, forward)| {
        for batch in [1, 16] {
            let Ok(network) = trace(&drawn_layer(), numbers([batch, 3]), forward) else {
                continue;
            };
            for batch in [1, 2, 3, 5, 16, 17, 1500] {
                let x = numbers([batch, 3]);
                let expected = forward(&drawn_layer(), x.clone());
                let found: Tensor<2> = network.forward(x);
                assert_eq!(found.dims(), expected.dims(), "batch {batch}");
                assert!(difference(&found, &expected) < 1e-5, "batch {batch}");
            }
        }
    });
}

/// What is done for one size of the batch alone is seen if the sample has it.
#[test]
fn what_the_sample_shows_is_seen() {
    let forward = |m: &Linear, x: Tensor<2>| {
        let rows = x.dims()[0];
        let y = m.forward(x);
        if rows == 16 { y.neg() } else { y }
    };
    let error = trace(&drawn_layer(), numbers([16, 3]), forward).unwrap_err();
    assert!(
        matches!(error, TraceError::SampleDiffers { output: 0, .. }),
        "{error}"
    );
}

fn drawn_layer() -> Linear {
    let mut layer = layer();
    layer.weight = burn::module::Param::from_tensor(numbers([3, 2]));
    layer.bias = Some(burn::module::Param::from_tensor(numbers([2])));
    layer
}

#[test]
fn reading_a_value_drawing_and_panicking_are_errors_with_words() {
    let rows: Vec<(&str, &str, Forward)> = vec![
        ("a scalar read", "has no values", |m, x| {
            let y = m.forward(x);
            if y.clone().sum().into_scalar::<f32>() > 0.0 {
                y * 2.0
            } else {
                y
            }
        }),
        ("data read", "has no values", |m, x| {
            let first = x.to_data().iter::<f32>().next().unwrap_or_default();
            m.forward(x) * first
        }),
        ("noise of the device", "random", |m, x| {
            let noise = Tensor::<2>::random([1, 3], Distribution::Normal(0.0, 1.0), &x.device());
            m.forward(x + noise)
        }),
        ("integers of the device", "random", |m, x| {
            let noise =
                Tensor::<2, Int>::random([1, 3], Distribution::Uniform(0.0, 9.0), &x.device());
            m.forward(x + noise.float())
        }),
        ("a panic", "not for more than one", |m, x| {
            assert!(x.dims()[0] == 1, "not for more than one");
            m.forward(x)
        }),
        ("a tensor of another device", "trace_made", |m, x| {
            m.forward(x) + Tensor::<2>::ones([1, 2], &device())
        }),
    ];
    each(rows, |(_, word, forward)| {
        let error = trace(&layer(), numbers([1, 3]), forward)
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    });
}

#[test]
fn a_number_that_rust_draws_anew_in_every_pass_is_an_error() {
    let passes = Cell::new(0.0_f32);
    let drawn = |m: &Linear, x: Tensor<2>| {
        passes.set(passes.get() + 1.0);
        let noise = Tensor::<2>::from_floats([[passes.get(), 0.0, 0.0]], &x.device());
        m.forward(x + noise)
    };
    let error = trace(&layer(), numbers([1, 3]), drawn).unwrap_err();
    assert!(matches!(error, TraceError::Batch { .. }), "{error}");
    // As a number of an operation, and only after the recordings.
    let passes = Cell::new(0);
    let late = |m: &Linear, x: Tensor<2>| {
        passes.set(passes.get() + 1);
        m.forward(x) * if passes.get() > 3 { 2.0 } else { 1.0 }
    };
    let error = trace(&drawn_layer(), numbers([1, 3]), late).unwrap_err();
    assert!(matches!(error, TraceError::SampleDiffers { .. }), "{error}");
}

#[test]
fn all_operations_without_counterpart_are_named_at_once() {
    let error = trace(&layer(), numbers([1, 3]), |m: &Linear, x: Tensor<2>| {
        m.forward(x.cummax(1)).cumprod(1)
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`CumMax`") && text.contains("`CumProd`"),
        "{text}"
    );
    assert!(text.contains("[2, 3]") && text.contains("[2, 2]"), "{text}");
    // What no output depends on is none of them.
    let unused = trace(&layer(), numbers([1, 3]), |m: &Linear, x: Tensor<2>| {
        let _ = x.clone().cummax(1);
        m.forward(x)
    });
    assert!(unused.is_ok());
}

/// A model that makes tensors on the device that it was made on.
#[derive(Module, Debug)]
struct Placed {
    linear: Linear,
    #[module(skip)]
    device: Device,
}

#[test]
fn a_model_that_keeps_its_device_is_made_where_it_is_recorded() {
    let weights = drawn_layer();
    let make = |device: &Device| Placed {
        linear: weights.clone().to_device(device),
        device: device.clone(),
    };
    let forward =
        |m: &Placed, x: Tensor<2>| m.linear.forward(x) * Tensor::<2>::full([1, 2], 3.0, &m.device);
    let x = numbers([4, 3]);
    let model = make(&device());
    assert!(matches!(
        trace(&model, x.clone(), forward),
        Err(TraceError::Panic { .. })
    ));
    let network = trace_made(make, numbers([1, 3]), forward).unwrap();
    let found: Tensor<2> = network.forward(x.clone());
    assert_eq!(difference(&found, &forward(&model, x)), 0.0);
}

#[test]
fn a_sample_may_be_on_the_tape() {
    let device = device().autodiff();
    let model = drawn_layer().to_device(&device);
    let sample = Tensor::<2>::ones([2, 3], &device).require_grad();
    let network = trace(&model, sample, |m, x| m.forward(x)).unwrap();
    let plain = trace(&drawn_layer(), numbers([2, 3]), |m, x| m.forward(x)).unwrap();
    assert_eq!(network.graph(), plain.graph());
    let ints = Tensor::<2, Int>::ones([2, 3], &device);
    let network = trace(&model, ints, |m: &Linear, x: Tensor<2, Int>| {
        m.forward(x.float())
    });
    assert!(network.is_ok(), "{:?}", network.err());
}

/// Recurrent layers are as many steps as the sample is long.
#[test]
fn recurrent_layers_are_unrolled() {
    #[derive(Module, Debug)]
    struct Recurrent {
        gru: Gru,
        lstm: Lstm,
        both: BiLstm,
    }
    type Forward = fn(&Recurrent, Tensor<3>) -> Tensor<3>;
    let model = Recurrent {
        gru: GruConfig::new(4, 5, true).init(&device()),
        lstm: LstmConfig::new(4, 5, true)
            .with_reverse(true)
            .init(&device()),
        both: BiLstmConfig::new(4, 5, true).init(&device()),
    };
    let rows: [(&str, Forward); 3] = [
        ("gru", |m, x| m.gru.forward(x, None)),
        ("lstm, backwards", |m, x| m.lstm.forward(x, None).0),
        ("lstm, both ways", |m, x| m.both.forward(x, None).0),
    ];
    each(rows, |(_, forward)| {
        let network = trace(&model, numbers([1, 6, 4]), *forward).unwrap();
        for batch in [1, 3] {
            let x = numbers([batch, 6, 4]);
            let found: Tensor<3> = network.forward(x.clone());
            assert!(difference(&found, &forward(&model, x)) < 1e-6);
        }
        assert!(
            network
                .try_forward::<_, Tensor<3>>(numbers([1, 7, 4]))
                .is_err()
        );
    });
}

#[test]
fn one_tensor_may_be_two_outputs() {
    let forward = |m: &Linear, x: Tensor<2>| {
        let y = m.forward(x);
        vec![AnyTensor::from(y.clone()), y.into()]
    };
    let network = trace(&layer(), numbers([1, 3]), forward).unwrap();
    let outputs = network
        .run(vec![numbers([2, 3]).into()], &mut |_, tensor| tensor)
        .unwrap();
    assert_eq!(outputs.len(), 2);
}
