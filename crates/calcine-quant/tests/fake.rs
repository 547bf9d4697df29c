//! Fake-quantized numbers and their gradients, against the scalar definition.

use burn::tensor::{Tensor, TensorData};
use calcine_quant::{
    Quantizer, Scheme, dorefa_weight, fake_quantize, fake_quantize_between, fake_quantize_rows,
    lsq, lsq_along, lsq_initial_scale, lsq_plus, pact, ternary_weight, ttq_weight, unit_activation,
    value_range, wrpn_weight,
};
use calcine_testkit::{device, each, is_reference, values};

use crate::read;

/// 60 numbers from about −3 to 3, with ties and ends among them.
fn numbers() -> Vec<f32> {
    let mut numbers: Vec<f32> = values(50).iter().map(|x| 3.0 * x).collect();
    numbers.extend([0.0, 0.25, 0.75, 1.25, -0.25, -0.75, 1.0, -1.0, 2.0, -2.0]);
    numbers
}

fn leaf(numbers: &[f32]) -> Tensor<1> {
    let data = TensorData::new(numbers.to_vec(), [numbers.len()]);
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

/// Values, and the gradient of their sum.
fn both(numbers: &[f32], change: impl Fn(Tensor<1>) -> Tensor<1>) -> (Vec<f32>, Vec<f32>) {
    let x = leaf(numbers);
    let y = change(x.clone());
    let gradients = y.clone().sum().backward();
    (read(y), read(x.grad(&gradients).unwrap()))
}

#[test]
fn tensors_become_what_numbers_become() {
    let rows = [
        (-1.0, 1.0, 2, Scheme::Symmetric),
        (-1.0, 1.0, 8, Scheme::Symmetric),
        (0.0, 2.0, 3, Scheme::Affine),
        (-1.5, 0.5, 4, Scheme::Affine),
        (0.0, 15.0, 4, Scheme::Affine),
    ];
    each(rows, |(low, high, bits, scheme)| {
        let quantizer = Quantizer::from_range(*low, *high, *bits, *scheme).unwrap();
        let numbers = numbers();
        let (found, gradients) = both(&numbers, |x| fake_quantize(x, &quantizer));
        let ends = quantizer.centred().map(|end| end * quantizer.scale);
        for ((&x, found), gradient) in numbers.iter().zip(&found).zip(gradients) {
            assert_eq!(
                *found,
                quantizer.dequantize(quantizer.quantize(x)),
                "{x} on {quantizer:?}"
            );
            let inside = ends[0] <= x && x <= ends[1];
            assert_eq!(
                gradient,
                f32::from(u8::from(inside)),
                "{x} on {quantizer:?}"
            );
        }
        let (again, _) = both(&found, |x| fake_quantize(x, &quantizer));
        assert_eq!(again, found);
        let ends = [*low as f32, *high as f32];
        let (between, gradients) = both(&numbers, |x| {
            let ends = Tensor::from_floats(ends, &x.device());
            fake_quantize_between(x, ends, *bits, *scheme)
        });
        let (expected, same) = both(&numbers, |x| fake_quantize(x, &quantizer));
        if is_reference() {
            assert_eq!((between, gradients), (expected, same));
        } else {
            // A step that is found on a device may be a rounding off, and ties fall the other way.
            for (a, b) in between.iter().zip(&expected) {
                assert!((a - b).abs() <= 1.001 * quantizer.scale, "{a} for {b}");
            }
        }
    });
}

#[test]
fn rows_have_steps_of_their_own() {
    let numbers: Vec<f32> = [numbers(), vec![0.0; 60]].concat();
    let rows = |x: Tensor<1>| fake_quantize_rows(x.reshape([3, 40]), 4).reshape([120]);
    let (found, gradients) = both(&numbers, rows);
    for (row, found) in numbers.chunks(40).zip(found.chunks(40)) {
        let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let quantizer = Quantizer::from_range(
            -f64::from(largest),
            f64::from(largest),
            4,
            Scheme::Symmetric,
        );
        let quantizer = quantizer.unwrap();
        for (&x, &found) in row.iter().zip(found) {
            assert!(
                (found - quantizer.dequantize(quantizer.quantize(x))).abs() < 1e-6,
                "{x}: {found}"
            );
        }
    }
    assert!(gradients.iter().all(|gradient| *gradient == 1.0));
}

/// The gradient of the step by the paper's formula.
#[test]
fn a_learned_step_has_the_papers_gradient() {
    let numbers = numbers();
    each(
        [(-4.0, 3.0, 0.5_f32), (0.0, 7.0, 0.3), (-1.0, 1.0, 2.0)],
        |(low, high, s)| {
            let (x, step) = (leaf(&numbers), leaf(&[*s]));
            let y = lsq(x.clone(), step.clone(), *low, *high);
            let gradients = y.clone().sum().backward();
            let mut expected = 0.0;
            let found = read(y);
            for ((&x, found), gradient) in numbers
                .iter()
                .zip(found)
                .zip(read(x.grad(&gradients).unwrap()))
            {
                let v = f64::from(x / s);
                let q = v.clamp(*low, *high).round_ties_even();
                assert_eq!(found, q as f32 * s);
                let inside = (*low..=*high).contains(&v);
                assert_eq!(gradient, f32::from(u8::from(inside)), "{x}");
                expected += if inside { q - v } else { q };
            }
            expected /= (numbers.len() as f64 * high.max(1.0)).sqrt();
            let gradient = f64::from(read(step.grad(&gradients).unwrap())[0]);
            assert!(
                (gradient - expected).abs() < 1e-4,
                "{gradient} for {expected}"
            );
        },
    );
    let mean = numbers.iter().map(|x| x.abs()).sum::<f32>() / numbers.len() as f32;
    let begin = read(lsq_initial_scale(leaf(&numbers), 7.0))[0];
    assert!((begin - 2.0 * mean / 7.0_f32.sqrt()).abs() < 1e-5);
}

/// The gradients of all three by the paper's formulas.
/// A scale for each position of an axis: the first, one between, and the last.
#[test]
fn each_position_of_an_axis_has_its_learned_step() {
    let numbers = numbers();
    let (low, high) = (-4.0, 3.0);
    let shape = [3, 4, 5];
    // The numbers of a position that lie side by side: 4 · 5, 5 and 1.
    each([(0, 20), (1, 5), (2, 1)], |(axis, inner)| {
        let steps: Vec<f32> = (0..shape[*axis]).map(|at| 0.3 + 0.2 * at as f32).collect();
        let of = |at: usize| at / inner % steps.len();
        let x = leaf(&numbers);
        let scales = leaf(&steps);
        let y = lsq_along(x.clone().reshape(shape), scales.clone(), *axis, low, high);
        let gradients = y.clone().sum().backward();
        let count = (numbers.len() / steps.len()) as f64;
        let factor = 1.0 / (count * high).sqrt();
        let mut expected = vec![0.0; steps.len()];
        let found = read(y.reshape([numbers.len()]));
        let of_numbers = read(x.grad(&gradients).unwrap());
        for (at, x) in numbers.iter().enumerate() {
            let v = f64::from(x / steps[of(at)]);
            let q = v.clamp(low, high).round_ties_even();
            assert!((found[at] - q as f32 * steps[of(at)]).abs() < 1e-6, "{x}");
            let inside = (low..=high).contains(&v);
            assert_eq!(of_numbers[at], f32::from(u8::from(inside)), "{x}");
            expected[of(at)] += factor * if inside { q - v } else { q };
        }
        for (found, expected) in read(scales.grad(&gradients).unwrap()).iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-4,
                "{found} for {expected}"
            );
        }
    });
}

