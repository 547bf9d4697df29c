//! Networks of plain data; those of `calcine-trace` and `calcine-quantize` are compared in the tests of `calcine-quantize`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "tests panic, and numbers are small"
)]

use std::collections::BTreeMap;

use calcine_engine::{Array, Engine, Execution, FloatType, Isa, NetworkData, Options};
use calcine_format::{Bias, IntegerWeights, NetworkFile, QuantizedFile, Quantizer};
use calcine_graph::{ElementKind, Extent, Graph, Node, Op, Source, Value, ValueId};

const INPUTS: usize = 64;
const OUTPUTS: usize = 40;

/// A linear layer.
fn graph() -> Graph {
    let value = |name: &str, shape: Vec<Extent>, source| Value {
        name: name.to_owned(),
        shape,
        kind: ElementKind::Float,
        source,
    };
    let fixed = Extent::fixed;
    Graph {
        values: vec![
            value("input", vec![Extent::BATCH, fixed(INPUTS)], Source::Input),
            value(
                "fc.weight",
                vec![fixed(INPUTS), fixed(OUTPUTS)],
                Source::Parameter,
            ),
            value("fc.bias", vec![fixed(OUTPUTS)], Source::Parameter),
            value("fc", vec![Extent::BATCH, fixed(OUTPUTS)], Source::Node(0)),
        ],
        nodes: vec![Node {
            name: "fc".to_owned(),
            op: Op::Linear,
            inputs: [0, 1, 2].map(ValueId).to_vec(),
            output: ValueId(3),
        }],
        inputs: vec![ValueId(0)],
        outputs: vec![ValueId(3)],
    }
}

/// Numbers between −1 and 1.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let draw = |at: u32| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32;
    (0..count as u32)
        .map(|at| draw(at) / (1 << 23) as f32 - 1.0)
        .collect()
}

fn linear(weights: Vec<f32>) -> NetworkFile {
    let weights = Array::floats(vec![INPUTS, OUTPUTS], weights);
    let bias = Array::floats(vec![OUTPUTS], numbers(OUTPUTS, 5));
    NetworkFile {
        graph: graph(),
        tensors: BTreeMap::from([(1, weights), (2, bias)]),
    }
}

fn all_options() -> impl Iterator<Item = Options> {
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    isas.map(|isa| {
        let mut options = Options::default();
        options.isa = isa;
        options
    })
}

/// Outputs for batches of several sizes, the bits of each number.
fn outputs(engine: &Engine) -> Vec<Vec<u32>> {
    let run = |batch: usize| {
        let input = Array::floats(vec![batch, INPUTS], numbers(batch * INPUTS, 9));
        let output = engine.run(&[input]).unwrap().remove(0);
        output
            .as_floats()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect()
    };
    [1, 2, 3, 8, 11, 1].map(run).to_vec()
}

/// Weights of 16 bits give what the network with the rounded weights gives, and take half of the memory, also of that beside the
/// packed ones.
#[test]
fn weights_of_16_bits_are_the_rounded_ones() {
    let weights = numbers(INPUTS * OUTPUTS, 1);
    for (options, of) in
        all_options().flat_map(|o| [FloatType::F16, FloatType::Bf16].map(|of| (o.clone(), of)))
    {
        let rounded = weights.iter().map(|weight| of.nearest(*weight)).collect();
        let wide = Engine::compile(linear(rounded), options.clone()).unwrap();
        let mut own = options.clone();
        own.weights = of;
        let halves = Engine::compile(linear(weights.clone()), own).unwrap();
        assert_eq!(outputs(&wide), outputs(&halves), "{options:?} {of:?}");
        let [wide, halves] = [wide, halves].map(|engine| engine.memory(1).unwrap()[0]);
        // Three blocks of 16 outputs, the bias, and at most a cache line of spare bytes.
        let packed = 4 * 48 * INPUTS;
        assert!((packed..packed + 300).contains(&wide), "{wide}");
        assert!((packed / 2..packed / 2 + 300).contains(&halves), "{halves}");
    }
}

/// `f16` has no number for a weight beyond 65,504.
#[test]
fn weights_that_would_be_infinite_keep_32_bits() {
    let mut weights = numbers(INPUTS * OUTPUTS, 1);
    weights[7] = 70_000.0;
    let mut options = Options::default();
    let wide = Engine::compile(linear(weights.clone()), options.clone()).unwrap();
    options.weights = FloatType::F16;
    let halves = Engine::compile(linear(weights), options).unwrap();
    assert_eq!(outputs(&wide), outputs(&halves));
}

/// Weights of 8 bits with zero points are computed by the kernels for 8-bit integers, exactly.
#[test]
fn affine_weights_are_computed_in_integers() {
    for (zero, options) in [0, 3, 128, 255]
        .into_iter()
        .flat_map(|zero| all_options().map(move |o| (zero, o)))
    {
        let codes = numbers(INPUTS * OUTPUTS, 3)
            .into_iter()
            .map(|x| (127.5 * (x + 1.0)) as i32);
        let ints: Vec<i32> = codes.map(|code| code - zero).collect();
        let input = Quantizer {
            scale: 1.0 / 100.0,
            zero_point: 120,
            low: 0,
            high: 255,
        };
        let bias: Vec<i32> = (0..OUTPUTS as i32).map(|at| 1000 * at - 9000).collect();
        let layer = IntegerWeights {
            name: "fc".to_owned(),
            bits: 8,
            ints: ints.clone(),
            shape: vec![INPUTS, OUTPUTS],
            axis: 1,
            scales: vec![0.02],
            zero_points: vec![zero],
            group: None,
            bias: Bias::Ints(bias.clone()),
            dynamic: None,
        };
        let network = QuantizedFile {
            graph: graph(),
            quantizers: vec![Some(input), None, None, None],
            layers: BTreeMap::from([(0, layer)]),
            floats: BTreeMap::new(),
            metadata: BTreeMap::new(),
        };
        let engine = Engine::compile(NetworkData::from(network), options.clone()).unwrap();
        assert_eq!(engine.report()[0].execution, Execution::Codes);
        assert!(engine.is_exact());
        for (batch, found) in [1, 2, 3, 8, 11, 1].into_iter().zip(outputs(&engine)) {
            let x: Vec<i32> = numbers(batch * INPUTS, 9)
                .into_iter()
                .map(|x| input.quantize(x) - 120)
                .collect();
            for (at, found) in found.into_iter().enumerate() {
                let (row, output) = (&x[at / OUTPUTS * INPUTS..][..INPUTS], at % OUTPUTS);
                let products = row
                    .iter()
                    .enumerate()
                    .map(|(at, x)| x * ints[at * OUTPUTS + output]);
                let sum = products.sum::<i32>() + bias[output];
                let expected = sum as f32 * (input.scale * 0.02);
                assert_eq!(
                    f32::from_bits(found),
                    expected,
                    "{options:?}, {zero}, {batch}"
                );
            }
        }
    }
}
