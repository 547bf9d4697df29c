//! Networks on host devices beside Burn's own operations: values, and the gradients of inputs and parameters.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig1d, PaddingConfig2d, Relu};
use burn::tensor::{Device, Gradients, Tensor};
use calcine_graph::{Node, Op};
use calcine_kernels::Isa;
use calcine_params::{Edit, Inventory, edit};
use calcine_testkit::{device, each, is_reference};
use calcine_trace::{AnyTensor, Network, Observer, trace, typed_outputs};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rustc_hash::FxHashSet;

use crate::numbers;

/// The module with parameters that are the same in every run, as large as those that Burn draws.
fn steady<M: Module>(module: M) -> M {
    struct Steady(FxHashSet<ParamId>);
    impl Edit for Steady {
        fn wants(&self, id: ParamId) -> bool {
            self.0.contains(&id)
        }

        fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
            let fan_in: usize = value.dims()[1..].iter().product();
            let numbers = numbers(value.dims()).into_data();
            Tensor::from_data(numbers, &value.device()) / (fan_in as f64).sqrt()
        }
    }
    let inventory = Inventory::from_module(&module);
    let trained = inventory
        .iter()
        .filter(|parameter| parameter.is_trainable());
    let trained = trained.map(|parameter| parameter.id).collect();
    edit(module, &mut Steady(trained))
}

/// The gradients of all parameters, in the order of a module, each as one row.
fn gradients<M: Module>(module: &M, all: &Gradients) -> Vec<Tensor<1>> {
    struct Collected<'a>(&'a Gradients, Vec<Tensor<1>>);
    impl ModuleVisitor for Collected<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.0) {
                self.1.push(gradient.flatten(0, D - 1));
            }
        }
    }
    let mut collected = Collected(all, Vec::new());
    module.visit(&mut collected);
    collected.1
}

/// Whether two tensors are equal up to 1e-5 of the largest magnitude.
fn near<const D: usize>(what: &str, found: &Tensor<D>, expected: &Tensor<D>) -> Result<(), String> {
    if found.dims() != expected.dims() {
        return Err(format!(
            "{what}: {:?} for {:?}",
            found.dims(),
            expected.dims()
        ));
    }
    let apart = (found.clone() - expected.clone())
        .abs()
        .max()
        .into_scalar::<f32>();
    let largest = expected.clone().abs().max().into_scalar::<f32>();
    match apart <= 1e-5 * largest.max(1e-3) {
        true => Ok(()),
        false => Err(format!("{what}: {apart} apart, of {largest}")),
    }
}

/// What a module and its network compute of an input on the tape, and the gradients of a sum of the results, each with a weight.
///
/// The model's parameters are replaced by others that are the same in every run.
fn same_as_burn<M: Module, const D: usize>(
    model: M,
    device: &Device,
    x: &Tensor<D>,
    forward: impl Fn(&M, Tensor<D>) -> Tensor<D> + Clone,
) -> Result<(), String> {
    let model = &steady(model);
    let network = trace(model, x.clone(), forward.clone()).map_err(|error| error.to_string())?;
    let taped = |compute: &dyn Fn(Tensor<D>) -> Tensor<D>| {
        let x = Tensor::from_data(x.to_data(), device).require_grad();
        let y = compute(x.clone());
        let weights = numbers(y.dims());
        let loss = (y.clone() * Tensor::from_data(weights.into_data(), device)).sum();
        let gradients = loss.backward();
        (y.without_autodiff(), x.grad(&gradients), gradients)
    };
    let (y, dx, all) = taped(&|x| forward(model, x));
    let (own_y, own_dx, own_all) = taped(&|x| network.forward(x));
    near("y", &own_y, &y)?;
    near(
        "dx",
        &own_dx.ok_or("no gradient")?,
        &dx.ok_or("no gradient")?,
    )?;
    let (all, own_all) = (gradients(model, &all), gradients(&network, &own_all));
    if all.len() != own_all.len() || all.is_empty() {
        return Err(format!("{} gradients for {}", own_all.len(), all.len()));
    }
    for (at, (own, expected)) in own_all.iter().zip(&all).enumerate() {
        near(&format!("parameter {at}"), own, expected)?;
    }
    Ok(())
}

/// A convolution of images: channels, groups, kernel, stride, padding, dilation, size, and whether there is a bias.
#[derive(Debug, Clone)]
struct Images {
    channels: [usize; 2],
    groups: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    size: [usize; 2],
    bias: bool,
}

