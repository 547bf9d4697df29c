//! Small networks, each with a structure that channels have to be followed through.

use calcine_graph::{Arithmetic, Graph, Map, Op, Reduction, ValueId};

use crate::network::{Network, batched, square};

/// A squeeze-and-excitation block between two convolutions.
pub(crate) fn squeeze_excite() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 8, 8]);
    let x = net.conv_bias("conv1", input, 8, 3, square(3, 1, 1));
    let mut gate = net.global_pool(x);
    gate = net.conv_bias("squeeze", gate, 4, 1, square(1, 1, 1));
    gate = net.relu(gate);
    gate = net.conv_bias("excite", gate, 8, 1, square(1, 1, 1));
    gate = net.map(gate, Map::Sigmoid);
    let x = net.multiply(x, gate);
    let x = net.conv_bias("conv2", x, 5, 3, square(3, 1, 1));
    net.output(x)
}

/// Two branches side by side, then a convolution that reads both.
pub(crate) fn branches() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 8, 8]);
    let a = net.conv_bias("a", input, 6, 3, square(3, 1, 1));
    let b = net.conv_bias("b", input, 4, 1, square(1, 1, 1));
    let both = net.concat(1, &[a, b]);
    let x = net.relu(both);
    let x = net.conv_bias("c", x, 5, 3, square(3, 1, 1));
    net.output(x)
}

/// A channel expansion by grouped convolutions, as ResNeXt has it.
pub(crate) fn grouped() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 8, 8]);
    let x = net.conv_bias("reduce", input, 8, 1, square(1, 1, 1));
    let x = net.relu(x);
    let x = net.conv_bias("grouped", x, 12, 3, square(3, 1, 4));
    let x = net.relu(x);
    let x = net.conv_bias("expand", x, 5, 1, square(1, 1, 1));
    net.output(x)
}

/// An encoder block: attention by heads with its own weights for query, key and value, then a
/// feed-forward pair; norms before both.
pub(crate) fn encoder(length: usize, features: usize, heads: usize, fused: bool) -> Graph {
    let mut net = Network::default();
    let x = net.input(&[length, features]);
    let x = net.linear("embed", x, features);
    let normed = net.layer_norm("norm1", x);
    let [q, k, v] = if fused {
        fused_projections(&mut net, normed, heads)
    } else {
        ["query", "key", "value"].map(|name| {
            let y = net.linear(name, normed, features);
            let y = net.reshape(y, batched(&[length, heads, features / heads]));
            net.permute(y, &[0, 2, 1, 3])
        })
    };
    let k = net.permute(k, &[0, 1, 3, 2]);
    let scores = net.matmul(q, k);
    let scores = net.scale(scores, 1.0 / ((features / heads) as f64).sqrt());
    let weights = net.softmax(scores, 3);
    let y = net.matmul(weights, v);
    let y = net.permute(y, &[0, 2, 1, 3]);
    let y = net.reshape(y, batched(&[length, features]));
    let y = net.linear("project", y, features);
    let x = net.add(x, y);
    let y = net.layer_norm("norm2", x);
    let y = net.linear("up", y, 4 * features);
    let y = net.map(y, Map::Gelu);
    let y = net.linear("down", y, features);
    let x = net.add(x, y);
    net.output(x)
}

/// One linear layer makes query, key and value; slices take them apart.
fn fused_projections(net: &mut Network, x: ValueId, heads: usize) -> [ValueId; 3] {
    let (length, features) = (net.length(x, 1), net.length(x, 2));
    let y = net.linear("qkv", x, 3 * features);
    let y = net.reshape(y, batched(&[length, 3, heads, features / heads]));
    let y = net.permute(y, &[2, 0, 3, 1, 4]);
    [0, 1, 2].map(|part| {
        let y = net.slice(y, 0, part, part + 1);
        net.reshape(y, batched(&[heads, length, features / heads]))
    })
}

