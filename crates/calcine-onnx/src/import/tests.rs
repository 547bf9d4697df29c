//! Files that are read, and what those say that are not.

use std::borrow::Cow;

use burn::tensor::{Device, Tensor};

use crate::proto::{
    Attribute, AttributeValue, Data, Dimension, Graph, Model, Node, Tensor as Initializer,
    ValueInfo, data_type,
};
use crate::{ImportOptions, read_bytes};

/// Three places, a kernel of three ones and a stride of 3 give nine outputs; a tenth has no product.
#[test]
fn a_transposed_convolution_may_be_longer_than_its_windows() {
    let ints = |name: &'static str, ints: &[i64]| Attribute {
        name: name.into(),
        value: AttributeValue::Ints(ints.to_vec()),
    };
    let value = |name: &'static str, length| ValueInfo {
        name: name.into(),
        data_type: data_type::FLOAT,
        shape: Some(vec![
            Dimension::Named("batch".into()),
            Dimension::Fixed(1),
            Dimension::Fixed(length),
        ]),
    };
    let model = |length: i64| Model {
        ir_version: 8,
        opsets: vec![("".into(), 17)],
        graph: Graph {
            nodes: vec![Node {
                op_type: "ConvTranspose".into(),
                inputs: vec!["x".into(), "w".into()],
                outputs: vec!["y".into()],
                attributes: vec![ints("strides", &[3]), ints("output_shape", &[length])],
                ..Node::default()
            }],
            initializers: vec![Initializer {
                name: "w".into(),
                dims: vec![1, 1, 3],
                data_type: data_type::FLOAT,
                data: Data::Raw(Cow::Owned([1.0_f32; 3].map(f32::to_le_bytes).concat())),
            }],
            inputs: vec![value("x", 3)],
            outputs: vec![value("y", length)],
            ..Graph::default()
        },
        ..Model::default()
    };
    let device = Device::flex();
    let read = |length| read_bytes(&model(length).write(), &ImportOptions::default(), &device);
    let cases: [(i64, &[f32]); 3] = [
        (8, &[1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0]),
        (9, &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0]),
        (10, &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 0.0]),
    ];
    for (length, expected) in cases {
        let network = read(length).unwrap();
        let x = Tensor::<3>::from_data([[[1.0, 2.0, 3.0]]], &device);
        let y: Tensor<3> = network.forward(x);
        let y: Vec<f32> = y.into_data().iter().collect();
        assert_eq!(y, expected, "{length}");
    }
    // More than a stride behind is no transposed convolution.
    assert!(read(20).unwrap_err().to_string().contains("ConvTranspose"));
}

#[test]
fn the_module_of_a_node_is_read_as_both_exporters_write_it() {
    let cases = [
        ("/layer1/layer1.0/conv1/Conv", "", "layer1.0.conv1"),
        ("/fc/Gemm", "", "fc"),
        ("node_conv2d", "['', 'stem', 'conv2d']", "stem"),
        (
            "node_conv2d_1",
            "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']",
            "layer1.0.conv1",
        ),
        ("node_view", "['', 'view']", ""),
        ("node_x", "[]", ""),
        ("Conv_0", "", ""),
    ];
    for (name, modules, path) in cases {
        let node = Node {
            name: name.into(),
            op_type: "Conv".into(),
            outputs: vec!["y".into()],
            modules: modules.into(),
            ..Node::default()
        };
        assert_eq!(super::scope(&node), path, "{name} {modules}");
    }
}
