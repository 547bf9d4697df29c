//! An integer engine of plain loops: 32-bit sums, and the products in `f32` that the crate says.

use std::collections::HashMap;

use calcine_graph::{Arithmetic, Convolution, Map, Node, Op, Pool, ValueId};
use calcine_quantize::{IntegerLayer, Quantized, Quantizer};

/// A tensor of integers on a quantizer, or of floats.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) shape: Vec<usize>,
    pub(crate) ints: Vec<i32>,
    pub(crate) floats: Vec<f32>,
    quantizer: Option<Quantizer>,
}

impl Data {
    fn new(shape: Vec<usize>, ints: Vec<i32>, quantizer: Quantizer) -> Self {
        let floats = ints.iter().map(|&q| quantizer.dequantize(q)).collect();
        Self {
            shape,
            ints,
            floats,
            quantizer: Some(quantizer),
        }
    }

    fn quantizer(&self) -> Quantizer {
        self.quantizer.unwrap()
    }

    /// `q − zero`.
    fn centred(&self, at: usize) -> i32 {
        self.ints[at] - self.quantizer().zero_point
    }
}

/// `clamp(round(x) + zero)`.
fn to_quantizer(x: f32, quantizer: Quantizer) -> i32 {
    ((x.round_ties_even() as i32) + quantizer.zero_point).clamp(quantizer.low, quantizer.high)
}

/// Runs images through the network, image data in the order of memory.
pub(crate) fn run(network: &Quantized, images: &[f32], shape: [usize; 4]) -> HashMap<String, Data> {
    let graph = network.graph();
    let layers: HashMap<&str, IntegerLayer<'_>> =
        network.layers().map(|layer| (layer.name, layer)).collect();
    let mut values: HashMap<ValueId, Data> = HashMap::new();
    let mut named = HashMap::new();
    let input = graph.inputs[0];
    let quantizer = network.quantizer(&graph.value(input).name).unwrap();
    let ints = images.iter().map(|&x| quantizer.quantize(x)).collect();
    values.insert(input, Data::new(shape.to_vec(), ints, quantizer));
    for node in &graph.nodes {
        let x = &values[&node.inputs[0]];
        let quantizer = network.quantizer(&node.name);
        let shape = graph.value(node.output).shape_at(shape[0]);
        let result = match (&node.op, layers.get(node.name.as_str())) {
            (_, Some(layer)) => layer_of(node, layer, x, &shape, quantizer),
            // Done by the layer before it.
            (Op::BatchNorm { .. }, None) => x.clone(),
            (op, None) => other(op, node, &values, shape, quantizer),
        };
        named.insert(node.name.clone(), result.clone());
        values.insert(node.output, result);
    }
    named
}

fn layer_of(
    node: &Node,
    layer: &IntegerLayer<'_>,
    x: &Data,
    shape: &[usize],
    quantizer: Option<Quantizer>,
) -> Data {
    let (bias, outputs) = (layer.bias.unwrap(), layer.shape[layer.output_axis]);
    let inner: usize = shape[2..].iter().product();
    let mut sums = match &node.op {
        Op::Convolution(options) => convolution(options, layer, x, shape),
        Op::Linear => {
            let inputs = layer.shape[0];
            let sum = |at: usize| -> i32 {
                let (row, output) = (at / outputs, at % outputs);
                let product =
                    |i: usize| x.centred(row * inputs + i) * layer.weight[i * outputs + output];
                (0..inputs).map(product).sum()
            };
            (0..shape.iter().product()).map(sum).collect()
        }
        op => panic!("{op:?}"),
    };
    let output = |at: usize| at / inner % outputs;
    let factor = |output: usize| -> f32 {
        let step = layer.scales[if layer.scales.len() == 1 { 0 } else { output }];
        let sums = x.quantizer().scale * step;
        quantizer.map_or(sums, |quantizer| sums / quantizer.scale)
    };
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum += bias[output(at)];
    }
    let scaled = sums
        .iter()
        .enumerate()
        .map(|(at, &sum)| sum as f32 * factor(output(at)));
    match quantizer {
        Some(quantizer) => Data::new(
            shape.to_vec(),
            scaled.map(|x| to_quantizer(x, quantizer)).collect(),
            quantizer,
        ),
        None => Data {
            shape: shape.to_vec(),
            ints: Vec::new(),
            floats: scaled.collect(),
            quantizer: None,
        },
    }
}

