//! What `Graph::check` says of a single operation whose settings, kinds or shapes do not fit.

use calcine_graph::{
    Arithmetic, Comparison, Convolution, ElementKind, Extent, Graph, Map, Node, Op, Padding, Pool,
    Range, Reduction, Source, Update, Value, ValueId,
};

use ElementKind::{Bool, Float, Int};

/// A graph of one operation; an axis of length 0 is the batch.
fn single(op: &Op, operands: &[(&[usize], ElementKind)], output: (&[usize], ElementKind)) -> Graph {
    let mut graph = Graph::default();
    let value = |name: String, (shape, kind): (&[usize], ElementKind), source| Value {
        name,
        shape: shape
            .iter()
            .map(|&length| match length {
                0 => Extent::BATCH,
                length => Extent::fixed(length),
            })
            .collect(),
        kind,
        source,
    };
    for (index, operand) in operands.iter().enumerate() {
        graph.inputs.push(ValueId(index));
        graph
            .values
            .push(value(format!("x{index}"), *operand, Source::Input));
    }
    let out = ValueId(operands.len());
    graph
        .values
        .push(value("y".to_owned(), output, Source::Node(0)));
    graph.nodes.push(Node {
        name: "y".to_owned(),
        op: op.clone(),
        inputs: graph.inputs.clone(),
        output: out,
    });
    graph.outputs.push(out);
    graph
}

fn windows(stride: usize, padding: usize, dilation: usize, groups: usize) -> Convolution {
    Convolution {
        stride: vec![stride; 2],
        padding: vec![[padding; 2]; 2],
        dilation: vec![dilation; 2],
        groups,
    }
}

fn pool(kernel: usize, stride: usize, padding: usize, dilation: usize) -> Pool {
    Pool {
        kernel: vec![kernel; 2],
        stride: vec![stride; 2],
        padding: vec![padding; 2],
        dilation: vec![dilation; 2],
        ceil: false,
    }
}

