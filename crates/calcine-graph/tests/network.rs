//! Networks written down layer by layer, as a trace would record them.

use calcine_graph::{
    Arithmetic, Convolution, ElementKind, Extent, Graph, Map, Node, Op, Padding, Pool, Range,
    Reduction, Source, Value, ValueId,
};

/// A graph that grows.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) graph: Graph,
}

/// `[batch, rest..]`.
pub(crate) fn batched(rest: &[usize]) -> Vec<Extent> {
    let mut shape = vec![Extent::BATCH];
    shape.extend(rest.iter().map(|&length| Extent::fixed(length)));
    shape
}

pub(crate) fn fixed(lengths: &[usize]) -> Vec<Extent> {
    lengths
        .iter()
        .map(|&length| Extent::fixed(length))
        .collect()
}

/// Windows of a square convolution.
pub(crate) fn square(kernel: usize, stride: usize, groups: usize) -> Convolution {
    Convolution {
        stride: vec![stride; 2],
        padding: vec![[kernel / 2; 2]; 2],
        dilation: vec![1; 2],
        groups,
    }
}

impl Network {
    fn value(&mut self, name: &str, shape: Vec<Extent>, source: Source) -> ValueId {
        let id = ValueId(self.graph.values.len());
        self.graph.values.push(Value {
            name: name.into(),
            shape,
            kind: ElementKind::Float,
            source,
        });
        id
    }

    pub(crate) fn input(&mut self, rest: &[usize]) -> ValueId {
        let id = self.value("input", batched(rest), Source::Input);
        self.graph.inputs.push(id);
        id
    }

    pub(crate) fn output(mut self, id: ValueId) -> Graph {
        self.graph.outputs.push(id);
        self.graph
    }

    pub(crate) fn parameter(&mut self, path: &str, shape: &[usize]) -> ValueId {
        self.value(path, fixed(shape), Source::Parameter)
    }

    pub(crate) fn constant(&mut self, name: &str, shape: &[usize]) -> ValueId {
        self.value(name, fixed(shape), Source::Constant)
    }

