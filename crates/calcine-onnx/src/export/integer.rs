//! Integer arithmetic spelled out, so that whatever runs it gives the codes of the quantized network.
//!
//! Factors are the scales of `DequantizeLinear`, and what rounds is `QuantizeLinear` with the scale 1: between the two are floats that
//! hold integers, or products of such with one factor.

use calcine_graph::{Arithmetic, Node, Op};
use calcine_quantize::Quantizer;

use super::Form;
use super::builder::{Numbers, ints, signed};
use super::codes::{Codes, WeightCodes};
use super::operators::{self, windows};
use super::quantized::{LayerParts, Writer, averaged, is_sum_or_product};
use crate::proto::data_type;

/// Up to here `f32` holds all integers.
const EXACT: u64 = 1 << 24;

/// Whether a layer has an operator of integers.
pub(crate) fn has_form(parts: &LayerParts<'_>) -> bool {
    let layer = &parts.layer;
    let one_zero_point = layer.zero_points.is_empty()
        || layer.zero_points.len() == 1
        || layer.weight.iter().all(|q| (-128..=127).contains(q));
    let narrow = parts.input.as_ref().is_some_and(|(_, of)| !of.is_wide());
    let convolves = matches!(parts.node.op, Op::Convolution(_) | Op::Linear);
    convolves && narrow && layer.bits <= 8 && layer.group.is_none() && one_zero_point
}

/// A layer of which [`has_form`] is true, in the forms `qoperator` and `integer`.
pub(crate) fn layer(w: &mut Writer<'_>, parts: &LayerParts<'_>) {
    let Some((codes, of)) = parts.input.clone() else {
        return;
    };
    let weight = w.weight_codes(parts, false);
    match parts.output {
        Some(quantizer) if w.form == Form::QOperator && !Codes::activation(quantizer).is_wide() => {
            linear_operator(w, parts, (&codes, of), weight, Codes::activation(quantizer));
        }
        _ => integer_operator(w, parts, (&codes, of), &weight),
    }
}

/// `QLinearConv`; `QLinearMatMul` for a linear layer without bias, and a convolution of one place for one with.
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
    let (x_scale, x_zero) = (w.scale(of.scale, &output), zero(w, of, &output));
    let (y_scale, y_zero) = (w.scale(to.scale, &output), zero(w, to, &output));
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

fn zero(w: &mut Writer<'_>, of: Codes, hint: &str) -> String {
    let number = Numbers::Int(of.data_type, &[of.zero_point]);
    w.b.constant(&format!("{hint}/zero_point"), &[], &number)
}

