//! Random networks of all operators: what axes offer can be zeroed and removed, and the rest computes the same.

use std::cell::RefCell;

use burn::module::{Module, Param};
use burn::tensor::activation::{
    elu, gelu, hard_sigmoid, leaky_relu, log_sigmoid, log_softmax, prelu, relu, selu, sigmoid,
    softmax,
};
use burn::tensor::module::{
    adaptive_avg_pool2d, attention, avg_pool2d, batch_norm, conv_transpose2d, conv2d, embedding,
    interpolate, layer_norm, linear, max_pool2d,
};
use burn::tensor::ops::{
    AttentionModuleOptions, AvgPoolOptions, ConvOptions, ConvTransposeOptions, InterpolateMode,
    InterpolateOptions, MaxPoolOptions, PadMode,
};
use burn::tensor::{Int, Tensor};
use calcine_graph::{NormFeatures, UnitId};
use calcine_thin::{KeptZeros, PaddingEffect, ThinOptions, thin_with, zero_out_channels};
use calcine_trace::{AnyTensor, Network, trace};
use proptest::prelude::*;

use crate::numbers;

const SIDE: usize = 4;
/// How many kinds of steps there are.
const KINDS: u8 = 58;

/// The parameters of a network, in the order in which its forward pass asks for them.
#[derive(Module, Debug, Default)]
struct Store {
    ones: Vec<Param<Tensor<1>>>,
    twos: Vec<Param<Tensor<2>>>,
    fours: Vec<Param<Tensor<4>>>,
}

impl Store {
    fn empty() -> Self {
        Self {
            ones: Vec::new(),
            twos: Vec::new(),
            fours: Vec::new(),
        }
    }
}

/// Hands out parameters: those that there are, and after the last a new one.
struct Parameters {
    store: RefCell<Store>,
    next: RefCell<[usize; 3]>,
}

impl Parameters {
    fn new(store: Store) -> Self {
        Self {
            store: RefCell::new(store),
            next: RefCell::new([0; 3]),
        }
    }

    fn one(&self, length: usize) -> Tensor<1> {
        let (at, mut store) = (self.next.borrow_mut()[0], self.store.borrow_mut());
        self.next.borrow_mut()[0] += 1;
        if at == store.ones.len() {
            let shift = at as f32 * 0.07 % 0.4;
            let numbers = numbers([length + at % 5]).slice_dim(0, at % 5..) * 0.4 + 0.6 + shift;
            store.ones.push(Param::from_tensor(numbers));
        }
        store.ones[at].val()
    }

    fn two(&self, shape: [usize; 2]) -> Tensor<2> {
        let (at, mut store) = (self.next.borrow_mut()[1], self.store.borrow_mut());
        self.next.borrow_mut()[1] += 1;
        if at == store.twos.len() {
            let numbers = numbers([shape[0] + at % 3, shape[1]]).slice_dim(0, at % 3..);
            store.twos.push(Param::from_tensor(numbers * 0.7));
        }
        store.twos[at].val()
    }

    fn four(&self, shape: [usize; 4]) -> Tensor<4> {
        let (at, mut store) = (self.next.borrow_mut()[2], self.store.borrow_mut());
        self.next.borrow_mut()[2] += 1;
        if at == store.fours.len() {
            let [a, b, c, d] = shape;
            let numbers = numbers([a + at % 3, b, c, d]).slice_dim(0, at % 3..);
            store.fours.push(Param::from_tensor(numbers * 0.7));
        }
        store.fours[at].val()
    }
}

type Map4 = Tensor<4>;

/// Each step makes one more map, `[batch, channels, 4, 4]`, of those so far; what nothing reads goes into a linear
/// layer.
fn forward(parameters: &Parameters, steps: &[[u8; 4]], x: Map4) -> Tensor<2> {
    let first = convolution(parameters, x, 6, 3, 1);
    let mut maps = vec![(first, 0)];
    for &[kind, a, b, c] in steps {
        let (a, b) = (a as usize % maps.len(), b as usize % maps.len());
        let (x, y) = (maps[a].0.clone(), maps[b].0.clone());
        let (made, uses_other) = step(parameters, kind % KINDS, x, y, c as usize);
        maps[a].1 += 1;
        maps[b].1 += usize::from(uses_other);
        maps.push((made, 0));
    }
    let ends = maps.into_iter().filter(|(_, uses)| *uses == 0);
    let all = Tensor::cat(ends.map(|(map, _)| map).collect(), 1);
    let flat: Tensor<2> = all.flatten(1, 3);
    let weight = parameters.two([flat.dims()[1], 4]);
    linear(flat, weight, Some(parameters.one(4)))
}

