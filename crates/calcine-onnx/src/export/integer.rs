//! Writes layers with integer arithmetic in standard operators, so that every runtime gives the integers of the
//! quantized network.
//!
//! Factors are the scales of `DequantizeLinear`, and `QuantizeLinear` with the scale 1 rounds. Between the two are
//! floats that represent integers, or products of them with one factor. Operands of more than 8 bits are split into two
//! bytes each, whose sums are combined in 32 bits.

use calcine_graph::{Node, Op};

use super::Form;
use super::builder::{Numbers, integer, ints, signed};
use super::codes::{Codes, WeightCodes};
use super::dynamic::{Dynamic, Plane};
use super::operators::{Attributes, windows};
use super::quantized::{LayerParts, Writer};
use crate::proto::data_type;

/// The largest 32-bit integer.
pub(crate) const LARGEST: u64 = (1 << 31) - 1;

/// Whether a layer is written in integer arithmetic in the form of the writer, or with integers that are stored as
/// floats, for runtimes that need them.
pub(crate) fn has_form(w: &Writer<'_>, parts: &LayerParts<'_>) -> bool {
    let written = w.dialect.whole_floats || w.form != Form::Qdq;
    let layer = matches!(
        parts.node.op,
        Op::Convolution(_) | Op::TransposedConvolution { .. } | Op::Linear
    );
    let has_integers = parts.input.is_some() || parts.layer.dynamic.is_some();
    written && layer && has_integers && parts.layer.group.is_none()
}

/// The input of a layer.
pub(crate) enum Input {
    Static(String, Codes),
    Dynamic(Dynamic),
}

/// Writes a layer for which [`has_form`] is true.
pub(crate) fn layer(w: &mut Writer<'_>, parts: &LayerParts<'_>) {
    let input = match (&parts.input, parts.layer.dynamic) {
        (Some((codes, of)), _) => Input::Static(codes.clone(), *of),
        (None, Some((bits, scheme))) => {
            Input::Dynamic(w.dynamic(parts.node.inputs[0], bits, scheme))
        }
        (None, None) => return,
    };
    let transposed = matches!(parts.node.op, Op::TransposedConvolution { .. });
    if let (Form::QOperator, Input::Static(codes, of), Some((_, to))) =
        (w.form, &input, parts.output)
        && !(of.is_wide() || to.is_wide() || transposed)
    {
        let weight = w.weight_codes(parts, false);
        if [data_type::INT8, data_type::UINT8].contains(&weight.data_type) {
            return linear_operator(w, parts, (codes, *of), weight, to);
        }
    }
    let sums = match transposed || w.dialect.whole_floats {
        true => whole_floats(w, parts, &input),
        false => integers(w, parts, &input),
    };
    rescaled(w, parts, &input, &sums);
}