fn convolution(
    options: &Convolution,
    layer: &IntegerLayer<'_>,
    x: &Data,
    shape: &[usize],
) -> Vec<i32> {
    let [outputs, depth, height, width] = <[usize; 4]>::try_from(layer.shape).unwrap();
    let [images, _, rows, columns] = <[usize; 4]>::try_from(shape).unwrap();
    let [_, channels, h, w] = <[usize; 4]>::try_from(&x.shape[..]).unwrap();
    let per_group = outputs / options.groups;
    let mut sums = Vec::new();
    for image in 0..images {
        for output in 0..outputs {
            let first = output / per_group * depth;
            for row in 0..rows {
                for column in 0..columns {
                    let mut sum = 0_i32;
                    for i in 0..depth {
                        for (ky, kx) in
                            (0..height).flat_map(|ky| (0..width).map(move |kx| (ky, kx)))
                        {
                            let y =
                                (row * options.stride[0] + ky).checked_sub(options.padding[0][0]);
                            let z = (column * options.stride[1] + kx)
                                .checked_sub(options.padding[1][0]);
                            let (Some(y), Some(z)) = (y.filter(|y| *y < h), z.filter(|z| *z < w))
                            else {
                                continue;
                            };
                            let at = ((image * channels + first + i) * h + y) * w + z;
                            let weight =
                                layer.weight[((output * depth + i) * height + ky) * width + kx];
                            sum += x.centred(at) * weight;
                        }
                    }
                    sums.push(sum);
                }
            }
        }
    }
    sums
}

fn other(
    op: &Op,
    node: &Node,
    values: &HashMap<ValueId, Data>,
    shape: Vec<usize>,
    quantizer: Option<Quantizer>,
) -> Data {
    let x = &values[&node.inputs[0]];
    let quantizer = quantizer.unwrap();
    let factor = |step: f64| (step / f64::from(quantizer.scale)) as f32;
    let step = |data: &Data| f64::from(data.quantizer().scale);
    let ints = match op {
        Op::Map(Map::Relu) => x
            .ints
            .iter()
            .map(|&q| q.max(quantizer.zero_point))
            .collect(),
        Op::Reshape => x.ints.clone(),
        Op::Zip(Arithmetic::Add) => {
            let y = &values[&node.inputs[1]];
            let (a, b) = (factor(step(x)), factor(step(y)));
            let sum = |at| x.centred(at) as f32 * a + y.centred(at) as f32 * b;
            (0..x.ints.len())
                .map(|at| to_quantizer(sum(at), quantizer))
                .collect()
        }
        Op::Zip(Arithmetic::Multiply) => {
            let y = &values[&node.inputs[1]];
            let m = x.quantizer().scale * y.quantizer().scale / quantizer.scale;
            let product = |at| (x.centred(at) * y.centred(at)) as f32 * m;
            (0..x.ints.len())
                .map(|at| to_quantizer(product(at), quantizer))
                .collect()
        }
        Op::Concat(1) => concatenated(node, values, quantizer),
        Op::MaxPool(pool) => pooled(pool, x, &shape),
        Op::AdaptiveAveragePool => {
            let count = x.shape[2] * x.shape[3];
            let m = factor(step(x) / count as f64);
            let sum = |at: usize| (0..count).map(|i| x.centred(at * count + i)).sum::<i32>();
            let all = shape.iter().product();
            (0..all)
                .map(|at| to_quantizer(sum(at) as f32 * m, quantizer))
                .collect()
        }
        op => panic!("{op:?}"),
    };
    Data::new(shape, ints, quantizer)
}

fn concatenated(node: &Node, values: &HashMap<ValueId, Data>, quantizer: Quantizer) -> Vec<i32> {
    let parts: Vec<&Data> = node.inputs.iter().map(|id| &values[id]).collect();
    let mut all = Vec::new();
    for image in 0..parts[0].shape[0] {
        for part in &parts {
            let each = part.ints.len() / part.shape[0];
            let m = (f64::from(part.quantizer().scale) / f64::from(quantizer.scale)) as f32;
            let own = image * each..(image + 1) * each;
            all.extend(own.map(|at| to_quantizer(part.centred(at) as f32 * m, quantizer)));
        }
    }
    all
}

fn pooled(pool: &Pool, x: &Data, shape: &[usize]) -> Vec<i32> {
    let [_, _, h, w] = <[usize; 4]>::try_from(&x.shape[..]).unwrap();
    let [images, channels, rows, columns] = <[usize; 4]>::try_from(shape).unwrap();
    let mut all = Vec::new();
    for plane in 0..images * channels {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            let window =
                (0..pool.kernel[0]).flat_map(|ky| (0..pool.kernel[1]).map(move |kx| (ky, kx)));
            let value = |(ky, kx)| {
                let (y, z) = (row * pool.stride[0] + ky, column * pool.stride[1] + kx);
                x.ints[(plane * h + y) * w + z]
            };
            all.push(window.map(value).max().unwrap());
        }
    }
    all
}
