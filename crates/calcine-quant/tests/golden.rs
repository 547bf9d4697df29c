//! What Distiller computes, in its own convention; where it errs, what is right.

use burn::tensor::Tensor;
use calcine_quant::{
    Clip, DistillerQuantizer, FixedPoint, MovingRange, Quantizer, Scheme, Seen, dorefa_weight, fake_quantize, pact,
    unit_activation,
};
use calcine_testkit::{device, golden};
use serde_json::Value;

use crate::read;

pub(crate) fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn close(found: f64, expected: f64, what: &Value) {
    assert!(
        (found - expected).abs() <= 2e-6 * expected.abs().max(1e-3),
        "{}: {found} for {expected}",
        what["name"]
    );
}

/// The grid of a mode: `sym`, `sym_restr`, `asym_u` or `asym_s`.
pub(crate) fn grid(mode: &str, low: f64, high: f64, bits: u8) -> Quantizer {
    let largest = f64::max(high, -low);
    match mode {
        "sym" => Quantizer::full_range(largest, bits),
        "sym_restr" => Quantizer::over(-largest, largest, bits, Scheme::Symmetric),
        "asym_u" => Quantizer::over(low, high, bits, Scheme::Affine),
        "asym_s" => Quantizer::over(low, high, bits, Scheme::Affine)
            .map(|grid| grid.shifted(1 << (bits - 1))),
        mode => panic!("{mode}"),
    }
    .unwrap()
}

fn assert_grid(grid: &Quantizer, case: &Value) {
    let theirs = DistillerQuantizer::from(*grid);
    let (scale, zero_point) = (f64::from(theirs.scale), f64::from(theirs.zero_point));
    close(scale, number(&case["expect"]["scale"]), case);
    let expected = number(&case["expect"]["zero_point"]);
    // A tie in `scale · min` may fall either way where steps are rounded to f32.
    assert!(
        (zero_point - expected).abs() < 0.5,
        "{}: {zero_point}",
        case["name"]
    );
}

#[test]
fn golden_grids_of_ranges() {
    let Some(golden) = golden::open("quant_params") else {
        return;
    };
    for case in golden.cases("range_") {
        let bits = number(&case["args"]["num_bits"]) as u8;
        let ends = |grid: Quantizer| vec![f64::from(grid.low), f64::from(grid.high)];
        let expected = |key: &str| -> Vec<f64> {
            case["expect"][key]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect()
        };
        assert_eq!(ends(grid("asym_u", 0.0, 1.0, bits)), expected("unsigned"));
        if bits > 1 {
            assert_eq!(ends(grid("sym", -1.0, 1.0, bits)), expected("signed"));
            assert_eq!(
                ends(grid("sym_restr", -1.0, 1.0, bits)),
                expected("signed_restricted")
            );
        }
    }
    for case in golden.cases("symmetric_") {
        let args = &case["args"];
        let Some(largest) = args["saturation"]
            .as_f64()
            .filter(|_| args["num_bits"].is_u64())
        else {
            if case["expect"]["error"].is_string() {
                assert!(Quantizer::full_range(-1.0, 8).is_err());
            }
            continue;
        };
        let mode = if args["restrict_qrange"] == true {
            "sym_restr"
        } else {
            "sym"
        };
        assert_grid(
            &grid(mode, -largest, largest, number(&args["num_bits"]) as u8),
            case,
        );
    }
    for case in golden.cases("asymmetric_") {
        let args = &case["args"];
        if args["integral_zero_point"] != true {
            continue;
        }
        let mode = if args["signed"] == true {
            "asym_s"
        } else {
            "asym_u"
        };
        let (low, high) = (number(&args["min"]), number(&args["max"]));
        assert_grid(
            &grid(mode, low, high, number(&args["num_bits"]) as u8),
            case,
        );
    }
    assert!(Quantizer::over(2.0, 1.0, 8, Scheme::Affine).is_err());
}

