//! Tracing a network of 2,000 nodes, listing its parameters, and finding which of its channels go together.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use std::time::Duration;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use calcine::params::Inventory;
use calcine::trace::trace;
use criterion::{Criterion, criterion_group, criterion_main};

/// Blocks of four nodes each: convolution, batch norm, ReLU, sum.
const BLOCKS: usize = 500;
const CHANNELS: usize = 4;

#[derive(Module, Debug)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm,
}

#[derive(Module, Debug)]
struct Deep {
    blocks: Vec<Block>,
}

impl Deep {
    fn new(device: &Device) -> Self {
        let block = |_| Block {
            conv: Conv2dConfig::new([CHANNELS, CHANNELS], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device),
            norm: BatchNormConfig::new(CHANNELS).init(device),
        };
        Self {
            blocks: (0..BLOCKS).map(block).collect(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().fold(x, |x, block| {
            relu(block.norm.forward(block.conv.forward(x.clone()))) + x
        })
    }
}

fn large_graph(criterion: &mut Criterion) {
    let device = Device::flex();
    let model = Deep::new(&device);
    let image = Tensor::<4>::zeros([1, CHANNELS, 4, 4], &device);
    let traced = || trace(&model, image.clone(), Deep::forward).expect("it can be traced");
    let network = traced();
    assert_eq!(network.graph().nodes.len(), 4 * BLOCKS);
    let inventory = || Inventory::from_module(&network);
    assert_eq!(inventory().iter().count(), 5 * BLOCKS);
    let mut group = criterion.benchmark_group("2000 nodes");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    group.bench_function("trace", |b| b.iter(traced));
    group.bench_function("inventory", |b| b.iter(inventory));
    group.bench_function("groups", |b| b.iter(|| network.graph().axes()));
    group.bench_function("one sample", |b| {
        b.iter(|| network.forward::<_, Tensor<4>>(image.clone()));
    });
    group.finish();
}

criterion_group!(benches, large_graph);
criterion_main!(benches);