fn convolution(p: &Parameters, x: Map4, to: usize, kernel: usize, groups: usize) -> Map4 {
    let from = x.dims()[1];
    let weight = p.four([to, from / groups, kernel, kernel]);
    let options = ConvOptions::new([1, 1], [kernel / 2, kernel / 2], [1, 1], groups);
    conv2d(x, weight, Some(p.one(to)), options)
}

fn divisor(number: usize, choice: usize) -> usize {
    let all: Vec<usize> = (1..=number).filter(|&n| number.is_multiple_of(n)).collect();
    all[choice % all.len()]
}

/// One number for each channel.
fn channelwise(p: &Parameters, channels: usize) -> Map4 {
    p.one(channels).reshape([1, channels, 1, 1])
}

#[allow(clippy::too_many_lines, reason = "a row for each operator")]
fn step(p: &Parameters, kind: u8, x: Map4, y: Map4, c: usize) -> (Map4, bool) {
    let [batch, channels, ..] = x.dims();
    let axis = 1 + c % 3;
    let alone = |made: Map4| (made, false);
    let other = |y: Map4| match y.dims()[1] == channels {
        true => y,
        false => convolution(p, y, channels, 1, 1),
    };
    match kind {
        0 => alone(convolution(p, x, 2 + c % 5, 3, 1)),
        1 => alone(convolution(p, x, channels, 3, channels)),
        2 => {
            let groups = divisor(channels, c);
            alone(convolution(p, x, groups * (1 + c % 2), 1, groups))
        }
        3 => {
            let weight = p.four([channels, 3, 3, 3]);
            let options = ConvTransposeOptions::new([1, 1], [1, 1], [0, 0], [1, 1], 1);
            alone(conv_transpose2d(x, weight, Some(p.one(3)), options))
        }
        4 => {
            let [gamma, beta, mean, variance] = [0; 4].map(|_| p.one(channels));
            alone(batch_norm(x, gamma, beta, mean, variance, 1e-5))
        }
        5 => {
            let x = x.permute([0, 2, 3, 1]);
            let beta = Some(p.one(channels));
            alone(layer_norm(x, p.one(channels), beta, 1e-5).permute([0, 3, 1, 2]))
        }
        6 => {
            let groups = divisor(channels, c);
            let y = x.reshape([batch, groups, channels / groups * SIDE * SIDE]);
            let y = y.clone() - y.mean_dim(2);
            let y = y.clone() / ((y.clone() * y).mean_dim(2) + 1e-3).sqrt();
            let y = y.reshape([batch, channels, SIDE, SIDE]);
            alone(y * channelwise(p, channels) + channelwise(p, channels))
        }
        7 => alone(relu(x)),
        8 => alone(sigmoid(x)),
        9 => alone(x.tanh()),
        10 => alone(gelu(x)),
        11 => alone(elu(x, 0.8)),
        12 => alone(selu(x)),
        13 => alone(leaky_relu(x, 0.1)),
        14 => alone(prelu(x, p.one(channels))),
        15 => alone(hard_sigmoid(x, 0.2, 0.5)),
        16 => alone(log_sigmoid(x)),
        17 => alone(x.tanh().exp()),
        18 => alone((x.abs() + 0.5).log()),
        19 => alone(x.abs().sqrt()),
        20 => alone((x.abs() + 0.5).recip()),
        21 => alone(x.erf()),
        22 => alone(x.cos()),
        23 => alone(x.sin()),
        24 => alone(x.clamp(-0.4, 0.6)),
        25 => alone(x.powf_scalar(2.0)),
        26 => alone(x.sign()),
        27 => alone((x * 3.0).round() / 3.0),
        28 => alone((x.abs() + 1.0).log1p().floor()),
        29 => (x + other(y), true),
        30 => (x * other(y).tanh(), true),
        31 => (x / (other(y).abs() + 1.0), true),
        32 => (x - other(y), true),
        33 => (Tensor::cat(vec![x, y], 1), true),
        34 => alone(x + channelwise(p, channels)),
        35 => alone(x * channelwise(p, channels)),
        36 => alone(x / channelwise(p, channels)),
        37 => alone(
            x.abs()
                .powf(channelwise(p, channels).expand([1, channels, SIDE, SIDE])),
        ),
        38 => alone(x.clone() - x.tanh().mean_dim(axis)),
        39 => alone(x.clone() + x.tanh().sum_dim(axis) * 0.2),
        40 => alone(x.clone() - x.max_dim(axis)),
        41 => alone(x.clone() * x.tanh().prod_dim(axis)),
        42 => alone(x.clone() / (x.max_abs_dim(axis) + 0.1)),
        43 => alone(softmax(x, axis)),
        44 => alone(log_softmax(x, axis)),
        45 => alone(x.cumsum(axis) * 0.3),
        46 => alone(x.clone() * (x.argmax(axis).float() * 0.1)),
        47 => {
            let mask = x.clone().greater_elem(0.1);
            (x.mask_where(mask, other(y)), true)
        }
        48 => {
            let mask = x.clone().lower(other(y));
            (x.mask_fill(mask, 0.2), true)
        }
        49 => {
            let start = c % channels;
            alone(x.slice_dim(1, start..channels.min(start + 1 + c / 7 % channels)))
        }
        50 => {
            let places: Vec<i64> = (0..channels).rev().map(|place| place as i64).collect();
            let places = Tensor::<1, Int>::from_data(places.as_slice(), &x.device());
            alone(x.select(1, places))
        }
        51 => {
            let groups = divisor(channels, c);
            let y = x.reshape([batch, groups, channels / groups, SIDE, SIDE]);
            alone(y.swap_dims(1, 2).reshape([batch, channels, SIDE, SIDE]))
        }
        52 => alone(x.flip([axis as isize])),
        53 => match channels < 8 {
            true => alone(x.repeat_dim(1, 2)),
            false => alone(x),
        },
        54 => {
            let mode = [
                PadMode::Constant(0.0),
                PadMode::Constant(0.5),
                PadMode::Edge,
            ][c % 3];
            let y = x.pad((1, 1, 1, 1), mode);
            match c % 2 {
                0 => alone(max_pool2d(y, {
                    let mut options = MaxPoolOptions::new([3, 3]);
                    options.stride = [1, 1];
                    options
                })),
                _ => alone(avg_pool2d(y, {
                    let mut options = AvgPoolOptions::new([3, 3]);
                    options.stride = [1, 1];
                    options
                })),
            }
        }
        55 => {
            let small = adaptive_avg_pool2d(x, [2, 2]);
            let options =
                InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([SIDE, SIDE]);
            alone(interpolate(small, options))
        }
        56 => {
            // Attention between places: as one operation, or of products.
            let x = x.reshape([batch, channels, SIDE * SIDE]).swap_dims(1, 2);
            let [q, k, v] = [0; 3].map(|_| linear(x.clone(), p.two([channels, 4]), None));
            let heads = |x: Tensor<3>| x.reshape([batch, SIDE * SIDE, 2, 2]).swap_dims(1, 2);
            let (q, k, v) = (heads(q), heads(k), heads(v));
            let y = match c % 2 {
                0 => attention(
                    q,
                    k,
                    v,
                    None,
                    None,
                    AttentionModuleOptions {
                        scale: Some(0.5),
                        softcap: None,
                        is_causal: false,
                    },
                ),
                _ => softmax(q.matmul(k.swap_dims(2, 3)), 3).matmul(v),
            };
            let y = y.swap_dims(1, 2).reshape([batch, SIDE * SIDE, 4]);
            alone(y.swap_dims(1, 2).reshape([batch, 4, SIDE, SIDE]))
        }
        _ => {
            // Entries of a table, by the places of the largest.
            let indices = x.argmax(1).reshape([batch, SIDE * SIDE]);
            let y = embedding(p.two([channels.max(6), 3]), indices);
            alone(y.swap_dims(1, 2).reshape([batch, 3, SIDE, SIDE]))
        }
    }
}

