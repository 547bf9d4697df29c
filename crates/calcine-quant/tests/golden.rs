//! What Distiller computes, in its own convention; where it errs, what is right.

use burn::tensor::Tensor;
use calcine_quant::{
    CalibrationStatistics, DistillerQuantizer, FixedPoint, MAX_BITS, MovingRange, Quantizer,
    RangeEstimator, Scheme, dorefa_weight, fake_quantize, pact, unit_activation,
};
use calcine_testkit::device;
use calcine_testkit::golden::{self, Golden};
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

/// The quantizer of a mode: `sym`, `sym_restr`, `asym_u` or `asym_s`.
pub(crate) fn quantizer(mode: &str, low: f64, high: f64, bits: u8) -> Quantizer {
    let largest = f64::max(high, -low);
    match mode {
        "sym" => Quantizer::full_range(largest, bits),
        "sym_restr" => Quantizer::from_range(-largest, largest, bits, Scheme::Symmetric),
        "asym_u" => Quantizer::from_range(low, high, bits, Scheme::Affine),
        "asym_s" => Quantizer::from_range(low, high, bits, Scheme::Affine)
            .map(|quantizer| quantizer.shifted(1 << (bits - 1))),
        mode => panic!("{mode}"),
    }
    .unwrap()
}

/// The scale and the zero point of a case, or of one of its channels. Distiller rounds `scale · min` in single precision:
/// where that lies between two integers, its zero point is one of the two.
fn assert_quantizer(
    quantizer: &Quantizer,
    [low, high]: [f64; 2],
    scale: f64,
    zero_point: f64,
    case: &Value,
) {
    let theirs = DistillerQuantizer::from(*quantizer);
    let (found, zero) = (f64::from(theirs.scale), theirs.zero_point);
    close(found, scale, case);
    let off = (f64::from(zero) - zero_point).abs();
    let exact = scale * low.min(0.0);
    let tie = (exact.abs().fract() - 0.5).abs() < 4e-7 * exact.abs() + 1e-6;
    let allowed = if tie && low < high { 1.0 } else { 0.0 };
    assert!(
        off <= allowed,
        "{}: zero point {zero} for {zero_point}",
        case["name"]
    );
}

fn assert_case(quantizer: &Quantizer, ends: [f64; 2], case: &Value) {
    let (scale, zero_point) = (&case["expect"]["scale"], &case["expect"]["zero_point"]);
    assert_quantizer(quantizer, ends, number(scale), number(zero_point), case);
}

/// The bits of a case, if this crate quantizes to as many. Distiller takes any number of bits.
fn bits(case: &Value, least: u8) -> Option<u8> {
    let bits = u8::try_from(case["args"]["num_bits"].as_u64().unwrap()).unwrap();
    let scheme = if least == 1 {
        Scheme::Affine
    } else {
        Scheme::Symmetric
    };
    let known = (least..=MAX_BITS).contains(&bits);
    assert_eq!(
        Quantizer::from_range(-1.0, 1.0, bits, scheme).is_ok(),
        known
    );
    known.then_some(bits)
}

fn symmetric(case: &Value) -> &'static str {
    match case["args"]["restrict_qrange"] == true {
        true => "sym_restr",
        false => "sym",
    }
}

fn asymmetric(case: &Value) -> &'static str {
    match case["args"]["signed"] == true {
        true => "asym_s",
        false => "asym_u",
    }
}

fn doubles(reference: &Value, golden: &Golden) -> Vec<f64> {
    golden
        .values(reference)
        .1
        .into_iter()
        .map(f64::from)
        .collect()
}

