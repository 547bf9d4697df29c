//! The operations of a graph as ONNX operators, in float.

use calcine_graph::{
    Arithmetic, Comparison, Convolution, ElementKind, Extent, Interpolation, Node, Op, Padding,
    Pool, Range, Reduction, Update,
};

use super::builder::{Builder, Numbers, float, int, integer, ints, signed, word};
use super::functions;
use crate::proto::data_type;

/// Writes the nodes that compute `node` of operands of these names, with a result of this name.
pub(crate) fn emit(b: &mut Builder<'_>, node: &Node, x: &[String], out: &str) {
    let x: Vec<&str> = x.iter().map(String::as_str).collect();
    let graph = b.graph;
    let shape = |at: usize| &graph.value(node.inputs[at]).shape;
    let kind = |at: usize| graph.value(node.inputs[at]).kind;
    let result = graph.value(node.output);
    match &node.op {
        Op::Convolution(options) => {
            let attributes = windows(options, &shape(1)[2..]);
            b.node("Conv", &x, out, attributes);
        }
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => {
            let mut attributes = windows(convolution, &shape(1)[2..]);
            attributes.push(ints("output_padding", output_padding.iter().copied()));
            b.node("ConvTranspose", &x, out, attributes);
        }
        Op::Linear if shape(0).len() == 2 => b.node("Gemm", &x, out, Vec::new()),
        Op::Linear => match x[..] {
            [x, weight, bias] => {
                let product = b.helper("MatMul", &[x, weight], &format!("{out}/product"), vec![]);
                b.node("Add", &[&product, bias], out, Vec::new());
            }
            _ => b.node("MatMul", &x, out, Vec::new()),
        },
        Op::Matmul => b.node("MatMul", &x, out, Vec::new()),
        Op::Embedding => b.node("Gather", &x, out, vec![integer("axis", 0)]),
        Op::BatchNorm { epsilon, momentum } => {
            let attributes = vec![
                float("epsilon", *epsilon),
                float("momentum", 1.0 - momentum),
            ];
            b.node("BatchNormalization", &x, out, attributes);
        }
        Op::LayerNorm { epsilon } => layer_norm(b, &x, shape(0).len() - 1, *epsilon, out),
        Op::Attention { .. } => attention(b, node, &x, out),
        Op::MaxPool(pool) => {
            let attributes = pooled(pool, true);
            b.node("MaxPool", &x, out, attributes);
        }
        Op::AveragePool {
            pool,
            count_padding,
        } => {
            let mut attributes = pooled(pool, false);
            attributes.push(integer("count_include_pad", i64::from(*count_padding)));
            b.node("AveragePool", &x, out, attributes);
        }
        Op::AdaptiveAveragePool => adaptive(b, &x, shape(0), &result.shape, node, out),
        Op::Interpolate {
            mode,
            align_corners,
        } => interpolate(b, &x, (*mode, *align_corners), node, out),
        Op::Pad { padding, with } => pad(b, &x, padding, *with, kind(0), out),
        Op::Map(map) => functions::map(b, *map, x[0], kind(0), out),
        Op::Scalar(arithmetic, number) => {
            let number = b.number(&format!("{out}/number"), *number, kind(0));
            arithmetic_of(b, *arithmetic, [x[0], &number], kind(0), node, out);
        }
        Op::Zip(Arithmetic::PRelu) => {
            let (slopes, rank) = (shape(1), shape(0).len());
            let count: usize = slopes.iter().map(|extent| extent.fixed).product();
            let mut target = vec![1; rank];
            if let Some(channels) = target.get_mut(1) {
                *channels = signed(count);
            }
            let target = b.list(&format!("{out}/slopes_shape"), &target);
            let hint = format!("{out}/slopes");
            let slopes = b.helper("Reshape", &[x[1], &target], &hint, Vec::new());
            b.node("PRelu", &[x[0], &slopes], out, Vec::new());
        }
        Op::Zip(arithmetic) => arithmetic_of(b, *arithmetic, [x[0], x[1]], kind(0), node, out),
        Op::CompareScalar(comparison, number) => {
            let number = b.number(&format!("{out}/number"), *number, kind(0));
            compare(b, *comparison, [x[0], &number], out);
        }
        Op::Compare(comparison) => compare(b, *comparison, [x[0], x[1]], out),
        Op::Where => b.node("Where", &[x[1], x[2], x[0]], out, Vec::new()),
        Op::Fill(number) => {
            let number = b.number(&format!("{out}/number"), *number, kind(0));
            b.node("Where", &[x[1], &number, x[0]], out, Vec::new());
        }
        Op::Softmax(axis) => b.node("Softmax", &x, out, vec![int("axis", *axis)]),
        Op::LogSoftmax(axis) => b.node("LogSoftmax", &x, out, vec![int("axis", *axis)]),
        Op::Reduce(reduction, axis) => reduce(b, *reduction, x[0], &[*axis], out),
        Op::ReduceAll(reduction) => {
            let axes: Vec<usize> = (0..shape(0).len()).collect();
            let all = b.fresh(&format!("{out}/all"));
            reduce(b, *reduction, x[0], &axes, &all);
            let one = b.list(&format!("{out}/shape"), &[1]);
            b.node("Reshape", &[&all, &one], out, Vec::new());
        }
        Op::ArgMax(axis) => {
            let attributes = vec![int("axis", *axis), integer("keepdims", 1)];
            b.node("ArgMax", &x, out, attributes);
        }
        Op::CumulativeSum(axis) => {
            let axis = b.list(&format!("{out}/axis"), &[signed(*axis)]);
            b.node("CumSum", &[x[0], &axis], out, Vec::new());
        }
        Op::ArgSort { axis, descending } => {
            let count = b.lengths(&result.shape[*axis..=*axis], &format!("{out}/count"));
            let values = b.fresh(&format!("{out}/values"));
            let attributes = vec![
                int("axis", *axis),
                integer("largest", i64::from(*descending)),
                integer("sorted", 1),
            ];
            b.node_of_several("TopK", &[x[0], &count], &[&values, out], attributes);
        }
        Op::Concat(axis) => b.node("Concat", &x, out, vec![int("axis", *axis)]),
        Op::Slice(ranges) => slice(b, x[0], ranges, shape(0), node, out),
        Op::Select(axis) => b.node("Gather", &x, out, vec![int("axis", *axis)]),
        Op::Gather(axis) => b.node("GatherElements", &x, out, vec![int("axis", *axis)]),
        Op::Scatter(axis, update) => {
            scatter(
                b,
                "ScatterElements",
                &x,
                *update,
                vec![int("axis", *axis)],
                node,
                out,
            );
        }
        Op::ScatterNd(update) => scatter(b, "ScatterND", &x, *update, Vec::new(), node, out),
        Op::Reshape => {
            let target = b.target(&result.shape, &format!("{out}/shape"));
            b.node("Reshape", &[x[0], &target], out, Vec::new());
        }
        Op::Expand => {
            let target = b.lengths(&result.shape, &format!("{out}/shape"));
            b.node("Expand", &[x[0], &target], out, Vec::new());
        }
        Op::Permute(axes) => {
            let axes = ints("perm", axes.iter().copied());
            b.node("Transpose", &x, out, vec![axes]);
        }
        Op::Flip(axes) => {
            let list = |value: i64| vec![value; axes.len()];
            let starts = b.list(&format!("{out}/starts"), &list(-1));
            let ends = b.list(&format!("{out}/ends"), &list(i64::MIN));
            let own: Vec<i64> = axes.iter().map(|&axis| signed(axis)).collect();
            let own = b.list(&format!("{out}/axes"), &own);
            let steps = b.list(&format!("{out}/steps"), &list(-1));
            b.node(
                "Slice",
                &[x[0], &starts, &ends, &own, &steps],
                out,
                Vec::new(),
            );
        }
        Op::Repeat { axis, times } => {
            let mut repeats = vec![1; shape(0).len()];
            repeats[*axis] = signed(*times);
            let repeats = b.list(&format!("{out}/repeats"), &repeats);
            b.node("Tile", &[x[0], &repeats], out, Vec::new());
        }
        Op::Constant(number) => {
            let number = b.number(&format!("{out}/number"), *number, result.kind);
            let target = b.lengths(&result.shape, &format!("{out}/shape"));
            b.node("Expand", &[&number, &target], out, Vec::new());
        }
        Op::Cast => {
            let to = match result.kind {
                ElementKind::Float => data_type::FLOAT,
                ElementKind::Int => data_type::INT64,
                ElementKind::Bool => data_type::BOOL,
            };
            b.node("Cast", &x, out, vec![integer("to", to)]);
        }
    }
}