/// Writes `QLinearConv`; for a linear layer, `QLinearMatMul` without a bias, and a convolution of one position with a
/// bias.
fn linear_operator(
    w: &mut Writer<'_>,
    parts: &LayerParts<'_>,
    (codes, of): (&str, Codes),
    weight: WeightCodes,
    to: Codes,
) {
    let (node, layer) = (parts.node, &parts.layer);
    let output = w.b.name(node.output);
    let bias = layer.bias.filter(|bias| bias.iter().any(|b| *b != 0));
    let as_convolution = node.op == Op::Linear && bias.is_some();
    let name = w.weight_name(parts);
    let mut dims = layer.shape.to_vec();
    let mut integers = weight.integers;
    if as_convolution {
        let [rows, columns] = [dims[0], dims[1]];
        let cells =
            (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
        integers = cells.map(|at| integers[at]).collect();
        dims = vec![columns, rows, 1, 1];
    }
    w.b.initializer(&name, &dims, &Numbers::Int(weight.data_type, &integers));
    let count = layer.scales.len();
    let vector: &[usize] = if count == 1 { &[] } else { &[count] };
    let scales = w.b.fresh(&format!("{name}/scale"));
    w.b.initializer(&scales, vector, &Numbers::Float(layer.scales));
    let zeros = Numbers::Int(weight.data_type, &weight.zero_points);
    let zeros = w.b.constant(&format!("{name}/zero_point"), vector, &zeros);
    let (x_scale, x_zero) = (w.scale(of.scale, &output), w.zero(of, &output));
    let (y_scale, y_zero) = (w.scale(to.scale, &output), w.zero(to, &output));
    let bias = bias.map(|bias| {
        let name = w.bias_name(parts);
        w.b.initializer(&name, &[bias.len()], &Numbers::Int(data_type::INT32, bias));
        name
    });
    let shape = w.b.graph.value(node.output).shape.clone();
    let mut x = codes.to_owned();
    if as_convolution {
        let places = w.b.list(
            &format!("{output}/places_shape"),
            &[-1, signed(dims[1]), 1, 1],
        );
        let hint = format!("{output}/places");
        x = w.b.helper("Reshape", &[codes, &places], &hint, Vec::new());
    }
    let mut inputs = vec![
        &*x, &x_scale, &x_zero, &name, &scales, &zeros, &y_scale, &y_zero,
    ];
    inputs.extend(bias.as_deref());
    let clipped = to.range != to.limits;
    let shaped = as_convolution;
    let hint = format!("{output}/codes");
    let mut result = match clipped || shaped {
        true => w.b.fresh(&hint),
        false => output.clone(),
    };
    match &node.op {
        Op::Convolution(options) => {
            let kernel = &w.b.graph.value(node.inputs[1]).shape[2..];
            let attributes = windows(options, kernel);
            w.b.node("QLinearConv", &inputs, &result, attributes);
        }
        _ if as_convolution => {
            let attributes = vec![
                ints("kernel_shape", [1, 1]),
                ints("pads", [0; 4]),
                ints("strides", [1, 1]),
            ];
            w.b.node("QLinearConv", &inputs, &result, attributes);
        }
        _ => w.b.node("QLinearMatMul", &inputs, &result, Vec::new()),
    }
    if clipped {
        result = w.clip(&result, to, &hint);
    }
    if shaped {
        w.shaped(&result, &shape, &output);
        result = output;
    }
    w.set_codes(node.output, result, to);
}

/// The integer operator of a layer, and its attributes.
fn operator(w: &Writer<'_>, node: &Node, names: [&'static str; 3]) -> (&'static str, Attributes) {
    let kernel = || &w.b.graph.value(node.inputs[1]).shape[2..];
    match &node.op {
        Op::Convolution(options) => (names[0], windows(options, kernel())),
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => {
            let mut attributes = windows(convolution, kernel());
            attributes.push(ints("output_padding", output_padding.iter().copied()));
            (names[1], attributes)
        }
        _ => (names[2], Vec::new()),
    }
}

/// The shape with which numbers, one for each output, broadcast to the output of the layer.
fn along(node: &Node, count: usize) -> Vec<usize> {
    match (&node.op, count) {
        (_, 1) => Vec::new(),
        (Op::Convolution(options), _)
        | (
            Op::TransposedConvolution {
                convolution: options,
                ..
            },
            _,
        ) => {
            let ones = options.stride.iter().map(|_| 1);
            [count].into_iter().chain(ones).collect()
        }
        _ => vec![count],
    }
}

/// Writes the sums of a layer and its bias with `ConvInteger` or `MatMulInteger`; the result is converted to floats
/// once.
fn integers(w: &mut Writer<'_>, parts: &LayerParts<'_>, input: &Input) -> String {
    let node = parts.node;
    let output = w.b.name(node.output);
    let inputs = planes(w, input, &output);
    let weights = weight_planes(w, parts);
    let hint = format!("{output}/sums");
    let mut total: Option<String> = None;
    for x in &inputs {
        for (weight, zero, factor) in &weights {
            let mut operands = vec![&*x.codes, weight, &x.zero_point];
            operands.extend(zero.as_deref());
            let (op, attributes) = operator(w, node, ["ConvInteger", "", "MatMulInteger"]);
            let mut sums = w.b.helper(op, &operands, &hint, attributes);
            let factor = factor.wrapping_mul(x.factor);
            if factor != 1 {
                let numbers = Numbers::Int(data_type::INT32, &[factor]);
                let factor = w.b.constant(&format!("{hint}/factor"), &[], &numbers);
                sums = w.b.helper("Mul", &[&sums, &factor], &hint, Vec::new());
            }
            total = Some(match total {
                Some(total) => w.b.helper("Add", &[&total, &sums], &hint, Vec::new()),
                None => sums,
            });
        }
    }
    let mut sums = total.unwrap_or_default();
    if let Some(bias) = parts.layer.bias.filter(|bias| bias.iter().any(|b| *b != 0)) {
        let name = w.bias_name(parts);
        let dims = if bias.len() == 1 {
            vec![1]
        } else {
            along(node, bias.len())
        };
        w.b.initializer(&name, &dims, &Numbers::Int(data_type::INT32, bias));
        sums = w.b.helper("Add", &[&sums, &name], &hint, Vec::new());
    }
    let to = vec![integer("to", data_type::FLOAT)];
    w.b.helper("Cast", &[&sums], &format!("{hint}/float"), to)
}

