//! Weights and biases of quantized layers as initializers.

use calcine_graph::Op;

use super::builder::{Numbers, int, integer, ints, signed};
use super::codes::WeightCodes;
use super::quantized::{LayerParts, NARROW, Writer};
use crate::proto::data_type;

impl Writer<'_> {
    /// The initializer of a layer's integers, with its type and its zero points.
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

    /// Writes the weight of a layer, dequantized.
    pub(super) fn dequantized_weight(&mut self, parts: &LayerParts<'_>) -> String {
        let layer = &parts.layer;
        let weight_only = parts.input.is_none() && parts.node.op != Op::Embedding;
        let bytes_only = self.b.opset < NARROW || self.dialect.bytes_only;
        let columns = layer.weight.len() / layer.shape[layer.output_axis].max(1);
        let divided = layer
            .group
            .is_none_or(|group| columns.is_multiple_of(group));
        let has_blocks = !bytes_only && (divided || !self.dialect.whole_blocks);
        let four_bits = layer.bits <= 4 && weight_only && has_blocks;
        let codes = self.weight_codes(parts, four_bits);
        let name = self.weight_name(parts);
        let wide = [data_type::INT16, data_type::UINT16].contains(&codes.data_type);
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
                // The scales are ordered by output, but the weight is not.
                scale_dims = vec![groups, outputs];
                attributes.push(integer("axis", 0));
                scales = turned(&scales, outputs, groups);
                zeros = turned(&zeros, outputs, groups);
            } else {
                // The weight of a transposed convolution is written output by output, and transposed after it is
                // dequantized.
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
        let hint = format!("{name}/dequantized");
        if wide && self.dialect.full_floats {
            // The runtime has no 16-bit type for the integers.
            #[allow(clippy::cast_precision_loss, reason = "integers of 17 bits")]
            let float = |(at, q): (usize, &i32)| layer.scales[layer.scale_index(at)] * *q as f32;
            let floats: Vec<f32> = layer.weight.iter().enumerate().map(float).collect();
            self.b
                .initializer(&name, layer.shape, &Numbers::Float(&floats));
            return name;
        }
        self.b
            .initializer(&name, &dims, &Numbers::Int(codes.data_type, &integers));
        let spelled = bytes_only && wide || layer.group.is_some() && !has_blocks;
        if spelled {
            // Only linear layers have the inputs as their first axis.
            let axis = usize::from(layer.output_axis == 0 || dims != layer.shape);
            let blocks = layer.group.map(|group| (axis, group));
            if blocks.is_none() && scales.len() > 1 {
                let mut broadcast = vec![1; dims.len()];
                broadcast[layer.output_axis] = scales.len();
                scale_dims = broadcast;
            }
            let weight = self.spelled_weight(&name, &dims, (&scales, &zeros, &scale_dims), blocks);
            return self.as_the_layer_has_it(parts, weight, &dims);
        }
        let scale = self.b.fresh(&format!("{name}/scale"));
        self.b
            .initializer(&scale, &scale_dims, &Numbers::Float(&scales));
        let zero = self.b.fresh(&format!("{name}/zero_point"));
        self.b
            .initializer(&zero, &scale_dims, &Numbers::Int(codes.data_type, &zeros));
        let inputs = [name.as_str(), &scale, &zero];
        let weight = self
            .b
            .helper("DequantizeLinear", &inputs, &hint, attributes);
        self.as_the_layer_has_it(parts, weight, &dims)
    }

    /// Converts a weight that is ordered by output to the layout of the layer.
    fn as_the_layer_has_it(
        &mut self,
        parts: &LayerParts<'_>,
        weight: String,
        dims: &[usize],
    ) -> String {
        let layer = &parts.layer;
        if dims == layer.shape {
            return weight;
        }
        let hint = weight.clone();
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

    /// Writes `scale · (q − zero_point)` with operators that every opset has; scales of blocks are broadcast over an
    /// axis.
    fn spelled_weight(
        &mut self,
        name: &str,
        dims: &[usize],
        (scales, zeros, scale_dims): (&[f32], &[i32], &[usize]),
        blocks: Option<(usize, usize)>,
    ) -> String {
        let hint = format!("{name}/dequantized");
        let to = vec![integer("to", data_type::FLOAT)];
        let mut float = self.b.helper("Cast", &[name], &hint, to);
        let spread = |w: &mut Self, part: &str, numbers: &[f32]| {
            let whole = w.b.fresh(&format!("{name}/{part}"));
            w.b.initializer(&whole, scale_dims, &Numbers::Float(numbers));
            let Some((axis, block)) = blocks else {
                return whole;
            };
            let block_of: Vec<i64> = (0..dims[axis]).map(|at| signed(at / block)).collect();
            let block_of = w.b.list(&format!("{name}/blocks"), &block_of);
            let hint = format!("{whole}/spread");
            w.b.helper(
                "Gather",
                &[&whole, &block_of],
                &hint,
                vec![int("axis", axis)],
            )
        };
        if zeros.iter().any(|zero| *zero != 0) {
            #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits")]
            let zeros: Vec<f32> = zeros.iter().map(|zero| *zero as f32).collect();
            let zeros = spread(self, "zero_point", &zeros);
            float = self.b.helper("Sub", &[&float, &zeros], &hint, Vec::new());
        }
        let scales = spread(self, "scale", scales);
        self.b.helper("Mul", &[&float, &scales], &hint, Vec::new())
    }

    /// The name of the bias of a layer: that of its parameter, or a similar one.
    pub(crate) fn bias_name(&mut self, parts: &LayerParts<'_>) -> String {
        match parts.node.inputs.get(2) {
            Some(&id) => {
                let path = self.b.name(id);
                self.own_name(&path)
            }
            None => self.b.fresh(&format!("{}.bias", parts.layer.name)),
        }
    }

    /// Writes the bias of a layer: integers with the scale `float32(s_x · s_w)`, dequantized, or floats. Returns `None`
    /// if the bias is zero.
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
        let scales: Vec<f32> = layer.scales.iter().map(|step| of.scale * step).collect();
        if self.dialect.signed {
            #[allow(
                clippy::cast_precision_loss,
                reason = "as `DequantizeLinear` rounds it"
            )]
            let float = |(at, b): (usize, &i32)| scales[at.min(scales.len() - 1)] * *b as f32;
            let floats: Vec<f32> = bias.iter().enumerate().map(float).collect();
            self.b
                .initializer(&name, &[bias.len()], &Numbers::Float(&floats));
            return Some(name);
        }
        let numbers = Numbers::Int(data_type::INT32, bias);
        self.b.initializer(&name, &[bias.len()], &numbers);
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

/// Transposes a table with this number of rows and columns.
fn turned<T: Copy>(table: &[T], rows: usize, columns: usize) -> Vec<T> {
    let cells = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    cells.map(|at| table[at]).collect()
}
