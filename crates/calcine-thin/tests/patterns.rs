//! What networks are written like: channels go, all that is offered, or are pinned with a reason.

use burn::nn::{GroupNormConfig, InstanceNormConfig, PixelShuffleConfig};
use burn::tensor::activation::{
    celu, elu, gelu, glu, hard_swish, log_softmax, mish, prelu, relu, selu, sigmoid, silu, softmax,
    softplus, tanh,
};
use burn::tensor::module::batch_norm;
use burn::tensor::{Bool, Tensor};
use calcine_graph::NormFeatures;
use calcine_thin::PaddingEffect;

use crate::parts::{Case, Parts, case};

/// Between two linear layers, of 8 features.
type Between = fn(&Parts, Tensor<2>) -> Tensor<2>;

fn between(layer: Between) -> Case {
    let parts = Parts::none()
        .linears(&[[5, 8], [8, 3]])
        .vectors(&[8, 8, 1])
        .matrices(&[[1, 8], [3, 8]]);
    case(&parts, [1, 5], |m, x| {
        m.linears[1].forward(layer(m, m.linears[0].forward(x)))
    })
}

fn rows(cases: Vec<(&str, Case, Option<usize>)>, path: &str, axis: usize) {
    let mut bad = Vec::new();
    for (name, case, units) in cases {
        let found = case.units_of(path, axis, NormFeatures::Pinned);
        let expected: Vec<usize> = units.into_iter().collect();
        if found != expected {
            let axes = case.network.graph().axes().unwrap();
            bad.push(format!(
                "{name}: groups of {found:?} units, expected {expected:?}; pinned: {}",
                axes.pinned(path, axis)
                    .map_or("no".to_owned(), ToString::to_string)
            ));
        }
        for padding_effect in [PaddingEffect::KeepBorder, PaddingEffect::DropBorder] {
            bad.extend(case.check(name, padding_effect).err());
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn what_is_between_two_layers_lets_channels_go_or_pins_them() {
    let all: Vec<(&str, Between, Option<usize>)> = vec![
        ("relu", |_, x| relu(x), Some(8)),
        ("sigmoid", |_, x| sigmoid(x), Some(8)),
        ("tanh", |_, x| tanh(x), Some(8)),
        ("gelu", |_, x| gelu(x), Some(8)),
        ("elu", |_, x| elu(x, 0.7), Some(8)),
        ("celu", |_, x| celu(x, 0.7), Some(8)),
        ("selu", |_, x| selu(x), Some(8)),
        ("silu", |_, x| silu(x), Some(8)),
        ("mish", |_, x| mish(x), Some(8)),
        ("softplus", |_, x| softplus(x, 1.0), Some(8)),
        ("hard swish", |_, x| hard_swish(x), Some(8)),
        ("exp", |_, x| x.exp(), Some(8)),
        ("prelu", |m, x| prelu(x, m.vectors[2].val()), Some(8)),
        (
            "gated halves",
            |_, x| glu(Tensor::cat(vec![x.clone(), x], 1), 1),
            Some(8),
        ),
        (
            "halves that gate one another",
            |_, x| {
                let [a, b] = [x.clone().slice_dim(1, 0..4), x.slice_dim(1, 4..8)];
                Tensor::cat(vec![a.clone() * sigmoid(b.clone()), b * a], 1)
            },
            Some(4),
        ),
        (
            "mask_where",
            |_, x| x.clone().mask_where(x.clone().greater_elem(0.1), x * 2.0),
            Some(8),
        ),
        (
            "mask_fill",
            |_, x| x.clone().mask_fill(x.greater_elem(0.5), 0.25),
            Some(8),
        ),
        ("square", |_, x| x.powf_scalar(2.0), Some(8)),
        ("a bump", |_, x| (x.clone() * x + 1.0).recip(), Some(8)),
        ("a learned shift", |m, x| x + m.matrices[0].val(), Some(8)),
        ("a learned scale", |m, x| x * m.matrices[0].val(), Some(8)),
        (
            "a learned divisor",
            |m, x| x / (m.matrices[0].val().abs() + 1.0),
            Some(8),
        ),
        (
            "a learned exponent",
            |m, x| relu(x).powf(m.matrices[0].val().abs() + 1.0),
            Some(8),
        ),
        (
            "a softmax by hand",
            |_, x| {
                let e = x.exp();
                e.clone() / e.sum_dim(1)
            },
            None,
        ),
        (
            "a stable softmax by hand",
            |_, x| {
                let e = (x.clone() - x.max_dim(1)).exp();
                e.clone() / e.sum_dim(1)
            },
            None,
        ),
        (
            "a product with the sum of exponentials",
            |_, x| x.clone() * x.exp().sum_dim(1),
            None,
        ),
        (
            "less the logarithm of the sum of exponentials",
            |_, x| x.clone() - x.exp().sum_dim(1).log(),
            None,
        ),
        ("softmax", |_, x| softmax(x, 1), None),
        ("log softmax", |_, x| log_softmax(x, 1), None),
        (
            "a direction",
            |_, x| x.clone() / (x.clone() * x).sum_dim(1).sqrt(),
            Some(8),
        ),
        (
            "shares",
            |_, x| x.clone().abs() / x.abs().sum_dim(1),
            Some(8),
        ),
        (
            "shares of sigmoids",
            |_, x| sigmoid(x.clone()) / sigmoid(x).sum_dim(1),
            None,
        ),
        (
            "in parts of the largest",
            |_, x| x.clone() / x.max_abs_dim(1),
            Some(8),
        ),
        ("less the mean", |_, x| x.clone() - x.mean_dim(1), None),
        (
            "less the sum in eighths",
            |_, x| x.clone() - x.sum_dim(1) / 8.0,
            None,
        ),
        (
            "a layer norm by hand",
            |_, x| {
                let x = x.clone() - x.mean_dim(1);
                x.clone() / ((x.clone() * x).mean_dim(1) + 1e-5).sqrt()
            },
            None,
        ),
        (
            "a root mean square by hand",
            |_, x| x.clone() / ((x.clone() * x).sum_dim(1) / 8.0 + 1e-5).sqrt(),
            Some(8),
        ),
        (
            "between the extremes",
            |_, x| {
                let low = x.clone().min_dim(1);
                (x.clone() - low.clone()) / (x.max_dim(1) - low)
            },
            None,
        ),
        ("the largest", |_, x| x.clone() * x.argmax(1).float(), None),
        ("running sums", |_, x| x.cumsum(1), None),
        ("a product of all", |_, x| x.clone() * x.prod_dim(1), None),
        (
            "cosine similarity with learned rows",
            |m, x| {
                let rows = m.matrices[1].val();
                let dot = x.clone().matmul(rows.clone().transpose());
                let lengths = (x.clone() * x.clone()).sum_dim(1).sqrt();
                x * (dot / lengths).sum_dim(1)
            },
            Some(8),
        ),
        (
            "where another is larger",
            |_, x| {
                let larger: Tensor<2, Bool> = x.clone().greater(x.clone().flip([1]));
                x.mask_fill(larger, 0.0)
            },
            Some(4),
        ),
    ];
    let cases = all
        .into_iter()
        .map(|(name, layer, units)| (name, between(layer), units));
    rows(cases.collect(), "linears.0.weight", 1);
}

/// Between two convolutions, of 12 channels at 6 × 6 places.
type Within = fn(&Parts, Tensor<4>) -> Tensor<4>;

fn within(layer: Within) -> Case {
    let parts = Parts::none()
        .convs(&[
            [2, 12, 3, 1],
            [12, 3, 3, 1],
            [12, 12, 3, 12],
            [12, 12, 1, 1],
            [12, 12, 3, 3],
        ])
        .vectors(&[12, 12, 12, 12])
        .linears(&[[12, 4], [4, 12]])
        .cubes(&[[12, 1, 1], [12, 6, 6], [1, 6, 6]]);
    case(&parts, [1, 2, 6, 6], |m, x| {
        m.convs[1].forward(layer(m, m.convs[0].forward(x)))
    })
}

fn grouped(x: Tensor<4>, groups: usize) -> Tensor<4> {
    GroupNormConfig::new(groups, 12)
        .with_affine(false)
        .init(&x.device())
        .forward(x)
}

#[test]
fn what_is_between_two_convolutions_lets_channels_go_or_pins_them() {
    let all: Vec<(&str, Within, Option<usize>)> = vec![
        ("relu", |_, x| relu(x), Some(12)),
        ("sigmoid", |_, x| sigmoid(x), Some(12)),
        ("elu", |_, x| elu(x, 1.0), Some(12)),
        (
            "prelu of each channel",
            |m, x| prelu(x, m.vectors[0].val()),
            Some(12),
        ),
        (
            "a shift [C, 1, 1]",
            |m, x| x + m.cubes[0].val().unsqueeze(),
            Some(12),
        ),
        (
            "a scale [C, 1, 1]",
            |m, x| x * m.cubes[0].val().unsqueeze(),
            Some(12),
        ),
        (
            "a shift of each place",
            |m, x| x + m.cubes[1].val().unsqueeze(),
            Some(12),
        ),
        (
            "a shift of all channels",
            |m, x| x + m.cubes[2].val().unsqueeze(),
            None,
        ),
        (
            "a scale of all channels",
            |m, x| x * m.cubes[2].val().unsqueeze(),
            Some(12),
        ),
        ("group norm", |_, x| relu(grouped(x, 4)), Some(4)),
        ("group norm of one group", |_, x| relu(grouped(x, 1)), None),
        (
            "group norm with scale and shift",
            |m, x| {
                let [scale, shift] = [0, 1].map(|at| m.vectors[at].val().reshape([1, 12, 1, 1]));
                relu(grouped(x, 3) * scale + shift)
            },
            Some(3),
        ),
        (
            "instance norm",
            |_, x| {
                let norm = InstanceNormConfig::new(12).with_affine(false);
                relu(norm.init(&x.device()).forward(x))
            },
            Some(12),
        ),
        (
            "a response norm over all channels",
            |_, x| x.clone() / ((x.clone() * x).sum_dim(1) * 1e-1 + 1.0).powf_scalar(0.75),
            Some(12),
        ),
        (
            "a layer norm over channels by hand",
            |_, x| {
                let x = x.clone() - x.mean_dim(1);
                x.clone() / ((x.clone() * x).mean_dim(1) + 1e-5).sqrt()
            },
            None,
        ),
        ("a softmax over channels", |_, x| softmax(x, 1), None),
        ("a softmax over places", |_, x| softmax(x, 3), Some(12)),
        (
            "a softmax over places by hand",
            |_, x| {
                let e = x.exp();
                e.clone() / e.sum_dim(3)
            },
            Some(12),
        ),
        (
            "attention to places by the mean over channels",
            |_, x| x.clone() * sigmoid(x.mean_dim(1)),
            None,
        ),
        (
            "attention to places by the sum over channels",
            |_, x| x.clone() * sigmoid(x.sum_dim(1)),
            Some(12),
        ),
        (
            "squeeze and excitation",
            |m, x| {
                let pooled: Tensor<2> = x.clone().mean_dim(2).mean_dim(3).flatten(1, 3);
                let gate = m.linears[1].forward(relu(m.linears[0].forward(pooled)));
                x.clone() * sigmoid(gate).reshape([x.dims()[0], 12, 1, 1])
            },
            Some(12),
        ),
        (
            "depthwise",
            |m, x| relu(m.convs[2].forward(relu(x))),
            Some(12),
        ),
        ("grouped", |m, x| relu(m.convs[4].forward(relu(x))), Some(4)),
        (
            "a residual block",
            |m, x| relu(x.clone() + m.convs[3].forward(relu(x))),
            Some(12),
        ),
        (
            "one norm behind two layers",
            |m, x| {
                let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|at| m.vectors[at].val());
                let norm = |x| {
                    let (mean, variance) = (mean.clone(), variance.clone());
                    batch_norm(x, gamma.clone(), beta.clone(), mean, variance, 1e-5)
                };
                relu(norm(m.convs[3].forward(relu(norm(x)))))
            },
            Some(12),
        ),
        (
            "one layer with two norms",
            |m, x| {
                let norm = |at: usize, x: Tensor<4>| {
                    let [gamma, beta, mean, variance] =
                        [0, 1, 2, 3].map(|own| m.vectors[(own + at) % 4].val());
                    batch_norm(x, gamma, beta, mean, variance, 1e-5)
                };
                let x = relu(norm(0, m.convs[3].forward(x)));
                relu(norm(1, m.convs[3].forward(x)))
            },
            None,
        ),
        (
            "one layer twice",
            |m, x| relu(m.convs[3].forward(relu(m.convs[3].forward(relu(x))))),
            Some(12),
        ),
        (
            "one layer twice, behind a sigmoid",
            |m, x| m.convs[3].forward(m.convs[3].forward(sigmoid(x)).tanh()),
            None,
        ),
        (
            "nothing but the mean of each channel",
            |_, x| {
                let means = x.clone().mean_dim(2).mean_dim(3);
                means.expand(x.dims())
            },
            Some(12),
        ),
        (
            "a shuffle of channels",
            |_, x| {
                let [batch, _, height, width] = x.dims();
                let x = x.reshape([batch, 3, 4, height, width]).swap_dims(1, 2);
                x.reshape([batch, 12, height, width])
            },
            Some(3),
        ),
    ];
    let cases = all
        .into_iter()
        .map(|(name, layer, units)| (name, within(layer), units));
    rows(cases.collect(), "convs.0.weight", 0);
}

/// The structures that other pruners list as supported, each with the units that go.
#[test]
fn structures_that_channels_are_followed_through() {
    let shuffled = case(
        &Parts::none().convs(&[[2, 24, 3, 1], [6, 3, 3, 1]]),
        [1, 2, 4, 4],
        |m, x| {
            let shuffle = PixelShuffleConfig::new(2).init();
            m.convs[1].forward(relu(shuffle.forward(m.convs[0].forward(x))))
        },
    );
    let ghost = case(
        &Parts::none().convs(&[[2, 6, 3, 1], [6, 6, 3, 6], [12, 3, 3, 1]]),
        [1, 2, 4, 4],
        |m, x| {
            let x = relu(m.convs[0].forward(x));
            m.convs[2].forward(Tensor::cat(vec![x.clone(), m.convs[1].forward(x)], 1))
        },
    );
    let beside_itself = case(
        &Parts::none().convs(&[[2, 6, 3, 1], [12, 3, 3, 1]]),
        [1, 2, 4, 4],
        |m, x| {
            let x = relu(m.convs[0].forward(x));
            m.convs[1].forward(Tensor::cat(vec![x.clone(), x], 1))
        },
    );
    let branches = case(
        &Parts::none().convs(&[[2, 6, 3, 1], [2, 4, 1, 1], [10, 3, 3, 1]]),
        [1, 2, 4, 4],
        |m, x| {
            let both = vec![m.convs[0].forward(x.clone()), m.convs[1].forward(x)];
            m.convs[2].forward(relu(Tensor::cat(both, 1)))
        },
    );
    let pooled = case(
        &Parts::none()
            .convs(&[[2, 6, 3, 1]])
            .linears(&[[6 * 4, 5], [5, 2]]),
        [1, 2, 4, 4],
        |m, x| {
            let x = relu(m.convs[0].forward(x));
            let pooled = burn::tensor::module::adaptive_avg_pool2d(x, [2, 2]);
            let flat: Tensor<2> = pooled.flatten(1, 3);
            m.linears[1].forward(relu(m.linears[0].forward(flat)))
        },
    );
    let unit_of_shuffle_net = case(
        &Parts::none().convs(&[
            [2, 4, 1, 1],
            [4, 4, 1, 1],
            [4, 4, 3, 4],
            [4, 4, 1, 1],
            [8, 3, 1, 1],
        ]),
        [1, 2, 4, 4],
        |m, x| {
            let [kept, x] = [m.convs[0].forward(x.clone()), m.convs[0].forward(x * 0.5)];
            let x = relu(m.convs[1].forward(x));
            let x = relu(m.convs[3].forward(m.convs[2].forward(x)));
            let [batch, _, height, width] = kept.dims();
            let x = Tensor::cat(vec![kept, x], 1);
            let x = x.reshape([batch, 2, 4, height, width]).swap_dims(1, 2);
            m.convs[4].forward(x.reshape([batch, 8, height, width]))
        },
    );
    for (name, case, path, axis, units) in [
        ("pixel shuffle", shuffled, "convs.0.weight", 0, 6),
        ("ghost", ghost, "convs.0.weight", 0, 6),
        ("beside itself", beside_itself, "convs.0.weight", 0, 6),
        ("branches", branches, "convs.1.weight", 0, 4),
        ("pooled and flattened", pooled, "convs.0.weight", 0, 6),
        ("shuffle net", unit_of_shuffle_net, "convs.1.weight", 0, 4),
    ] {
        rows(vec![(name, case, Some(units))], path, axis);
    }
}

/// Sequences of 5 places with 12 features.
fn sequences(parts: &Parts, forward: impl Fn(&Parts, Tensor<3>) -> Tensor<3>) -> Case {
    case(parts, [1, 5, 12], forward)
}

fn heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, length, features] = x.dims();
    x.reshape([batch, length, heads, features / heads])
        .swap_dims(1, 2)
}

fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<3> {
    let [batch, heads, length, features] = q.dims();
    let weights = softmax(q.matmul(k.swap_dims(2, 3)) / 2.0, 3);
    let x = weights.matmul(v).swap_dims(1, 2);
    x.reshape([batch, length, heads * features])
}

#[test]
fn attention_goes_by_heads() {
    let four = Parts::none().linears(&[[12, 12], [12, 12], [12, 12], [12, 12]]);
    let separate = sequences(&four, |m, x| {
        let [q, k, v] = [0, 1, 2].map(|at| heads(m.linears[at].forward(x.clone()), 3));
        m.linears[3].forward(attend(q, k, v))
    });
    let fused = Parts::none().linears(&[[12, 36], [12, 12]]);
    let chunks = sequences(&fused, |m, x| {
        let qkv = m.linears[0].forward(x);
        let [q, k, v] = [0, 12, 24].map(|at| heads(qkv.clone().slice_dim(2, at..at + 12), 3));
        m.linears[1].forward(attend(q, k, v))
    });
    // As torch.nn.MultiheadAttention is exported: the places come first, batch and heads are one axis.
    let merged = sequences(&fused, |m, x| {
        let [batch, length, features] = x.dims();
        let qkv = m.linears[0].forward(x.swap_dims(0, 1));
        let qkv = qkv
            .reshape([length, batch, 3, features])
            .unsqueeze_dim::<5>(0);
        let qkv = qkv.swap_dims(0, 3).squeeze_dim::<4>(3);
        let [q, k, v] = [0, 1, 2].map(|at| {
            let part = qkv.clone().slice_dim(0, at..at + 1).squeeze_dim::<3>(0);
            part.reshape([length, batch * 3, features / 3])
                .swap_dims(0, 1)
        });
        let weights = softmax((q * 0.5).matmul(k.swap_dims(1, 2)), 2);
        let x = weights.matmul(v).swap_dims(0, 1);
        let x = m.linears[1].forward(x.reshape([length * batch, features]));
        x.reshape([length, batch, features]).swap_dims(0, 1)
    });
    // Six heads of the query share two of key and value.
    let few = Parts::none().linears(&[[12, 24], [12, 8], [12, 8], [24, 12]]);
    let spread = |x: Tensor<3>| {
        let [batch, length, _] = x.dims();
        let x = heads(x, 2).reshape([batch, 2, 1, length, 4]);
        x.expand([batch, 2, 3, length, 4])
            .reshape([batch, 6, length, 4])
    };
    let shared = sequences(&few, |m, x| {
        let q = heads(m.linears[0].forward(x.clone()), 6);
        let [k, v] = [1, 2].map(|at| spread(m.linears[at].forward(x.clone())));
        m.linears[3].forward(attend(q, k, v))
    });
    let masked = sequences(&four, |m, x| {
        let [q, k, v] = [0, 1, 2].map(|at| heads(m.linears[at].forward(x.clone()), 3));
        let [batch, _, length, _] = q.dims();
        let scores = q.matmul(k.swap_dims(2, 3)) / 2.0;
        let mask = Tensor::<2, Bool>::tril_mask([length, length], 0, &x.device());
        let mask = mask.unsqueeze::<4>().expand([batch, 3, length, length]);
        let weights = softmax(scores.mask_fill(mask, f32::NEG_INFINITY), 3);
        let x = weights.matmul(v).swap_dims(1, 2);
        m.linears[3].forward(x.reshape([batch, length, 12]))
    });
    let cases = vec![
        ("separate", separate, Some(3)),
        ("in chunks", chunks, Some(3)),
        ("batch and heads merged", merged, Some(3)),
        ("grouped queries", shared, Some(2)),
        ("causal", masked, Some(3)),
    ];
    rows(cases, "linears.0.weight", 1);
}