#[test]
fn golden_quantizers_of_ranges() {
    let golden = golden::open("quant_params");
    for case in golden.having(&["/args/num_bits", "/expect/unsigned"]) {
        let ends = |quantizer: Quantizer| vec![f64::from(quantizer.low), f64::from(quantizer.high)];
        let expected = |key: &str| -> Vec<f64> {
            case["expect"][key]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect()
        };
        if let Some(bits) = bits(case, 1) {
            assert_eq!(
                ends(quantizer("asym_u", 0.0, 1.0, bits)),
                expected("unsigned")
            );
        }
        if let Some(bits) = bits(case, 2) {
            assert_eq!(ends(quantizer("sym", -1.0, 1.0, bits)), expected("signed"));
            assert_eq!(
                ends(quantizer("sym_restr", -1.0, 1.0, bits)),
                expected("signed_restricted")
            );
        }
    }
    for case in golden.having(&["/args/num_bits", "/args/saturation", "/expect/scale"]) {
        let Some(bits) = bits(case, 2) else { continue };
        let largest = number(&case["args"]["saturation"]);
        let ends = [-largest, largest];
        assert_case(
            &quantizer(symmetric(case), -largest, largest, bits),
            ends,
            case,
        );
    }
    for case in golden.having(&["/args/num_bits", "/args/min", "/expect/scale"]) {
        let args = &case["args"];
        let Some(bits) = bits(case, 1) else { continue };
        // Zero is an integer here in any case.
        if args["integral_zero_point"] == false {
            continue;
        }
        let ends = [number(&args["min"]), number(&args["max"])];
        assert_case(
            &quantizer(asymmetric(case), ends[0], ends[1], bits),
            ends,
            case,
        );
    }
}

#[test]
fn golden_quantizers_of_many_ranges_at_once() {
    let golden = golden::open("quant_params");
    let ranges = ["/input/saturation/tensor", "/input/min/tensor"];
    for case in ranges
        .iter()
        .flat_map(|key| golden.having(&[key, "/expect/scale"]))
    {
        let input = &case["input"];
        let (mode, least) = match input["saturation"].is_null() {
            true => (asymmetric(case), 1),
            false => (symmetric(case), 2),
        };
        let Some(bits) = bits(case, least) else {
            continue;
        };
        let ends: Vec<[f64; 2]> = match input["saturation"].is_null() {
            true => {
                let high = doubles(&input["max"], &golden);
                let low = doubles(&input["min"], &golden).into_iter();
                low.zip(high).map(<[f64; 2]>::from).collect()
            }
            false => {
                let largest = doubles(&input["saturation"], &golden).into_iter();
                largest.map(|largest| [-largest, largest]).collect()
            }
        };
        let scales = doubles(&case["expect"]["scale"], &golden);
        let zero_points = doubles(&case["expect"]["zero_point"], &golden);
        assert_eq!((scales.len(), zero_points.len()), (ends.len(), ends.len()));
        for (at, ends) in ends.into_iter().enumerate() {
            let quantizer = quantizer(mode, ends[0], ends[1], bits);
            assert_quantizer(&quantizer, ends, scales[at], zero_points[at], case);
        }
    }
}

/// Ranges that are none: a negative magnitude, the ends in the wrong order.
#[test]
fn golden_ranges_that_are_errors() {
    let golden = golden::open("quant_params");
    for case in golden.having(&["/expect/error"]) {
        let args = &case["args"];
        let range = match args["saturation"].as_f64() {
            Some(largest) => Quantizer::full_range(largest, 8),
            None => {
                let [low, high] = ["min", "max"].map(|key| number(&args[key]));
                Quantizer::from_range(low, high, 8, Scheme::Affine)
            }
        };
        assert!(range.is_err(), "{}", case["name"]);
    }
}