impl Images {
    const SMALL: Self = Self {
        channels: [3, 5],
        groups: 1,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1, 1, 1],
        dilation: [1, 1],
        size: [6, 7],
        bias: true,
    };

    fn layer(&self, device: &Device) -> Conv2d {
        let [top, left, bottom, right] = self.padding;
        Conv2dConfig::new(self.channels, self.kernel)
            .with_groups(self.groups)
            .with_stride(self.stride)
            .with_dilation(self.dilation)
            .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
            .with_bias(self.bias)
            .init(device)
    }

    fn same_as_burn(&self, device: &Device) -> Result<(), String> {
        let [height, width] = self.size;
        let x = numbers([3, self.channels[0], height, width]);
        same_as_burn(self.layer(device), device, &x, Conv2d::forward)
    }
}

fn table() -> Vec<(&'static str, Images)> {
    let small = Images::SMALL;
    vec![
        ("small", small.clone()),
        (
            "without a bias",
            Images {
                bias: false,
                ..small.clone()
            },
        ),
        (
            "a point",
            Images {
                kernel: [1, 1],
                padding: [0; 4],
                ..small.clone()
            },
        ),
        (
            "strided",
            Images {
                stride: [2, 2],
                ..small.clone()
            },
        ),
        (
            "a strided point",
            Images {
                kernel: [1, 1],
                stride: [2, 2],
                padding: [0; 4],
                ..small.clone()
            },
        ),
        (
            "uneven",
            Images {
                kernel: [3, 2],
                stride: [2, 3],
                padding: [2, 0, 1, 1],
                ..small.clone()
            },
        ),
        (
            "dilated",
            Images {
                dilation: [2, 3],
                padding: [2, 3, 2, 3],
                ..small.clone()
            },
        ),
        (
            "grouped",
            Images {
                channels: [4, 6],
                groups: 2,
                ..small.clone()
            },
        ),
        (
            "depthwise",
            Images {
                channels: [6, 6],
                groups: 6,
                ..small.clone()
            },
        ),
        (
            "two filters a channel",
            Images {
                channels: [3, 6],
                groups: 3,
                ..small.clone()
            },
        ),
        (
            "of a ResNet",
            Images {
                channels: [16, 32],
                stride: [2, 2],
                size: [16, 16],
                bias: false,
                ..small
            },
        ),
    ]
}

#[test]
fn convolutions_have_the_values_and_gradients_of_burn() {
    let device = device().autodiff();
    each(table(), |(_, images)| images.same_as_burn(&device).unwrap());
}

#[test]
fn so_they_have_where_values_are_computed_anew() {
    let device = device().autodiff().gradient_checkpointing();
    each(table(), |(_, images)| images.same_as_burn(&device).unwrap());
}

/// Windows end where the padded sequence does: where they leave elements over, Burn 0.22.1's own gradient of a grouped weight is
/// wrong.
#[test]
fn so_have_convolutions_of_sequences() {
    let device = device().autodiff();
    let convolution = |channels: [usize; 2], groups| {
        Conv1dConfig::new(channels[0], channels[1], 3)
            .with_groups(groups)
            .with_stride(2)
            .with_padding(PaddingConfig1d::Explicit(3, 1))
            .init(&device)
    };
    for (channels, groups) in [([3, 4], 1), ([6, 6], 6), ([4, 6], 2)] {
        let x = numbers([3, channels[0], 11]);
        same_as_burn(convolution(channels, groups), &device, &x, Conv1d::forward).unwrap();
    }
}

/// A network tells which kernels it trains with: none on other devices, nor on CPUs without vector instructions that they are written for.
#[test]
fn a_network_names_the_kernels_that_it_trains_with() {
    let device = device();
    let layer = Images::SMALL.layer(&device);
    let network: Network = trace(&layer, numbers([1, 3, 6, 7]), Conv2d::forward).unwrap();
    let vectors = Isa::best() != Isa::Portable;
    let expected = (is_reference() && vectors).then(|| Isa::best().to_string());
    assert_eq!(network.training_kernels(), expected);
    assert_eq!(network.train().training_kernels(), expected);
}

#[test]
fn a_convolution_off_the_tape_is_that_of_burn_to_the_bit() {
    let device = device();
    for (name, images) in table() {
        let layer = steady(images.layer(&device));
        let [height, width] = images.size;
        let x = numbers([2, images.channels[0], height, width]);
        let network: Network = trace(&layer, x.clone(), Conv2d::forward).unwrap();
        let found: Tensor<4> = network.forward(x.clone());
        assert_eq!(found.into_data(), layer.forward(x).into_data(), "{name}");
    }
}

/// Convolutions one after the other, with norms, sums with what came before where shapes allow, and rectifiers and other clamps.
#[derive(Module, Debug)]
struct Chain {
    layers: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    relu: Relu,
}

impl Chain {
    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (at, (layer, norm)) in self.layers.iter().zip(&self.norms).enumerate() {
            let before = x.clone();
            x = norm.forward(layer.forward(x));
            if before.dims() == x.dims() {
                x = x + before;
            }
            x = match at % 2 {
                0 => self.relu.forward(x),
                _ => x.clamp(-0.5, 0.75),
            };
        }
        x
    }
}