/// `ConvInteger` or `MatMulInteger`, the bias, and the factor.
fn integer_operator(
    w: &mut Writer<'_>,
    parts: &LayerParts<'_>,
    (codes, of): (&str, Codes),
    weight: &WeightCodes,
) {
    let (node, layer) = (parts.node, &parts.layer);
    let output = w.b.name(node.output);
    let name = w.weight_name(parts);
    let numbers = Numbers::Int(weight.data_type, &weight.integers);
    w.b.initializer(&name, layer.shape, &numbers);
    let mut inputs = vec![codes.to_owned(), name.clone(), zero(w, of, &output)];
    if let Some(point) = weight.zero_points.first().filter(|point| **point != 0) {
        let number = Numbers::Int(weight.data_type, &[*point]);
        inputs.push(w.b.constant(&format!("{name}/zero_point"), &[], &number));
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let hint = format!("{output}/sums");
    let mut sums = match &node.op {
        Op::Convolution(options) => {
            let kernel = &w.b.graph.value(node.inputs[1]).shape[2..];
            let attributes = windows(options, kernel);
            w.b.helper("ConvInteger", &inputs, &hint, attributes)
        }
        _ => w.b.helper("MatMulInteger", &inputs, &hint, Vec::new()),
    };
    let along = |count: usize| match (&node.op, count) {
        (_, 1) => Vec::new(),
        (Op::Convolution(options), count) => {
            let ones = options.stride.iter().map(|_| 1);
            [count].into_iter().chain(ones).collect()
        }
        (_, count) => vec![count],
    };
    if let Some(bias) = layer.bias.filter(|bias| bias.iter().any(|b| *b != 0)) {
        let name = w.bias_name(parts);
        let numbers = Numbers::Int(data_type::INT32, bias);
        let dims = match bias.len() {
            1 => vec![1],
            count => along(count),
        };
        w.b.initializer(&name, &dims, &numbers);
        sums = w.b.helper("Add", &[&sums, &name], &hint, Vec::new());
    }
    let to = vec![super::builder::integer("to", data_type::FLOAT)];
    let floats = w.b.helper("Cast", &[&sums], &format!("{hint}/float"), to);
    let factors = layer.scales.iter().map(|step| {
        let scale = of.scale * step;
        parts.output.map_or(scale, |output| scale / output.scale)
    });
    let factors: Vec<f32> = factors.collect();
    let dims = along(factors.len());
    let factor = w.b.fresh(&format!("{name}/factor"));
    w.b.initializer(&factor, &dims, &Numbers::Float(&factors));
    match parts.output {
        None => {
            w.b.node("Mul", &[&floats, &factor], &output, Vec::new());
            w.set_float(node.output, output);
        }
        Some(quantizer) => {
            let hint = format!("{output}/rescaled");
            let rescaled = w.b.helper("Mul", &[&floats, &factor], &hint, Vec::new());
            let to = Codes::activation(quantizer);
            let codes = w.quantized_codes(&rescaled, Codes { scale: 1.0, ..to }, &output);
            w.set_codes(node.output, codes, to);
        }
    }
}

/// Integers times a factor as floats, `float32(factor · (q − z))`.
fn times(w: &mut Writer<'_>, (name, of): (&str, Codes), factor: f32, hint: &str) -> String {
    let scale = w.scale(factor, hint);
    let zero = zero(w, of, hint);
    let inputs = [name, &scale, &zero];
    w.b.helper("DequantizeLinear", &inputs, hint, Vec::new())
}

/// A sum, product, mean or concatenation of values with quantizers, by the arithmetic of the quantized network. False, and nothing is
/// written, of other nodes.
pub(crate) fn exact(w: &mut Writer<'_>, node: &Node, quantizer: Quantizer) -> bool {
    let operands: Option<Vec<_>> = node.inputs.iter().map(|&id| w.codes(id)).collect();
    let Some(operands) = operands else {
        return false;
    };
    let to = Codes::activation(quantizer);
    let output = w.b.name(node.output);
    #[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
    let ratio = |scale: f64| (scale / f64::from(quantizer.scale)) as f32;
    let largest = |of: &Codes| {
        let ends = of.centred().map(|q| u64::from(q.unsigned_abs()));
        ends[0].max(ends[1])
    };
    let unrounded = match is_sum_or_product(&w.b, node) {
        Some(Arithmetic::Add) => {
            let scaled = operands.iter().map(|(name, of)| {
                let hint = format!("{output}/operand");
                times(w, (name, *of), ratio(f64::from(of.scale)), &hint)
            });
            let scaled: Vec<String> = scaled.collect();
            let inputs: Vec<&str> = scaled.iter().map(String::as_str).collect();
            w.b.helper("Add", &inputs, &format!("{output}/sum"), Vec::new())
        }
        Some(_) => {
            let [a, b] = [&operands[0], &operands[1]];
            if largest(&a.1) * largest(&b.1) > EXACT {
                return false;
            }
            let hint = format!("{output}/operand");
            let whole = [a, b].map(|(name, of)| times(w, (name, *of), 1.0, &hint));
            let hint = format!("{output}/product");
            let product =
                w.b.helper("Mul", &[&whole[0], &whole[1]], &hint, Vec::new());
            scaled(w, &product, a.1.scale * b.1.scale / quantizer.scale, &hint)
        }
        None if matches!(node.op, Op::Concat(_)) => {
            let each = operands.iter().map(|(name, of)| {
                if *of == to {
                    return name.clone();
                }
                let hint = format!("{output}/operand");
                let moved = times(w, (name, *of), ratio(f64::from(of.scale)), &hint);
                w.quantized_codes(&moved, Codes { scale: 1.0, ..to }, &hint)
            });
            let each: Vec<String> = each.collect();
            operators::emit(&mut w.b, node, &each, &output);
            w.set_codes(node.output, output, to);
            return true;
        }
        None if node.op == Op::Matmul && w.form != Form::Qdq => {
            let [a, b] = [&operands[0], &operands[1]];
            if a.1.is_wide() || b.1.is_wide() {
                return false;
            }
            let zeros = [a, b].map(|(_, of)| zero(w, *of, &output));
            let inputs = [a.0.as_str(), &b.0, &zeros[0], &zeros[1]];
            let hint = format!("{output}/sums");
            let sums = w.b.helper("MatMulInteger", &inputs, &hint, Vec::new());
            let to = vec![super::builder::integer("to", data_type::FLOAT)];
            let floats = w.b.helper("Cast", &[&sums], &format!("{hint}/float"), to);
            scaled(w, &floats, a.1.scale * b.1.scale / quantizer.scale, &hint)
        }
        None => {
            let Some((name, of)) = operands.first() else {
                return false;
            };
            let Some(count) = averaged(&w.b, node) else {
                return false;
            };
            if largest(of) * count as u64 > 1 << 20 {
                return false;
            }
            // Means of integers are off by their last bits, and tell the sums.
            let hint = format!("{output}/operand");
            let inputs = [times(w, (name, *of), 1.0, &hint)];
            let means = w.b.fresh(&format!("{output}/means"));
            operators::emit(&mut w.b, node, &inputs, &means);
            #[allow(clippy::cast_precision_loss, reason = "a number of places")]
            let count = count as f64;
            let hint = format!("{output}/sums");
            let counted = w.b.scalar(&hint, count);
            let near = w.b.helper("Mul", &[&means, &counted], &hint, Vec::new());
            let sums = w.b.helper("Round", &[&near], &hint, Vec::new());
            scaled(w, &sums, ratio(f64::from(of.scale) / count), &hint)
        }
    };
    // What is rounded already is no operand of a kernel that would round it otherwise.
    let hint = format!("{output}/rounded");
    let rounded = w.b.helper("Round", &[&unrounded], &hint, Vec::new());
    let codes = w.quantized_codes(&rounded, Codes { scale: 1.0, ..to }, &output);
    w.set_codes(node.output, codes, to);
    true
}

fn scaled(w: &mut Writer<'_>, name: &str, factor: f32, hint: &str) -> String {
    let factor = w.b.scalar(hint, f64::from(factor));
    w.b.helper(
        "Mul",
        &[name, &factor],
        &format!("{hint}/scaled"),
        Vec::new(),
    )
}