/// Distiller rounds after it has subtracted its zero point, `round(scale·x − zero_point)`, and here a number is rounded before
/// the zero point is added, as ONNX has it. Both round ties to even, so that a tie falls to the other side where the zero
/// point is odd: there the two integers add up to `2·(scale·x − zero_point)`. That is exact where the scale is a power of two;
/// of other scales a tie in one arithmetic need not be one in the other.
#[test]
fn golden_ties_of_numbers_on_quantizers() {
    let golden = golden::open("linear_quantize");
    for case in golden.having(&["/args/scale", "/args/clamp", "/expect/q_clamped"]) {
        let args = &case["args"];
        let [low, high] = [0, 1].map(|end| number(&args["clamp"][end]) as i32);
        let (scale, zero_point) = (number(&args["scale"]), number(&args["zero_point"]));
        let convention = DistillerQuantizer {
            scale: scale as f32,
            zero_point: zero_point as f32,
            low: -MOST,
            high: MOST,
        };
        let quantizer = convention.quantizer().unwrap();
        let exact_scale = scale.log2().fract() == 0.0;
        let (_, x) = golden.values(&case["input"]["x"]);
        let (_, expected) = golden.values(&case["expect"]["q"]);
        let (_, clamped) = golden.values(&case["expect"]["q_clamped"]);
        let (_, dequantized) = golden.values(&case["expect"]["dequant"]);
        for (at, &x) in x.iter().enumerate() {
            let what = format!("{}: {x}", case["name"]);
            let ours = quantizer.quantize(x);
            let theirs = expected[at] as i32;
            assert_eq!(convention.quantize(x), theirs, "{what}");
            let scaled = scale * f64::from(x);
            let off = (scaled.abs().fract() - 0.5).abs();
            let is_odd = zero_point.rem_euclid(2.0) == 1.0;
            if off == 0.0 && exact_scale && is_odd {
                assert_eq!(
                    f64::from(ours + theirs),
                    2.0 * (scaled - zero_point),
                    "{what}"
                );
            } else if off == 0.0 && exact_scale || off > 1e-6 * scaled.abs() {
                assert_eq!(ours, theirs, "{what}");
            } else {
                assert!((ours - theirs).abs() <= 1, "{what}: {ours} for {theirs}");
            }
            assert_eq!(theirs.clamp(low, high) as f32, clamped[at], "{what}");
            let clamping = DistillerQuantizer {
                low,
                high,
                ..convention
            };
            let q = clamping.quantize(x);
            assert_eq!(
                (q as f32, clamping.dequantize(q)),
                (clamped[at], dequantized[at]),
                "{what}"
            );
            let within = Quantizer {
                low,
                high,
                ..quantizer
            };
            assert_eq!(within.quantize(x), ours.clamp(low, high), "{what}");
            let found = f64::from(within.dequantize(theirs.clamp(low, high)));
            close(found, f64::from(dequantized[at]), case);
        }
    }
}

/// Larger than any integer of the cases.
const MOST: i32 = 1 << MAX_BITS;

/// Integers and numbers of a tensor, or of each of its channels.
#[test]
fn golden_quantized_numbers() {
    let golden = golden::open("linear_quantize");
    for case in golden.having(&["/args/mode", "/expect/q"]) {
        let args = &case["args"];
        let mode = args["mode"].as_str().unwrap();
        let least = if mode.starts_with("sym") { 2 } else { 1 };
        let Some(bits) = bits(case, least) else {
            continue;
        };
        let per_channel = args["per_channel"] == true;
        let input = if per_channel { "w" } else { "x" };
        let (shape, values) = golden.values(&case["input"][input]);
        let channels = if per_channel { shape[0] } else { 1 };
        let (_, integers) = golden.values(&case["expect"]["q"]);
        let (_, dequantized) = golden.values(&case["expect"]["dequant"]);
        let each = values.len() / channels;
        assert_eq!(
            (integers.len(), dequantized.len()),
            (values.len(), values.len())
        );
        let scales = each_of(&case["expect"]["scale"], &golden);
        let zero_points = each_of(&case["expect"]["zero_point"], &golden);
        for channel in 0..channels {
            let own = channel * each..(channel + 1) * each;
            let x = &values[own.clone()];
            let ends = x
                .iter()
                .fold([f64::INFINITY, f64::NEG_INFINITY], |[min, max], &x| {
                    [min.min(f64::from(x)), max.max(f64::from(x))]
                });
            let quantizer = quantizer(mode, ends[0], ends[1], bits);
            assert_quantizer(
                &quantizer,
                ends,
                scales[channel],
                zero_points[channel],
                case,
            );
            let clamp = [0, 1].map(|end| number(&args["clamp"][end]) as i32);
            assert_eq!([quantizer.low, quantizer.high], clamp, "{}", case["name"]);
            let found = read(fake_quantize(
                Tensor::<1>::from_floats(x, &device()),
                &quantizer,
            ));
            for (at, &x) in x.iter().enumerate() {
                let what = format!("{}: {x}", case["name"]);
                let (ours, theirs) = (quantizer.quantize(x), integers[own.start + at] as i32);
                // Distiller multiplies by the scale: within a tie the last bit of that decides.
                let scaled = f64::from(x) / f64::from(quantizer.scale);
                let tie = (scaled.abs().fract() - 0.5).abs() < 1e-6 * scaled.abs();
                assert!((ours - theirs).abs() <= i32::from(tie), "{what} is {ours}");
                assert_eq!(found[at], quantizer.dequantize(ours), "{what}");
                let theirs = f64::from(quantizer.dequantize(theirs));
                close(theirs, f64::from(dequantized[own.start + at]), case);
            }
        }
    }
}

