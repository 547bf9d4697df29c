//! Which channels go together.

use calcine_graph::{Axes, Group, Role};

use crate::motifs;
use crate::network::{Network, fixed};
use crate::zoo;

fn group<'a>(axes: &'a Axes, path: &str, axis: usize) -> &'a Group {
    let groups = axes.groups_of(path, axis);
    assert_eq!(
        groups.len(),
        1,
        "{path} axis {axis}: {groups:?}, {:?}",
        axes.pinned(path, axis)
    );
    &axes.groups()[groups[0]]
}

fn paths(group: &Group, role: Role) -> Vec<&str> {
    group
        .of_role(role)
        .map(|(_, member)| member.path.as_str())
        .collect()
}

#[test]
fn a_stage_of_resnet20_is_one_group() {
    let graph = zoo::resnet(3);
    let axes = graph.axes().unwrap();
    let stem = group(&axes, "conv1.weight", 0);
    assert_eq!(stem.units.len(), 16);
    assert_eq!(
        paths(stem, Role::Output),
        [
            "conv1.weight",
            "layer1.0.conv2.weight",
            "layer1.1.conv2.weight",
            "layer1.2.conv2.weight"
        ]
    );
    assert_eq!(
        paths(stem, Role::Input),
        [
            "layer1.0.conv1.weight",
            "layer1.1.conv1.weight",
            "layer1.2.conv1.weight",
            "layer2.0.conv1.weight",
            "layer2.0.downsample.0.weight"
        ]
    );
    assert_eq!(paths(stem, Role::Norm).len(), 8);
    assert_eq!(paths(stem, Role::Statistics).len(), 8);
    let inner = group(&axes, "layer2.1.conv1.weight", 0);
    assert_eq!(paths(inner, Role::Output), ["layer2.1.conv1.weight"]);
    assert_eq!(paths(inner, Role::Input), ["layer2.1.conv2.weight"]);
    assert_eq!(
        group(&axes, "fc.weight", 0),
        group(&axes, "layer3.0.conv2.weight", 0)
    );
    // Three stages and nine inner widths.
    assert_eq!(axes.groups().len(), 12);
}

#[test]
fn what_cannot_be_cut_says_why() {
    let axes = zoo::resnet(3).axes().unwrap();
    let says = |path, axis| axes.pinned(path, axis).map(ToString::to_string);
    assert_eq!(says("fc.weight", 1).unwrap(), "it is the network's output");
    assert_eq!(
        says("conv1.weight", 1).unwrap(),
        "it is the network's input"
    );
    assert_eq!(
        says("conv1.weight", 2).unwrap(),
        "`conv` at conv1 slides its windows along it"
    );
    assert_eq!(says("conv1.weight", 0), None);
    let axes = motifs::encoder(5, 12, 3, false).axes().unwrap();
    let reason = axes.pinned("embed.weight", 1).unwrap();
    assert_eq!(reason.node(), None);
    let reason = axes.pinned("query.weight", 0).unwrap();
    assert_eq!(reason.op(), "output");
}

#[test]
fn a_concatenation_is_read_by_an_axis_of_two_groups() {
    let axes = motifs::branches().axes().unwrap();
    assert_eq!(axes.groups_of("c.weight", 1).len(), 2);
    let b = group(&axes, "b.weight", 0);
    let reader = b
        .members
        .iter()
        .position(|member| member.path == "c.weight")
        .unwrap();
    assert_eq!(b.units[0].indices[reader], [6]);
    assert_eq!(b.units[3].indices[reader], [9]);
}

#[test]
fn a_flattened_channel_is_a_block_of_inputs() {
    let axes = zoo::simplenet().axes().unwrap();
    let group = group(&axes, "conv2.weight", 0);
    assert_eq!(group.units.len(), 16);
    let (reader, member) = group.of_role(Role::Input).next().unwrap();
    assert_eq!(
        (member.path.as_str(), member.axis, member.length),
        ("fc1.weight", 0, 400)
    );
    assert_eq!(group.units[2].indices[reader], (50..75).collect::<Vec<_>>());
}

