//! Sizes of reference networks, whole and thinned, that were published with Distiller.

use calcine_graph::{Graph, ThinningPlan, UnitId};

use crate::zoo;

/// Name, weights, trainable, multiply-accumulates.
#[test]
fn reference_networks_have_their_published_sizes() {
    let cases = [
        ("simplenet", zoo::simplenet(), 61_770, 62_006, 651_720),
        ("resnet20", zoo::resnet(3), 270_896, 272_474, 40_813_184),
        ("resnet32", zoo::resnet(5), 464_432, 466_906, 69_124_736),
        ("resnet44", zoo::resnet(7), 657_968, 661_338, 97_436_288),
        ("resnet56", zoo::resnet(9), 851_504, 855_770, 125_747_840),
        (
            "resnet110",
            zoo::resnet(18),
            1_722_416,
            1_730_714,
            253_149_824,
        ),
        ("plain20", zoo::plain(3), 268_336, 269_722, 40_551_040),
        ("vgg16", zoo::vgg16(), 14_715_584, 14_728_266, 313_201_664),
    ];
    for (name, graph, weights, trainable, macs) in cases {
        let compute = graph.compute().unwrap();
        assert_eq!(
            (compute.weights, compute.trainable, compute.macs),
            (weights, trainable, macs),
            "{name}"
        );
    }
}

#[test]
fn each_layer_of_resnet20_counts_what_was_published() {
    let compute = zoo::resnet(3).compute().unwrap();
    let layers: Vec<_> = compute.layers().collect();
    assert_eq!(layers.len(), 22);
    for row in layers {
        let expected = match row.name.as_str() {
            "conv1" => (432, 442_368),
            "layer2.0.conv1" => (4_608, 1_179_648),
            "layer2.0.downsample.0" => (512, 131_072),
            "layer3.0.conv1" => (18_432, 1_179_648),
            "layer3.0.downsample.0" => (2_048, 131_072),
            "fc" => (640, 640),
            name if name.starts_with("layer1") => (2_304, 2_359_296),
            name if name.starts_with("layer2") => (9_216, 2_359_296),
            _ => (36_864, 2_359_296),
        };
        assert_eq!((row.weights, row.macs), expected, "{}", row.name);
    }
}

#[test]
fn a_row_says_what_a_compute_table_prints() {
    let compute = zoo::simplenet().compute().unwrap();
    let macs: Vec<u64> = compute.layers().map(|row| row.macs).collect();
    assert_eq!(macs, [352_800, 240_000, 48_000, 10_080, 840]);
    let first = compute.layers().next().unwrap();
    assert_eq!(
        (first.kind.as_str(), first.attributes.as_str()),
        ("Conv2d", "k=(5, 5)")
    );
    assert_eq!(
        (first.input_volume(), first.output_volume()),
        (3_072, 4_704)
    );
    let resnet = zoo::resnet(3).compute().unwrap();
    let strided = resnet
        .rows
        .iter()
        .find(|row| row.name == "layer2.0.conv1")
        .unwrap();
    assert_eq!(
        strided.attributes,
        "k=(3, 3), stride=(2, 2), padding=(1, 1)"
    );
    assert_eq!(strided.output, [1, 32, 16, 16]);
}

#[test]
fn mobilenet_counts_what_was_published() {
    let compute = zoo::mobilenet().compute().unwrap();
    let macs: Vec<u64> = compute.layers().map(|row| row.macs).collect();
    let mut expected = vec![
        10_838_016, 3_612_672, 25_690_112, 1_806_336, 25_690_112, 3_612_672, 51_380_224, 903_168,
        25_690_112, 1_806_336, 51_380_224, 451_584, 25_690_112,
    ];
    expected.extend([903_168, 51_380_224].repeat(5));
    expected.extend([225_792, 25_690_112, 451_584, 51_380_224, 1_024_000]);
    assert_eq!(macs, expected);
}

