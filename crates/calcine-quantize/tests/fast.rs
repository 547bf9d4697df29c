//! The engine of `calcine-engine` against the forward pass of this crate, bit for bit, on every instruction set of the CPU.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use calcine_engine::{Array, Engine, Execution, Isa, Options};
use calcine_quantize::{
    Calibration, QuantizationSettings, Quantized, Scheme, quantize_with_batches,
};
use calcine_testkit::networks::{Mixed, Residual};
use calcine_testkit::{ConvNet, Mlp, device, values};
use calcine_trace::{AnyTensor, Network, trace};
use proptest::prelude::*;

fn engines(bytes: &[u8], threads: usize) -> impl Iterator<Item = Engine> {
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    isas.map(move |isa| {
        let mut options = Options::default();
        (options.isa, options.threads, options.chunk) = (isa, threads, 3);
        Engine::from_bytes(bytes, options).unwrap()
    })
}

/// Compares what both give for inputs, to the bit.
fn same(quantized: &Quantized, inputs: &[AnyTensor], name: &str) {
    let expected: Vec<Array> = quantized
        .run(inputs.to_vec(), &mut |_, _| {})
        .unwrap()
        .iter()
        .map(AnyTensor::to_array)
        .collect();
    let forward: Vec<AnyTensor> = quantized.forward(inputs.to_vec());
    let forward: Vec<Array> = forward.iter().map(AnyTensor::to_array).collect();
    assert_eq!(forward, expected, "{name}, forward");
    let arrays: Vec<Array> = inputs.iter().map(AnyTensor::to_array).collect();
    let bytes = quantized.to_bytes().unwrap();
    for threads in [1, 2] {
        for engine in engines(&bytes, threads) {
            let found = engine.run(&arrays).unwrap();
            assert_eq!(
                found,
                expected,
                "{name}, {}, {threads} threads",
                engine.options().isa
            );
        }
    }
}

fn settings(weights: u8, activations: u8, schemes: [Scheme; 2]) -> QuantizationSettings {
    let mut settings = QuantizationSettings::default();
    (settings.weights.bits, settings.activations.bits) = (weights, activations);
    [settings.weights.scheme, settings.activations.scheme] = schemes;
    settings
}

fn quantized(
    network: &Network,
    inputs: &[AnyTensor],
    settings: &QuantizationSettings,
) -> Quantized {
    let batches = [inputs.to_vec()];
    let calibration = Calibration::collect(network, &batches).unwrap();
    quantize_with_batches(network, &calibration, settings, &batches).unwrap()
}

/// All bit widths and schemes, also those that no kernel has.
#[test]
fn networks_of_layers_are_the_same_to_the_bit() {
    let x = image([5, 3, 8, 8]);
    let residual = trace(&Residual::new(&device()), x.clone(), |m, x| m.forward(x)).unwrap();
    let networks = [
        (residual, x.into()),
        conv_network(&ConvNet::new(&device())),
        mlp_network(&Mlp::new(&device())),
    ];
    let (symmetric, affine) = (Scheme::Symmetric, Scheme::Affine);
    for (network, x) in networks {
        for (weights, activations, schemes) in [
            (8, 8, [symmetric, affine]),
            (8, 8, [symmetric, symmetric]),
            (8, 8, [affine, affine]),
            (4, 8, [symmetric, affine]),
            (4, 4, [affine, affine]),
            (2, 3, [symmetric, affine]),
            (8, 16, [symmetric, affine]),
            (12, 12, [symmetric, symmetric]),
        ] {
            let settings = settings(weights, activations, schemes);
            let inputs = [x.clone()];
            let quantized = quantized(&network, &inputs, &settings);
            same(
                &quantized,
                &inputs,
                &format!("{weights} and {activations} bits, {schemes:?}"),
            );
        }
    }
}

