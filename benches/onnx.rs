//! Reading an ONNX file of 100 MB, beside reading its bytes and copying them once, in turn; and the dependency groups of a network of 150
//! blocks. Of each ONNX file in the folder that `CALCINE_ONNX_ZOO` names, the same; and of the file that `CALCINE_ONNX_MODEL` names, calibration with
//! 100 images and quantization, beside inference of them in floats.
#![allow(clippy::expect_used, reason = "a bench stops where it cannot go on")]

use std::hint::black_box;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, TensorData};
use calcine::graph::{
    Arithmetic, ElementKind, Extent, Graph, Map, Node, Op, Source, Value, ValueId,
};
use calcine::onnx::{ExportOptions, ImportOptions, export, is_onnx, read_file};
use calcine::quantize::{Calibration, QuantizationSettings, quantize};
use calcine::trace::{AnyTensor, Network, NewParameter};
use calcine_benches::in_turn;
use criterion::{Criterion, criterion_group, criterion_main};

/// Blocks of two linear layers and a sum.
const BLOCKS: usize = 12;
/// Inputs and outputs of a layer: 4 MiB of weights each.
const WIDTH: usize = 1024;

/// A residual network of linear layers.
fn network(blocks: usize, width: usize) -> Network {
    let mut graph = Graph::default();
    let mut parameters = Vec::new();
    let push = |graph: &mut Graph, name: String, shape: Vec<Extent>, source: Source| {
        graph.values.push(Value {
            name,
            shape,
            kind: ElementKind::Float,
            source,
        });
        ValueId(graph.values.len() - 1)
    };
    let rows = || vec![Extent::BATCH, Extent::fixed(width)];
    let node = |graph: &mut Graph, op: Op, inputs: Vec<ValueId>| {
        let source = Source::Node(graph.nodes.len());
        let output = push(graph, String::new(), rows(), source);
        graph.nodes.push(Node {
            name: String::new(),
            op,
            inputs,
            output,
        });
        output
    };
    let mut x = push(&mut graph, "x".to_owned(), rows(), Source::Input);
    graph.inputs.push(x);
    for block in 0..blocks {
        let mut y = x;
        for layer in ["first", "second"] {
            let path = format!("block{block}.{layer}.weight");
            let shape = vec![Extent::fixed(width); 2];
            let weight = push(&mut graph, path.clone(), shape, Source::Parameter);
            let data = TensorData::new(vec![0.01_f32; width * width], [width, width]);
            let value = AnyTensor::from_data(data, ElementKind::Float, &Device::flex());
            parameters.push(NewParameter {
                path,
                layer: "Linear",
                value: value.expect("it has two axes"),
            });
            let product = node(&mut graph, Op::Linear, vec![y, weight]);
            y = node(&mut graph, Op::Map(Map::Relu), vec![product]);
        }
        x = node(&mut graph, Op::Zip(Arithmetic::Add), vec![x, y]);
    }
    graph.outputs.push(x);
    Network::from_parts(graph, parameters, Vec::new()).expect("its parts fit")
}

fn onnx(criterion: &mut Criterion) {
    let file = std::env::temp_dir().join(format!("calcine-bench-{}.onnx", std::process::id()));
    let model = export(&network(BLOCKS, WIDTH), &ExportOptions::default()).expect("it has a form");
    let bytes = model.to_bytes().expect("it is below 2 GiB");
    std::fs::write(&file, bytes).expect("there is room for a file");
    read_in_turn("100 MB", &file);
    std::fs::remove_file(&file).ok();
    let deep = network(150, 256);
    let mut group = criterion.benchmark_group("groups");
    group.sample_size(10);
    group.bench_function("150 blocks", |bench| {
        bench.iter(|| deep.graph().axes().expect("a graph that fits"));
    });
    for file in exported() {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        read_in_turn(&name, &file);
        let network = read(&file);
        group.bench_function(&*name, |bench| {
            bench.iter(|| network.graph().axes().expect("a graph that fits"));
        });
    }
    group.finish();
    if let Some(file) = std::env::var_os("CALCINE_ONNX_MODEL") {
        quantized_in_turn(Path::new(&file));
    }
}

fn read(file: &Path) -> Network {
    read_file(file, &ImportOptions::default(), &Device::flex()).expect("it is read")
}

fn read_in_turn(name: &str, file: &Path) {
    in_turn(
        &format!("reading `{name}` as a network, beside reading and copying its bytes"),
        || {
            let bytes = std::fs::read(file).expect("the file is there");
            black_box(bytes.clone());
        },
        || {
            black_box(read(file));
        },
    );
}

/// Images of grey noise, ten in each batch.
fn quantized_in_turn(file: &Path) {
    let network = read(file);
    let input = network.graph().value(network.graph().inputs[0]);
    let shape = input.shape_at(10);
    let count = shape.iter().product();
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap_or_default()) / 32_768.0 - 1.0
    };
    let batches: Vec<Vec<AnyTensor>> = (0..10)
        .map(|_| {
            let numbers: Vec<f32> = (0..count).map(|_| noise()).collect();
            let data = TensorData::new(numbers, shape.clone());
            let batch = AnyTensor::from_data(data, ElementKind::Float, &Device::flex());
            vec![batch.expect("images have four axes")]
        })
        .collect();
    in_turn(
        "calibrating with 100 images and quantizing, beside inference",
        || {
            for batch in &batches {
                let outputs = network.run(batch.clone(), &mut |_, tensor| tensor);
                for output in outputs.expect("it takes images") {
                    black_box(output.into_data());
                }
            }
        },
        || {
            let calibration = Calibration::collect(&network, &batches).expect("it calibrates");
            let settings = QuantizationSettings::default();
            black_box(quantize(&network, &calibration, &settings).expect("it is quantized"));
        },
    );
}

/// The ONNX files of the folder, in the order of their names.
fn exported() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("CALCINE_ONNX_ZOO") else {
        return Vec::new();
    };
    let files = std::fs::read_dir(folder).expect("CALCINE_ONNX_ZOO is a folder");
    let files = files.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<PathBuf> = files.filter(|file| is_onnx(file)).collect();
    files.sort();
    files
}

criterion_group!(benches, onnx);
criterion_main!(benches);
