//! Checks that the parts of a quantized network are consistent.

use std::collections::BTreeMap;

use calcine_graph::{Graph, Node, Op, Source, Value, ValueId};

use super::{
    Bias, IntegerWeights, LayerDescription, StoredFloat, ZERO_POINTS, float_name, integers_name,
    scale_index,
};
use crate::array::{Array, Numbers};
use crate::error::{FileError, wrong};
use crate::uses::{Uses, has_integers, is_folded_norm, output_axis, weight_operand};
use crate::{MAX_BITS, Quantizer};

fn malformed(found: String) -> FileError {
    FileError::Description(found)
}

/// Checks that there is a quantizer or none for each value, and that each is valid.
pub(super) fn quantizers_fit(
    graph: &Graph,
    quantizers: &[Option<Quantizer>],
) -> Result<(), FileError> {
    if quantizers.len() != graph.values.len() {
        return Err(malformed(format!(
            "there are {} quantizers for {} values",
            quantizers.len(),
            graph.values.len()
        )));
    }
    let unsound = |quantizer: &&Quantizer| !quantizer.is_sound();
    match quantizers.iter().flatten().find(unsound) {
        Some(quantizer) => Err(malformed(format!("{quantizer:?} is no quantizer"))),
        None => Ok(()),
    }
}

/// Checks that a tensor that is not stored as integer weights belongs to a parameter or constant of this shape.
pub(super) fn is_value_stored(graph: &Graph, id: usize, shape: &[usize]) -> Result<(), FileError> {
    let expected = graph.values.get(id).map(|value| value.shape_at(1));
    let own = graph.values.get(id).is_some_and(is_stored);
    if expected.as_deref() != Some(shape) || !own {
        return Err(malformed(format!(
            "value {id} is {shape:?}, the graph has {expected:?}"
        )));
    }
    Ok(())
}

/// Whether a file contains the tensor of this value.
fn is_stored(value: &Value) -> bool {
    matches!(value.source, Source::Parameter | Source::Constant)
}

/// Checks the description of a layer, and returns the number of its weights.
pub(super) fn description(
    graph: &Graph,
    quantizers: &[Option<Quantizer>],
    layer: &LayerDescription,
) -> Result<usize, FileError> {
    let LayerDescription {
        node,
        bits,
        ref shape,
        axis,
        scales,
        affine,
        group,
        dynamic,
    } = *layer;
    let Some(node) = graph.nodes.get(node) else {
        return Err(malformed(format!("there is no node {node}")));
    };
    let name = &node.name;
    let weight = node.inputs.get(weight_operand(&node.op));
    let expected = weight.map(|id| graph.value(*id).shape_at(1));
    let fits = has_integers(graph, node)
        && expected.as_ref() == Some(shape)
        && axis == output_axis(&node.op)
        && shape.len() > 1;
    let least = if affine { 1 } else { 2 };
    if !fits || !(least..=MAX_BITS).contains(&bits) {
        let found = format!(
            "`{name}` has {bits}-bit weights {shape:?} along {axis}, the graph has {expected:?}"
        );
        return Err(malformed(found));
    }
    let count = shape
        .iter()
        .try_fold(1_usize, |count, axis| count.checked_mul(*axis));
    let Some(count) = count else {
        return Err(malformed(format!("`{name}` has weights of {shape:?}")));
    };
    let outputs = shape[axis];
    let input = quantizers[node.inputs[0].0];
    let fits = match group {
        None => scales == 1 || scales == outputs,
        Some(0) => false,
        Some(group) => {
            let columns = count.checked_div(outputs).unwrap_or(0);
            input.is_none() && scales == outputs * columns.div_ceil(group)
        }
    };
    if !fits {
        let groups = group.map_or(String::new(), |group| format!(" in groups of {group}"));
        let found = format!("`{name}` has {scales} scales of {outputs} outputs{groups}");
        return Err(malformed(found));
    }
    if dynamic.is_some_and(|dynamic| input.is_some() || group.is_some() || !dynamic.is_sound()) {
        return Err(malformed(format!(
            "`{name}` has {dynamic:?} and inputs on {input:?}"
        )));
    }
    Ok(count)
}

/// Checks that zero points are integers of this bit width.
pub(super) fn zero_points_fit(name: &str, bits: u8, zero_points: &[i32]) -> Result<(), FileError> {
    let mut zero_points = zero_points.iter();
    match zero_points.find(|zero| !(0..1 << bits).contains(*zero)) {
        Some(zero) => Err(malformed(format!("`{name}` has a zero point of {zero}"))),
        None => Ok(()),
    }
}

/// Checks that scales are finite.
pub(super) fn scales_are_finite(name: &str, scales: &[f32]) -> Result<(), FileError> {
    match scales.iter().find(|scale| !scale.is_finite()) {
        Some(scale) => Err(malformed(format!("`{name}` has a scale of {scale}"))),
        None => Ok(()),
    }
}