fn chains() -> impl Strategy<Value = Vec<Images>> {
    let layer = (
        1..4_usize,
        1..3_usize,
        1..4_usize,
        [1..4_usize, 1..4_usize],
        [1..3_usize, 1..3_usize],
    );
    (1..4_usize, prop::collection::vec(layer, 1..5)).prop_map(|(each, layers)| {
        let mut channels = 6 * each;
        let mut images = Vec::new();
        for (groups, stride, outputs, kernel, dilation) in layers {
            let outputs = 6 * outputs;
            images.push(Images {
                channels: [channels, outputs],
                groups,
                kernel,
                stride: [stride, 1],
                padding: [2, 1, 2, 3],
                dilation,
                size: [5, 6],
                // A norm takes a bias away.
                bias: false,
            });
            channels = outputs;
        }
        images
    })
}

proptest! {
    // Always the same cases: where an activation is almost zero, rounding decides whether a gradient passes.
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(19),
        ..ProptestConfig::with_cases(40)
    })]

    #[test]
    fn random_networks_have_the_values_and_gradients_of_burn(images in chains()) {
        let device = device().autodiff();
        let norm = |images: &Images| BatchNormConfig::new(images.channels[1]).init(&device);
        let chain = Chain {
            layers: images.iter().map(|images| images.layer(&device)).collect(),
            norms: images.iter().map(norm).collect(),
            relu: Relu::new(),
        };
        let x = numbers([4, images[0].channels[0], 5, 6]);
        // Both move running statistics of their own: a trace copies them.
        let same = same_as_burn(chain, &device, &x, Chain::forward);
        prop_assert!(same.is_ok(), "{:?}", same);
    }
}

/// Shifts the results of norms, and looks at the nodes that a remainder chooses.
struct Shifting {
    remainder: usize,
    seen: usize,
}

impl Shifting {
    fn chooses(&self, node: &Node) -> bool {
        node.output.0 % 3 == self.remainder
    }

    fn changed(&mut self, result: AnyTensor) -> AnyTensor {
        self.seen += 1;
        result.shifted(1, Tensor::full([6], 0.25, &device().autodiff()))
    }
}

impl Observer for Shifting {
    fn wants(&self, node: &Node) -> bool {
        self.chooses(node)
    }

    fn shift(&mut self, node: &Node) -> Option<(usize, Tensor<1>)> {
        matches!(node.op, Op::BatchNorm { .. })
            .then(|| (1, numbers([1, 1, 1, 6]).reshape([6]).autodiff()))
    }

    fn observe(&mut self, _: &Node, result: AnyTensor) -> AnyTensor {
        self.changed(result)
    }
}

/// A pass in which nodes are computed together gives what a pass gives in which each node is computed alone.
#[test]
fn an_observer_sees_and_changes_the_same_whatever_is_computed_together() {
    let device = device().autodiff();
    let norm = || BatchNormConfig::new(6).init(&device);
    let images = Images {
        channels: [6, 6],
        groups: 1,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1, 1, 1],
        dilation: [1, 1],
        size: [5, 6],
        bias: false,
    };
    let chain = Chain {
        layers: (0..3).map(|_| images.layer(&device)).collect(),
        norms: (0..3).map(|_| norm()).collect(),
        relu: Relu::new(),
    };
    let chain = steady(chain);
    let x = numbers([4, 6, 5, 6]);
    let network = trace(&chain.valid(), x.clone(), Chain::forward).unwrap();
    let network = network.train();
    for remainder in 0..3 {
        let pass = |alone: bool| {
            let x = x.clone().autodiff().require_grad();
            let mut observer = Shifting { remainder, seen: 0 };
            let inputs = vec![AnyTensor::from(x.clone())];
            let outputs = match alone {
                true => network.run(inputs, &mut |node, result| {
                    let result = match observer.shift(node) {
                        Some((axis, by)) => result.shifted(axis, by),
                        None => result,
                    };
                    match observer.chooses(node) {
                        true => observer.changed(result),
                        false => result,
                    }
                }),
                false => network.run_observed(inputs, &mut observer),
            };
            let y: Tensor<4> = typed_outputs(outputs.unwrap()).unwrap();
            let gradients = (y.clone() * y.clone()).sum().backward();
            let dx = x.grad(&gradients).unwrap();
            (observer.seen, y.without_autodiff(), dx.without_autodiff())
        };
        let ((seen, y, dx), (expected_seen, expected_y, expected_dx)) = (pass(false), pass(true));
        assert_eq!(seen, expected_seen, "{remainder}");
        near("y", &y, &expected_y).unwrap();
        near("dx", &dx, &expected_dx).unwrap();
    }
}