/// The forward pass by the engine gives what the operations of the device give, for every float that an input can hold.
#[test]
fn a_forward_pass_is_the_same_for_inputs_beyond_all_ranges() {
    let odd = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        1e30,
        -0.0,
        f32::MIN_POSITIVE / 2.0,
    ];
    let (network, x) = conv_network(&ConvNet::new(&device()));
    let quantized = quantized(
        &network,
        std::slice::from_ref(&x),
        &QuantizationSettings::default(),
    );
    let bytes = quantized.to_bytes().unwrap();
    let engine = Engine::from_bytes(&bytes, Options::default()).unwrap();
    assert!(engine.is_exact(), "{:?}", engine.report());
    let numbers = x.to_array();
    for odd in odd {
        let mut own = numbers.as_floats().unwrap().to_vec();
        own.iter_mut().step_by(7).for_each(|number| *number = odd);
        let flat = Tensor::<1>::from_floats(own.as_slice(), &device());
        let input = vec![AnyTensor::shaped(flat, &x.shape())];
        let bits = |outputs: Vec<AnyTensor>| -> Vec<u32> {
            let outputs = outputs.iter().map(AnyTensor::to_array);
            let floats = outputs.flat_map(|output| output.as_floats().unwrap().to_vec());
            floats.map(f32::to_bits).collect()
        };
        let forward = quantized.forward(input.clone());
        let run = quantized.run(input, &mut |_, _| {}).unwrap();
        assert_eq!(bits(forward), bits(run), "{odd}");
    }
}

/// A float network carries a NaN to its outputs, as Burn does, so that nobody takes a diverged network for a sound one.
#[test]
fn a_float_network_hides_no_nan() {
    let x = image([5, 2, 6, 6]);
    let model = ConvNet::new(&device());
    let functions = [
        (|x| x) as fn(Tensor<2>) -> Tensor<2>,
        relu,
        |x| x.clamp(-1.0, 1.0),
        |x| relu(x.clone() + x),
    ];
    for function in functions {
        let network = trace(&model, x.clone(), |m, x| function(m.forward(x))).unwrap();
        let bytes = network.to_bytes().unwrap();
        let odd = Tensor::<4>::full([1, 2, 6, 6], f32::NAN, &device());
        let inputs = vec![AnyTensor::from(Tensor::cat(vec![x.clone(), odd], 0))];
        let nans = |array: &Array| -> Vec<bool> {
            let floats = array.as_floats().unwrap().iter();
            floats.map(|float| float.is_nan()).collect()
        };
        let expected: Vec<AnyTensor> = network.forward(inputs.clone());
        let expected = nans(&expected[0].to_array());
        assert!(expected.contains(&true) && expected.contains(&false));
        for engine in engines(&bytes, 1) {
            let found = engine.run(&[inputs[0].to_array()]).unwrap();
            assert_eq!(nans(&found[0]), expected, "{}", engine.options().isa);
        }
    }
}

/// A function whose last bit a program chooses is left to the device, so that all passes agree.
#[test]
fn a_network_with_functions_in_float_is_not_called_exact() {
    let x = image([3, 2, 6, 6]);
    let model = ConvNet::new(&device());
    for (exact, function) in [(true, relu as fn(Tensor<2>) -> Tensor<2>), (false, sigmoid)] {
        let network = trace(&model, x.clone(), |m, x| function(m.forward(x))).unwrap();
        let inputs = [x.clone().into()];
        let quantized = quantized(&network, &inputs, &QuantizationSettings::default());
        let bytes = quantized.to_bytes().unwrap();
        let engine = Engine::from_bytes(&bytes, Options::default()).unwrap();
        assert_eq!(engine.is_exact(), exact, "{:?}", engine.report());
        let forward: Vec<AnyTensor> = quantized.forward(inputs.to_vec());
        let run = quantized.run(inputs.to_vec(), &mut |_, _| {}).unwrap();
        assert_eq!(forward[0].to_array(), run[0].to_array());
    }
}

fn conv_network(model: &ConvNet) -> (Network, AnyTensor) {
    let x = image([5, 2, 6, 6]);
    (
        trace(model, x.clone(), |m, x| m.forward(x)).unwrap(),
        x.into(),
    )
}

