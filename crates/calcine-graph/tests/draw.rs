//! Drawings.

use calcine_graph::{Detail, Drawing, Graph};

use crate::motifs;
use crate::zoo;

#[test]
fn a_drawing_names_every_layer_and_note() {
    let graph = zoo::resnet(3);
    let mut drawing = Drawing {
        parameters: true,
        ..Drawing::default()
    };
    drawing
        .notes
        .insert("layer2.0.conv1".into(), "72 % < sparse".into());
    let svg = drawing.svg(&graph).unwrap();
    for row in graph.compute().unwrap().layers() {
        assert!(
            svg.contains(&format!(">{}</text>", row.name)),
            "{}",
            row.name
        );
    }
    for text in [
        "72 % &lt; sparse",
        "32×16×16 · 1.18 M MACs",
        "gamma 64",
        "BatchNorm, relu",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    // A convolution and what follows share a box: 21 of them, 9 additions, pool and linear, two ends.
    assert_eq!(svg.matches("rx=").count(), 21 + 9 + 1 + 2);
    drawing.detail = Detail::Operations;
    let all = drawing.svg(&graph).unwrap();
    assert_eq!(all.matches("rx=").count(), graph.nodes.len() + 2);
}

#[test]
fn graphviz_gets_the_same_boxes_and_arrows() {
    let graph = motifs::branches();
    let dot = Drawing::default().dot(&graph).unwrap();
    assert_eq!(dot.matches("label=").count(), 6);
    assert_eq!(dot.matches("->").count(), 6);
    assert!(
        dot.contains("a\\nConv2d k=(3, 3), padding=(1, 1)\\n6×8×8 · 10.4 k MACs"),
        "{dot}"
    );
}

#[test]
fn an_empty_graph_is_an_empty_picture() {
    let drawing = Drawing::default();
    assert!(
        drawing
            .svg(&Graph::default())
            .unwrap()
            .ends_with("</svg>\n")
    );
}
