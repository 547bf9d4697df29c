//! Sums, products and means that give the integers of the quantized network: they are computed on floats that represent
//! integers, and rounded once.

use calcine_graph::{Arithmetic, Node, Op};
use calcine_quantize::Quantizer;

use super::builder::{Numbers, integer};
use super::codes::Codes;
use super::dynamic::Plane;
use super::integer::{Input, LARGEST, planes};
use super::quantized::{Writer, averaged, is_sum_or_product};
use super::{Form, operators};
use crate::proto::data_type;

/// Splits integers up to `largest`, stored as floats, into digits that are small enough for exact sums: `Σ factor ·
/// digit`.
fn digits(w: &mut Writer<'_>, floats: &str, largest: u64, count: u64) -> Vec<(String, f64)> {
    /// A mean is off by its last bits: up to here it tells the sum.
    const TOLD: u64 = 1 << 20;
    let most = TOLD / count.max(1);
    if largest <= most || most < 2 {
        return vec![(floats.to_owned(), 1.0)];
    }
    #[allow(clippy::cast_precision_loss, reason = "powers of two")]
    let base = (1_u64 << most.ilog2()) as f64;
    let hint = format!("{floats}/digit");
    let (mut rest, mut bound, mut factor, mut found) =
        (floats.to_owned(), largest, 1.0, Vec::new());
    let (share, whole) = (w.b.scalar(&hint, 1.0 / base), w.b.scalar(&hint, base));
    while bound > most {
        let above = w.b.helper("Mul", &[&rest, &share], &hint, Vec::new());
        let above = w.b.helper("Floor", &[&above], &hint, Vec::new());
        let back = w.b.helper("Mul", &[&above, &whole], &hint, Vec::new());
        found.push((
            w.b.helper("Sub", &[&rest, &back], &hint, Vec::new()),
            factor,
        ));
        rest = above;
        factor *= base;
        bound = (bound >> most.ilog2()) + 1;
    }
    found.push((rest, factor));
    found
}