fn mlp_network(model: &Mlp) -> (Network, AnyTensor) {
    let x: Tensor<2> = image([5, 1, 2, 3]).flatten(1, 3);
    (
        trace(model, x.clone(), |m, x| m.forward(x)).unwrap(),
        x.into(),
    )
}

fn image(shape: [usize; 4]) -> Tensor<4> {
    calcine_testkit::numbers(shape)
}

/// Attention without a softmax: products of activations, with the batch as the second axis, as `nn.MultiheadAttention` has it.
#[derive(Module, Debug)]
struct Products {
    queries: Linear,
    keys: Linear,
    values: Linear,
}

impl Products {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        const HEADS: usize = 2;
        let x = x.swap_dims(0, 1);
        let [tokens, batch, _] = x.dims();
        let heads = |y: Tensor<3>| {
            let features = y.dims()[2] / HEADS;
            let y: Tensor<3> = y.reshape([tokens, batch * HEADS, features]);
            y.swap_dims(0, 1)
        };
        let [q, k, v] =
            [&self.queries, &self.keys, &self.values].map(|layer| heads(layer.forward(x.clone())));
        let y = q.matmul(k.swap_dims(1, 2)).matmul(v);
        let features = HEADS * y.dims()[2];
        let y: Tensor<3> = y.swap_dims(0, 1).reshape([tokens, batch, features]);
        y.swap_dims(0, 1)
    }
}

/// Sums of 600 products of 8 bits do not fit the whole numbers that floats hold.
#[test]
fn products_of_activations_are_the_same_to_the_bit() {
    let x: Tensor<3> = image([5, 1, 7, 6]).flatten(0, 1);
    let layer = |outputs: usize| {
        let data = burn::tensor::TensorData::new(values(6 * outputs), [6, outputs]);
        Linear {
            weight: Param::from_tensor(Tensor::from_data(data, &device())),
            bias: None,
        }
    };
    let model = Products {
        queries: layer(1200),
        keys: layer(1200),
        values: layer(18),
    };
    let network = trace(&model, x.clone(), |m, x| m.forward(x)).unwrap();
    let (symmetric, affine) = (Scheme::Symmetric, Scheme::Affine);
    for (activations, scheme) in [(8, affine), (8, symmetric), (5, affine), (11, symmetric)] {
        let settings = settings(8, activations, [symmetric, scheme]);
        let inputs = [AnyTensor::from(x.clone())];
        let quantized = quantized(&network, &inputs, &settings);
        same(
            &quantized,
            &inputs,
            &format!("{activations} bits, {scheme:?}"),
        );
    }

    // Chunks of samples give what the batch gives.
    let bytes = network.to_bytes().unwrap();
    let results = [1, 5].map(|chunk| {
        let mut options = Options::default();
        options.chunk = chunk;
        let engine = Engine::from_bytes(&bytes, options).unwrap();
        engine
            .run(&[AnyTensor::from(x.clone()).to_array()])
            .unwrap()
    });
    assert_eq!(results[0], results[1]);
}

/// A network of drawn pieces.
#[derive(Module, Debug)]
struct Drawn {
    convs: Vec<Conv2d>,
    norms: Vec<Option<BatchNorm>>,
    head: Linear,
}

