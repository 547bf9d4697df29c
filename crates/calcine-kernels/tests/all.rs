//! Every kernel against plain loops, on each instruction set that this CPU has.

mod convolution;
mod fake;
mod norm;

use calcine_kernels::{
    AddCodes, AddFloats, Buffer, CodeLayer, Filters, FloatLayer, HalfType, Isa, Plane, Rescale,
    Window,
};
use proptest::prelude::*;

mod vectors;

/// A layer of some shape, and numbers for it.
#[derive(Debug, Clone)]
struct Case {
    samples: usize,
    input: [usize; 2],
    output: [usize; 2],
    filters: Filters,
    zero: i32,
    seed: u64,
    /// Borders that the output has for its own readers, and what is added.
    borders: [[[usize; 2]; 2]; 2],
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![
        // Groups of some, one group, depthwise.
        (1..4_usize, 1..7_usize, 1..7_usize).prop_map(|(g, i, o)| (g, g * i, g * o)),
        (1..40_usize, 1..90_usize).prop_map(|(i, o)| (1, i, o)),
        (2..40_usize).prop_map(|c| (c, c, c)),
    ];
    let axis = (1..4_usize, 1..4_usize, 1..3_usize, 0..3_usize, 1..18_usize);
    let border = || [[0..2_usize, 0..3], [0..2, 0..2]];
    let border = move || border().map(|axis| axis.map(Strategy::boxed));
    let border = move || {
        let [[a, b], [c, d]] = border();
        (a, b, c, d).prop_map(|(a, b, c, d)| [[a, b], [c, d]])
    };
    (
        channels,
        axis.clone(),
        axis,
        1..3_usize,
        0..256_i32,
        any::<u64>(),
        border(),
        border(),
    )
        .prop_map(
            |(channels, rows, columns, samples, zero, seed, own, other)| {
                let (groups, inputs, outputs) = channels;
                let axes = [rows, columns].map(|(kernel, stride, dilation, padding, size)| {
                    let reach = (kernel - 1) * dilation + 1;
                    let size = size.max(reach.saturating_sub(2 * padding)).max(1);
                    let output = (size + 2 * padding - reach) / stride + 1;
                    (kernel, stride, dilation, padding, size, output)
                });
                Case {
                    samples,
                    input: axes.map(|axis| axis.4),
                    output: axes.map(|axis| axis.5),
                    filters: Filters {
                        inputs,
                        outputs,
                        groups,
                        window: Window {
                            kernel: axes.map(|axis| axis.0),
                            stride: axes.map(|axis| axis.1),
                            dilation: axes.map(|axis| axis.2),
                            padding: axes.map(|axis| axis.3),
                        },
                    },
                    zero,
                    seed,
                    borders: [own, other],
                }
            },
        )
}

/// Numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Sets steps of weights to zero together: those of some inputs and outputs, for the whole kernel or for one position of it.
    fn with_zeros<T: Copy>(&mut self, zero: T, filters: &Filters, weights: &mut [T]) {
        let share = [0, 0, 128, 240, 255][usize::from(self.byte()) % 5];
        let inputs = filters.inputs / filters.groups;
        let places = weights.len() / filters.outputs / inputs;
        let high = [1, 16, 64][usize::from(self.byte()) % 3];
        let wide = [1, 4, 8][usize::from(self.byte()) % 3];
        let drawn = self.bytes(filters.outputs.div_ceil(high) * inputs.div_ceil(wide) * places);
        for (at, weight) in weights.iter_mut().enumerate() {
            let [output, input, place] =
                [at / (inputs * places), at / places % inputs, at % places];
            let block = (output / high * inputs.div_ceil(wide) + input / wide) * places + place;
            if drawn[block] < share {
                *weight = zero;
            }
        }
    }

    fn float(&mut self) -> f32 {
        f32::from(self.byte()) / 64.0 - 2.0 + f32::from(self.byte()) / 16384.0
    }
}