/// Grouped convolutions with a channel shuffle between them.
pub(crate) fn shuffle() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 4, 4]);
    let x = net.conv_bias("conv1", input, 12, 1, square(1, 1, 1));
    let x = net.conv_bias("grouped1", x, 12, 1, square(1, 1, 3));
    let x = net.reshape(x, batched(&[3, 4, 4, 4]));
    let x = net.permute(x, &[0, 2, 1, 3, 4]);
    let x = net.reshape(x, batched(&[12, 4, 4]));
    let x = net.conv_bias("depthwise", x, 12, 3, square(3, 1, 12));
    let x = net.conv_bias("conv2", x, 5, 1, square(1, 1, 1));
    net.output(x)
}

/// Group normalisation as a trace records it: a reshape, means, and back.
pub(crate) fn group_norm() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 4, 4]);
    let x = net.conv_bias("conv1", input, 12, 1, square(1, 1, 1));
    let groups = net.reshape(x, batched(&[3, 4 * 4 * 4]));
    let mean = net.reduce(groups, Reduction::Mean, 2);
    let centred = net.zip(Arithmetic::Subtract, groups, mean);
    let squares = net.multiply(centred, centred);
    let variance = net.reduce(squares, Reduction::Mean, 2);
    let variance = net.offset(variance, 1e-5);
    let deviation = net.map(variance, Map::Sqrt);
    let x = net.zip(Arithmetic::Divide, centred, deviation);
    let x = net.reshape(x, batched(&[12, 4, 4]));
    let gamma = net.parameter("norm.gamma", &[1, 12, 1, 1]);
    let beta = net.parameter("norm.beta", &[1, 12, 1, 1]);
    let x = net.multiply(x, gamma);
    let x = net.add(x, beta);
    let x = net.conv_bias("conv2", x, 5, 3, square(3, 1, 1));
    net.output(x)
}

/// A skip that is pooled and padded with zero channels, as pre-activation ResNets have it.
pub(crate) fn padded_skip() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 8, 8]);
    let x = net.conv_bias("conv1", input, 6, 3, square(3, 1, 1));
    let y = net.batch_norm("bn", x);
    let y = net.relu(y);
    let y = net.conv_bias("conv2", y, 12, 3, square(3, 2, 1));
    let skip = net.max_pool(x, 2);
    let skip = net.pad_channels(skip, 3, 3);
    let x = net.add(y, skip);
    let x = net.conv_bias("conv3", x, 5, 1, square(1, 1, 1));
    net.output(x)
}

/// Transposed convolutions: plain, depthwise, grouped.
pub(crate) fn upsampling() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 2, 2]);
    let x = net.conv_bias("conv1", input, 6, 1, square(1, 1, 1));
    let x = net.transposed("plain", x, 8, 1);
    let x = net.relu(x);
    let x = net.transposed("depthwise", x, 16, 8);
    let x = net.relu(x);
    let x = net.transposed("grouped", x, 8, 4);
    let x = net.conv_bias("conv2", x, 5, 1, square(1, 1, 1));
    net.output(x)
}

/// Attention as one operation, with a fixed scale.
pub(crate) fn attention() -> Graph {
    let mut net = Network::default();
    let x = net.input(&[5, 6]);
    let [q, k, v] = [("query", 12), ("key", 12), ("value", 9)].map(|(name, width)| {
        let y = net.linear(name, x, width);
        let y = net.reshape(y, batched(&[5, 3, width / 3]));
        net.permute(y, &[0, 2, 1, 3])
    });
    let op = Op::Attention {
        scale: Some(1.0),
        softcap: None,
        causal: false,
        masked: false,
    };
    let y = net.node("attention", op, &[q, k, v], batched(&[3, 5, 3]));
    let y = net.permute(y, &[0, 2, 1, 3]);
    let y = net.reshape(y, batched(&[5, 9]));
    let y = net.linear("project", y, 4);
    net.output(y)
}

/// Two matrix products with the same matrix, once turned: its features are made and read.
pub(crate) fn bilinear() -> Graph {
    let mut net = Network::default();
    let x = net.input(&[5, 6]);
    let matrix = net.parameter("matrix", &[1, 6, 8]);
    let y = net.matmul(x, matrix);
    let y = net.relu(y);
    let turned = net.permute(matrix, &[0, 2, 1]);
    let y = net.matmul(y, turned);
    net.output(y)
}