type Row<'a> = (
    Op,
    Vec<(&'a [usize], ElementKind)>,
    (&'a [usize], ElementKind),
    &'a str,
);

#[test]
fn what_does_not_fit_is_said_with_its_numbers() {
    let image: (&[usize], ElementKind) = (&[0, 4, 6, 6], Float);
    let filters: (&[usize], ElementKind) = (&[8, 2, 3, 3], Float);
    let conv = |c: Convolution| Op::Convolution(c);
    let average = |pool| Op::AveragePool {
        pool,
        count_padding: true,
    };
    let transposed = |convolution, output_padding| Op::TransposedConvolution {
        convolution,
        output_padding,
    };
    let rows: Vec<Row<'_>> = vec![
        (
            conv(windows(1, 1, 1, 2)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "",
        ),
        (
            conv(windows(0, 1, 1, 2)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "stride of 0",
        ),
        (
            conv(windows(1, 1, 0, 2)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "dilation of 0",
        ),
        (
            conv(windows(1, 1, 1, 0)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "groups of 0",
        ),
        (
            conv(windows(1, 1, 1, 3)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "split into 3 groups",
        ),
        (
            conv(windows(1, 1, 1, 1)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "4 inputs for each",
        ),
        (
            conv(windows(1, 2, 1, 2)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "[1, 8, 8, 8]",
        ),
        (
            conv(windows(1, 0, 4, 2)),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "window of 9",
        ),
        (
            conv(windows(1, 1, 1, 2)),
            vec![image, filters],
            (&[0, 8, 6, 6], Int),
            "output is Int",
        ),
        (
            conv(windows(1, 1, 1, 2)),
            vec![(&[0, 4, 6, 6], Int), filters],
            (&[0, 8, 6, 6], Float),
            "operand 0 is Int",
        ),
        (
            conv(windows(1, 1, 1, 2)),
            vec![image, filters, (&[7], Float)],
            (&[0, 8, 6, 6], Float),
            "8 channels",
        ),
        (
            conv(Convolution {
                dilation: vec![1],
                ..windows(1, 1, 1, 2)
            }),
            vec![image, filters],
            (&[0, 8, 6, 6], Float),
            "1 numbers of dilation for 2",
        ),
        (
            transposed(windows(2, 0, 1, 1), vec![1, 1]),
            vec![image, (&[4, 3, 2, 2], Float)],
            (&[0, 3, 13, 13], Float),
            "",
        ),
        (
            transposed(windows(2, 0, 1, 1), vec![2, 2]),
            vec![image, (&[4, 3, 2, 2], Float)],
            (&[0, 3, 14, 14], Float),
            "output padding of 2",
        ),
        (
            transposed(windows(2, 0, 1, 1), vec![1]),
            vec![image, (&[4, 3, 2, 2], Float)],
            (&[0, 3, 13, 13], Float),
            "output padding",
        ),
        (
            transposed(windows(1, 9, 1, 1), vec![0, 0]),
            vec![image, (&[4, 3, 2, 2], Float)],
            (&[0, 3, 1, 1], Float),
            "leaves nothing",
        ),
        (
            Op::MaxPool(pool(2, 2, 0, 1)),
            vec![image],
            (&[0, 4, 3, 3], Float),
            "",
        ),
        (
            Op::MaxPool(pool(0, 2, 0, 1)),
            vec![image],
            (&[0, 4, 3, 3], Float),
            "kernel of 0",
        ),
        (
            Op::MaxPool(pool(2, 0, 0, 1)),
            vec![image],
            (&[0, 4, 3, 3], Float),
            "stride of 0",
        ),
        (
            Op::MaxPool(pool(2, 2, 2, 1)),
            vec![image],
            (&[0, 4, 5, 5], Float),
            "half of the window",
        ),
        (
            Op::MaxPool(pool(2, 2, 0, 1)),
            vec![image],
            (&[0, 4, 2, 3], Float),
            "[1, 4, 3, 3]",
        ),
        (
            average(pool(2, 2, 0, 2)),
            vec![image],
            (&[0, 4, 2, 2], Float),
            "dilation of [2, 2]",
        ),
        (
            Op::AdaptiveAveragePool,
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "valid are 3 to 5",
        ),
        (
            Op::Pad {
                padding: vec![[0, 0], [4, 0]],
                with: Padding::Reflect,
            },
            vec![(&[0, 4], Float)],
            (&[0, 8], Float),
            "nothing to repeat",
        ),
        (
            Op::Linear,
            vec![(&[0, 4], Float), (&[5, 2], Float)],
            (&[0, 2], Float),
            "equally long",
        ),
        (
            Op::Linear,
            vec![(&[0, 4], Float), (&[4, 2], Float), (&[1], Float)],
            (&[0, 2], Float),
            "2 channels",
        ),
        (
            Op::Matmul,
            vec![(&[0, 4], Float), (&[5, 2], Float)],
            (&[0, 2], Float),
            "equally long",
        ),
        (
            Op::Embedding,
            vec![(&[9, 3], Float), (&[0, 4], Float)],
            (&[0, 4, 3], Float),
            "operand 1 is Float",
        ),
        (
            Op::Zip(Arithmetic::Add),
            vec![(&[0, 4], Float), (&[0, 3], Float)],
            (&[0, 4], Float),
            "do not broadcast",
        ),
        (
            Op::Zip(Arithmetic::Add),
            vec![(&[0, 4], Float), (&[0, 4], Int)],
            (&[0, 4], Float),
            "operand 1 is Int",
        ),
        (
            Op::Zip(Arithmetic::And),
            vec![(&[0, 4], Float), (&[0, 4], Float)],
            (&[0, 4], Float),
            "operand 0 is Float",
        ),
        (
            Op::Zip(Arithmetic::PRelu),
            vec![(&[0, 4], Float), (&[1, 3], Float)],
            (&[0, 4], Float),
            "4 channels",
        ),
        (
            Op::Scalar(Arithmetic::PRelu, 0.5),
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "operand 0 is Float",
        ),
        (
            Op::Scalar(Arithmetic::Divide, 0.0),
            vec![(&[0, 4], Int)],
            (&[0, 4], Int),
            "divided by 0",
        ),
        (
            Op::Map(Map::Exp),
            vec![(&[0, 4], Int)],
            (&[0, 4], Int),
            "operand 0 is Int",
        ),
        (
            Op::Map(Map::Clamp {
                low: 2.0,
                high: 1.0,
            }),
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "from 2 to 1",
        ),
        (
            Op::Map(Map::Not),
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "operand 0 is Float",
        ),
        (
            Op::Compare(Comparison::Less),
            vec![(&[0, 4], Bool), (&[0, 4], Bool)],
            (&[0, 4], Bool),
            "operand 0 is Bool; valid are [Float, Int]",
        ),
        (
            Op::Where,
            vec![(&[0, 4], Float), (&[0, 4], Float), (&[0, 4], Float)],
            (&[0, 4], Float),
            "not Bool",
        ),
        (
            Op::Reduce(Reduction::Sum, 1),
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "[1, 1]",
        ),
        (
            Op::ArgMax(1),
            vec![(&[0, 4], Float)],
            (&[0, 1], Float),
            "not Int",
        ),
        (
            Op::Concat(1),
            vec![(&[0, 4], Float), (&[3, 4], Float)],
            (&[0, 8], Float),
            "differ beside axis 1",
        ),
        (
            Op::Slice(vec![Range::fixed(0, 1), Range::fixed(3, 5)]),
            vec![(&[0, 4], Float)],
            (&[1, 2], Float),
            "length 4",
        ),
        (
            Op::Slice(vec![Range::fixed(0, 2), Range::fixed(0, 4)]),
            vec![(&[0, 4], Float)],
            (&[2, 4], Float),
            "batch of 1",
        ),
        (
            Op::Gather(1),
            vec![(&[0, 4], Float), (&[5, 4], Int)],
            (&[5, 4], Float),
            "differ along axis 0",
        ),
        (
            Op::ArgSort {
                axis: 1,
                descending: true,
            },
            vec![(&[0, 4], Float)],
            (&[0, 5], Int),
            "the shape [1, 4], and its output has [1, 5]",
        ),
        (
            Op::ArgSort {
                axis: 1,
                descending: false,
            },
            vec![(&[0, 4], Float)],
            (&[0, 2], Float),
            "its output is Float, not Int",
        ),
        (
            Op::ArgSort {
                axis: 2,
                descending: false,
            },
            vec![(&[0, 4], Float)],
            (&[0, 4], Int),
            "axis 2",
        ),
        (
            Op::Scatter(1, Update::Add),
            vec![(&[3, 4], Float), (&[2, 2], Int), (&[2, 2], Float)],
            (&[3, 4], Float),
            "differ along axis 0",
        ),
        (
            Op::Scatter(1, Update::Assign),
            vec![(&[3, 4], Float), (&[3, 2], Int), (&[3, 1], Float)],
            (&[3, 4], Float),
            "[3, 1] values for [3, 2] indices",
        ),
        (
            Op::Scatter(0, Update::Max),
            vec![(&[3, 4], Float), (&[3, 4], Float), (&[3, 4], Float)],
            (&[3, 4], Float),
            "operand 1 is Float, not Int",
        ),
        (
            Op::Scatter(0, Update::Assign),
            vec![(&[3, 4], Bool), (&[3, 4], Int), (&[3, 4], Bool)],
            (&[3, 4], Bool),
            "operand 0 is Bool",
        ),
        (
            Op::ScatterNd(Update::Assign),
            vec![(&[3, 4], Float), (&[2, 3], Int), (&[2], Float)],
            (&[3, 4], Float),
            "3 numbers for the 2 axes",
        ),
        (
            Op::ScatterNd(Update::Min),
            vec![(&[3, 4], Float), (&[2, 1], Int), (&[2], Float)],
            (&[3, 4], Float),
            "need [2, 4]",
        ),
        (
            Op::ScatterNd(Update::Multiply),
            vec![(&[3, 4], Float), (&[2, 1], Int), (&[2, 4], Int)],
            (&[3, 4], Float),
            "operand 2 is Int, not Float",
        ),
        (
            Op::Reshape,
            vec![(&[0, 4], Float)],
            (&[0, 5], Float),
            "number of elements",
        ),
        (
            Op::Expand,
            vec![(&[0, 4], Float)],
            (&[0, 5], Float),
            "does not expand",
        ),
        (
            Op::Repeat { axis: 1, times: 0 },
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "0 times",
        ),
        (
            Op::Flip(vec![1, 1]),
            vec![(&[0, 4], Float)],
            (&[0, 4], Float),
            "twice",
        ),
        (
            Op::Cast,
            vec![(&[0, 4], Float)],
            (&[0, 4], Bool),
            "by a comparison",
        ),
    ];
    let mut wrong = Vec::new();
    for (op, operands, output, expected) in rows {
        let found = single(&op, &operands, output).check();
        let said = found
            .as_ref()
            .map_or_else(ToString::to_string, |()| String::new());
        let right = match expected {
            "" => found.is_ok(),
            expected => said.contains(expected),
        };
        if !right {
            wrong.push(format!("{op:?}: `{said}`, not `{expected}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_values_may_have_one_name() {
    let add = Op::Zip(Arithmetic::Add);
    let operands: [(&[usize], ElementKind); 2] = [(&[0, 4], Float), (&[0, 4], Float)];
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let mut graph = single(&add, &operands, (&[0, 4], Float));
        graph.values[1].source = Source::Constant;
        graph.values[1].shape[0] = 1.into();
        graph.inputs.pop();
        graph.check().expect("unique names");
        graph.values[first].name = graph.values[second].name.clone();
        let error = graph.check().expect_err("a name of two");
        assert!(
            error.to_string().contains("names must be unique"),
            "{error}"
        );
    }
}