/// Writes a scatter. Older opsets do not have the attribute for the function of the update, or not all of its values.
fn scatter(
    b: &mut Builder<'_>,
    op: &'static str,
    x: &[&str],
    update: Update,
    mut attributes: Attributes,
    node: &Node,
    out: &str,
) {
    let (name, since) = match update {
        Update::Assign => ("none", 0),
        Update::Add => ("add", 16),
        Update::Multiply => ("mul", 16),
        Update::Max => ("max", 18),
        Update::Min => ("min", 18),
    };
    if b.opset < since {
        let reason = format!("the reduction `{name}` needs opset {since}");
        return b.unsupported(&node.name, op, reason);
    }
    if update != Update::Assign {
        attributes.push(word("reduction", name));
    }
    b.node(op, x, out, attributes);
}

pub(crate) type Attributes = Vec<crate::proto::Attribute<'static>>;

pub(crate) fn windows(options: &Convolution, kernel: &[Extent]) -> Attributes {
    let pads = &options.padding;
    let before = pads.iter().map(|[before, _]| *before);
    let after = pads.iter().map(|[_, after]| *after);
    vec![
        ints("dilations", options.dilation.iter().copied()),
        int("group", options.groups),
        ints("kernel_shape", kernel.iter().map(|extent| extent.fixed)),
        ints("pads", before.chain(after)),
        ints("strides", options.stride.iter().copied()),
    ]
}