/// Writes the input of a layer as bytes.
pub(crate) fn planes(w: &mut Writer<'_>, input: &Input, hint: &str) -> Vec<Plane> {
    let plane = |codes, zero_point, factor| Plane {
        codes,
        zero_point,
        factor,
    };
    match input {
        Input::Static(codes, of) if of.is_float() => {
            let hint = format!("{codes}/bytes");
            let zero = w.b.scalar(&hint, f64::from(of.zero_point));
            let whole = w.b.helper("Add", &[codes, &zero], &hint, Vec::new());
            let [low, high] = w.bytes(&whole, &hint);
            let zeros =
                [of.zero_point % 256, of.zero_point / 256].map(|zero| w.byte_constant(zero, &hint));
            let [low_zero, high_zero] = zeros;
            vec![plane(low, low_zero, 1), plane(high, high_zero, 256)]
        }
        Input::Static(codes, of) => {
            let zero = w.zero(*of, hint);
            vec![plane(codes.clone(), zero, 1)]
        }
        Input::Dynamic(dynamic) => {
            if let Some([codes, zero]) = dynamic.bytes.clone() {
                return vec![plane(codes, zero, 1)];
            }
            let hint = format!("{}/bytes", dynamic.centred);
            let operands = [&*dynamic.centred, &dynamic.zero_point];
            let whole = w.b.helper("Add", &operands, &hint, Vec::new());
            if !dynamic.is_wide() {
                let [codes, zero] = [&whole, &dynamic.zero_point].map(|floats| w.byte(floats));
                return vec![plane(codes, zero, 1)];
            }
            let [low, high] = w.bytes(&whole, &hint);
            let [low_zero, high_zero] = w.bytes(&dynamic.zero_point, &format!("{hint}/zero_point"));
            vec![plane(low, low_zero, 1), plane(high, high_zero, 256)]
        }
    }
}

/// Writes the weight of a layer as initializers of bytes, each with a zero point and a factor.
fn weight_planes(w: &mut Writer<'_>, parts: &LayerParts<'_>) -> Vec<(String, Option<String>, i32)> {
    let layer = &parts.layer;
    let name = w.weight_name(parts);
    let codes = w.weight_codes(parts, false);
    let shared = codes
        .zero_points
        .iter()
        .all(|zero| Some(zero) == codes.zero_points.first());
    let is_byte = [data_type::INT8, data_type::UINT8].contains(&codes.data_type);
    if is_byte && shared {
        let numbers = Numbers::Int(codes.data_type, &codes.integers);
        w.b.initializer(&name, layer.shape, &numbers);
        let zero = codes.zero_points.first().copied().filter(|zero| *zero != 0);
        let zero = zero.map(|zero| {
            let number = Numbers::Int(codes.data_type, &[zero]);
            w.b.constant(&format!("{name}/zero_point"), &[], &number)
        });
        return vec![(name, zero, 1)];
    }
    let mut rest = layer.weight.to_vec();
    let (mut planes, mut factor) = (Vec::new(), 1_i32);
    loop {
        let last = rest.iter().all(|q| (-128..=127).contains(q));
        let plane = if planes.is_empty() {
            name.clone()
        } else {
            w.b.fresh(&format!("{name}/{factor}"))
        };
        let (kind, digits) = match last {
            true => (data_type::INT8, rest.clone()),
            false => (
                data_type::UINT8,
                rest.iter().map(|q| q.rem_euclid(256)).collect(),
            ),
        };
        w.b.initializer(&plane, layer.shape, &Numbers::Int(kind, &digits));
        planes.push((plane, None, factor));
        if last {
            return planes;
        }
        rest.iter_mut().for_each(|q| *q = q.div_euclid(256));
        factor = factor.wrapping_mul(256);
    }
}