/// A number, or one for each channel.
pub(crate) fn each_of(value: &Value, golden: &Golden) -> Vec<f64> {
    match value.as_f64() {
        Some(value) => vec![value],
        None => doubles(value, golden),
    }
}

#[test]
fn golden_fixed_point_factors() {
    let golden = golden::open("scale_approx");
    for case in golden.cases("") {
        let bits = number(&case["args"]["mult_bits"]) as u8;
        let limit = (case["args"]["limit"] == true).then_some(i32::from(bits));
        let values = |reference: &Value| golden.values(reference).1;
        let (scales, expect) = (values(&case["input"]["scale"]), &case["expect"]);
        let (shifts, multipliers) = (values(&expect["shift_bits"]), values(&expect["multiplier"]));
        for (at, &scale) in scales.iter().enumerate() {
            let fixed = FixedPoint::approximate(f64::from(scale), bits, limit).unwrap();
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
    let golden = golden::open("clip_modes");
    let mut compared = 0;
    for case in golden.having(&["/args/stats", "/expect/scale"]) {
        let args = &case["args"];
        let stats = &args["stats"];
        let range_estimator = match args["clip"].as_str().unwrap() {
            "NONE" => RangeEstimator::MinMax,
            "AVG" => RangeEstimator::Average,
            "N_STD" => RangeEstimator::Deviations(number(&args["num_stds"])),
            // ACIQ's multipliers are computed here and tabled to two digits there; a unit test compares them.
            _ => continue,
        };
        let of = |key: &str| number(&stats[key]);
        let one = [0.0_f32, 1.0];
        let statistics = CalibrationStatistics {
            min: of("min"),
            max: of("max"),
            mean: of("mean"),
            deviation: of("std"),
            average: [of("avg_min"), of("avg_max")],
            counts: CalibrationStatistics::from_samples(&[&one]).unwrap().counts,
        };
        let mode = args["mode"].as_str().unwrap();
        let least = if mode.starts_with("sym") { 2 } else { 1 };
        let Some(bits) = bits(case, least) else {
            continue;
        };
        let ends = range_estimator.range(&statistics, bits, Scheme::Affine);
        assert_case(&quantizer(mode, ends[0], ends[1], bits), ends, case);
        compared += 1;
    }
    assert_ne!(compared, 0);
}

#[test]
fn golden_weights_and_activations_of_dorefa_and_wrpn() {
    let golden = golden::open("dorefa_wrpn");
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
    // WRPN's weights leave [−1, 1] there, with steps that no quantizer of that many bits has: here they are the paper's.
    for case in golden
        .having(&["/input/w", "/expect/q"])
        .into_iter()
        .filter(|case| case["expect"]["scale"].is_null())
    {
        check(case, "w", "q", "grad_w", &|w| dorefa_weight(w, bits(case)));
    }
    for case in golden.having(&["/input/x", "/expect/y"]) {
        check(case, "x", "y", "grad_x", &|x| {
            unit_activation(x, bits(case))
        });
    }
}

#[test]
fn golden_learned_clips() {
    let golden = golden::open("pact");
    for case in golden.having(&["/args/alpha", "/expect/y"]) {
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
/// not clamp the integers: what lies on an end is half a step off there in its full symmetric quantizers, and one in ours.
#[test]
fn golden_moving_ranges() {
    let golden = golden::open("qat_fake_quant");
    for case in golden.having(&["/input/x", "/expect/state"]) {
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
                range.observe(x.clone());
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
            let quantizer = quantizer(mode, ends[0].into(), ends[1].into(), bits);
            let scale = f64::from(DistillerQuantizer::from(quantizer).scale);
            assert!(
                (scale / number(&state["scale"]) - 1.0).abs() < 1e-4,
                "{}: {scale}",
                case["name"]
            );
            let (_, expected) = golden.values(&case["expect"]["y"][step]);
            let found = read(fake_quantize(x.clone(), &quantizer));
            for ((found, expected), x) in found.iter().zip(expected).zip(read(x)) {
                let inside = ends[0] < x && x < ends[1];
                let allowed = if inside {
                    2e-5 * expected.abs().max(1.0)
                } else {
                    1.01 * quantizer.scale
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