fn pooled(pool: &Pool, dilated: bool) -> Attributes {
    let pads = pool.padding.iter().chain(&pool.padding);
    let mut attributes = vec![
        integer("ceil_mode", i64::from(pool.ceil)),
        ints("kernel_shape", pool.kernel.iter().copied()),
        ints("pads", pads.copied()),
        ints("strides", pool.stride.iter().copied()),
    ];
    if dilated {
        attributes.push(ints("dilations", pool.dilation.iter().copied()));
    }
    attributes
}

fn layer_norm(b: &mut Builder<'_>, x: &[&str], axis: usize, epsilon: f64, out: &str) {
    if b.opset >= 17 {
        let attributes = vec![integer("axis", -1), float("epsilon", epsilon)];
        return b.node("LayerNormalization", x, out, attributes);
    }
    let hint = |part: &str| format!("{out}/{part}");
    let mean = b.fresh(&hint("mean"));
    reduce(b, Reduction::Mean, x[0], &[axis], &mean);
    let centred = b.helper("Sub", &[x[0], &mean], &hint("centred"), Vec::new());
    let squares = b.helper("Mul", &[&centred, &centred], &hint("squares"), Vec::new());
    let variance = b.fresh(&hint("variance"));
    reduce(b, Reduction::Mean, &squares, &[axis], &variance);
    let epsilon = b.scalar(&hint("epsilon"), epsilon);
    let shifted = b.helper("Add", &[&variance, &epsilon], &hint("shifted"), Vec::new());
    let deviation = b.helper("Sqrt", &[&shifted], &hint("deviation"), Vec::new());
    let normed = b.helper("Div", &[&centred, &deviation], &hint("normed"), Vec::new());
    match x[1..] {
        [gamma, beta] => {
            let scaled = b.helper("Mul", &[&normed, gamma], &hint("scaled"), Vec::new());
            b.node("Add", &[&scaled, beta], out, Vec::new());
        }
        _ => b.node("Mul", &[&normed, x[1]], out, Vec::new()),
    }
}