#[test]
fn features_of_a_sequence_go_unless_a_norm_is_over_them() {
    let two = || Parts::none().linears(&[[12, 8], [8, 12]]).norms(1, 8);
    let positions = sequences(&two().matrices(&[[5, 8]]), |m, x| {
        let x = m.linears[0].forward(x) + m.matrices[0].val().unsqueeze();
        m.linears[1].forward(relu(x))
    });
    let token = sequences(&two().cubes(&[[1, 1, 8]]), |m, x| {
        let x = m.linears[0].forward(x);
        let token = m.cubes[0].val().expand([x.dims()[0], 1, 8]);
        m.linears[1].forward(relu(Tensor::cat(vec![token, x], 1)))
    });
    let turned = sequences(&two().matrices(&[[12, 8]]), |m, x| {
        let x = relu(m.linears[0].forward(x));
        x.matmul(m.matrices[0].val().transpose().unsqueeze())
    });
    let scaled = sequences(&two().matrices(&[[12, 8]]), |m, x| {
        let x = relu(m.linears[0].forward(x));
        x.matmul((m.matrices[0].val() * 0.5).transpose().unsqueeze())
    });
    let normed = sequences(&two(), |m, x| {
        let x = m.linears[0].forward(x);
        m.linears[1].forward(m.norms[0].forward(x))
    });
    let root = sequences(&two(), |m, x| {
        let x = m.linears[0].forward(x);
        m.linears[1].forward(m.roots[0].forward(x))
    });
    let cases = vec![
        ("learned positions", positions, Some(8)),
        ("a learned token", token, Some(8)),
        ("a turned weight", turned, Some(8)),
        ("a scaled weight", scaled, Some(8)),
        ("a layer norm", normed, None),
        ("an RMS norm", root, None),
    ];
    rows(cases, "linears.0.weight", 1);
}