#[test]
fn depthwise_channels_go_one_by_one() {
    let axes = zoo::mobilenet().axes().unwrap();
    let group = group(&axes, "model.2.3.weight", 0);
    assert_eq!(group.units.len(), 128);
    assert_eq!(paths(group, Role::Output), ["model.2.3.weight"]);
    assert_eq!(paths(group, Role::Channelwise), ["model.3.0.weight"]);
    assert_eq!(paths(group, Role::Input), ["model.3.3.weight"]);
}

#[test]
fn parts_of_a_grouped_convolution_stay_equally_wide() {
    let axes = motifs::grouped().axes().unwrap();
    let inputs = group(&axes, "reduce.weight", 0);
    assert_eq!(inputs.units.len(), 2);
    assert_eq!(inputs.units[1].indices[0], [1, 3, 5, 7]);
    let outputs = group(&axes, "grouped.weight", 0);
    assert_eq!(outputs.units.len(), 3);
    assert_eq!(outputs.units[0].indices[0], [0, 3, 6, 9]);
}

#[test]
fn attention_is_cut_by_heads() {
    let axes = motifs::encoder(5, 12, 3, false).axes().unwrap();
    let heads = group(&axes, "query.weight", 1);
    assert_eq!(heads.units.len(), 3);
    assert_eq!(
        paths(heads, Role::Output),
        ["query.weight", "key.weight", "value.weight"]
    );
    assert_eq!(
        paths(heads, Role::Bias),
        ["query.bias", "key.bias", "value.bias"]
    );
    assert_eq!(paths(heads, Role::Input), ["project.weight"]);
    assert_eq!(heads.units[1].indices[0], [4, 5, 6, 7]);
    assert_eq!(group(&axes, "up.weight", 1).units.len(), 48);
}

#[test]
fn fused_projections_are_cut_by_heads_too() {
    let axes = motifs::encoder(5, 12, 3, true).axes().unwrap();
    let heads = group(&axes, "qkv.weight", 1);
    assert_eq!(heads.units.len(), 3);
    assert_eq!(
        heads.units[1].indices[0],
        [4, 5, 6, 7, 16, 17, 18, 19, 28, 29, 30, 31]
    );
    assert_eq!(paths(heads, Role::Input), ["project.weight"]);
}

#[test]
fn a_gate_goes_with_what_it_gates() {
    let axes = motifs::squeeze_excite().axes().unwrap();
    let gated = group(&axes, "conv1.weight", 0);
    assert_eq!(
        paths(gated, Role::Output),
        ["conv1.weight", "excite.weight"]
    );
    assert_eq!(
        paths(gated, Role::Input),
        ["squeeze.weight", "conv2.weight"]
    );
    assert_eq!(group(&axes, "squeeze.weight", 0).units.len(), 4);
}

#[test]
fn very_deep_networks_are_no_trouble() {
    let axes = zoo::resnet(72).axes().unwrap();
    // 434 layers: an inner width for each block, and three stages.
    assert_eq!(axes.groups().len(), 3 * 72 + 3);
    assert_eq!(group(&axes, "fc.weight", 0).units.len(), 64);
}

#[test]
fn an_unsqueezed_matrix_still_makes_and_reads_features() {
    let mut net = Network::default();
    let x = net.input(&[5, 6]);
    let one = net.parameter("one", &[6, 8]);
    let one = net.reshape(one, fixed(&[1, 6, 8]));
    let other = net.parameter("other", &[8, 3]);
    let other = net.reshape(other, fixed(&[1, 8, 3]));
    let y = net.matmul(x, one);
    let y = net.matmul(y, other);
    let axes = net.output(y).axes().unwrap();
    let features = group(&axes, "one", 1);
    assert_eq!(paths(features, Role::Output), ["one"]);
    assert_eq!(paths(features, Role::Input), ["other"]);
}