/// Writes a sum, product, mean or concatenation of quantized values with the arithmetic of the quantized network.
/// Returns false and writes nothing for other nodes.
pub(crate) fn exact(w: &mut Writer<'_>, node: &Node, quantizer: Quantizer) -> bool {
    let operands: Option<Vec<_>> = node.inputs.iter().map(|&id| w.codes(id)).collect();
    let Some(operands) = operands else {
        return false;
    };
    let to = w.activation(quantizer);
    let output = w.b.name(node.output);
    #[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
    let ratio = |scale: f64| (scale / f64::from(quantizer.scale)) as f32;
    let unrounded = match is_sum_or_product(&w.b, node) {
        Some(Arithmetic::Add) => {
            let scaled = operands.iter().map(|(name, of)| {
                let hint = format!("{output}/operand");
                w.times(name, *of, ratio(f64::from(of.scale)), &hint)
            });
            let scaled: Vec<String> = scaled.collect();
            let inputs: Vec<&str> = scaled.iter().map(String::as_str).collect();
            w.b.helper("Add", &inputs, &format!("{output}/sum"), Vec::new())
        }
        Some(_) => {
            let [a, b] = [&operands[0], &operands[1]];
            // The product of integers that are stored as floats is rounded once, like a 32-bit integer.
            if a.1.largest() * b.1.largest() > LARGEST {
                return false;
            }
            let hint = format!("{output}/operand");
            let whole = [a, b].map(|(name, of)| w.times(name, *of, 1.0, &hint));
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
                let moved = w.times(name, *of, ratio(f64::from(of.scale)), &hint);
                w.quantized_codes(&moved, Codes { scale: 1.0, ..to }, &hint)
            });
            let each: Vec<String> = each.collect();
            operators::emit(&mut w.b, node, &each, &output);
            w.set_codes(node.output, output, to);
            return true;
        }
        None if node.op == Op::Matmul => {
            let [a, b] = [&operands[0], &operands[1]];
            let last = w.b.graph.value(node.inputs[0]).shape.last();
            let count = last
                .filter(|extent| extent.is_fixed())
                .map_or(1, |extent| extent.fixed);
            let bound =
                a.1.largest()
                    .saturating_mul(b.1.largest())
                    .saturating_mul(count as u64);
            let in_floats = w.form == Form::Qdq && !w.dialect.whole_floats;
            if in_floats || bound > LARGEST {
                return false;
            }
            let hint = format!("{output}/sums");
            let floats = if w.dialect.whole_floats {
                let whole =
                    [a, b].map(|(name, of)| w.times(name, *of, 1.0, &format!("{output}/operand")));
                w.b.helper("MatMul", &[&whole[0], &whole[1]], &hint, Vec::new())
            } else {
                let [left, right] =
                    [a, b].map(|(name, of)| planes(w, &Input::Static(name.clone(), *of), &output));
                products(w, &left, &right, &hint)
            };
            scaled(w, &floats, a.1.scale * b.1.scale / quantizer.scale, &hint)
        }
        None => {
            let Some((name, of)) = operands.first() else {
                return false;
            };
            let Some(count) = averaged(&w.b, node) else {
                return false;
            };
            if of.largest().saturating_mul(count as u64) > LARGEST {
                return false;
            }
            // Means of integers may differ in their last bits, but determine the sums.
            let hint = format!("{output}/operand");
            let whole = w.times(name, *of, 1.0, &hint);
            let parts = digits(w, &whole, of.largest(), count as u64);
            #[allow(clippy::cast_precision_loss, reason = "a number of places")]
            let (hint, places) = (format!("{output}/sums"), count as f64);
            let counted = w.b.scalar(&hint, places);
            let mut total: Option<String> = None;
            for (part, factor) in parts {
                let means = w.b.fresh(&format!("{output}/means"));
                operators::emit(&mut w.b, node, &[part], &means);
                let near = w.b.helper("Mul", &[&means, &counted], &hint, Vec::new());
                let mut sums = w.b.helper("Round", &[&near], &hint, Vec::new());
                if factor != 1.0 {
                    let factor = w.b.scalar(&hint, factor);
                    sums = w.b.helper("Mul", &[&sums, &factor], &hint, Vec::new());
                }
                total = Some(match total {
                    Some(total) => w.b.helper("Add", &[&total, &sums], &hint, Vec::new()),
                    None => sums,
                });
            }
            let sums = total.unwrap_or_default();
            scaled(w, &sums, ratio(f64::from(of.scale) / places), &hint)
        }
    };
    // The result is rounded before the quantizer, because fused kernels would round it in another way.
    let hint = format!("{output}/rounded");
    let rounded = w.b.helper("Round", &[&unrounded], &hint, Vec::new());
    let codes = w.quantized_codes(&rounded, Codes { scale: 1.0, ..to }, &output);
    w.set_codes(node.output, codes, to);
    true
}

/// The matrix product of two values of bytes, converted to floats once.
fn products(w: &mut Writer<'_>, left: &[Plane], right: &[Plane], hint: &str) -> String {
    let mut total: Option<String> = None;
    for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
        let operands = [&*a.codes, &b.codes, &a.zero_point, &b.zero_point];
        let mut sums = w.b.helper("MatMulInteger", &operands, hint, Vec::new());
        let factor = a.factor.wrapping_mul(b.factor);
        if factor != 1 {
            let numbers = Numbers::Int(data_type::INT32, &[factor]);
            let factor = w.b.constant(&format!("{hint}/factor"), &[], &numbers);
            sums = w.b.helper("Mul", &[&sums, &factor], hint, Vec::new());
        }
        total = Some(match total {
            Some(total) => w.b.helper("Add", &[&total, &sums], hint, Vec::new()),
            None => sums,
        });
    }
    let to = vec![integer("to", data_type::FLOAT)];
    w.b.helper(
        "Cast",
        &[&total.unwrap_or_default()],
        &format!("{hint}/float"),
        to,
    )
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
