//! Random networks, step by step.

use burn::tensor::{Device, TensorData};
use calcine_graph::{
    Arithmetic, Convolution, ElementKind, Extent, Graph, Map, Node, Op, Pool, Source, Value,
    ValueId,
};
use calcine_testkit::values;
use calcine_trace::{AnyTensor, Network, NewParameter};

struct Maker {
    graph: Graph,
    parameters: Vec<NewParameter>,
    current: ValueId,
    layers: usize,
}

impl Maker {
    fn value(&mut self, name: &str, shape: Vec<Extent>, source: Source) -> ValueId {
        self.graph.values.push(Value {
            name: name.to_owned(),
            shape,
            kind: ElementKind::Float,
            source,
        });
        ValueId(self.graph.values.len() - 1)
    }

    fn parameter(&mut self, layer: &'static str, role: &str, shape: &[usize]) -> ValueId {
        let path = format!("layer{}.{role}", self.layers);
        let count: usize = shape.iter().product();
        let seed = 7 * self.graph.values.len();
        let mut numbers = values(count + seed)[seed..].to_vec();
        if role == "running_var" {
            numbers.iter_mut().for_each(|x| *x = x.abs() + 0.5);
        }
        let value = AnyTensor::from_data(
            TensorData::new(numbers, shape.to_vec()),
            ElementKind::Float,
            &Device::flex(),
        )
        .unwrap();
        self.parameters.push(NewParameter {
            path: path.clone(),
            layer,
            value,
        });
        self.value(
            &path,
            shape.iter().map(|&length| length.into()).collect(),
            Source::Parameter,
        )
    }

    fn node(&mut self, op: Op, mut more: Vec<ValueId>, shape: Vec<Extent>) -> ValueId {
        let output = self.value("", shape, Source::Node(self.graph.nodes.len()));
        more.insert(0, self.current);
        self.graph.nodes.push(Node {
            name: String::new(),
            op,
            inputs: more,
            output,
        });
        self.current = output;
        output
    }

    fn step(&mut self, kind: u8, number: usize) {
        self.layers += 1;
        let shape = self.graph.value(self.current).shape.clone();
        let (channels, size) = (shape[1].fixed, shape[2].fixed);
        let maps = [
            Map::Relu,
            Map::Sigmoid,
            Map::Tanh,
            Map::Gelu,
            Map::LeakyRelu(0.1),
            Map::Clamp {
                low: 0.0,
                high: 1.0,
            },
        ];
        match kind {
            0 => {
                let (out, stride) = (1 + number % 6, 1 + number % 2);
                let weight = self.parameter("Conv2d", "weight", &[out, channels, 3, 3]);
                let bias = self.parameter("Conv2d", "bias", &[out]);
                let convolution = Convolution {
                    stride: vec![stride; 2],
                    padding: vec![[1, 1]; 2],
                    dilation: vec![1; 2],
                    groups: 1,
                };
                let side = ((size - 1) / stride + 1).into();
                self.node(
                    Op::Convolution(convolution),
                    vec![weight, bias],
                    vec![shape[0], out.into(), side, side],
                );
            }
            1 => {
                let roles = ["gamma", "beta", "running_mean", "running_var"];
                let parts = roles.map(|role| self.parameter("BatchNorm", role, &[channels]));
                self.node(
                    Op::BatchNorm {
                        epsilon: 1e-5,
                        momentum: 0.1,
                    },
                    parts.to_vec(),
                    shape,
                );
            }
            2 => {
                self.node(Op::Map(maps[number % maps.len()]), Vec::new(), shape);
            }
            3 => {
                let before = self.current;
                self.node(
                    Op::Map(maps[number % maps.len()]),
                    Vec::new(),
                    shape.clone(),
                );
                self.node(
                    Op::Zip(if number.is_multiple_of(2) {
                        Arithmetic::Add
                    } else {
                        Arithmetic::Multiply
                    }),
                    vec![before],
                    shape,
                );
            }
            4 if size >= 2 => {
                let pool = Pool {
                    kernel: vec![2; 2],
                    stride: vec![2; 2],
                    padding: vec![0; 2],
                    dilation: vec![1; 2],
                    ceil: false,
                };
                let side = (size / 2).into();
                let op = if number.is_multiple_of(2) {
                    Op::MaxPool(pool)
                } else {
                    Op::AveragePool {
                        pool,
                        count_padding: true,
                    }
                };
                self.node(op, Vec::new(), vec![shape[0], shape[1], side, side]);
            }
            5 => {
                let before = self.current;
                self.node(
                    Op::Concat(1),
                    vec![before],
                    vec![shape[0], (2 * channels).into(), shape[2], shape[3]],
                );
            }
            6 => {
                let shift = self.parameter("", "shift", &[channels, 1, 1]);
                let flat = self.current;
                self.current = shift;
                let spread = self.node(
                    Op::Reshape,
                    Vec::new(),
                    vec![1.into(), channels.into(), 1.into(), 1.into()],
                );
                self.current = flat;
                self.node(Op::Zip(Arithmetic::Add), vec![spread], shape);
            }
            _ => {
                self.node(Op::Permute(vec![0, 1, 3, 2]), Vec::new(), shape);
            }
        }
    }

    fn finish(mut self) -> Network {
        self.layers += 1;
        let shape = self.graph.value(self.current).shape.clone();
        let count: usize = shape[1..].iter().map(|extent| extent.fixed).product();
        self.node(Op::Reshape, Vec::new(), vec![shape[0], count.into()]);
        let weight = self.parameter("Linear", "weight", &[count, 3]);
        let bias = self.parameter("Linear", "bias", &[3]);
        let output = self.node(Op::Linear, vec![weight, bias], vec![shape[0], 3.into()]);
        self.graph.outputs.push(output);
        Network::from_parts(self.graph, self.parameters, Vec::new()).unwrap()
    }
}

/// A network of two channels of 8 × 8, of such steps: a kind below 8, and a number that tells its details.
pub(crate) fn network(steps: &[(u8, usize)]) -> Network {
    let mut maker = Maker {
        graph: Graph::default(),
        parameters: Vec::new(),
        current: ValueId(0),
        layers: 0,
    };
    let input = maker.value(
        "x",
        vec![Extent::BATCH, 2.into(), 8.into(), 8.into()],
        Source::Input,
    );
    maker.graph.inputs.push(input);
    for &(kind, number) in steps {
        maker.step(kind, number);
    }
    maker.finish()
}