#[test]
fn a_learned_offset_has_the_papers_gradient() {
    let numbers = numbers();
    each(
        [(0.0, 7.0, 0.3_f32, -0.7_f32), (-4.0, 3.0, 0.5, 0.2)],
        |(low, high, s, offset)| {
            let (x, step, beta) = (leaf(&numbers), leaf(&[*s]), leaf(&[*offset]));
            let y = lsq_plus(x.clone(), step.clone(), beta.clone(), *low, *high);
            let gradients = y.clone().sum().backward();
            let (found, of_x) = (read(y), read(x.grad(&gradients).unwrap()));
            let (mut of_scale, mut of_offset) = (0.0, 0.0);
            for ((&x, found), gradient) in numbers.iter().zip(found).zip(of_x) {
                let v = f64::from((x - offset) / s);
                let q = v.clamp(*low, *high).round_ties_even();
                assert!((found - (q as f32 * s + offset)).abs() < 1e-6);
                let inside = (*low..=*high).contains(&v);
                assert_eq!(gradient, f32::from(u8::from(inside)), "{x}");
                of_scale += if inside { q - v } else { q };
                of_offset += f64::from(u8::from(!inside));
            }
            let factor = 1.0 / (numbers.len() as f64 * high.max(1.0)).sqrt();
            for (leaf, expected) in [(step, of_scale * factor), (beta, of_offset * factor)] {
                let gradient = f64::from(read(leaf.grad(&gradients).unwrap())[0]);
                assert!(
                    (gradient - expected).abs() < 1e-4,
                    "{gradient} for {expected}"
                );
            }
        },
    );
}