/// Writes an attention: scores, softcap, masks, bias, softmax, and the weighted mean of the values, as Burn computes
/// it, except that a row in which everything is masked is NaN.
fn attention(b: &mut Builder<'_>, node: &Node, x: &[&str], out: &str) {
    let Op::Attention {
        scale,
        softcap,
        causal,
        masked,
    } = node.op
    else {
        return;
    };
    let hint = |part: &str| format!("{out}/{part}");
    let query = &b.graph.value(node.inputs[0]).shape;
    let key = &b.graph.value(node.inputs[1]).shape;
    let (features, rows, columns) = (query[3], query[2], key[2]);
    #[allow(clippy::cast_precision_loss, reason = "a number of features")]
    let scale = scale.unwrap_or_else(|| 1.0 / (features.fixed as f64).sqrt());
    let axes = vec![ints("perm", [0, 1, 3, 2])];
    let turned = b.helper("Transpose", &[x[1]], &hint("key"), axes);
    let products = b.helper("MatMul", &[x[0], &turned], &hint("products"), Vec::new());
    let scale = b.scalar(&hint("scale"), scale);
    let mut scores = b.helper("Mul", &[&products, &scale], &hint("scores"), Vec::new());
    if let Some(cap) = softcap {
        let cap = b.scalar(&hint("softcap"), cap);
        let small = b.helper("Div", &[&scores, &cap], &hint("small"), Vec::new());
        let bound = b.helper("Tanh", &[&small], &hint("bound"), Vec::new());
        scores = b.helper("Mul", &[&bound, &cap], &hint("capped"), Vec::new());
    }
    let mut hidden: Vec<String> = Vec::new();
    let mut rest = x[3..].iter();
    if masked && let Some(mask) = rest.next() {
        hidden.push((*mask).to_owned());
    }
    if causal {
        if !(rows.is_fixed() && columns.is_fixed()) {
            return b.unsupported(&node.name, "attention", "a causal mask of changing size");
        }
        let later = (0..rows.fixed).flat_map(|row| (0..columns.fixed).map(move |at| at > row));
        let later: Vec<bool> = later.collect();
        let dims = [1, 1, rows.fixed, columns.fixed];
        hidden.push(b.constant(&hint("causal"), &dims, &Numbers::Bool(&later)));
    }
    for mask in hidden {
        let never = b.scalar(&hint("hidden"), f64::NEG_INFINITY);
        let masked = [mask.as_str(), &never, &scores];
        scores = b.helper("Where", &masked, &hint("masked"), Vec::new());
    }
    if let Some(bias) = rest.next() {
        scores = b.helper("Add", &[&scores, bias], &hint("biased"), Vec::new());
    }
    let attributes = vec![integer("axis", 3)];
    let weights = b.helper("Softmax", &[&scores], &hint("weights"), attributes);
    b.node("MatMul", &[&weights, x[2]], out, Vec::new());
}

/// Writes an adaptive average pool: as a global pool, as a pool with equal windows, or as a product with an averaging
/// matrix for each axis.
fn adaptive(
    b: &mut Builder<'_>,
    x: &[&str],
    input: &[Extent],
    output: &[Extent],
    node: &Node,
    out: &str,
) {
    let spatial = || input[2..].iter().zip(&output[2..]);
    if spatial().any(|(i, o)| !(i.is_fixed() && o.is_fixed())) {
        return b.unsupported(
            &node.name,
            node.op.name(),
            "a size that depends on the batch",
        );
    }
    if output[2..].iter().all(|extent| extent.fixed == 1) {
        return b.node("GlobalAveragePool", x, out, Vec::new());
    }
    if spatial().all(|(i, o)| i.fixed.is_multiple_of(o.fixed)) {
        let kernel: Vec<usize> = spatial().map(|(i, o)| i.fixed / o.fixed).collect();
        let pool = Pool {
            stride: kernel.clone(),
            padding: vec![0; kernel.len()],
            dilation: vec![1; kernel.len()],
            kernel,
            ceil: false,
        };
        return b.node("AveragePool", x, out, pooled(&pool, false));
    }
    // Each axis in turn becomes the last one, and is averaged by a matrix product.
    let rank = input.len();
    let mut current = x[0].to_owned();
    let rotate = ints("perm", [0, 1, rank - 1].into_iter().chain(2..rank - 1));
    let spatial: Vec<(usize, usize)> = spatial().map(|(i, o)| (i.fixed, o.fixed)).collect();
    for (turn, (inner, outer)) in spatial.into_iter().rev().enumerate() {
        let mut means = vec![0.0_f32; inner * outer];
        for place in 0..outer {
            let (start, end) = (place * inner / outer, ((place + 1) * inner).div_ceil(outer));
            #[allow(clippy::cast_precision_loss, reason = "a number of places")]
            (start..end).for_each(|at| means[at * outer + place] = 1.0 / (end - start) as f32);
        }
        let hint = format!("{out}/means");
        let means = b.constant(&hint, &[inner, outer], &Numbers::Float(&means));
        let product = b.helper("MatMul", &[&current, &means], &hint, Vec::new());
        let last = turn + 3 == rank;
        if last {
            b.node("Transpose", &[&product], out, vec![rotate.clone()]);
        } else {
            let turned = format!("{out}/turned");
            current = b.helper("Transpose", &[&product], &turned, vec![rotate.clone()]);
        }
    }
}