/// Images `[samples, channels, height, width]` as a plane holds them, with a border of one number.
fn laid_out<T: Copy>(images: &[T], plane: &Plane, samples: usize, border: T, buffer: &mut [T]) {
    buffer[..samples * plane.sample_len()].fill(border);
    plane.fill_border(samples, border, buffer);
    let mut images = images.iter();
    for sample in 0..samples {
        for channel in 0..plane.channels {
            for y in 0..plane.height {
                for x in 0..plane.width {
                    let image = images.next().copied();
                    buffer[plane.index(sample, y, x) + channel] =
                        image.expect("as many as there are");
                }
            }
        }
    }
}

/// A sum over the windows of each output, `[samples, outputs, height, width]`; nothing beyond the edge.
fn sums<T: Copy, S: Copy>(
    case: &Case,
    images: &[T],
    none: S,
    add: impl Fn(S, T, usize) -> S,
) -> Vec<S> {
    let Filters {
        inputs,
        outputs,
        groups,
        window,
    } = case.filters;
    let [height, width] = case.input;
    let (each_in, each_out) = (inputs / groups, outputs / groups);
    let mut found = Vec::new();
    for sample in 0..case.samples {
        for output in 0..outputs {
            for row in 0..case.output[0] {
                for column in 0..case.output[1] {
                    let mut sum = none;
                    for input in 0..each_in {
                        for kernel_row in 0..window.kernel[0] {
                            for kernel_column in 0..window.kernel[1] {
                                let y = row * window.stride[0] + kernel_row * window.dilation[0];
                                let x =
                                    column * window.stride[1] + kernel_column * window.dilation[1];
                                let y = y.wrapping_sub(window.padding[0]);
                                let x = x.wrapping_sub(window.padding[1]);
                                if y >= height || x >= width {
                                    continue;
                                }
                                let channel = output / each_out * each_in + input;
                                let at = ((sample * inputs + channel) * height + y) * width + x;
                                let weight = ((output * each_in + input) * window.kernel[0]
                                    + kernel_row)
                                    * window.kernel[1]
                                    + kernel_column;
                                sum = add(sum, images[at], weight);
                            }
                        }
                    }
                    found.push(sum);
                }
            }
        }
    }
    found
}

/// What a plane holds, as `[samples, channels, height, width]`.
fn read<T: Copy>(plane: &Plane, samples: usize, buffer: &[T]) -> Vec<T> {
    let mut found = Vec::new();
    for sample in 0..samples {
        for channel in 0..plane.channels {
            for y in 0..plane.height {
                for x in 0..plane.width {
                    found.push(buffer[plane.index(sample, y, x) + channel]);
                }
            }
        }
    }
    found
}

fn available() -> Vec<Isa> {
    Isa::ALL
        .into_iter()
        .filter(|isa| isa.is_available())
        .collect()
}