/// Writes the sums of a layer and its bias with a float operator on integers that are stored as floats. They are exact
/// up to 2²⁴.
fn whole_floats(w: &mut Writer<'_>, parts: &LayerParts<'_>, input: &Input) -> String {
    let (node, layer) = (parts.node, &parts.layer);
    let output = w.b.name(node.output);
    let x = match input {
        Input::Static(codes, of) => w.times(codes, *of, 1.0, &format!("{output}/operand")),
        Input::Dynamic(dynamic) => dynamic.centred.clone(),
    };
    let name = w.weight_name(parts);
    let codes = WeightCodes::of(layer.weight, &[], 1, |_| 0, false);
    let weight = if codes.data_type == data_type::INT8 {
        w.b.initializer(
            &name,
            layer.shape,
            &Numbers::Int(data_type::INT8, layer.weight),
        );
        let of = Codes {
            data_type: data_type::INT8,
            scale: 1.0,
            zero_point: 0,
            range: [-128, 127],
            limits: [-128, 127],
        };
        w.times(&name, of, 1.0, &format!("{name}/float"))
    } else {
        #[allow(clippy::cast_precision_loss, reason = "integers of 17 bits")]
        let numbers: Vec<f32> = layer.weight.iter().map(|q| *q as f32).collect();
        w.b.initializer(&name, layer.shape, &Numbers::Float(&numbers));
        name.clone()
    };
    let bias = layer.bias.filter(|bias| bias.iter().any(|b| *b != 0));
    let bias = bias.map(|bias| {
        #[allow(
            clippy::cast_precision_loss,
            reason = "exact up to 2^24, as the sums are"
        )]
        let numbers: Vec<f32> = bias.iter().map(|b| *b as f32).collect();
        let name = w.bias_name(parts);
        w.b.initializer(&name, &[numbers.len()], &Numbers::Float(&numbers));
        name
    });
    let flat = w.b.graph.value(node.inputs[0]).shape.len() == 2;
    let linear = if flat { "Gemm" } else { "MatMul" };
    let (op, attributes) = operator(w, node, ["Conv", "ConvTranspose", linear]);
    let hint = format!("{output}/sums");
    let mut operands = vec![&*x, &weight];
    if op != "MatMul" {
        operands.extend(bias.as_deref());
    }
    let sums = w.b.helper(op, &operands, &hint, attributes);
    match bias.filter(|_| op == "MatMul") {
        Some(bias) => w.b.helper("Add", &[&sums, &bias], &hint, Vec::new()),
        None => sums,
    }
}

/// Writes the output of a layer from its sums.
fn rescaled(w: &mut Writer<'_>, parts: &LayerParts<'_>, input: &Input, sums: &str) {
    let (node, layer) = (parts.node, &parts.layer);
    let output = w.b.name(node.output);
    let name = w.b.name(node.inputs[1]);
    let factors = layer.scales.iter().map(|step| match input {
        Input::Dynamic(_) => *step,
        Input::Static(_, of) => {
            let scale = of.scale * step;
            parts
                .output
                .map_or(scale, |(quantizer, _)| scale / quantizer.scale)
        }
    });
    let factors: Vec<f32> = factors.collect();
    let dims = along(node, factors.len());
    let factor = w.b.fresh(&format!("{name}/factor"));
    w.b.initializer(&factor, &dims, &Numbers::Float(&factors));
    if let Input::Dynamic(dynamic) = input {
        let bias = layer
            .float_bias
            .filter(|bias| bias.iter().any(|b| *b != 0.0));
        let hint = format!("{output}/rescaled");
        let scaled = w.b.helper("Mul", &[sums, &factor], &hint, Vec::new());
        let end = match bias.is_none() && parts.output.is_none() {
            true => output.clone(),
            false => w.b.fresh(&hint),
        };
        w.b.node("Mul", &[&scaled, &dynamic.scale], &end, Vec::new());
        let mut result = end;
        if let Some(bias) = bias {
            let name = w.bias_name(parts);
            let dims = if bias.len() == 1 {
                vec![1]
            } else {
                along(node, bias.len())
            };
            w.b.initializer(&name, &dims, &Numbers::Float(bias));
            let end = match parts.output.is_none() {
                true => output.clone(),
                false => w.b.fresh(&hint),
            };
            w.b.node("Add", &[&result, &name], &end, Vec::new());
            result = end;
        }
        return w.give(parts, result);
    }
    match parts.output {
        None => {
            w.b.node("Mul", &[sums, &factor], &output, Vec::new());
            w.set_float(node.output, output);
        }
        Some((_, to)) => {
            let hint = format!("{output}/rescaled");
            let rescaled = w.b.helper("Mul", &[sums, &factor], &hint, Vec::new());
            let codes = w.quantized_codes(&rescaled, Codes { scale: 1.0, ..to }, &output);
            w.set_codes(node.output, codes, to);
        }
    }
}
