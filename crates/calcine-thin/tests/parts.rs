//! Networks of a few layers, told by their forward pass, and what thinning has to hold for each.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d, RmsNorm, RmsNormConfig,
};
use burn::tensor::Tensor;
use calcine_graph::{NormFeatures, UnitId};
use calcine_testkit::device;
use calcine_thin::{PaddingEffect, ThinOptions, Thinned, thin_with, zero_out_channels};
use calcine_trace::{AnyTensor, Network, trace};

use crate::numbers;

/// Layers and loose parameters.
#[derive(Module, Debug)]
pub(crate) struct Parts {
    pub(crate) linears: Vec<Linear>,
    pub(crate) convs: Vec<Conv2d>,
    pub(crate) norms: Vec<LayerNorm>,
    pub(crate) roots: Vec<RmsNorm>,
    pub(crate) vectors: Vec<Param<Tensor<1>>>,
    pub(crate) matrices: Vec<Param<Tensor<2>>>,
    pub(crate) cubes: Vec<Param<Tensor<3>>>,
}

impl Parts {
    pub(crate) const fn none() -> Self {
        Self {
            linears: Vec::new(),
            convs: Vec::new(),
            norms: Vec::new(),
            roots: Vec::new(),
            vectors: Vec::new(),
            matrices: Vec::new(),
            cubes: Vec::new(),
        }
    }

    /// Layers from so many features to so many.
    pub(crate) fn linears(self, widths: &[[usize; 2]]) -> Self {
        let layer = |&[from, to]: &[usize; 2]| {
            let mut layer = LinearConfig::new(from, to).init(&device());
            layer.weight = Param::from_tensor(numbers([from, to]));
            layer.bias = Some(Param::from_tensor(numbers([to]) * 0.3 + 0.1));
            layer
        };
        Self {
            linears: widths.iter().map(layer).collect(),
            ..self
        }
    }

    /// Convolutions from so many channels to so many, with kernels of a size, in groups; padded to the same size.
    pub(crate) fn convs(self, widths: &[[usize; 4]]) -> Self {
        let layer = |&[from, to, kernel, groups]: &[usize; 4]| {
            let padding = kernel / 2;
            let mut layer = Conv2dConfig::new([from, to], [kernel; 2])
                .with_groups(groups)
                .with_padding(PaddingConfig2d::Explicit(
                    padding, padding, padding, padding,
                ))
                .init(&device());
            layer.weight = Param::from_tensor(numbers([to, from / groups, kernel, kernel]));
            layer.bias = Some(Param::from_tensor(numbers([to]) * 0.3 + 0.1));
            layer
        };
        Self {
            convs: widths.iter().map(layer).collect(),
            ..self
        }
    }

    /// So many layer norms and RMS norms over so many features.
    pub(crate) fn norms(self, count: usize, features: usize) -> Self {
        let numbers = || Param::from_tensor(numbers([features]) * 0.5 + 0.7);
        let norm = |_| {
            let mut norm = LayerNormConfig::new(features).init(&device());
            norm.gamma = numbers();
            norm.beta = Some(numbers());
            norm
        };
        let root = |_| {
            let mut norm = RmsNormConfig::new(features).init(&device());
            norm.gamma = numbers();
            norm
        };
        Self {
            norms: (0..count).map(norm).collect(),
            roots: (0..count).map(root).collect(),
            ..self
        }
    }

    pub(crate) fn vectors(self, lengths: &[usize]) -> Self {
        let vector = |&length: &usize| Param::from_tensor(numbers([length]) * 0.5 + 0.7);
        Self {
            vectors: lengths.iter().map(vector).collect(),
            ..self
        }
    }

    pub(crate) fn matrices(self, shapes: &[[usize; 2]]) -> Self {
        let matrix = |&shape: &[usize; 2]| Param::from_tensor(numbers(shape));
        Self {
            matrices: shapes.iter().map(matrix).collect(),
            ..self
        }
    }

    pub(crate) fn cubes(self, shapes: &[[usize; 3]]) -> Self {
        let cube = |&shape: &[usize; 3]| Param::from_tensor(numbers(shape) * 0.5 + 0.7);
        Self {
            cubes: shapes.iter().map(cube).collect(),
            ..self
        }
    }
}