/// Checks the integer weights of a node.
pub(super) fn layer(
    graph: &Graph,
    quantizers: &[Option<Quantizer>],
    node: usize,
    layer: &IntegerWeights,
) -> Result<(), FileError> {
    let IntegerWeights {
        bits,
        ints,
        shape,
        axis,
        scales,
        zero_points,
        group,
        ..
    } = layer;
    let text = LayerDescription {
        node,
        bits: *bits,
        shape: shape.clone(),
        axis: *axis,
        scales: scales.len(),
        affine: !zero_points.is_empty(),
        group: *group,
        dynamic: layer.dynamic,
    };
    let count = description(graph, quantizers, &text)?;
    let node = &graph.nodes[node];
    if layer.name != node.name {
        return Err(malformed(format!(
            "the integer weights of `{}` are called `{}`",
            node.name, layer.name
        )));
    }
    let name = integers_name(&node.name);
    if ints.len() != count {
        return Err(wrong(
            &name,
            &format!("has {} numbers, expected {count}", ints.len()),
        ));
    }
    if !zero_points.is_empty() && zero_points.len() != scales.len() {
        let found = format!(
            "has {} numbers, expected {}",
            zero_points.len(),
            scales.len()
        );
        return Err(wrong(ZERO_POINTS, &found));
    }
    zero_points_fit(&node.name, *bits, zero_points)?;
    scales_are_finite(&node.name, scales)?;
    let least = |at: usize| match zero_points.len() {
        0 => -(1 << (bits - 1)),
        all => -zero_points[scale_index(at, shape, *axis, *group, all)],
    };
    let beyond = |(at, int): &(usize, &i32)| {
        !(0..1 << bits).contains(&(i64::from(**int) - i64::from(least(*at))))
    };
    if let Some((_, int)) = ints.iter().enumerate().find(beyond) {
        return Err(wrong(
            &name,
            &format!("has {int}, which has no {bits} bits"),
        ));
    }
    let outputs = shape[*axis];
    let (is_int, found) = match &layer.bias {
        Bias::Ints(bias) => (true, bias.len()),
        Bias::Floats(bias) => (false, bias.len()),
    };
    let expected = match node.op {
        Op::Embedding => (false, 0),
        _ => (quantizers[node.inputs[0].0].is_some(), outputs),
    };
    if (is_int, found) != expected {
        let text = |(is_int, count): (bool, usize)| {
            format!("{count} {}", if is_int { "integers" } else { "floats" })
        };
        return Err(malformed(format!(
            "`{}` has a bias of {}, expected {}",
            node.name,
            text((is_int, found)),
            text(expected)
        )));
    }
    Ok(())
}

/// Checks that every node has the parameters and constants that it reads.
pub(super) fn complete(
    graph: &Graph,
    layers: &BTreeMap<usize, IntegerWeights>,
    floats: &BTreeMap<usize, StoredFloat>,
) -> Result<(), FileError> {
    let uses = Uses::new(graph);
    let there = |id: &ValueId| match is_stored(graph.value(*id)) && !floats.contains_key(&id.0) {
        true => Err(wrong(&float_name(graph, id.0), "is missing")),
        false => Ok(()),
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        if layers.contains_key(&index)
            || is_folded_norm(graph, &uses, index, |at| layers.contains_key(&at))
        {
            continue;
        }
        let constant = |id: &ValueId| floats.get(&id.0).map(|float| &float.array);
        positions_fit(graph, node, constant)?;
        node.inputs.iter().try_for_each(there)?;
    }
    graph.outputs.iter().try_for_each(there)
}

/// Checks that constant indices are within the axis that they index.
fn positions_fit<'a>(
    graph: &Graph,
    node: &Node,
    constant: impl Fn(&ValueId) -> Option<&'a Array>,
) -> Result<(), FileError> {
    let axis = match node.op {
        Op::Select(axis) | Op::Gather(axis) => axis,
        Op::Embedding => 0,
        _ => return Ok(()),
    };
    let [of, positions, ..] = &node.inputs[..] else {
        return Ok(());
    };
    let extent = graph.value(*of).shape.get(axis);
    let (Some(positions), Some(extent)) = (constant(positions), extent) else {
        return Ok(());
    };
    let length = i64::try_from(extent.length_for(1)).unwrap_or(i64::MAX);
    let Numbers::Ints(positions) = &positions.numbers else {
        return Ok(());
    };
    match positions.iter().find(|at| !(0..length).contains(*at)) {
        Some(at) => Err(FileError::Description(format!(
            "`{}` takes position {at} of an axis of {length}",
            node.name
        ))),
        None => Ok(()),
    }
}