#[test]
fn golden_numbers_on_grids() {
    let Some(golden) = golden::open("linear_quantize") else {
        return;
    };
    for case in golden.cases("ties_") {
        let args = &case["args"];
        let clamp: Vec<i32> = args["clamp"]
            .as_array()
            .unwrap()
            .iter()
            .map(|end| number(end) as i32)
            .collect();
        let theirs = DistillerQuantizer {
            scale: number(&args["scale"]) as f32,
            zero_point: number(&args["zero_point"]) as f32,
            low: clamp[0],
            high: clamp[1],
        };
        let (_, x) = golden.values(&case["input"]["x"]);
        let (_, expected) = golden.values(&case["expect"]["q_clamped"]);
        let found: Vec<f32> = x.iter().map(|&x| theirs.quantize(x) as f32).collect();
        assert_eq!(found, expected, "{}", case["name"]);
    }
    for case in golden.cases("tensor_") {
        let args = &case["args"];
        let (_, x) = golden.values(&case["input"]["x"]);
        let ends = x
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[min, max], &x| {
                [min.min(f64::from(x)), max.max(f64::from(x))]
            });
        let bits = number(&args["num_bits"]) as u8;
        let grid = grid(args["mode"].as_str().unwrap(), ends[0], ends[1], bits);
        assert_grid(&grid, case);
        let (_, expected) = golden.values(&case["expect"]["q"]);
        let x: Tensor<1> = Tensor::from_floats(x.as_slice(), &device());
        let (_, dequantized) = golden.values(&case["expect"]["dequant"]);
        let found = read(fake_quantize(x.clone(), &grid));
        let mut off = 0;
        for ((x, found), expected) in read(x).iter().zip(&found).zip(&expected) {
            // Distiller multiplies by the scale: at a tie the last bit of that decides.
            let near = (f64::from(*x) / f64::from(grid.step)).fract().abs() - 0.5;
            let q = grid.quantize(*x);
            assert!(
                q == *expected as i32 || near.abs() < 1e-4,
                "{}: {x} is {q}",
                case["name"]
            );
            assert_eq!(*found, grid.dequantize(q));
            off += usize::from(q != *expected as i32);
        }
        assert!(off <= 1, "{}: {off}", case["name"]);
        assert_eq!(found.len(), dequantized.len());
    }
}

#[test]
fn golden_fixed_point_factors() {
    let Some(golden) = golden::open("scale_approx") else {
        return;
    };
    for case in golden.cases("bits") {
        let bits = number(&case["args"]["mult_bits"]) as u8;
        let limit = (case["args"]["limit"] == true).then_some(i32::from(bits));
        let values = |reference: &Value| golden.values(reference).1;
        let (scales, expect) = (values(&case["input"]["scale"]), &case["expect"]);
        let (shifts, multipliers) = (values(&expect["shift_bits"]), values(&expect["multiplier"]));
        for (at, &scale) in scales.iter().enumerate() {
            let fixed = FixedPoint::of(f64::from(scale), bits, limit).unwrap();
            assert_eq!(fixed.shift as f32, shifts[at], "{}: {scale}", case["name"]);
            assert_eq!(
                fixed.multiplier as f32, multipliers[at],
                "{}: {scale}",
                case["name"]
            );
        }
    }
}