/// A traced network and what it can be run on.
pub(crate) struct Case {
    pub(crate) network: Network,
    pub(crate) x: AnyTensor,
}

/// Traces the forward pass for samples of this shape; the batch comes first.
pub(crate) fn case<const D: usize, const E: usize>(
    parts: &Parts,
    shape: [usize; D],
    forward: impl Fn(&Parts, Tensor<D>) -> Tensor<E>,
) -> Case {
    let network = trace(parts, numbers(shape), forward).unwrap_or_else(|error| panic!("{error}"));
    let mut more = shape;
    more[0] = 3;
    Case {
        network,
        x: numbers(more).into(),
    }
}

impl Case {
    pub(crate) fn run(&self, network: &Network) -> Vec<f32> {
        let outputs = network.run(vec![self.x.clone()], &mut |_, x| x).unwrap();
        outputs
            .into_iter()
            .flat_map(|output| {
                output
                    .flat()
                    .unwrap()
                    .into_data()
                    .iter::<f32>()
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The units of each group that makes channels of this weight, if any.
    pub(crate) fn units_of(&self, path: &str, axis: usize, norms: NormFeatures) -> Vec<usize> {
        let axes = self.network.graph().axes_with(norms).unwrap();
        let groups = axes.groups_of(path, axis);
        groups
            .into_iter()
            .map(|group| axes.groups()[group].units.len())
            .collect()
    }

    /// Which units are zeroed, one choice after the other: each alone, halves of each group, and half of everything.
    fn choices(&self, norms: NormFeatures) -> Vec<Vec<UnitId>> {
        let axes = self.network.graph().axes_with(norms).unwrap();
        let mut choices = Vec::new();
        let mut every_second = Vec::new();
        for (group, members) in axes.groups().iter().enumerate() {
            let count = members.units.len();
            let all = |units: &mut dyn Iterator<Item = usize>| -> Vec<UnitId> {
                units.map(|unit| UnitId { group, unit }).collect()
            };
            choices.extend((0..count.min(3)).map(|unit| all(&mut [unit].into_iter())));
            choices.push(all(&mut (0..count / 2)));
            choices.push(all(&mut (1..count)));
            every_second.extend(all(&mut (1..count).step_by(2)));
        }
        choices.push(every_second);
        choices.retain(|choice| !choice.is_empty());
        // A group of one unit cannot be emptied.
        choices.retain(|choice| {
            choice.iter().all(|id| {
                let gone = choice
                    .iter()
                    .filter(|other| other.group == id.group)
                    .count();
                gone < axes.groups()[id.group].units.len()
            })
        });
        choices
    }

    /// Zeroes units, thins, and compares: the outputs, and what was zeroed with what went.
    pub(crate) fn check(&self, name: &str, padding_effect: PaddingEffect) -> Result<(), String> {
        let axes = self.network.graph().axes().unwrap();
        for units in self.choices(NormFeatures::Pinned) {
            let silent = zero_out_channels(self.network.clone(), &axes, units.clone()).unwrap();
            let options = ThinOptions {
                padding_effect,
                ..ThinOptions::default()
            };
            let Thinned {
                network, report, ..
            } = thin_with(silent.clone(), options, &[])
                .map_err(|error| format!("{name}, {units:?}: {error}"))?;
            let (before, after) = (self.run(&silent), self.run(&network));
            let scale = before.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            let off = before
                .iter()
                .zip(&after)
                .map(|(a, b)| (a - b).abs() / scale)
                .fold(0.0, |most: f32, off| {
                    if off.is_nan() {
                        f32::MAX
                    } else {
                        most.max(off)
                    }
                });
            if padding_effect == PaddingEffect::KeepBorder
                && (off > 2e-5 || before.len() != after.len())
            {
                return Err(format!("{name}, {units:?}: off by {off}\n{report}"));
            }
            let removed: usize = report.removed.iter().map(|group| group.removed).sum();
            if removed < units.len()
                && (padding_effect == PaddingEffect::DropBorder || report.kept.is_empty())
            {
                return Err(format!(
                    "{name}: {removed} of {} zeroed units went\n{report}",
                    units.len()
                ));
            }
        }
        Ok(())
    }
}