    pub(crate) fn node(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        shape: Vec<Extent>,
    ) -> ValueId {
        let source = Source::Node(self.graph.nodes.len());
        let output = self.value(name, shape, source);
        self.graph.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.into(),
            output,
        });
        output
    }

    /// After the node that made the operand.
    fn after(&mut self, x: ValueId, op: Op, inputs: &[ValueId], shape: Vec<Extent>) -> ValueId {
        let mut name = format!("{}.{}", self.graph.value(x).name, op.name());
        while self.graph.node(&name).is_some() {
            name.push('\'');
        }
        self.node(&name, op, inputs, shape)
    }

    pub(crate) fn shape(&self, x: ValueId) -> Vec<Extent> {
        self.graph.value(x).shape.clone()
    }

    pub(crate) fn length(&self, x: ValueId, axis: usize) -> usize {
        self.shape(x)[axis].fixed
    }

    pub(crate) fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        kernel: usize,
        windows: Convolution,
    ) -> ValueId {
        let part = self.length(x, 1) / windows.groups;
        let weight = self.parameter(&format!("{name}.weight"), &[out, part, kernel, kernel]);
        self.convolve(name, &[x, weight], out, kernel, windows)
    }

    pub(crate) fn conv_bias(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        kernel: usize,
        windows: Convolution,
    ) -> ValueId {
        let part = self.length(x, 1) / windows.groups;
        let weight = self.parameter(&format!("{name}.weight"), &[out, part, kernel, kernel]);
        let bias = self.parameter(&format!("{name}.bias"), &[out]);
        self.convolve(name, &[x, weight, bias], out, kernel, windows)
    }

    fn convolve(
        &mut self,
        name: &str,
        inputs: &[ValueId],
        out: usize,
        kernel: usize,
        windows: Convolution,
    ) -> ValueId {
        let mut shape = self.shape(inputs[0]);
        shape[1] = out.into();
        for axis in 0..2 {
            let [before, after] = windows.padding[axis];
            let length = shape[axis + 2].fixed + before + after;
            shape[axis + 2] = ((length - kernel) / windows.stride[axis] + 1).into();
        }
        self.node(name, Op::Convolution(windows), inputs, shape)
    }

    pub(crate) fn batch_norm(&mut self, name: &str, x: ValueId) -> ValueId {
        let channels = self.length(x, 1);
        let mut inputs = vec![x];
        for part in ["gamma", "beta", "running_mean", "running_var"] {
            inputs.push(self.parameter(&format!("{name}.{part}"), &[channels]));
        }
        let op = Op::BatchNorm {
            epsilon: 1e-5,
            momentum: 0.1,
        };
        let shape = self.shape(x);
        self.node(name, op, &inputs, shape)
    }

    pub(crate) fn layer_norm(&mut self, name: &str, x: ValueId) -> ValueId {
        let features = self.shape(x).last().expect("an axis").fixed;
        let gamma = self.parameter(&format!("{name}.gamma"), &[features]);
        let beta = self.parameter(&format!("{name}.beta"), &[features]);
        let shape = self.shape(x);
        self.node(
            name,
            Op::LayerNorm { epsilon: 1e-5 },
            &[x, gamma, beta],
            shape,
        )
    }

    pub(crate) fn linear(&mut self, name: &str, x: ValueId, out: usize) -> ValueId {
        let mut shape = self.shape(x);
        let features = shape.last().expect("an axis").fixed;
        *shape.last_mut().expect("an axis") = out.into();
        let weight = self.parameter(&format!("{name}.weight"), &[features, out]);
        let bias = self.parameter(&format!("{name}.bias"), &[out]);
        self.node(name, Op::Linear, &[x, weight, bias], shape)
    }

    pub(crate) fn map(&mut self, x: ValueId, map: Map) -> ValueId {
        let shape = self.shape(x);
        self.after(x, Op::Map(map), &[x], shape)
    }

    pub(crate) fn relu(&mut self, x: ValueId) -> ValueId {
        self.map(x, Map::Relu)
    }

    pub(crate) fn scale(&mut self, x: ValueId, number: f64) -> ValueId {
        let shape = self.shape(x);
        self.after(x, Op::Scalar(Arithmetic::Multiply, number), &[x], shape)
    }

    pub(crate) fn offset(&mut self, x: ValueId, number: f64) -> ValueId {
        let shape = self.shape(x);
        self.after(x, Op::Scalar(Arithmetic::Add, number), &[x], shape)
    }

    /// Twice as many places, windows of 2 side by side.
    pub(crate) fn transposed(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        groups: usize,
    ) -> ValueId {
        let mut shape = self.shape(x);
        let weight = self.parameter(
            &format!("{name}.weight"),
            &[shape[1].fixed, out / groups, 2, 2],
        );
        let bias = self.parameter(&format!("{name}.bias"), &[out]);
        shape[1] = out.into();
        shape[2..].iter_mut().for_each(|extent| extent.fixed *= 2);
        let mut convolution = square(2, 2, groups);
        convolution.padding = vec![[0; 2]; 2];
        let op = Op::TransposedConvolution {
            convolution,
            output_padding: vec![0; 2],
        };
        self.node(name, op, &[x, weight, bias], shape)
    }

    pub(crate) fn zip(&mut self, arithmetic: Arithmetic, a: ValueId, b: ValueId) -> ValueId {
        let (one, other) = (self.shape(a), self.shape(b));
        let shape = one
            .into_iter()
            .zip(other)
            .map(|(a, b)| if a == 1.into() { b } else { a })
            .collect();
        self.after(a, Op::Zip(arithmetic), &[a, b], shape)
    }

    pub(crate) fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.zip(Arithmetic::Add, a, b)
    }

    pub(crate) fn multiply(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.zip(Arithmetic::Multiply, a, b)
    }

    pub(crate) fn max_pool(&mut self, x: ValueId, size: usize) -> ValueId {
        let pool = Pool {
            kernel: vec![size; 2],
            stride: vec![size; 2],
            padding: vec![0; 2],
            dilation: vec![1; 2],
            ceil: false,
        };
        let mut shape = self.shape(x);
        for extent in &mut shape[2..] {
            extent.fixed /= size;
        }
        self.after(x, Op::MaxPool(pool), &[x], shape)
    }

    /// The mean over all places, `[batch, channels, 1, 1]`.
    pub(crate) fn global_pool(&mut self, x: ValueId) -> ValueId {
        let mut shape = self.shape(x);
        shape[2..].fill(1.into());
        self.after(x, Op::AdaptiveAveragePool, &[x], shape)
    }

    pub(crate) fn reshape(&mut self, x: ValueId, shape: Vec<Extent>) -> ValueId {
        self.after(x, Op::Reshape, &[x], shape)
    }

    /// `[batch, all]`.
    pub(crate) fn flatten(&mut self, x: ValueId) -> ValueId {
        let all = self.shape(x)[1..]
            .iter()
            .map(|extent| extent.fixed)
            .product();
        self.reshape(x, batched(&[all]))
    }

    pub(crate) fn permute(&mut self, x: ValueId, axes: &[usize]) -> ValueId {
        let shape = self.shape(x);
        let turned = axes.iter().map(|&axis| shape[axis]).collect();
        self.after(x, Op::Permute(axes.into()), &[x], turned)
    }

    pub(crate) fn concat(&mut self, axis: usize, parts: &[ValueId]) -> ValueId {
        let mut shape = self.shape(parts[0]);
        shape[axis] = parts
            .iter()
            .map(|&part| self.length(part, axis))
            .sum::<usize>()
            .into();
        self.after(parts[0], Op::Concat(axis), parts, shape)
    }

    pub(crate) fn slice(&mut self, x: ValueId, axis: usize, start: usize, end: usize) -> ValueId {
        let mut shape = self.shape(x);
        let mut ranges: Vec<Range> = shape
            .iter()
            .map(|&end| Range {
                start: 0.into(),
                end,
                step: 1,
            })
            .collect();
        ranges[axis] = Range {
            start: start.into(),
            end: end.into(),
            step: 1,
        };
        shape[axis] = (end - start).into();
        self.after(x, Op::Slice(ranges), &[x], shape)
    }

    pub(crate) fn matmul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let mut shape = self.shape(a);
        let last = shape.len() - 1;
        shape[last] = self.shape(b)[last];
        self.after(a, Op::Matmul, &[a, b], shape)
    }

    pub(crate) fn softmax(&mut self, x: ValueId, axis: usize) -> ValueId {
        let shape = self.shape(x);
        self.after(x, Op::Softmax(axis), &[x], shape)
    }

    pub(crate) fn pad_channels(&mut self, x: ValueId, before: usize, after: usize) -> ValueId {
        let mut shape = self.shape(x);
        shape[1].fixed += before + after;
        let padding = vec![[0, 0], [before, after], [0, 0], [0, 0]];
        let op = Op::Pad {
            padding,
            with: Padding::Constant(0.0),
        };
        self.after(x, op, &[x], shape)
    }

    pub(crate) fn reduce(&mut self, x: ValueId, reduction: Reduction, axis: usize) -> ValueId {
        let mut shape = self.shape(x);
        shape[axis] = 1.into();
        self.after(x, Op::Reduce(reduction, axis), &[x], shape)
    }
}