fn interpolate(
    b: &mut Builder<'_>,
    x: &[&str],
    (mode, align_corners): (Interpolation, bool),
    node: &Node,
    out: &str,
) {
    let (name, nearest) = match mode {
        Interpolation::Nearest => ("nearest", Some(("asymmetric", "floor"))),
        Interpolation::NearestExact => ("nearest", Some(("half_pixel", "round_prefer_ceil"))),
        Interpolation::Bilinear => ("linear", None),
        Interpolation::Bicubic => ("cubic", None),
        Interpolation::Lanczos3 => {
            return b.unsupported(&node.name, node.op.name(), "ONNX's Resize has no Lanczos");
        }
    };
    let (places, rounding) = nearest.unwrap_or(match align_corners {
        true => ("align_corners", "floor"),
        false => ("pytorch_half_pixel", "floor"),
    });
    let mut attributes = vec![word("coordinate_transformation_mode", places)];
    attributes.push(float("cubic_coeff_a", -0.75));
    attributes.push(word("mode", name));
    attributes.push(word("nearest_mode", rounding));
    let shape = &b.graph.value(node.output).shape;
    let sizes = b.lengths(shape, &format!("{out}/sizes"));
    b.node("Resize", &[x[0], "", "", &sizes], out, attributes);
}

fn pad(
    b: &mut Builder<'_>,
    x: &[&str],
    padding: &[[usize; 2]],
    with: Padding,
    kind: ElementKind,
    out: &str,
) {
    let before = padding.iter().map(|[before, _]| signed(*before));
    let after = padding.iter().map(|[_, after]| signed(*after));
    let pads: Vec<i64> = before.chain(after).collect();
    let pads = b.list(&format!("{out}/pads"), &pads);
    match with {
        Padding::Constant(number) => {
            let number = b.number(&format!("{out}/number"), number, kind);
            let mode = vec![word("mode", "constant")];
            b.node("Pad", &[x[0], &pads, &number], out, mode);
        }
        Padding::Reflect => b.node("Pad", &[x[0], &pads], out, vec![word("mode", "reflect")]),
        Padding::Edge => b.node("Pad", &[x[0], &pads], out, vec![word("mode", "edge")]),
    }
}

fn arithmetic_of(
    b: &mut Builder<'_>,
    arithmetic: Arithmetic,
    x: [&str; 2],
    kind: ElementKind,
    node: &Node,
    out: &str,
) {
    let simple = match arithmetic {
        Arithmetic::Add => "Add",
        Arithmetic::Subtract => "Sub",
        Arithmetic::Multiply => "Mul",
        Arithmetic::Divide => "Div",
        Arithmetic::Power => "Pow",
        Arithmetic::PRelu => "PRelu",
        Arithmetic::And => "And",
        Arithmetic::Or => "Or",
        Arithmetic::Remainder if kind == ElementKind::Int => "Mod",
        Arithmetic::Remainder => {
            // The remainder with the sign of the divisor, which ONNX has for integers only.
            let hint = |part: &str| format!("{out}/{part}");
            let quotient = b.helper("Div", &x, &hint("quotient"), Vec::new());
            let whole = b.helper("Floor", &[&quotient], &hint("whole"), Vec::new());
            let part = b.helper("Mul", &[&whole, x[1]], &hint("part"), Vec::new());
            return b.node("Sub", &[x[0], &part], out, Vec::new());
        }
        Arithmetic::Hypot => {
            let hint = |part: &str| format!("{out}/{part}");
            let [a, c] = x.map(|x| b.helper("Mul", &[x, x], &hint("square"), Vec::new()));
            let sum = b.helper("Add", &[&a, &c], &hint("sum"), Vec::new());
            return b.node("Sqrt", &[&sum], out, Vec::new());
        }
        _ => return b.unsupported(&node.name, node.op.name(), "ONNX has no counterpart for it"),
    };
    b.node(simple, &x, out, Vec::new());
}

