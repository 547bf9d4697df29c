//! Networks of random architecture.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use calcine_params::{Inventory, replace};
use proptest::prelude::*;

/// What a stage does, and how wide it makes the network.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Plain {
        width: usize,
        norm: bool,
        bias: bool,
        padded: bool,
    },
    Residual {
        hidden: usize,
    },
    Projected {
        width: usize,
    },
    Dense {
        growth: usize,
    },
    Gated,
    Split {
        width: usize,
    },
    Depthwise {
        width: usize,
    },
    Grouped {
        groups: usize,
        depth: usize,
    },
    Pool,
}

/// How a network ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Mean,
    Flat { hidden: usize },
}

pub(crate) fn architecture() -> impl Strategy<Value = (Vec<Kind>, End, u64)> {
    let width = 2..7_usize;
    let kind = prop_oneof![
        (width.clone(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(width, norm, bias, padded)| Kind::Plain {
                width,
                norm,
                bias,
                padded
            }
        ),
        (1..5_usize).prop_map(|hidden| Kind::Residual { hidden }),
        width.clone().prop_map(|width| Kind::Projected { width }),
        (1..4_usize).prop_map(|growth| Kind::Dense { growth }),
        Just(Kind::Gated),
        width.clone().prop_map(|width| Kind::Split { width }),
        width.prop_map(|width| Kind::Depthwise { width }),
        (2..4_usize, 1..4_usize).prop_map(|(groups, depth)| Kind::Grouped { groups, depth }),
        Just(Kind::Pool),
    ];
    let end = prop_oneof![
        Just(End::Mean),
        (2..6_usize).prop_map(|hidden| End::Flat { hidden })
    ];
    (prop::collection::vec(kind, 1..5), end, any::<u64>())
}

#[derive(Module, Debug)]
pub(crate) struct Net {
    stem: Conv2d,
    stages: Vec<Stage>,
    hidden: Option<Linear>,
    head: Linear,
}

#[derive(Module, Debug)]
struct Layer {
    conv: Conv2d,
    norm: Option<BatchNorm>,
}

impl Layer {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv.forward(x);
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// Fields say by their number and order what a stage is; `kind` says how they are put together.
#[derive(Module, Debug)]
struct Stage {
    layers: Vec<Layer>,
    gates: Vec<Linear>,
    #[module(skip)]
    kind: Role,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Chain,
    Residual,
    Dense,
    Gated,
    Split,
    Pool,
}

struct Builder<'a> {
    device: &'a Device,
}

impl Builder<'_> {
    fn conv(&self, from: usize, to: usize, kernel: usize, groups: usize, bias: bool) -> Conv2d {
        let padding = kernel / 2;
        self.padded(from, to, kernel, groups, bias, padding)
    }

    fn padded(
        &self,
        from: usize,
        to: usize,
        kernel: usize,
        groups: usize,
        bias: bool,
        padding: usize,
    ) -> Conv2d {
        Conv2dConfig::new([from, to], [kernel, kernel])
            .with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
            .with_groups(groups)
            .with_bias(bias)
            .init(self.device)
    }

    fn layer(&self, conv: Conv2d, width: usize) -> Layer {
        let norm = Some(BatchNormConfig::new(width).init(self.device));
        Layer { conv, norm }
    }
}