#[derive(Debug, Clone)]
enum Piece {
    /// Outputs of a group, groups as a share of the channels, kernel, stride, padding, dilation, norm, bias.
    Conv {
        outputs: usize,
        grouped: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        norm: bool,
        bias: bool,
    },
    Relu,
    Clamp(f32),
    MaxPool(usize, usize),
    AveragePool(usize, usize),
    /// A sum with what there was so many pieces ago, if it has the same shape.
    Add(usize),
    Concat(usize),
    /// The product with its magnitude.
    Gate,
    /// The product with the mean of each channel, on either side.
    Squeeze(bool),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let two = |range: std::ops::Range<usize>| [range.clone(), range];
    let conv = (
        (1..9_usize, 0..4_usize, any::<bool>(), any::<bool>()),
        two(1..4),
        two(1..3),
        two(0..3),
        two(1..3),
    )
        .prop_map(
            |((outputs, grouped, norm, bias), kernel, stride, padding, dilation)| Piece::Conv {
                outputs,
                grouped,
                kernel,
                stride,
                padding,
                dilation,
                norm,
                bias,
            },
        );
    let piece = prop_oneof![
        4 => conv,
        2 => Just(Piece::Relu),
        1 => (1..8_u8).prop_map(|high| Piece::Clamp(f32::from(high) * 0.3)),
        1 => (1..4_usize, 1..3_usize).prop_map(|(k, s)| Piece::MaxPool(k, s)),
        1 => (1..4_usize, 1..3_usize).prop_map(|(k, s)| Piece::AveragePool(k, s)),
        2 => (1..4_usize).prop_map(Piece::Add),
        1 => (1..4_usize).prop_map(Piece::Concat),
        1 => Just(Piece::Gate),
        1 => any::<bool>().prop_map(Piece::Squeeze),
    ];
    prop::collection::vec(piece, 1..9)
}

impl Drawn {
    fn forward(&self, pieces: &[Piece], x: Tensor<4>) -> Tensor<2> {
        let (mut convs, mut norms) = (self.convs.iter(), self.norms.iter());
        let mut all = vec![x];
        for piece in pieces {
            let x = all.last().unwrap().clone();
            let size = x.dims();
            let before = |back: &usize| all[all.len().saturating_sub(back + 1)].clone();
            let fits = |kernel: usize| size[2] >= kernel && size[3] >= kernel;
            all.push(match piece {
                Piece::Conv { .. } => {
                    let y = convs.next().unwrap().forward(x);
                    match norms.next().unwrap() {
                        Some(norm) => norm.forward(y),
                        None => y,
                    }
                }
                Piece::Relu => relu(x),
                Piece::Clamp(high) => x.clamp(0.0, *high),
                Piece::MaxPool(kernel, stride) if fits(*kernel) => {
                    let mut options = MaxPoolOptions::new([*kernel; 2]);
                    options.stride = [*stride; 2];
                    max_pool2d(x, options)
                }
                Piece::AveragePool(kernel, stride) if fits(*kernel) => {
                    let mut options = AvgPoolOptions::new([*kernel; 2]);
                    options.stride = [*stride; 2];
                    avg_pool2d(x, options)
                }
                Piece::Add(back) if before(back).dims() == size => x + before(back),
                Piece::Concat(back) if before(back).dims()[2..] == size[2..] && size[1] < 24 => {
                    Tensor::cat(vec![x, before(back)], 1)
                }
                Piece::Gate => x.clone() * x.abs(),
                Piece::Squeeze(first) => {
                    let means = x.clone().mean_dim(2).mean_dim(3);
                    if *first { means * x } else { x * means }
                }
                _ => continue,
            });
        }
        let x = all.pop().unwrap();
        self.head.forward(x.mean_dim(2).mean_dim(3).flatten(1, 3))
    }