/// Each twice is once, and there are as many values as there should be.
#[test]
fn quantizers_have_their_levels() {
    type Change = fn(Tensor<1>) -> Tensor<1>;
    let rows: [(&str, Change, usize); 6] = [
        ("dorefa, 1 bit", |w| dorefa_weight(w, 1), 2),
        ("dorefa, 2 bits", |w| dorefa_weight(w, 2), 4),
        ("wrpn, 3 bits", |w| wrpn_weight(w, 3), 7),
        ("unit, 2 bits", |x| unit_activation(x, 2), 4),
        (
            "pact, 2 bits",
            |x| {
                let alpha = Tensor::from_floats([1.5], &x.device());
                pact(x, alpha, 2)
            },
            4,
        ),
        ("ternary", ternary_weight, 3),
    ];
    each(rows, |(_, change, levels)| {
        let (found, _) = both(&numbers(), change);
        let mut distinct = found.clone();
        distinct.sort_by(f32::total_cmp);
        distinct.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
        assert_eq!(distinct.len(), *levels, "{distinct:?}");
    });
}

/// Values and gradients of trained ternary weights, number by number.
#[test]
fn ternary_weights_that_are_trained_move_both_ends() {
    let numbers = numbers();
    let scale = |value: f32| Tensor::<1>::from_floats([value], &device().autodiff()).require_grad();
    let rows = [(0.05, 0.7, 1.3), (0.5, 2.0, 0.25), (1.0, 1.0, 1.0)];
    each(rows, |(threshold, p, n)| {
        let (w, positive, negative) = (leaf(&numbers), scale(*p), scale(*n));
        let q = ttq_weight(w.clone(), positive.clone(), negative.clone(), *threshold);
        // Of the sum of `i · q_i`, so that every number has a gradient of its own.
        let of = |i: usize| i as f32 - 20.0;
        let arrives: Vec<f32> = (0..numbers.len()).map(of).collect();
        let gradients = (q.clone() * leaf(&arrives).detach()).sum().backward();
        let largest = numbers.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let bound = largest * *threshold as f32;
        let (mut of_p, mut of_n) = (0.0, 0.0);
        let found = read(q).into_iter().zip(read(w.grad(&gradients).unwrap()));
        for (((&x, arrives), at), (q, gradient)) in numbers.iter().zip(&arrives).zip(0..).zip(found)
        {
            let (expected, by) = match x {
                x if x > bound => (*p, *p),
                x if x < -bound => (-n, *n),
                _ => (0.0, 1.0),
            };
            assert_eq!(q, expected, "{at}");
            assert!(
                (gradient - by * arrives).abs() <= 1e-5 * arrives.abs(),
                "{at}"
            );
            of_p += if x > bound { *arrives } else { 0.0 };
            of_n -= if x < -bound { *arrives } else { 0.0 };
        }
        for (scale, expected) in [(positive, of_p), (negative, of_n)] {
            let gradient = read(scale.grad(&gradients).unwrap())[0];
            assert!(
                (gradient - expected).abs() < 1e-3,
                "{gradient} for {expected}"
            );
        }
    });
}

#[test]
fn nothing_comes_of_nothing() {
    let zeros = [0.0; 8];
    for change in [
        (|x| fake_quantize_rows(x.reshape([2, 4]), 8).reshape([8])) as fn(Tensor<1>) -> Tensor<1>,
        ternary_weight,
        |w| {
            let one = Tensor::ones([1], &w.device());
            ttq_weight(w, one.clone(), one, 0.05)
        },
        |w| wrpn_weight(w, 4),
        |x| {
            let nothing = Tensor::zeros([2], &x.device());
            fake_quantize_between(x, nothing, 8, Scheme::Affine)
        },
    ] {
        assert_eq!(both(&zeros, change).0, zeros);
    }
}

/// The weights of DoReFa and their gradients by the formulas of its documentation, in 64 bits: the largest magnitude, which divides all
/// others, has a gradient of its own.
#[test]
fn weights_of_dorefa_follow_their_formula() {
    let numbers: Vec<f32> = values(50).iter().map(|x| 3.0 * x).collect();
    let tangents: Vec<f64> = numbers.iter().map(|x| f64::from(*x).tanh()).collect();
    let magnitudes = tangents.iter().map(|t| t.abs()).enumerate();
    let (at, largest) = magnitudes.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let divisor = 2.0 * largest;
    for bits in [2, 3, 8] {
        let levels = f64::from((1 << bits) - 1);
        let (found, gradients) = both(&numbers, |w| dorefa_weight(w, bits));
        let of_divisor: f64 = tangents.iter().map(|t| -2.0 * t / divisor.powi(2)).sum();
        for (index, t) in tangents.iter().enumerate() {
            let value = 2.0 * ((t / divisor + 0.5) * levels).round_ties_even() / levels - 1.0;
            assert!(
                (f64::from(found[index]) - value).abs() < 1e-6,
                "{bits}: {index}"
            );
            let own = if index == at {
                2.0 * of_divisor * t.signum()
            } else {
                0.0
            };
            let gradient = (2.0 / divisor + own) * (1.0 - t * t);
            let off = (f64::from(gradients[index]) - gradient).abs();
            assert!(
                off < 1e-5 * gradient.abs().max(1.0),
                "{bits}: {index} {off}"
            );
        }
    }
}