fn traced(steps: &[[u8; 4]]) -> Network {
    let parameters = Parameters::new(Store::empty());
    forward(&parameters, steps, numbers([1, 2, SIDE, SIDE]));
    let store = parameters.store.into_inner();
    let network = trace(&store, numbers([1, 2, SIDE, SIDE]), |store, x| {
        forward(&Parameters::new(store.clone()), steps, x)
    });
    network.unwrap_or_else(|error| panic!("{steps:?}: {error}"))
}

fn run(network: &Network) -> Vec<f32> {
    let x: AnyTensor = numbers([2, 2, SIDE, SIDE]).into();
    let outputs = network.run(vec![x], &mut |_, x| x).unwrap();
    let output = outputs[0].clone().flat().unwrap().into_data();
    output.iter::<f32>().collect()
}

/// About half of the units, never all of a group.
fn chosen(network: &Network, seed: u64, norms: NormFeatures) -> Vec<UnitId> {
    let axes = network.graph().axes_with(norms).unwrap();
    let mut state = seed | 1;
    let mut units = Vec::new();
    for (group, members) in axes.groups().iter().enumerate() {
        for unit in 1..members.units.len() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 1 {
                units.push(UnitId { group, unit });
            }
        }
    }
    units
}

fn check(steps: &[[u8; 4]], seed: u64) -> Result<(), String> {
    let network = traced(steps);
    for norms in [NormFeatures::Pinned, NormFeatures::Removable] {
        let axes = network
            .graph()
            .axes_with(norms)
            .map_err(|e| e.to_string())?;
        let units = chosen(&network, seed, norms);
        let silent =
            zero_out_channels(network.clone(), &axes, units.clone()).map_err(|e| e.to_string())?;
        let before = run(&silent);
        if before.iter().any(|x| !x.is_finite()) {
            return Ok(());
        }
        for padding_effect in [PaddingEffect::KeepBorder, PaddingEffect::DropBorder] {
            let options = ThinOptions {
                padding_effect,
                norm_features: norms,
            };
            let thinned = thin_with(silent.clone(), options, &[]).map_err(|e| e.to_string())?;
            let report = &thinned.report;
            let after = run(&thinned.network);
            let scale = before.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            let differences = before
                .iter()
                .zip(&after)
                .map(|(a, b)| (a - b).abs() / scale);
            let off = differences.fold(0.0_f32, |most, off| match off.is_nan() {
                true => f32::MAX,
                false => most.max(off),
            });
            let exact = report.border_error() == 0.0 && report.norms.is_empty();
            if before.len() != after.len() || exact && off > 1e-4 {
                return Err(format!(
                    "{norms:?}, {padding_effect:?}: off by {off}\n{report}"
                ));
            }
            let removed: usize = report.removed.iter().map(|group| group.removed).sum();
            // Units stay for an exact border, and where a slice reads nothing else: its last index is pinned.
            let sliced = |kept: &KeptZeros| kept.reason.contains("takes it by its position");
            let listed = match padding_effect {
                PaddingEffect::KeepBorder => !report.kept.is_empty(),
                PaddingEffect::DropBorder => report.kept.iter().any(sliced),
            };
            if removed < units.len() && !listed {
                let all = units.len();
                return Err(format!(
                    "{norms:?}, {padding_effect:?}: {removed} of {all} went\n{report}"
                ));
            }
        }
    }
    Ok(())
}

/// Half of a tensor is sliced off, and all that is in it falls.
#[test]
fn a_slice_keeps_something_of_what_it_reads() {
    for seed in 0..16 {
        let steps = [[4, 0, 0, 0], [107, 0, 0, 50], [109, 0, 0, 59]];
        check(&steps, seed * 7919).unwrap();
    }
}

/// Each operator between two convolutions, and behind a function that makes something of zero.
#[test]
fn every_operator_keeps_what_axes_promise() {
    let mut bad = Vec::new();
    for kind in 0..KINDS {
        for c in [0, 1, 2, 5] {
            for before in [7, 8] {
                let steps = [[before, 0, 0, 0], [kind, 1, 0, c], [0, 2, 0, 3]];
                if let Err(error) = check(&steps, u64::from(kind) * 31 + 7) {
                    bad.push(format!("step {kind} ({c}) behind {before}: {error}"));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn networks_of_all_operators_are_thinned_as_axes_promise(
        steps in prop::collection::vec(any::<[u8; 4]>(), 1..8),
        seed in any::<u64>(),
    ) {
        let found = check(&steps, seed);
        prop_assert!(found.is_ok(), "{:?}: {}", steps, found.unwrap_err());
    }
}