/// A layer's filters, and how many stay.
type Widths<'a> = &'a [(&'a str, usize)];

/// The plan that removes the last filters of some layers.
fn narrowed(graph: &Graph, widths: Widths<'_>) -> Graph {
    let axes = graph.axes().expect("a graph and a plan that fit");
    let mut units = Vec::new();
    for (layer, left) in widths {
        let path = format!("{layer}.weight");
        let group = axes.groups_of(&path, 0)[0];
        let count = axes.groups()[group].units.len();
        units.extend((*left..count).map(|unit| UnitId { group, unit }));
    }
    let thinned = ThinningPlan::removing(&axes, units)
        .expect("a graph and a plan that fit")
        .apply(graph)
        .expect("a graph and a plan that fit");
    thinned.axes().expect("a graph and a plan that fit");
    thinned
}

#[test]
fn thinned_networks_have_their_published_sizes() {
    let layer2_half: Widths<'_> = &[
        ("layer2.0.conv1", 16),
        ("layer2.1.conv1", 16),
        ("layer2.2.conv1", 16),
        ("layer2.0.conv2", 16),
    ];
    let by_40_percent: Widths<'_> = &[
        ("layer1.0.conv1", 10),
        ("layer1.1.conv1", 10),
        ("layer1.2.conv1", 10),
        ("layer2.0.conv1", 20),
        ("layer2.1.conv1", 20),
        ("layer2.2.conv1", 20),
    ];
    let and_layer3: Vec<_> = layer2_half
        .iter()
        .copied()
        .chain([("layer3.0.conv2", 32)])
        .collect();
    let channels: Widths<'_> = &[
        ("layer1.0.conv1", 8),
        ("layer1.1.conv1", 6),
        ("layer1.2.conv1", 7),
        ("layer2.0.conv1", 26),
        ("layer2.1.conv1", 14),
        ("layer2.2.conv1", 6),
        ("layer3.0.conv1", 53),
        ("layer3.1.conv1", 30),
    ];
    let fewer_channels: Widths<'_> = &[
        ("layer1.0.conv1", 11),
        ("layer1.1.conv1", 8),
        ("layer1.2.conv1", 9),
        ("layer2.0.conv1", 22),
        ("layer2.1.conv1", 20),
        ("layer3.0.conv1", 52),
        ("layer3.1.conv1", 56),
    ];
    let cases = [
        ("layer2 by half", layer2_half, 223_536, 30_655_104),
        (
            "first convolutions by 40 %",
            by_40_percent,
            246_704,
            30_638_720,
        ),
        (
            "layer2 and layer3's residual",
            &and_layer3,
            130_544,
            24_723_776,
        ),
        (
            "structured sparsity, channels × 1.8",
            channels,
            186_512,
            22_583_936,
        ),
        (
            "structured sparsity, channels",
            fewer_channels,
            234_320,
            30_786_176,
        ),
    ];
    for (name, widths, weights, macs) in cases {
        let compute = narrowed(&zoo::resnet(3), widths).compute().unwrap();
        assert_eq!((compute.weights, compute.macs), (weights, macs), "{name}");
    }
}

#[test]
fn thinned_resnet56_has_its_published_sizes() {
    let inner = [7, 16, 58, 45].map(Some);
    let harder = [5, 13, 52, 39].map(Some);
    let cases = [
        ("filters", 16, inner, 634_640, 78_856_832),
        ("more filters", 16, harder, 570_704, 67_797_632),
        (
            "channels",
            5,
            [None, Some(13), Some(52), Some(39)],
            566_887,
            66_592_384,
        ),
    ];
    for (name, stem, left, weights, macs) in cases {
        let mut widths = ranked_widths(left);
        widths.push(("conv1".into(), stem));
        let widths: Vec<_> = widths
            .iter()
            .map(|(name, left)| (name.as_str(), *left))
            .collect();
        let compute = narrowed(&zoo::resnet(9), &widths).compute().unwrap();
        assert_eq!((compute.weights, compute.macs), (weights, macs), "{name}");
    }
}

/// The widths within the blocks of ResNet-56 that were ranked: in layer1, layer2, the second block of
/// layer3, and later blocks of it.
fn ranked_widths(left: [Option<usize>; 4]) -> Vec<(String, usize)> {
    let places: [(usize, &[usize]); 4] = [
        (1, &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (2, &[1, 2, 3, 4, 6, 7]),
        (3, &[1]),
        (3, &[2, 3, 5, 6, 7, 8]),
    ];
    let mut widths = Vec::new();
    for ((stage, blocks), left) in places.into_iter().zip(left) {
        let Some(left) = left else { continue };
        widths.extend(
            blocks
                .iter()
                .map(|block| (format!("layer{stage}.{block}.conv1"), left)),
        );
    }
    widths
}
