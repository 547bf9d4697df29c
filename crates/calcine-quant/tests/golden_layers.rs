//! Whole layers as Distiller quantizes them, in plain loops over this crate's quantizers and roundings.

use calcine_quant::{DistillerQuantizer, FixedPoint, Quantizer};
use calcine_testkit::golden::{self, Golden};
use serde_json::Value;

use crate::golden::{each_of, number, quantizer};

/// A tensor with its shape.
struct Data<T> {
    shape: Vec<usize>,
    values: Vec<T>,
}

impl Data<f32> {
    fn of(reference: &Value, golden: &Golden) -> Self {
        let (shape, values) = golden.values(reference);
        Self { shape, values }
    }

    fn quantized(&self, quantizer: impl Fn(usize) -> Quantizer) -> Data<i64> {
        let each = self.values.len() / self.shape[0];
        let values = self.values.iter().enumerate();
        let quantize = |(at, x): (usize, &f32)| {
            let quantizer = quantizer(at / each);
            i64::from(quantizer.quantize(*x) - quantizer.zero_point)
        };
        Data {
            shape: self.shape.clone(),
            values: values.map(quantize).collect(),
        }
    }
}

/// The sums of a convolution, or of a linear layer, which is one over a single place.
fn sums(x: &Data<i64>, w: &Data<i64>, args: &Value) -> Data<i64> {
    let pair = |key: &str, or: usize| match args[key].as_array() {
        Some(pair) => [0, 1].map(|at| number(&pair[at]) as usize),
        None => [or, or],
    };
    let (stride, padding) = (pair("stride", 1), pair("padding", 0));
    let groups = args["groups"].as_u64().unwrap_or(1) as usize;
    let four = |shape: &[usize]| -> [usize; 4] {
        std::array::from_fn(|axis| shape.get(axis).copied().unwrap_or(1))
    };
    let ([n, c, h, wide], [outputs, _, kh, kw]) = (four(&x.shape), four(&w.shape));
    let places = [
        (h + 2 * padding[0] - kh) / stride[0] + 1,
        (wide + 2 * padding[1] - kw) / stride[1] + 1,
    ];
    let (of_group, outputs_of_group) = (c / groups, outputs / groups);
    let mut values = Vec::new();
    for sample in 0..n {
        for output in 0..outputs {
            for row in 0..places[0] {
                for column in 0..places[1] {
                    let mut sum = 0;
                    for channel in 0..of_group {
                        let from = output / outputs_of_group * of_group + channel;
                        for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
                            let y = (row * stride[0] + i).checked_sub(padding[0]);
                            let z = (column * stride[1] + j).checked_sub(padding[1]);
                            let (Some(y), Some(z)) = (y, z) else { continue };
                            if y < h && z < wide {
                                let x = x.values[((sample * c + from) * h + y) * wide + z];
                                sum +=
                                    x * w.values[((output * of_group + channel) * kh + i) * kw + j];
                            }
                        }
                    }
                    values.push(sum);
                }
            }
        }
    }
    Data {
        shape: vec![n, outputs, places[0], places[1]],
        values,
    }
}

/// Weights, sums and results to the last integer, in every mode; dynamic ranges, fused relus, clips and factors as multipliers
/// and shifts among them.
#[test]
fn golden_layers_in_integers() {
    let golden = golden::open("ptq_layers");
    let mut compared = 0;
    for case in golden.having(&["/args/bits_activations", "/expect/accum"]) {
        let (args, expect, name) = (&case["args"], &case["expect"], &case["name"]);
        let w = Data::of(&case["input"]["w"], &golden);
        let bits = number(&args["bits_weights"]) as u8;
        let mode = args["mode_weights"].as_str().unwrap();
        let over = |weights: &[f32]| {
            let [low, high] = weights.iter().fold([f32::MAX, f32::MIN], |[low, high], w| {
                [low.min(*w), high.max(*w)]
            });
            quantizer(mode, low.into(), high.into(), bits)
        };
        let quantizers: Vec<Quantizer> = match args["per_channel"] == true {
            true => w
                .values
                .chunks(w.values.len() / w.shape[0])
                .map(over)
                .collect(),
            false => vec![over(&w.values)],
        };
        let of = |output: usize| quantizers[if quantizers.len() == 1 { 0 } else { output }];
        for (quantizer, scale) in quantizers.iter().zip(each_of(&expect["w_scale"], &golden)) {
            assert!(
                (f64::from(DistillerQuantizer::from(*quantizer).scale) / scale - 1.0).abs() < 1e-5,
                "{name}: {quantizer:?}"
            );
        }
        let w = w.quantized(of);
        let expected = golden.values(&expect["w_q"]).1;
        for (at, (q, expected)) in w.values.iter().zip(expected).enumerate() {
            let zero = of(at / (w.values.len() / w.shape[0])).zero_point;
            assert_eq!(
                (q + i64::from(zero)) as f32,
                expected,
                "{name}: weight {at}"
            );
        }

        let range = |key: &str| [0, 1].map(|at| number(&args[key][at]) as i32);
        let distiller = |scale: &str, zero: &str, [low, high]: [i32; 2]| {
            let (scale, zero) = (number(&expect[scale]), number(&expect[zero]));
            let theirs = DistillerQuantizer {
                scale: scale as f32,
                zero_point: zero as f32,
                low,
                high,
            };
            theirs.quantizer().unwrap()
        };
        let input = distiller("in_scale", "in_zero_point", range("in_range"));
        let output = distiller("out_scale", "out_zero_point", range("out_range"));
        let x = Data::of(&case["input"]["x"], &golden).quantized(|_| input);
        let mut sums = sums(&x, &w, args);
        let outputs = sums.shape[1];
        let places = sums.shape[2] * sums.shape[3];
        if !expect["bias_q"].is_null() {
            let bias = golden.values(&expect["bias_q"]).1;
            for (at, sum) in sums.values.iter_mut().enumerate() {
                *sum += bias[at / places % outputs] as i64;
            }
        }
        let expected = golden.values(&expect["accum"]).1;
        assert_eq!(expected.len(), sums.values.len(), "{name}");
        let relu = args["clip_half_range"] == true;
        let factors = each_of(&expect["requant_scale"], &golden);
        let results = golden.values(&expect["out_q"]).1;
        for (at, sum) in sums.values.iter().enumerate() {
            assert!(
                (*sum as f32 - expected[at]).abs() <= 1e-6 * expected[at].abs(),
                "{name}: sum {at} is {sum}, not {}",
                expected[at]
            );
            let sum = if relu { (*sum).max(0) } else { *sum };
            let factor = factors[if factors.len() == 1 {
                0
            } else {
                at / places % outputs
            }];
            let q = (sum as f64 * factor).round_ties_even() as i32 + output.zero_point;
            assert_eq!(
                q.clamp(output.low, output.high) as f32,
                results[at],
                "{name}: result {at}"
            );
        }
        if let Some(bits) = args["scale_approx_mult_bits"].as_u64() {
            for factor in factors {
                let fixed = FixedPoint::approximate(factor, bits as u8, None).unwrap();
                assert!(
                    (fixed.factor() / factor - 1.0).abs() < 1e-6,
                    "{name}: {factor}"
                );
            }
        }
        compared += 1;
    }
    assert_ne!(compared, 0);
}
