//! Small networks from bytes, for any bytes.

use calcine_graph::{Arithmetic, Extent, Graph, Map, Op, Reduction, ValueId};

use crate::network::{Network, batched, square};

const SIDE: usize = 3;

/// Each step makes one more feature map of one of the maps so far; all maps are 3 × 3 places. What nothing
/// reads ends in a linear layer.
pub(crate) fn build(steps: &[[u8; 4]]) -> Graph {
    let mut net = Network::default();
    let input = net.input(&[2, SIDE, SIDE]);
    let mut maps = vec![net.conv_bias("conv", input, 6, 1, square(1, 1, 1))];
    for (number, &[op, a, b, c]) in steps.iter().enumerate() {
        let (x, y) = (maps[a as usize % maps.len()], maps[b as usize % maps.len()]);
        let made = step(&mut net, &format!("{number}"), op, x, y, c as usize);
        maps.push(made);
    }
    let ends: Vec<ValueId> = maps
        .into_iter()
        .filter(|&map| net.graph.consumers(map).next().is_none())
        .collect();
    let all = if ends.len() > 1 {
        net.concat(1, &ends)
    } else {
        ends[0]
    };
    let flat = net.flatten(all);
    let y = net.linear("head", flat, 4);
    net.output(y)
}

fn step(net: &mut Network, name: &str, op: u8, x: ValueId, y: ValueId, c: usize) -> ValueId {
    let channels = net.length(x, 1);
    match op % 18 {
        0 | 1 => net.conv_bias(name, x, 2 + c % 5, 3, square(3, 1, 1)),
        2 => net.conv_bias(name, x, channels * (1 + c % 2), 3, square(3, 1, channels)),
        3 => {
            let groups = divisor(channels, c);
            net.conv_bias(name, x, groups * (1 + c % 3), 1, square(1, 1, groups))
        }
        4 => net.batch_norm(name, x),
        5 => net.map(x, [Map::Relu, Map::Sigmoid, Map::Tanh, Map::Cos][c % 4]),
        6 => combine(net, name, x, y, Arithmetic::Add),
        7 => combine(net, name, x, y, Arithmetic::Multiply),
        8 => net.concat(1, &[x, y]),
        9 => {
            let start = c % channels;
            net.slice(x, 1, start, channels.min(start + 1 + c / 7 % channels))
        }
        10 => net.pad_channels(x, c % 3, c / 3 % 3),
        11 => {
            let gate = net.global_pool(x);
            let gate = net.conv_bias(name, gate, channels, 1, square(1, 1, 1));
            let gate = net.map(gate, Map::Sigmoid);
            net.multiply(x, gate)
        }
        12 => shuffle(net, x, divisor(channels, c)),
        13 => flip(net, x),
        14 => {
            let repeat = Op::Repeat { axis: 1, times: 2 };
            net.node(
                &format!("{name}.repeat"),
                repeat,
                &[x],
                batched(&[2 * channels, SIDE, SIDE]),
            )
        }
        15 => channelwise_scale(net, name, x),
        16 => through_linear(net, name, x, 1 + c % 6),
        _ => centre_groups(net, x, divisor(channels, c)),
    }
}

/// A divisor, any.
fn divisor(number: usize, choice: usize) -> usize {
    let all: Vec<usize> = (1..=number).filter(|&n| number.is_multiple_of(n)).collect();
    all[choice % all.len()]
}

fn combine(
    net: &mut Network,
    name: &str,
    x: ValueId,
    y: ValueId,
    arithmetic: Arithmetic,
) -> ValueId {
    let channels = net.length(x, 1);
    let y = if net.length(y, 1) == channels {
        y
    } else {
        net.conv_bias(name, y, channels, 1, square(1, 1, 1))
    };
    net.zip(arithmetic, x, y)
}

fn shuffle(net: &mut Network, x: ValueId, groups: usize) -> ValueId {
    let channels = net.length(x, 1);
    let y = net.reshape(x, batched(&[groups, channels / groups, SIDE, SIDE]));
    let y = net.permute(y, &[0, 2, 1, 3, 4]);
    net.reshape(y, batched(&[channels, SIDE, SIDE]))
}

fn flip(net: &mut Network, x: ValueId) -> ValueId {
    let shape = net.shape(x);
    let name = format!("{}.flip{}", net.graph.value(x).name, net.graph.nodes.len());
    net.node(&name, Op::Flip(vec![1]), &[x], shape)
}

/// A factor for each channel, from a parameter and a constant.
fn channelwise_scale(net: &mut Network, name: &str, x: ValueId) -> ValueId {
    let channels = net.length(x, 1);
    let scale = net.parameter(&format!("{name}.scale"), &[1, channels, 1, 1]);
    let offset = net.constant(&format!("{name}.offset"), &[1, channels, 1, 1]);
    let wide = vec![Extent::fixed(1), channels.into(), SIDE.into(), SIDE.into()];
    let scale = net.node(&format!("{name}.expand"), Op::Expand, &[scale], wide);
    let y = net.multiply(x, scale);
    net.add(y, offset)
}

/// Channels last, a linear layer, and back.
fn through_linear(net: &mut Network, name: &str, x: ValueId, out: usize) -> ValueId {
    let y = net.permute(x, &[0, 2, 3, 1]);
    let y = net.reshape(
        y,
        vec![
            Extent {
                fixed: 0,
                per_sample: SIDE * SIDE,
            },
            net.length(x, 1).into(),
        ],
    );
    let y = net.linear(name, y, out);
    let y = net.reshape(y, batched(&[SIDE, SIDE, out]));
    net.permute(y, &[0, 3, 1, 2])
}

/// What group normalisation begins with: the mean of each group is taken off.
fn centre_groups(net: &mut Network, x: ValueId, groups: usize) -> ValueId {
    let channels = net.length(x, 1);
    let y = net.reshape(x, batched(&[groups, channels / groups * SIDE * SIDE]));
    let mean = net.reduce(y, Reduction::Mean, 2);
    let y = net.zip(Arithmetic::Subtract, y, mean);
    net.reshape(y, batched(&[channels, SIDE, SIDE]))
}
