//! Which channels a share is, and which random scores choose.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{Count, Norm, Random};
use calcine_testkit::{device, values};
use calcine_thin::ChannelSelection;
use calcine_trace::{Network, trace};

/// Three layers of 100 channels each before a head; the first two have the same weights.
#[derive(Module, Debug)]
struct Chain {
    a: Linear,
    b: Linear,
    c: Linear,
    head: Linear,
}

fn linear(inputs: usize, outputs: usize, draw: usize) -> Linear {
    let device = device();
    let mut layer = LinearConfig::new(inputs, outputs)
        .with_bias(false)
        .init(&device);
    let numbers = values(inputs * outputs + draw)[draw..].to_vec();
    let weight = Tensor::from_data(TensorData::new(numbers, [inputs, outputs]), &device);
    layer.weight = Param::from_tensor(weight);
    layer
}

fn network(draw: usize) -> Network {
    let model = Chain {
        a: linear(100, 100, draw),
        b: linear(100, 100, draw),
        c: linear(100, 100, draw + 7),
        head: linear(100, 2, 0),
    };
    let x = Tensor::<2>::ones([1, 100], &device());
    trace(&model, x, |m, x| {
        let x = relu(m.b.forward(relu(m.a.forward(x))));
        m.head.forward(relu(m.c.forward(x)))
    })
    .unwrap()
}

/// The chosen channels of each of the three groups.
fn chosen(network: &Network, choice: &ChannelSelection) -> Vec<Vec<usize>> {
    let axes = network.graph().axes().unwrap();
    let units = choice.units(network, &axes, &Random, |_| true);
    let groups = axes.groups().len();
    let of = |group| {
        units
            .iter()
            .filter(|unit| unit.group == group)
            .map(|unit| unit.unit)
            .collect()
    };
    (0..groups).map(of).collect()
}

#[test]
fn random_scores_choose_by_seed_and_weight() {
    let network = network(0);
    for choice in [
        ChannelSelection::new(0.5),
        ChannelSelection::new(0.5).with_seed(3),
    ] {
        let groups = chosen(&network, &choice);
        assert_eq!(groups.len(), 3);
        assert!(groups.iter().all(|group| group.len() == 50));
        assert!(groups[0] != groups[1] && groups[1] != groups[2] && groups[0] != groups[2]);
        assert_eq!(groups, chosen(&network, &choice), "and the same again");
    }
    let seeded = |seed| chosen(&network, &ChannelSelection::new(0.5).with_seed(seed));
    assert!(seeded(1) != seeded(2) && seeded(1) != chosen(&network, &ChannelSelection::new(0.5)));
}

#[test]
fn without_a_seed_networks_of_other_weights_lose_other_channels() {
    let choice = ChannelSelection::new(0.5);
    assert_ne!(chosen(&network(0), &choice), chosen(&network(3), &choice));
    let seeded = ChannelSelection::new(0.5).with_seed(1);
    assert_eq!(chosen(&network(0), &seeded), chosen(&network(3), &seeded));
}

#[test]
fn a_share_is_as_many_channels_as_a_pruner_drops() {
    let network = network(0);
    let axes = network.graph().axes().unwrap();
    for percent in 0..100_u32 {
        let level = f64::from(percent) / 100.0;
        let choice = ChannelSelection::new(level);
        let units = choice.units(&network, &axes, &Norm::L1, |paths| paths == ["a.weight"]);
        assert_eq!(units.len(), percent as usize);
        assert_eq!(units.len(), Count::default().to_drop(100, level));
    }
}