impl Net {
    /// An untrained network with batch norms that have seen something.
    pub(crate) fn new(kinds: &[Kind], end: End, seed: u64, device: &Device) -> (Self, [usize; 3]) {
        device.seed(seed);
        let build = Builder { device };
        let (mut width, mut side) = (4, 8);
        let stem = build.conv(3, width, 3, 1, false);
        let mut stages = Vec::new();
        for &kind in kinds {
            let mut stage = Stage {
                layers: Vec::new(),
                gates: Vec::new(),
                kind: Role::Chain,
            };
            match kind {
                Kind::Plain {
                    width: to,
                    norm,
                    bias,
                    padded,
                } => {
                    if !padded && side <= 4 {
                        continue;
                    }
                    let padding = usize::from(padded);
                    side -= 2 - 2 * padding;
                    let conv = build.padded(width, to, 3, 1, bias, padding);
                    let layer = build.layer(conv, to);
                    stage.layers.push(Layer {
                        norm: layer.norm.filter(|_| norm),
                        ..layer
                    });
                    width = to;
                }
                Kind::Residual { hidden } => {
                    stage.kind = Role::Residual;
                    stage
                        .layers
                        .push(build.layer(build.conv(width, hidden, 3, 1, false), hidden));
                    stage
                        .layers
                        .push(build.layer(build.conv(hidden, width, 3, 1, false), width));
                }
                Kind::Projected { width: to } => {
                    stage.kind = Role::Residual;
                    stage
                        .layers
                        .push(build.layer(build.conv(width, 3, 1, 1, false), 3));
                    stage
                        .layers
                        .push(build.layer(build.conv(3, to, 3, 1, true), to));
                    stage
                        .layers
                        .push(build.layer(build.conv(width, to, 1, 1, false), to));
                    width = to;
                }
                Kind::Dense { growth } => {
                    stage.kind = Role::Dense;
                    stage
                        .layers
                        .push(build.layer(build.conv(width, growth, 3, 1, false), growth));
                    width += growth;
                }
                Kind::Gated => {
                    stage.kind = Role::Gated;
                    stage.gates.push(LinearConfig::new(width, 3).init(device));
                    stage.gates.push(LinearConfig::new(3, width).init(device));
                }
                Kind::Split { width: to } => {
                    stage.kind = Role::Split;
                    let half = width.div_ceil(2);
                    stage
                        .layers
                        .push(build.layer(build.conv(half, to, 3, 1, false), to));
                    stage
                        .layers
                        .push(build.layer(build.conv(width - half, to, 1, 1, true), to));
                    width = 2 * to;
                }
                Kind::Depthwise { width: to } => {
                    stage
                        .layers
                        .push(build.layer(build.conv(width, width, 3, width, false), width));
                    stage
                        .layers
                        .push(build.layer(build.conv(width, to, 1, 1, false), to));
                    width = to;
                }
                Kind::Grouped { groups, depth } => {
                    let inner = groups * depth;
                    stage
                        .layers
                        .push(build.layer(build.conv(width, inner, 1, 1, false), inner));
                    stage
                        .layers
                        .push(build.layer(build.conv(inner, inner, 3, groups, true), inner));
                    width = inner;
                }
                Kind::Pool => {
                    if side < 4 {
                        continue;
                    }
                    stage.kind = Role::Pool;
                    side /= 2;
                }
            }
            stages.push(stage);
        }
        let (hidden, features) = match end {
            End::Mean => (None, width),
            End::Flat { hidden } => {
                let linear = LinearConfig::new(width * side * side, hidden).init(device);
                (Some(linear), hidden)
            }
        };
        let net = Self {
            stem,
            stages,
            hidden,
            head: LinearConfig::new(features, 3).init(device),
        };
        (seasoned(net, seed), [3, 8, 8])
    }

    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(x));
        let x = self.stages.iter().fold(x, |x, stage| stage.forward(x));
        match &self.hidden {
            Some(hidden) => self.head.forward(relu(hidden.forward(x.flatten(1, 3)))),
            None => self.head.forward(x.mean_dim(2).mean_dim(3).flatten(1, 3)),
        }
    }
}

impl Stage {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let layer = |index: usize, x| self.layers[index].forward(x);
        match self.kind {
            Role::Chain => self
                .layers
                .iter()
                .fold(x, |x, layer| relu(layer.forward(x))),
            Role::Residual => {
                let y = layer(1, relu(layer(0, x.clone())));
                let skip = if self.layers.len() > 2 {
                    layer(2, x)
                } else {
                    x
                };
                relu(y + skip)
            }
            Role::Dense => {
                let y = relu(layer(0, x.clone()));
                Tensor::cat(vec![x, y], 1)
            }
            Role::Gated => {
                let [batch, width, ..] = x.dims();
                let pooled: Tensor<2> = x.clone().mean_dim(2).mean_dim(3).flatten(1, 3);
                let gate = self.gates[1].forward(relu(self.gates[0].forward(pooled)));
                x * sigmoid(gate).reshape([batch, width, 1, 1])
            }
            Role::Split => {
                let half = x.dims()[1].div_ceil(2);
                let (a, b) = (x.clone().slice_dim(1, ..half), x.slice_dim(1, half..));
                Tensor::cat(vec![relu(layer(0, a)), layer(1, b)], 1)
            }
            Role::Pool => {
                let mut options = MaxPoolOptions::new([2, 2]);
                options.stride = [2, 2];
                max_pool2d(x, options)
            }
        }
    }
}

/// Gives batch norms, biases and scales numbers that are not those of a fresh layer.
fn seasoned(net: Net, seed: u64) -> Net {
    let inventory = Inventory::from_module(&net);
    let device = calcine_testkit::device();
    let values = inventory
        .iter()
        .filter(|parameter| parameter.shape.len() == 1);
    let values: BTreeMap<_, _> = values
        .enumerate()
        .map(|(index, parameter)| {
            let numbers: Vec<f32> = (0..parameter.numel())
                .map(|element| {
                    let at = seed.wrapping_add(index as u64 * 31 + element as u64 * 7) % 97;
                    let value = at as f32 / 97.0 - 0.4;
                    match parameter.path.ends_with("running_var") {
                        true => value.abs() + 0.2,
                        false => value,
                    }
                })
                .collect();
            (
                parameter.id,
                Tensor::<1>::from_floats(numbers.as_slice(), &device),
            )
        })
        .collect();
    replace(net, values)
}