/// Ranges from statistics, for the modes whose formula is this crate's: the whole range, the average, deviations.
#[test]
fn golden_clipping_by_statistics() {
    let Some(golden) = golden::open("clip_modes") else {
        return;
    };
    let mut compared = 0;
    for case in golden.cases("stats") {
        let (args, expect) = (&case["args"], &case["expect"]);
        let stats = &args["stats"];
        let clip = match args["clip"].as_str().unwrap() {
            "NONE" => Clip::MinMax,
            "AVG" => Clip::Average,
            "N_STD" => Clip::Deviations(number(&args["num_stds"])),
            // ACIQ's multipliers are computed here and tabled to two digits there; a unit test compares them.
            _ => continue,
        };
        if expect["scale"].is_null() {
            continue;
        }
        let of = |key: &str| number(&stats[key]);
        let one = [0.0_f32, 1.0];
        let seen = Seen {
            min: of("min"),
            max: of("max"),
            mean: of("mean"),
            deviation: of("std"),
            average: [of("avg_min"), of("avg_max")],
            counts: Seen::of(&[&one]).unwrap().counts,
        };
        let bits = number(&args["num_bits"]) as u8;
        let [low, high] = clip.range(&seen, bits, Scheme::Affine);
        assert_grid(&grid(args["mode"].as_str().unwrap(), low, high, bits), case);
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn golden_weights_and_activations_of_dorefa_and_wrpn() {
    let Some(golden) = golden::open("dorefa_wrpn") else {
        return;
    };
    let check = |case: &Value,
                 input: &str,
                 output: &str,
                 gradient: &str,
                 change: &dyn Fn(Tensor<1>) -> Tensor<1>| {
        let leaf = |reference: &Value| -> Tensor<1> {
            let values = golden.values(reference).1;
            Tensor::from_floats(values.as_slice(), &device().autodiff())
        };
        let x = leaf(&case["input"][input]).require_grad();
        let y = change(x.clone());
        let gradients = (y.clone() * leaf(&case["input"]["grad_out"]))
            .sum()
            .backward();
        for (found, key) in [
            (read(y), output),
            (read(x.grad(&gradients).unwrap()), gradient),
        ] {
            let expected = golden.values(&case["expect"][key]).1;
            for (found, expected) in found.into_iter().zip(expected) {
                let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                assert!(close, "{} {key}: {found} for {expected}", case["name"]);
            }
        }
    };
    let bits = |case: &Value| number(&case["args"]["num_bits"]) as u8;
    for case in golden.cases("dorefa_weight_") {
        check(case, "w", "q", "grad_w", &|w| dorefa_weight(w, bits(case)));
    }
    for case in golden.cases("act_clipped_") {
        check(case, "x", "y", "grad_x", &|x| {
            unit_activation(x, bits(case))
        });
    }
    // WRPN's weights leave [−1, 1] there, with steps that no grid of that many bits has: here they are the paper's.
}

#[test]
fn golden_learned_clips() {
    let Some(golden) = golden::open("pact") else {
        return;
    };
    for case in golden.cases("pact_") {
        if case["args"]["alpha"].is_null() {
            continue;
        }
        let leaf = |values: &[f32]| Tensor::<1>::from_floats(values, &device().autodiff());
        let x = leaf(&golden.values(&case["input"]["x"]).1).require_grad();
        let alpha = leaf(&[number(&case["args"]["alpha"]) as f32]).require_grad();
        let y = pact(
            x.clone(),
            alpha.clone(),
            number(&case["args"]["num_bits"]) as u8,
        );
        let out = leaf(&golden.values(&case["input"]["grad_out"]).1);
        let gradients = (y.clone() * out).sum().backward();
        let expect = &case["expect"];
        let close =
            |found: f32, expected: f32| (found - expected).abs() <= 2e-5 * expected.abs().max(1.0);
        let expected = golden.values(&expect["y"]).1;
        assert!(
            read(y).into_iter().zip(expected).all(|(a, b)| close(a, b)),
            "{}",
            case["name"]
        );
        let found = read(alpha.grad(&gradients).unwrap())[0];
        let expected = number(&expect["grad_alpha"]) as f32;
        assert!(
            close(found, expected),
            "{}: {found} for {expected}",
            case["name"]
        );
        // At 0 and at α, where it may go either way, Distiller's gradient is a half.
        let inputs = golden.values(&case["input"]["x"]).1;
        let alpha = number(&case["args"]["alpha"]) as f32;
        let found = read(x.grad(&gradients).unwrap());
        let expected = golden.values(&expect["grad_x"]).1;
        for ((x, found), expected) in inputs.into_iter().zip(found).zip(expected) {
            assert!(
                x == 0.0 || x == alpha || close(found, expected),
                "{}: at {x}",
                case["name"]
            );
        }
    }
}

/// Ranges that follow training: tracked in training only, unbiased. Distiller clamps to the range, then rounds, and does
/// not clamp the integers: what lies on an end is half a step off there in its full symmetric grids, and one in ours.
#[test]
fn golden_moving_ranges() {
    let Some(golden) = golden::open("qat_fake_quant") else {
        return;
    };
    for case in golden.cases("fake_quant_") {
        let args = &case["args"];
        let (bits, mode) = (
            number(&args["num_bits"]) as u8,
            args["mode"].as_str().unwrap(),
        );
        let mut range = MovingRange::new(number(&args["ema_decay"]));
        let items = |value: &Value| value.as_array().unwrap().clone();
        let steps = items(&case["input"]["x"]).into_iter().enumerate();
        for (step, x) in steps {
            let x: Tensor<1> = {
                let (_, values) = golden.values(&x);
                Tensor::from_floats(values.as_slice(), &device())
            };
            if args["training"][step].as_bool().unwrap() {
                range.see(x.clone());
            }
            let ends = read(range.range().unwrap());
            let state = &case["expect"]["state"][step];
            for (found, key) in ends.iter().zip(["tracked_min", "tracked_max"]) {
                let expected = number(&state[key]);
                let off = (f64::from(*found) - expected).abs();
                assert!(
                    off <= 1e-5 * expected.abs(),
                    "{}: {found} for {expected}",
                    case["name"]
                );
            }
            let grid = grid(mode, ends[0].into(), ends[1].into(), bits);
            let scale = f64::from(DistillerQuantizer::from(grid).scale);
            assert!(
                (scale / number(&state["scale"]) - 1.0).abs() < 1e-4,
                "{}: {scale}",
                case["name"]
            );
            let (_, expected) = golden.values(&case["expect"]["y"][step]);
            let found = read(fake_quantize(x.clone(), &grid));
            for ((found, expected), x) in found.iter().zip(expected).zip(read(x)) {
                let inside = ends[0] < x && x < ends[1];
                let allowed = if inside {
                    2e-5 * expected.abs().max(1.0)
                } else {
                    1.01 * grid.step
                };
                assert!(
                    (found - expected).abs() <= allowed,
                    "{} in step {step}: {x} becomes {found}, expected {expected}",
                    case["name"]
                );
            }
        }
    }
}