/// The ends of a range, with any number of elements behind whole blocks, on the tape and off it; no gradient passes.
#[test]
fn a_range_is_that_of_all_numbers() {
    for count in [1, 15, 16, 17, 100, 40_000] {
        let numbers: Vec<f32> = values(count).iter().map(|x| 5.0 * x + 1.0).collect();
        let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
        let high = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let taped = leaf(&numbers);
        assert_eq!(
            read(value_range(&taped.clone().without_autodiff())),
            [low, high]
        );
        let range = value_range(&taped);
        assert_eq!(read(range.clone()), [low, high]);
        let gradients = (range.sum() + taped.clone().sum()).backward();
        let gradient = read(taped.grad(&gradients).unwrap());
        assert!(gradient.iter().all(|gradient| *gradient == 1.0));
    }
}

/// Nothing but zeros, or numbers next to nothing: finite values and gradients, by every way.
#[test]
fn zeros_stay_finite() {
    type Change = fn(Tensor<1>) -> Tensor<1>;
    let rows: [(&str, Change); 12] = [
        ("dorefa of 1 bit", |w| dorefa_weight(w, 1)),
        ("dorefa of 4 bits", |w| dorefa_weight(w, 4)),
        ("dorefa of 16 bits", |w| dorefa_weight(w, 16)),
        ("wrpn", |w| wrpn_weight(w, 4)),
        ("ternary", ternary_weight),
        ("rows", |w| {
            fake_quantize_rows(w.reshape([2, 6]), 4).reshape([12])
        }),
        ("unit", |w| unit_activation(w, 4)),
        ("lsq by its own scale", |w| {
            let step = lsq_initial_scale(w.clone(), 7.0);
            lsq(w, step, -7.0, 7.0)
        }),
        ("lsq of no scale", |w| {
            let step = Tensor::zeros([1], &w.device()).require_grad();
            lsq(w, step, -7.0, 7.0)
        }),
        ("lsq+ of no scale", |w| {
            let none = || Tensor::zeros([1], &w.device()).require_grad();
            lsq_plus(w.clone(), none(), none(), -7.0, 7.0)
        }),
        ("pact of no end", |w| {
            let end = Tensor::zeros([1], &w.device()).require_grad();
            pact(w, end, 4)
        }),
        ("between", |w| {
            let ends = Tensor::cat(vec![w.clone().min(), w.clone().max()], 0);
            fake_quantize_between(w, ends, 8, Scheme::Affine)
        }),
    ];
    each(rows, |(_, change)| {
        for size in [0.0, 1e-44, 1e-40, 1e-37, 1e-30] {
            let numbers: Vec<f32> = (0..12).map(|at| size * (at as f32 - 5.0)).collect();
            let (values, gradients) = both(&numbers, change);
            assert!(values.iter().all(|x| x.is_finite()), "{size:e}: {values:?}");
            assert!(
                gradients.iter().all(|x| x.is_finite()),
                "{size:e}: {gradients:?}"
            );
        }
    });
}

/// More bits than integers have, or none, are a panic that says what is expected.
#[test]
fn bits_that_there_are_not_are_named() {
    type Change = fn(Tensor<1>, u8) -> Tensor<1>;
    let rows: [(&str, Change, &[u8]); 4] = [
        ("dorefa", dorefa_weight, &[0, 17, 32, 255]),
        ("wrpn", wrpn_weight, &[0, 1, 17, 33]),
        ("unit", unit_activation, &[0, 17, 32]),
        (
            "pact",
            |x, bits| {
                let end = Tensor::ones([1], &x.device());
                pact(x, end, bits)
            },
            &[0, 17, 40],
        ),
    ];
    each(rows, |(_, change, bits)| {
        for bits in *bits {
            let found = std::panic::catch_unwind(|| change(leaf(&[0.2, 0.5]), *bits));
            let why = found.unwrap_err();
            let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(why.contains(&format!("{bits} bits: expected")), "{why}");
        }
    });
}