fn compare(b: &mut Builder<'_>, comparison: Comparison, x: [&str; 2], out: &str) {
    let op = match comparison {
        Comparison::Equal => "Equal",
        Comparison::Greater => "Greater",
        Comparison::GreaterEqual => "GreaterOrEqual",
        Comparison::Less => "Less",
        Comparison::LessEqual => "LessOrEqual",
        Comparison::NotEqual => {
            let equal = b.helper("Equal", &x, &format!("{out}/equal"), Vec::new());
            return b.node("Not", &[&equal], out, Vec::new());
        }
    };
    b.node(op, &x, out, Vec::new());
}

fn reduce(b: &mut Builder<'_>, reduction: Reduction, x: &str, axes: &[usize], out: &str) {
    let op = match reduction {
        Reduction::Sum => "ReduceSum",
        Reduction::Mean => "ReduceMean",
        Reduction::Product => "ReduceProd",
        Reduction::Max => "ReduceMax",
        Reduction::Min => "ReduceMin",
        Reduction::MaxAbs => {
            let sizes = b.helper("Abs", &[x], &format!("{out}/sizes"), Vec::new());
            return b.over_axes("ReduceMax", &sizes, axes, out, vec![integer("keepdims", 1)]);
        }
    };
    b.over_axes(op, x, axes, out, vec![integer("keepdims", 1)]);
}

/// Writes a slice of the axes whose range is not the whole axis; with a negative step, it runs backwards from the end.
fn slice(b: &mut Builder<'_>, x: &str, ranges: &[Range], shape: &[Extent], node: &Node, out: &str) {
    let mut starts = Vec::new();
    let mut ends = Vec::new();
    let (mut axes, mut steps) = (Vec::new(), Vec::new());
    for (axis, (range, length)) in ranges.iter().zip(shape).enumerate() {
        let whole = range.start == Extent::fixed(0) && range.end == *length && range.step == 1;
        if whole {
            continue;
        }
        axes.push(signed(axis));
        steps.push(i64::try_from(range.step).unwrap_or(i64::MAX));
        if range.step > 0 {
            starts.push(range.start);
            ends.push(range.end);
            continue;
        }
        // From the last element down to the first. If that is the first element of the axis, the end is before the
        // axis.
        if !(range.start.is_fixed() && range.end.is_fixed()) {
            return b.unsupported(
                &node.name,
                node.op.name(),
                "backwards over a changing range",
            );
        }
        starts.push(range.end);
        ends.push(range.start);
    }
    if axes.is_empty() {
        return b.node("Identity", &[x], out, Vec::new());
    }
    let backwards = steps.iter().any(|step| *step < 0);
    let [starts, ends] = if backwards {
        let forward = |at: usize| steps[at] > 0;
        let position = |extent: &Extent, moved: i64| signed(extent.fixed) - moved;
        let fixed = starts.iter().chain(&ends).all(|extent| extent.is_fixed());
        if !fixed {
            return b.unsupported(
                &node.name,
                node.op.name(),
                "a changing range beside another",
            );
        }
        let first = (0..starts.len()).map(|at| position(&starts[at], i64::from(!forward(at))));
        let first: Vec<i64> = first.collect();
        let past = (0..ends.len()).map(|at| match (forward(at), ends[at].fixed) {
            (true, end) => signed(end),
            (false, 0) => i64::MIN,
            (false, start) => signed(start) - 1,
        });
        let past: Vec<i64> = past.collect();
        [
            b.list(&format!("{out}/starts"), &first),
            b.list(&format!("{out}/ends"), &past),
        ]
    } else {
        [
            b.lengths(&starts, &format!("{out}/starts")),
            b.lengths(&ends, &format!("{out}/ends")),
        ]
    };
    let axes = b.list(&format!("{out}/axes"), &axes);
    let steps = b.list(&format!("{out}/steps"), &steps);
    b.node(
        "Slice",
        &[x, &starts, &ends, &axes, &steps],
        out,
        Vec::new(),
    );
}
