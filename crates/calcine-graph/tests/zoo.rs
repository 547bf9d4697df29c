//! Reference networks.

use calcine_graph::{Graph, ValueId};

use crate::network::{Network, square};

/// ResNet-6n+2 for 32 × 32 images.
pub(crate) fn resnet(blocks: usize) -> Graph {
    residual(blocks, true)
}

/// The same without skips.
pub(crate) fn plain(blocks: usize) -> Graph {
    residual(blocks, false)
}

fn residual(blocks: usize, skips: bool) -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 32, 32]);
    let mut x = net.conv("conv1", input, 16, 3, square(3, 1, 1));
    x = net.batch_norm("bn1", x);
    x = net.relu(x);
    for (stage, width) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            x = basic_block(&mut net, &name, x, width, stride, skips);
        }
    }
    x = net.global_pool(x);
    x = net.flatten(x);
    x = net.linear("fc", x, 10);
    net.output(x)
}

fn basic_block(
    net: &mut Network,
    name: &str,
    x: ValueId,
    width: usize,
    stride: usize,
    skips: bool,
) -> ValueId {
    let mut y = net.conv(&format!("{name}.conv1"), x, width, 3, square(3, stride, 1));
    y = net.batch_norm(&format!("{name}.bn1"), y);
    y = net.relu(y);
    y = net.conv(&format!("{name}.conv2"), y, width, 3, square(3, 1, 1));
    y = net.batch_norm(&format!("{name}.bn2"), y);
    if skips {
        let skip = if net.length(x, 1) == width {
            x
        } else {
            let skip = net.conv(
                &format!("{name}.downsample.0"),
                x,
                width,
                1,
                square(1, stride, 1),
            );
            net.batch_norm(&format!("{name}.downsample.1"), skip)
        };
        y = net.add(y, skip);
    }
    net.relu(y)
}

/// Convolutions, pools, and linear layers on the flattened map.
pub(crate) fn simplenet() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 32, 32]);
    let mut windows = square(5, 1, 1);
    windows.padding = vec![[0; 2]; 2];
    let mut x = net.conv_bias("conv1", input, 6, 5, windows.clone());
    x = net.relu(x);
    x = net.max_pool(x, 2);
    x = net.conv_bias("conv2", x, 16, 5, windows);
    x = net.relu(x);
    x = net.max_pool(x, 2);
    x = net.flatten(x);
    x = net.linear("fc1", x, 120);
    x = net.relu(x);
    x = net.linear("fc2", x, 84);
    x = net.relu(x);
    x = net.linear("fc3", x, 10);
    net.output(x)
}

/// 13 convolutions of kernel 3, batch-norms, one linear layer.
pub(crate) fn vgg16() -> Graph {
    let mut net = Network::default();
    let mut x = net.input(&[3, 32, 32]);
    let mut number = 0;
    for (width, count) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..count {
            x = net.conv_bias(&format!("features.{number}"), x, width, 3, square(3, 1, 1));
            x = net.batch_norm(&format!("features.{}", number + 1), x);
            x = net.relu(x);
            number += 3;
        }
        x = net.max_pool(x, 2);
        number += 1;
    }
    x = net.flatten(x);
    x = net.linear("classifier", x, 10);
    net.output(x)
}

/// MobileNet for 224 × 224 images: depthwise and pointwise convolutions by turns.
pub(crate) fn mobilenet() -> Graph {
    let mut net = Network::default();
    let input = net.input(&[3, 224, 224]);
    let mut x = net.conv("model.0.0", input, 32, 3, square(3, 2, 1));
    x = net.batch_norm("model.0.1", x);
    x = net.relu(x);
    let widths = [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
    ];
    let rest = [(512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)];
    for (number, (width, stride)) in widths.into_iter().chain(rest).enumerate() {
        let name = format!("model.{}", number + 1);
        let channels = net.length(x, 1);
        x = net.conv(
            &format!("{name}.0"),
            x,
            channels,
            3,
            square(3, stride, channels),
        );
        x = net.batch_norm(&format!("{name}.1"), x);
        x = net.relu(x);
        x = net.conv(&format!("{name}.3"), x, width, 1, square(1, 1, 1));
        x = net.batch_norm(&format!("{name}.4"), x);
        x = net.relu(x);
    }
    x = net.global_pool(x);
    x = net.flatten(x);
    x = net.linear("fc", x, 1000);
    net.output(x)
}
