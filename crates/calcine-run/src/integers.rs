use std::fmt;

use calcine_quantize::Quantized;
use calcine_summary::{Sheet, Table};
use serde::Serialize;

/// The integer weights of a quantized network, layer by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntegerTable {
    /// One row for each layer, in execution order.
    pub layers: Vec<IntegerRow>,
    /// The number of bytes of weights, scales, biases and parameters in float.
    pub stored_bytes: usize,
}

/// The integer weights of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IntegerRow {
    /// The name of the layer.
    pub layer: String,
    /// The shape of the weight.
    pub shape: Vec<usize>,
    /// The number of bits of an integer.
    pub bits: u8,
    /// The number of scales.
    pub scales: usize,
    /// The number of integers that stand for zero.
    pub zeros: usize,
    /// The number of integers.
    pub weights: usize,
    /// The size of the integers in a file, in bytes.
    pub bytes: usize,
}

/// Lists the integer weights of a quantized network.
#[must_use]
pub fn integers(quantized: &Quantized) -> IntegerTable {
    let rows = quantized.layers().map(|layer| {
        let weights = layer.weight.len();
        IntegerRow {
            layer: layer.name.to_owned(),
            shape: layer.shape.to_vec(),
            bits: layer.bits,
            scales: layer.scales.len(),
            zeros: layer.weight.iter().filter(|int| **int == 0).count(),
            weights,
            bytes: match layer.bits {
                9.. => 2 * weights,
                bits => (weights * usize::from(bits)).div_ceil(8),
            },
        }
    });
    IntegerTable {
        layers: rows.collect(),
        stored_bytes: quantized.stored_bytes(),
    }
}

impl IntegerTable {
    /// The table with a row for all layers at the end.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let header = ["layer", "shape", "bits", "scales", "zeros %", "bytes"];
        let sum = |value: fn(&IntegerRow) -> usize| self.layers.iter().map(value).sum();
        let mut rows: Vec<Vec<String>> = self.layers.iter().map(IntegerRow::cells).collect();
        let zeros = percent(sum(|row| row.zeros), sum(|row| row.weights));
        let bytes: usize = sum(|row| row.bytes);
        let empty = String::new;
        rows.push(vec![
            "all".to_owned(),
            empty(),
            empty(),
            empty(),
            zeros,
            bytes.to_string(),
        ]);
        Sheet {
            header: header.map(str::to_owned).to_vec(),
            rows,
        }
    }

    /// The table for a terminal of this width, with the size of the network below it.
    #[must_use]
    pub fn fitted(&self, width: usize) -> String {
        let sheet = self.sheet().fitted(width);
        format!(
            "{}\n{} bytes with scales, biases and parameters in float",
            sheet.trim_end(),
            self.stored_bytes
        )
    }

    /// The table as CSV.
    #[must_use]
    pub fn to_csv(&self) -> String {
        self.sheet().to_csv()
    }

    /// The layers as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!(self.layers)
    }
}

impl IntegerRow {
    fn cells(&self) -> Vec<String> {
        vec![
            self.layer.clone(),
            format!("{:?}", self.shape),
            self.bits.to_string(),
            self.scales.to_string(),
            percent(self.zeros, self.weights),
            self.bytes.to_string(),
        ]
    }
}

impl Table for IntegerTable {
    fn sheet(&self) -> Sheet {
        Self::sheet(self)
    }

    fn fitted(&self, width: usize) -> String {
        Self::fitted(self, width)
    }

    fn to_csv(&self) -> String {
        Self::to_csv(self)
    }

    fn to_json(&self) -> serde_json::Value {
        Self::to_json(self)
    }
}

impl fmt::Display for IntegerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fitted(usize::MAX))
    }
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.2}", 100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_sums_the_layers() {
        let row = |layer: &str, bits, zeros, bytes| IntegerRow {
            layer: layer.to_owned(),
            shape: vec![2, 4],
            bits,
            scales: 2,
            zeros,
            weights: 8,
            bytes,
        };
        let table = IntegerTable {
            layers: vec![row("a", 8, 2, 8), row("b", 4, 6, 4)],
            stored_bytes: 44,
        };
        let sheet = table.sheet();
        assert_eq!(sheet.rows[0], ["a", "[2, 4]", "8", "2", "25.00", "8"]);
        assert_eq!(sheet.rows[2], ["all", "", "", "", "50.00", "12"]);
        assert!(
            table
                .fitted(80)
                .ends_with("44 bytes with scales, biases and parameters in float")
        );
    }
}
