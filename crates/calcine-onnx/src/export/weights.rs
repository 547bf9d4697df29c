//! Weights and biases of quantized layers as initializers.

use calcine_graph::Op;

use super::builder::{Numbers, int, integer, ints, signed};
use super::codes::WeightCodes;
use super::quantized::{LayerParts, NARROW, Writer};
use crate::proto::data_type;

impl Writer<'_> {
    /// The initializer of a layer's integers, its type, and its zero points.
    pub(crate) fn weight_codes(&mut self, parts: &LayerParts<'_>, four_bits: bool) -> WeightCodes {
        let layer = &parts.layer;
        let zero_of = |at: usize| {
            layer
                .zero_points
                .get(layer.scale_index(at))
                .copied()
                .unwrap_or(0)
        };
        WeightCodes::of(
            layer.weight,
            layer.zero_points,
            layer.scales.len(),
            zero_of,
            four_bits,
        )
    }

    pub(crate) fn weight_name(&mut self, parts: &LayerParts<'_>) -> String {
        let at = usize::from(parts.node.op != Op::Embedding);
        let path = self.b.name(parts.node.inputs[at]);
        self.own_name(&path)
    }

    /// A layer's weight, dequantized.
    pub(super) fn dequantized_weight(&mut self, parts: &LayerParts<'_>) -> String {
        let layer = &parts.layer;
        let weight_only = parts.input.is_none() && parts.node.op != Op::Embedding;
        let four_bits = layer.bits <= 4 && weight_only && self.b.opset >= NARROW;
        let codes = self.weight_codes(parts, four_bits);
        let name = self.weight_name(parts);
        let wide = [data_type::INT16, data_type::UINT16].contains(&codes.data_type);
        if self.b.opset < NARROW && (wide || layer.group.is_some()) {
            let reason = "weights of more than 8 bits, and scales of groups, need opset 21";
            self.b
                .unsupported(&parts.node.name, "DequantizeLinear", reason);
        }
        let mut dims = layer.shape.to_vec();
        let mut scales = layer.scales.to_vec();
        let mut zeros = codes.zero_points.clone();
        let mut integers = codes.integers;
        let (mut scale_dims, mut attributes) = match scales.len() {
            1 => (Vec::new(), Vec::new()),
            _ => (vec![scales.len()], vec![int("axis", layer.output_axis)]),
        };
        if let Some(group) = layer.group {
            let outputs = dims[layer.output_axis];
            let columns = integers.len() / outputs.max(1);
            let groups = columns.div_ceil(group);
            attributes = vec![int("block_size", group)];
            if layer.output_axis == 0 {
                dims = vec![outputs, columns];
                scale_dims = vec![outputs, groups];
                attributes.push(integer("axis", 1));
            } else if dims.len() == 2 {
                // Scales lie output by output; the weight does not.
                scale_dims = vec![groups, outputs];
                attributes.push(integer("axis", 0));
                scales = turned(&scales, outputs, groups);
                zeros = turned(&zeros, outputs, groups);
            } else {
                // A transposed convolution: output by output, and turned back behind.
                let turned_codes = (0..outputs).flat_map(|output| {
                    let inner = layer.shape[2..].iter().product::<usize>();
                    let integers = &integers;
                    (0..layer.shape[0]).flat_map(move |input| {
                        let from = (input * outputs + output) * inner;
                        integers[from..from + inner].iter().copied()
                    })
                });
                integers = turned_codes.collect();
                dims = vec![outputs, columns];
                scale_dims = vec![outputs, groups];
                attributes.push(integer("axis", 1));
            }
        }
        self.b
            .initializer(&name, &dims, &Numbers::Int(codes.data_type, &integers));
        let scale = self.b.fresh(&format!("{name}/scale"));
        self.b
            .initializer(&scale, &scale_dims, &Numbers::Float(&scales));
        let zero = self.b.fresh(&format!("{name}/zero_point"));
        self.b
            .initializer(&zero, &scale_dims, &Numbers::Int(codes.data_type, &zeros));
        let hint = format!("{name}/dequantized");
        let inputs = [name.as_str(), &scale, &zero];
        let weight = self
            .b
            .helper("DequantizeLinear", &inputs, &hint, attributes);
        if dims == layer.shape {
            return weight;
        }
        let lengths = |lengths: &[usize]| lengths.iter().map(|&length| signed(length)).collect();
        if layer.output_axis == 0 {
            let shape: Vec<i64> = lengths(layer.shape);
            let shape = self.b.list(&format!("{hint}/shape"), &shape);
            return self
                .b
                .helper("Reshape", &[&weight, &shape], &hint, Vec::new());
        }
        let mut shape = layer.shape.to_vec();
        shape.swap(0, 1);
        let target: Vec<i64> = lengths(&shape);
        let target = self.b.list(&format!("{hint}/shape"), &target);
        let shaped = self
            .b
            .helper("Reshape", &[&weight, &target], &hint, Vec::new());
        let axes = [1, 0].into_iter().chain(2..shape.len());
        self.b
            .helper("Transpose", &[&shaped], &hint, vec![ints("perm", axes)])
    }

    /// The name of a layer's bias: its parameter's, or one like it.
    pub(crate) fn bias_name(&mut self, parts: &LayerParts<'_>) -> String {
        match parts.node.inputs.get(2) {
            Some(&id) => {
                let path = self.b.name(id);
                self.own_name(&path)
            }
            None => self.b.fresh(&format!("{}.bias", parts.layer.name)),
        }
    }

    /// A layer's bias: integers with the scale `float32(s_x · s_w)`, dequantized, or floats; `None` if it is zero.
    pub(super) fn bias(&mut self, parts: &LayerParts<'_>) -> Option<String> {
        let layer = &parts.layer;
        if let Some(bias) = layer.float_bias {
            if bias.iter().all(|bias| *bias == 0.0) {
                return None;
            }
            let name = self.bias_name(parts);
            self.b
                .initializer(&name, &[bias.len()], &Numbers::Float(bias));
            return Some(name);
        }
        let (bias, (_, of)) = (layer.bias?, parts.input.as_ref()?);
        if bias.iter().all(|bias| *bias == 0) {
            return None;
        }
        let name = self.bias_name(parts);
        let numbers = Numbers::Int(data_type::INT32, bias);
        self.b.initializer(&name, &[bias.len()], &numbers);
        let scales: Vec<f32> = layer.scales.iter().map(|step| of.scale * step).collect();
        let dims: &[usize] = match scales.len() {
            1 => &[],
            _ => &[scales.len()],
        };
        let scale = self.b.fresh(&format!("{name}/scale"));
        self.b.initializer(&scale, dims, &Numbers::Float(&scales));
        let zero = self.b.fresh(&format!("{name}/zero_point"));
        let zeros = vec![0; scales.len()];
        self.b
            .initializer(&zero, dims, &Numbers::Int(data_type::INT32, &zeros));
        let inputs = [name.as_str(), &scale, &zero];
        let attributes = match scales.len() {
            1 => Vec::new(),
            _ => vec![integer("axis", 0)],
        };
        let hint = format!("{name}/dequantized");
        Some(
            self.b
                .helper("DequantizeLinear", &inputs, &hint, attributes),
        )
    }
}

/// A table of so many rows and columns, column by column.
fn turned<T: Copy>(table: &[T], rows: usize, columns: usize) -> Vec<T> {
    let cells = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    cells.map(|at| table[at]).collect()
}