    /// The model, with layers as large as the pieces need; numbers from a seed.
    fn new(pieces: &[Piece], input: [usize; 4], seed: usize) -> (Self, Vec<Piece>) {
        let all = values(1 << 14);
        let mut next = seed % 5000;
        let mut draw = |count: usize| -> Vec<f32> {
            next = (next + 97) % 5000;
            (0..count)
                .map(|at| all[(next + at * 3) % all.len()])
                .collect()
        };
        let mut tensor = |shape: &[usize]| {
            burn::tensor::TensorData::new(draw(shape.iter().product()), shape.to_vec())
        };
        let device = device();
        let mut shapes = vec![input];
        let (mut convs, mut norms, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let [samples, channels, height, width] = *shapes.last().unwrap();
            let before = |back: usize| shapes[shapes.len().saturating_sub(back + 1)];
            let fits = |kernel: usize| height >= kernel && width >= kernel;
            let shape = match piece {
                Piece::Conv {
                    outputs,
                    grouped,
                    kernel,
                    stride,
                    padding,
                    dilation,
                    norm,
                    bias,
                } => {
                    let groups = match grouped {
                        0 | 1 => 1,
                        2 => channels,
                        _ if channels % 2 == 0 => 2,
                        _ => 1,
                    };
                    let outputs = match groups {
                        1 => *outputs * 3,
                        groups => groups * (1 + outputs % 2),
                    };
                    let axis = |axis: usize, length: usize| {
                        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
                        let there = length + 2 * padding[axis];
                        (there >= reach).then(|| (there - reach) / stride[axis] + 1)
                    };
                    let (Some(height), Some(width)) = (axis(0, height), axis(1, width)) else {
                        continue;
                    };
                    if outputs > 48 {
                        continue;
                    }
                    let conv = Conv2dConfig::new([channels, outputs], *kernel)
                        .with_groups(groups)
                        .with_stride(*stride)
                        .with_dilation(*dilation)
                        .with_bias(*bias)
                        .with_padding(PaddingConfig2d::Explicit(
                            padding[0], padding[1], padding[0], padding[1],
                        ))
                        .init(&device);
                    let weight = tensor(&[outputs, channels / groups, kernel[0], kernel[1]]);
                    convs.push(Conv2d {
                        weight: Param::from_tensor(Tensor::from_data(weight, &device)),
                        bias: bias.then(|| {
                            Param::from_tensor(Tensor::from_data(tensor(&[outputs]), &device))
                        }),
                        ..conv
                    });
                    norms.push(norm.then(|| {
                        let own = BatchNormConfig::new(outputs).init(&device);
                        let vector = |data| Tensor::<1>::from_data(data, &device);
                        let [gamma, beta, mean] = [0, 1, 2].map(|_| vector(tensor(&[outputs])));
                        BatchNorm {
                            gamma: Param::from_tensor(gamma + 0.8),
                            beta: Param::from_tensor(beta),
                            running_mean: RunningState::new(mean),
                            running_var: RunningState::new(vector(tensor(&[outputs])).abs() + 0.3),
                            ..own
                        }
                    }));
                    [samples, outputs, height, width]
                }
                Piece::Relu | Piece::Clamp(_) | Piece::Gate | Piece::Squeeze(_) => {
                    [samples, channels, height, width]
                }
                Piece::MaxPool(kernel, stride) | Piece::AveragePool(kernel, stride)
                    if fits(*kernel) =>
                {
                    let pooled = |length: usize| (length - kernel) / stride + 1;
                    [samples, channels, pooled(height), pooled(width)]
                }
                Piece::Add(back) if before(*back) == [samples, channels, height, width] => {
                    [samples, channels, height, width]
                }
                Piece::Concat(back) if before(*back)[2..] == [height, width] && channels < 24 => {
                    [samples, channels + before(*back)[1], height, width]
                }
                _ => continue,
            };
            kept.push(piece.clone());
            shapes.push(shape);
        }
        let channels = shapes.last().unwrap()[1];
        let head = LinearConfig::new(channels, 7).init(&device);
        let weight = Tensor::from_data(tensor(&[channels, 7]), &device);
        let head = Linear {
            weight: Param::from_tensor(weight),
            ..head
        };
        (Self { convs, norms, head }, kept)
    }
}