/// Which numbers lie behind an output, of those of `[samples, outputs, height, width]`.
fn output_of(case: &Case, at: usize) -> usize {
    at / (case.output[0] * case.output[1]) % case.filters.outputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Sums, integers and sums of integers are those of plain loops, to the bit.
    #[test]
    fn integers_are_those_of_plain_loops(case in cases()) {
        let Case { samples, filters, zero, .. } = case;
        let mut numbers = Numbers(case.seed);
        let [height, width] = case.input;
        let images = numbers.bytes(samples * filters.inputs * height * width);
        // Of 8 bits, or of 4.
        let shift = 4 * (case.seed % 2);
        let mut weights: Vec<i8> = numbers.bytes(filters.weights()).into_iter().map(|b| (b as i8) >> shift).collect();
        numbers.with_zeros(0, &filters, &mut weights);
        let bias: Vec<i32> = (0..filters.outputs).map(|_| i32::from(numbers.byte()) * 300 - 40_000).collect();
        let each = filters.weights() / filters.outputs;
        let factor: Vec<f32> = (0..filters.outputs)
            .map(|_| (1.0 + numbers.float().abs()) / (each as f32).sqrt() / 120.0)
            .collect();
        let exact = sums(&case, &images, 0_i64, |sum, x, weight| {
            sum + (i64::from(x) - i64::from(zero)) * i64::from(weights[weight])
        });
        let exact: Vec<i64> = exact.iter().enumerate()
            .map(|(at, sum)| sum + i64::from(bias[output_of(&case, at)]))
            .collect();
        let scaled: Vec<f32> = exact.iter().enumerate()
            .map(|(at, sum)| *sum as f32 * factor[output_of(&case, at)])
            .collect();
        let own_zero = i32::from(numbers.byte());
        let ends = [-f32::from(numbers.byte().min(own_zero as u8)), f32::from(numbers.byte().min(255 - own_zero as u8))];
        let centred: Vec<f32> = scaled.iter().map(|x| x.round_ties_even().clamp(ends[0], ends[1])).collect();
        let codes: Vec<u8> = centred.iter().map(|x| (*x as i32 + own_zero) as u8).collect();
        let others = numbers.bytes(exact.len());
        let other_zero = i32::from(numbers.byte());
        let factors = [numbers.float(), numbers.float()];
        let sum_ends = [-100.0, 101.0];
        let added: Vec<u8> = centred.iter().zip(&others)
            .map(|(own, other)| {
                let sum = own * factors[0] + (i32::from(*other) - other_zero) as f32 * factors[1];
                (sum.round_ties_even().clamp(sum_ends[0], sum_ends[1]) as i32 + 110) as u8
            })
            .collect();

        let x = Plane::of_codes(height, width, filters.inputs)
            .with_border(filters.window.border(case.input, case.output));
        let plane = Plane::of_codes(case.output[0], case.output[1], filters.outputs);
        let [y, other_plane] = case.borders.map(|border| plane.with_border(border));
        let float_plane = Plane::new(case.output[0], case.output[1], filters.outputs);
        let mut input = Buffer::zeros(samples * x.sample_len());
        laid_out(&images, &x, samples, zero as u8, input.bytes_mut());
        let mut other = Buffer::zeros(samples * other_plane.sample_len());
        laid_out(&others, &other_plane, samples, 9, other.bytes_mut());
        let layers = [CodeLayer::dense, CodeLayer::sparse].map(|of| of(&weights, &bias, zero, filters, x, y));
        let chosen = CodeLayer::new(&weights, &bias, zero, filters, x, y);
        prop_assert_eq!(chosen.bytes(), layers[usize::from(chosen.zeros().skipped)].bytes());
        let float_layer = CodeLayer::new(&weights, &bias, zero, filters, x, float_plane);
        let rescale = Rescale::new(&factor, ends, own_zero);
        let add = AddCodes {
            other: other.bytes(),
            plane: &other_plane,
            other_zero,
            factors,
            ends: sum_ends,
            zero: 110,
        };
        for isa in available() {
            for layer in &layers {
                let skipped = layer.zeros().skipped;
                let mut output = Buffer::zeros(samples * y.sample_len());
                layer.run_codes(isa, samples, input.bytes(), &rescale, None, output.bytes_mut());
                prop_assert_eq!(&read(&y, samples, output.bytes()), &codes, "{}, zeros skipped: {}", isa, skipped);
                layer.run_codes(isa, samples, input.bytes(), &rescale, Some(add), output.bytes_mut());
                prop_assert_eq!(&read(&y, samples, output.bytes()), &added, "{} with a sum, zeros skipped: {}", isa, skipped);
            }
            let mut output = Buffer::zeros(4 * samples * float_plane.sample_len());
            float_layer.run_floats(isa, samples, input.bytes(), &rescale, output.floats_mut());
            prop_assert_eq!(&read(&float_plane, samples, output.floats()), &scaled, "{} in floats", isa);
        }
    }

    /// Floats are those of sums in double precision, to the last bits of the largest products.
    #[test]
    fn floats_are_those_of_plain_loops(case in cases()) {
        let Case { samples, filters, .. } = case;
        let mut numbers = Numbers(case.seed);
        let [height, width] = case.input;
        let mut floats = |count: usize| -> Vec<f32> { (0..count).map(|_| numbers.float()).collect() };
        let images = floats(samples * filters.inputs * height * width);
        let mut weights = floats(filters.weights());
        let bias = floats(filters.outputs);
        // Weights that a mask has set to zero may be −0.
        let zero = if case.seed % 3 == 0 { -0.0 } else { 0.0 };
        Numbers(case.seed ^ 1).with_zeros(zero, &filters, &mut weights);
        let exact = sums(&case, &images, 0_f64, |sum, x, weight| {
            sum + f64::from(x) * f64::from(weights[weight])
        });
        let others = floats(exact.len());
        let x = Plane::new(height, width, filters.inputs)
            .with_border(filters.window.border(case.input, case.output));
        let plane = Plane::new(case.output[0], case.output[1], filters.outputs);
        let [y, other_plane] = case.borders.map(|border| plane.with_border(border));
        let mut input = Buffer::zeros(4 * samples * x.sample_len());
        laid_out(&images, &x, samples, 0.0, input.floats_mut());
        let mut other = Buffer::zeros(4 * samples * other_plane.sample_len());
        laid_out(&others, &other_plane, samples, f32::NAN, other.floats_mut());
        let layers = [FloatLayer::dense, FloatLayer::sparse].map(|of| of(&weights, &bias, filters, x, y));
        let chosen = FloatLayer::new(&weights, &bias, filters, x, y);
        prop_assert_eq!(chosen.bytes(), layers[usize::from(chosen.zeros().skipped)].bytes());
        for (isa, layer) in available().into_iter().flat_map(|isa| layers.iter().map(move |layer| (isa, layer))) {
            for (add, ends) in [(false, [f32::NEG_INFINITY, f32::INFINITY]), (true, [0.0, 6.0])] {
                let added = add.then(|| AddFloats { other: other.floats(), plane: &other_plane });
                let mut output = Buffer::zeros(4 * samples * y.sample_len());
                layer.run(isa, samples, input.floats(), ends, added, output.floats_mut());
                for (at, found) in read(&y, samples, output.floats()).into_iter().enumerate() {
                    let expected = exact[at] + f64::from(bias[output_of(&case, at)])
                        + if add { f64::from(others[at]) } else { 0.0 };
                    let expected = expected.clamp(ends[0].into(), ends[1].into());
                    let off = (f64::from(found) - expected).abs();
                    prop_assert!(off <= 1e-6 * (filters.weights() as f64 + 10.0), "{}: {} {}", isa, found, expected);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Weights beyond 8 bits, as those of 8 bits minus a zero point are, have exact sums.
    #[test]
    fn wide_weights_have_the_sums_of_plain_loops(case in cases()) {
        let Case { samples, filters, zero, .. } = case;
        let mut numbers = Numbers(case.seed);
        let [height, width] = case.input;
        let images = numbers.bytes(samples * filters.inputs * height * width);
        let offset = [0, 255, 128, 3][usize::from(numbers.byte()) % 4];
        let mut weights: Vec<i16> =
            numbers.bytes(filters.weights()).into_iter().map(|b| i16::from(b) - offset).collect();
        numbers.with_zeros(0, &filters, &mut weights);
        let bias: Vec<i32> = (0..filters.outputs).map(|_| i32::from(numbers.byte()) * 300 - 40_000).collect();
        let exact = sums(&case, &images, 0_i64, |sum, x, weight| {
            sum + (i64::from(x) - i64::from(zero)) * i64::from(weights[weight])
        });
        let exact: Vec<f32> = exact.iter().enumerate()
            .map(|(at, sum)| (sum + i64::from(bias[output_of(&case, at)])) as f32)
            .collect();
        let x = Plane::of_codes(height, width, filters.inputs)
            .with_border(filters.window.border(case.input, case.output));
        let y = Plane::new(case.output[0], case.output[1], filters.outputs);
        let mut input = Buffer::zeros(samples * x.sample_len());
        laid_out(&images, &x, samples, zero as u8, input.bytes_mut());
        let layer = CodeLayer::wide(&weights, &bias, zero, filters, x, y);
        let rescale = Rescale::new(&vec![1.0; filters.outputs], [0.0; 2], 0);
        for isa in available() {
            let mut output = Buffer::zeros(4 * samples * y.sample_len());
            layer.run_floats(isa, samples, input.bytes(), &rescale, output.floats_mut());
            prop_assert_eq!(&read(&y, samples, output.floats()), &exact, "{}", isa);
        }
    }

    /// Weights of 16 bits give what the same weights in `f32` give, bit for bit, with half of the memory.
    #[test]
    fn weights_of_16_bits_are_exact(case in cases(), f16 in any::<bool>()) {
        let Case { samples, filters, .. } = case;
        let of = if f16 { HalfType::F16 } else { HalfType::Bf16 };
        let mut numbers = Numbers(case.seed);
        let [height, width] = case.input;
        let images: Vec<f32> = (0..samples * filters.inputs * height * width).map(|_| numbers.float()).collect();
        let bits = (0..filters.weights()).map(|_| u16::from_be_bytes([numbers.byte(), numbers.byte()]));
        // Without infinities and NaN.
        let mask = if f16 { 0xbbff } else { 0xbf7f };
        let mut bits: Vec<u16> = bits.map(|bits| bits & mask).collect();
        numbers.with_zeros(0x8000, &filters, &mut bits);
        let weights: Vec<f32> = bits.iter().map(|bits| of.to_float(*bits)).collect();
        let bias: Vec<f32> = (0..filters.outputs).map(|_| numbers.float()).collect();
        let x = Plane::new(height, width, filters.inputs)
            .with_border(filters.window.border(case.input, case.output));
        let y = Plane::new(case.output[0], case.output[1], filters.outputs).with_border(case.borders[0]);
        let mut input = Buffer::zeros(4 * samples * x.sample_len());
        laid_out(&images, &x, samples, 0.0, input.floats_mut());
        // A sparse layer has no minimal filtering.
        let wide = FloatLayer::sparse(&weights, &bias, filters, x, y);
        let halves = FloatLayer::of_halves(&bits, of, &bias, filters, x, y);
        let ends = [f32::NEG_INFINITY, f32::INFINITY];
        for isa in available() {
            let [wide, halves] = [&wide, &halves].map(|layer| {
                let mut output = Buffer::zeros(4 * samples * y.sample_len());
                layer.run(isa, samples, input.floats(), ends, None, output.floats_mut());
                read(&y, samples, output.floats()).iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            });
            prop_assert_eq!(wide, halves, "{} {:?}", isa, of);
        }
    }
}

/// Every number of 16 bits is the one that IEEE 754 says, sign · fraction · 2^exponent.
#[test]
fn numbers_of_16_bits_are_read() {
    for (of, fraction_bits, bias) in [(HalfType::F16, 10, 15), (HalfType::Bf16, 7, 127)] {
        for bits in 0..=u16::MAX {
            let found = of.to_float(bits);
            let fraction = bits & ((1 << fraction_bits) - 1);
            let exponent = i32::from(bits & 0x7fff) >> fraction_bits;
            if exponent == 2 * bias + 1 {
                let is_right = if fraction == 0 {
                    found.is_infinite()
                } else {
                    found.is_nan()
                };
                assert!(is_right, "{of:?} {bits:#x}: {found}");
                continue;
            }
            let whole = if exponent == 0 {
                fraction
            } else {
                fraction | 1 << fraction_bits
            };
            let magnitude = f64::from(whole) * 2_f64.powi(exponent.max(1) - bias - fraction_bits);
            assert_eq!(f64::from(found.abs()), magnitude, "{of:?} {bits:#x}");
            assert_eq!(found.is_sign_negative(), bits >= 0x8000, "{of:?} {bits:#x}");
        }
    }
}

/// The counted steps are those that are left out: a step has 16 floats, or 64 integers, and the list the place of its inputs.
#[test]
fn zero_steps_are_counted_and_take_no_memory() {
    let filters = Filters {
        inputs: 32,
        outputs: 48,
        groups: 1,
        window: Window::POINT,
    };
    let (x, y) = (Plane::new(8, 8, 32), Plane::new(8, 8, 48));
    let mut weights = vec![1.5; filters.weights()];
    // Of the second block of outputs, the first 24 inputs, four of which have a weight in its last output.
    for output in 16..32 {
        weights[output * 32..output * 32 + 24].fill(0.0);
    }
    weights[31 * 32 + 4..31 * 32 + 8].fill(1.5);
    let layer = FloatLayer::new(&weights, &[0.0; 48], filters, x, y);
    let zeros = layer.zeros();
    assert_eq!((zeros.all, zeros.zero, zeros.skipped), (96, 20, true));
    assert_eq!(
        zeros.to_string(),
        "20 of 96 steps are zero, skipped (faster from 10 %)"
    );
    assert_eq!(
        layer.bytes() - Buffer::SPARE,
        76 * (64 + size_of::<usize>())
    );
    let bytes: Vec<i8> = weights.iter().map(|weight| 100 * (*weight as i8)).collect();
    let layer = CodeLayer::sparse(&bytes, &[0; 48], 3, filters, x, y);
    let zeros = layer.zeros();
    assert_eq!((zeros.all, zeros.zero, zeros.skipped), (24, 5, true));
    assert_eq!(
        layer.bytes() - Buffer::SPARE,
        19 * (64 + size_of::<usize>())
    );
    let layer = CodeLayer::new(&bytes, &[0; 48], 3, filters, x, y);
    assert_eq!(
        layer.zeros().to_string(),
        "5 of 24 steps are zero, not skipped (faster from 25 %)"
    );
}

/// Products at their largest, of as many as 16-bit sums would saturate at, on each instruction set.
#[test]
fn two_weights_of_4_bits_share_a_byte() {
    let filters = Filters {
        inputs: 32,
        outputs: 48,
        groups: 1,
        window: Window::POINT,
    };
    let [x, y] = [32, 48].map(|channels| Plane::of_codes(1, 1, channels));
    let bytes = [7_i8, 8].map(|largest| {
        let weights = vec![largest; filters.weights()];
        CodeLayer::new(&weights, &[0; 48], 3, filters, x, y).bytes() - Buffer::SPARE
    });
    assert_eq!(bytes, [32 * 48 / 2, 32 * 48]);
}

#[test]
fn no_sum_saturates() {
    for (weight, inputs) in [(127, 4096), (-128, 4096), (-128, 66_000)] {
        let filters = Filters {
            inputs,
            outputs: 17,
            groups: 1,
            window: Window::POINT,
        };
        let (x, y) = (Plane::of_codes(1, 1, inputs), Plane::new(1, 1, 17));
        let layer = CodeLayer::new(&vec![weight; 17 * inputs], &[0; 17], 0, filters, x, y);
        let mut input = Buffer::zeros(x.sample_len());
        input.bytes_mut().fill(255);
        let exact = 255 * i64::from(weight) * inputs as i64;
        assert!(i32::try_from(exact).is_ok() || inputs == 66_000);
        for isa in available() {
            let mut output = Buffer::zeros(4 * 17);
            layer.run_floats(
                isa,
                1,
                input.bytes(),
                &Rescale::new(&[1.0; 17], [0.0; 2], 0),
                output.floats_mut(),
            );
            // Beyond 32 bits sums are exact modulo 2³².
            assert_eq!(output.floats()[..17], [exact as i32 as f32; 17], "{isa}");
        }
    }
}