/// A value that is clamped twice is stored once, with the border of what reads it last.
#[test]
fn a_relu_of_a_relu_is_padded() {
    let conv = |padding| Piece::Conv {
        outputs: 2,
        grouped: 0,
        kernel: [1 + padding; 2],
        stride: [1; 2],
        padding: [padding; 2],
        dilation: [1; 2],
        norm: false,
        bias: true,
    };
    let pieces = [conv(0), Piece::Relu, Piece::Relu, conv(1)];
    let x = image([2, 3, 5, 4]);
    let (model, pieces) = Drawn::new(&pieces, x.dims(), 3);
    let network = trace(&model, x.clone(), |m, x| m.forward(&pieces, x)).unwrap();
    let inputs = [AnyTensor::from(x)];
    let quantized = quantized(&network, &inputs, &QuantizationSettings::default());
    same(&quantized, &inputs, "relu of relu");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn drawn_networks_are_the_same_to_the_bit(
        pieces in pieces(),
        channels in 1..6_usize,
        size in [5..12_usize, 4..11],
        bits in prop_oneof![3 => Just((8_u8, 8_u8)), 1 => Just((4, 8)), 1 => Just((8, 5))],
        symmetric in any::<bool>(),
        seed in any::<usize>(),
    ) {
        let x = image([4, channels, size[0], size[1]]);
        let (model, pieces) = Drawn::new(&pieces, x.dims(), seed);
        let network = trace(&model, x.clone(), |m, x| m.forward(&pieces, x)).unwrap();
        let scheme = if symmetric { Scheme::Symmetric } else { Scheme::Affine };
        let settings = settings(bits.0, bits.1, [Scheme::Symmetric, scheme]);
        let inputs: [AnyTensor; 1] = [x.clone().into()];
        let quantized = quantized(&network, &inputs, &settings);
        same(&quantized, &inputs, &format!("{pieces:?}"));

        // In float, to rounding.
        let expected: Tensor<2> = network.forward(x);
        let expected: Vec<f32> = expected.into_data().iter::<f32>().collect();
        let largest = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        for engine in engines(&network.to_bytes().unwrap(), 2) {
            let found = engine.run(&[inputs[0].to_array()]).unwrap();
            for (found, expected) in found[0].as_floats().unwrap().iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 3e-5 * largest, "{} {}", found, expected);
            }
        }
    }
}

/// Where the engine computes functions itself, results are those of Burn but for rare integers next to a tie.
#[test]
fn functions_are_nearly_the_same() {
    let mixed = Mixed::new(&device());
    let x = image([4, 2, 8, 8]);
    let mixed = trace(&mixed, x.clone(), |m, x| m.forward(x)).unwrap();
    for (network, inputs) in [(mixed, vec![AnyTensor::from(x)])] {
        let quantized = quantized(&network, &inputs, &QuantizationSettings::default());
        for (bytes, expected) in [
            (
                network.to_bytes().unwrap(),
                network.run(inputs.clone(), &mut |_, x| x).unwrap(),
            ),
            (
                quantized.to_bytes().unwrap(),
                quantized.run(inputs.clone(), &mut |_, _| {}).unwrap(),
            ),
        ] {
            let arrays: Vec<Array> = inputs.iter().map(AnyTensor::to_array).collect();
            for engine in engines(&bytes, 1) {
                let found = engine.run(&arrays).unwrap();
                for (found, expected) in found.iter().zip(expected.iter().map(AnyTensor::to_array))
                {
                    let (found, expected) = (
                        found.as_floats().unwrap(),
                        expected.as_floats().unwrap().to_vec(),
                    );
                    let largest = expected.iter().fold(0.1_f32, |most, x| most.max(x.abs()));
                    for (found, expected) in found.iter().zip(&expected) {
                        assert!(
                            (found - expected).abs() <= 0.02 * largest,
                            "{found} {expected}"
                        );
                    }
                }
            }
        }
    }
}

/// Residual networks run in integers as a whole: every layer by a kernel, sums and relus with them.
#[test]
fn residual_networks_need_no_conversions() {
    let x = image([2, 3, 8, 8]);
    let network = trace(&Residual::new(&device()), x.clone(), |m, x| m.forward(x)).unwrap();
    let quantized = quantized(&network, &[x.into()], &QuantizationSettings::default());
    let engine = Engine::from_bytes(&quantized.to_bytes().unwrap(), Options::default()).unwrap();
    for row in engine.report() {
        let plain = matches!(
            row.execution,
            Execution::PlainFloats | Execution::PlainIntegers
        );
        assert!(!plain, "{row:?}");
    }
}
