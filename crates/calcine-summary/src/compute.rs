use std::collections::{BTreeMap, HashMap};
use std::fmt;

use burn::module::Module;
use calcine_graph::{Graph, Row};
use serde::Serialize;

use crate::error::ComputeError;
use crate::sheet::Sheet;
use crate::sheet::{bracketed, joined, thousands, wrapped};
use crate::stored::StoredBytes;
use crate::weights::{Count, Weights};

/// Computes the compute table of a network: shapes, weights, multiply-accumulates and memory of each layer, with and
/// without the zeros of the weights.
///
/// The graph defines what is computed, and the model contains the weights: pass a traced network, or the model that it
/// was traced from, which has the same parameter paths. A graph stays valid while its model is trained and pruned, so
/// the model need not be traced again for another table. Zeros are counted on the device and read in one transaction.
///
/// A multiply-accumulate (MAC) is one multiplication and one addition in a convolution, linear layer or matrix product.
/// Biases, normalisation, pooling and element-wise operations are not counted. Each element of the weight of a layer is
/// used equally often, so
///
/// ```text
/// non-zero MACs = MACs · z / n        z of the n elements of the weight are not zero
/// ```
///
/// is exact: it is the work of hardware that skips every zero. Products of two activations are counted in full, as are
/// products with weights that the model computes from parameters first. Most hardware does not skip zeros, so zeros in
/// a weight save no time there: only thinning reduces the MACs themselves.
///
/// # Errors
///
/// If the graph is not a valid network, or uses parameters that the model does not have.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_summary::{ComputeSettings, compute};
/// use calcine_trace::trace;
///
/// let device = Device::flex();
/// let layer: Linear = LinearConfig::new(4, 2).init(&device);
/// let network = trace(&layer, Tensor::<2>::zeros([1, 4], &device), |m, x| m.forward(x))?;
/// let table = compute(network.graph(), &layer, &ComputeSettings::default())?;
/// assert_eq!(table.macs, 8);
/// println!("{table}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compute<M: Module>(
    graph: &Graph,
    model: &M,
    settings: &ComputeSettings,
) -> Result<ComputeTable, ComputeError> {
    let computed = graph.compute_at(settings.batch)?;
    let weights = Weights::of(model);
    let mut distinct = HashMap::new();
    let mut rows = Vec::with_capacity(computed.rows.len());
    for (node, row) in graph.nodes.iter().zip(&computed.rows) {
        let count = match graph.weight(node) {
            Some(id) => Some(weights.count(&node.name, &graph.value(id).name, row.weights)?),
            None => None,
        };
        distinct.extend(count.map(|count| (count.id, count)));
        rows.push(ComputeRow::new(row, count, computed.macs));
    }
    let nonzero_macs = rows.iter().map(|row| row.nonzero_macs).sum();
    let of = |pick: fn(&Count) -> u64| distinct.values().map(pick).sum();
    rows.retain(|row| settings.rows == Rows::Nodes || row.is_layer || row.macs > 0);
    Ok(ComputeTable {
        batch: settings.batch,
        rows,
        weights: of(|count| count.numel),
        nonzero_weights: of(|count| count.nonzero),
        macs: computed.macs,
        nonzero_macs,
        parameters: weights.trainable,
        parameter_bytes: BYTES * weights.trainable,
        activation_bytes: BYTES * computed.activations,
        peak_bytes: BYTES * computed.peak,
        stored: weights.stored,
    })
}

/// The number of bytes of an f32 element.
const BYTES: u64 = 4;

/// What a [`ComputeTable`] contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputeSettings {
    /// The batch size. Everything except the weights is proportional to it.
    pub batch: usize,
    /// Which nodes have a row; the totals are the same for all choices.
    pub rows: Rows,
}

/// A batch of one sample, and rows for the layers.
impl Default for ComputeSettings {
    fn default() -> Self {
        Self {
            batch: 1,
            rows: Rows::default(),
        }
    }
}

/// Which nodes have a row in a [`ComputeTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rows {
    /// Convolutions, linear layers and other matrix products.
    #[default]
    Layers,
    /// All operations.
    Nodes,
}

/// One row of a [`ComputeTable`]: a node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComputeRow {
    /// The path of the layer. A node without parameters is named after its producer and its operation.
    pub name: String,
    /// The type: `Conv2d`, `Linear`, or the operation if the node is not a layer.
    #[serde(rename = "type")]
    pub kind: String,
    /// The attributes that differ from the defaults: `k=(3, 3), stride=(2, 2)`.
    pub attributes: String,
    /// The shape of the input feature map (the first operand).
    pub ifm: Vec<usize>,
    /// The number of elements of the input feature map.
    pub ifm_volume: u64,
    /// The shape of the output feature map.
    pub ofm: Vec<usize>,
    /// The number of elements of the output feature map.
    pub ofm_volume: u64,
    /// The number of elements of the weight; 0 if there is none.
    pub weights: u64,
    /// The number of elements of the weight that are not zero.
    pub nonzero_weights: u64,
    /// The number of multiply-accumulates.
    pub macs: u64,
    /// The number of multiply-accumulates whose weight is not zero.
    pub nonzero_macs: u64,
    /// The share of the multiply-accumulates of the network, in percent.
    pub share: f64,
    /// Whether the node is a convolution or a linear layer.
    pub is_layer: bool,
}

impl ComputeRow {
    fn new(row: &Row, count: Option<Count>, all: u64) -> Self {
        let weights = count.map_or(0, |count| count.numel);
        let nonzero_weights = count.map_or(0, |count| count.nonzero);
        Self {
            name: row.name.clone(),
            kind: row.kind.clone(),
            attributes: row.attributes.clone(),
            ifm: row.input.clone(),
            ifm_volume: row.input_volume(),
            ofm: row.output.clone(),
            ofm_volume: row.output_volume(),
            weights,
            nonzero_weights,
            macs: row.macs,
            nonzero_macs: match row.macs.checked_div(weights) {
                Some(of_each) => of_each * nonzero_weights,
                None => row.macs,
            },
            share: percent(row.macs, all),
            is_layer: row.is_layer,
        }
    }
}

/// The multiply-accumulates and the memory of a network, and of each of its layers in execution order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComputeTable {
    /// The batch size.
    pub batch: usize,
    /// One row per layer, or per node.
    pub rows: Vec<ComputeRow>,
    /// The number of elements of the weights in the rows; each parameter is counted once.
    pub weights: u64,
    /// The number of these elements that are not zero.
    pub nonzero_weights: u64,
    /// The multiply-accumulates of all nodes.
    pub macs: u64,
    /// The multiply-accumulates whose weight is not zero.
    pub nonzero_macs: u64,
    /// The number of elements of all trainable parameters of the model, whether a node uses them or not.
    pub parameters: u64,
    /// The size of the trainable parameters in bytes, as f32.
    pub parameter_bytes: u64,
    /// The size of all results in bytes, as f32: an upper bound for what training stores.
    pub activation_bytes: u64,
    /// The largest size in bytes of the inputs and results that are alive at the same time, if each is dropped after
    /// its last use: a lower bound for what inference stores.
    pub peak_bytes: u64,
    /// The size of a file of all parameters and running statistics.
    pub stored: StoredBytes,
}

impl ComputeTable {
    /// The share of multiply-accumulates with a zero weight, from 0 to 1: sparsity weighted by work.
    #[must_use]
    pub fn mac_sparsity(&self) -> f64 {
        match self.macs {
            0 => 0.0,
            macs => 1.0 - self.nonzero_macs as f64 / macs as f64,
        }
    }

    /// One line for each layer that has zeros, by name: the notes of a [`Drawing`](calcine_graph::Drawing::notes).
    #[must_use]
    pub fn notes(&self) -> BTreeMap<String, String> {
        let sparse = self
            .rows
            .iter()
            .filter(|row| row.nonzero_weights < row.weights);
        let note = |row: &ComputeRow| {
            let zeros = 100.0 - percent(row.nonzero_weights, row.weights);
            (row.name.clone(), format!("{zeros:.1} % zeros"))
        };
        sparse.map(note).collect()
    }

    /// The table as text, with a last row of totals.
    ///
    /// The columns up to MACs are those of Distiller. They are followed by the share of all MACs, the MACs whose weight
    /// is not zero, and the percentage of zeros in the weight.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let header = [
            "Name",
            "Type",
            "Attrs",
            "IFM",
            "IFM volume",
            "OFM",
            "OFM volume",
            "Weights volume",
            "MACs",
            "MACs (%)",
            "Non-zero MACs",
            "Zeros (%)",
        ];
        let sparsity = |nonzero, total| match total {
            0 => "-".to_owned(),
            _ => format!("{:.2}", 100.0 - percent(nonzero, total)),
        };
        let cells = |row: &ComputeRow| {
            vec![
                row.name.clone(),
                row.kind.clone(),
                row.attributes.clone(),
                bracketed(&row.ifm),
                thousands(row.ifm_volume),
                bracketed(&row.ofm),
                thousands(row.ofm_volume),
                thousands(row.weights),
                thousands(row.macs),
                format!("{:.2}", row.share),
                thousands(row.nonzero_macs),
                sparsity(row.nonzero_weights, row.weights),
            ]
        };
        let mut last = vec!["Total:".to_owned()];
        last.extend(vec!["-".to_owned(); 6]);
        last.extend([self.weights, self.macs].map(thousands));
        last.push(format!("{:.2}", percent(self.macs, self.macs)));
        last.push(thousands(self.nonzero_macs));
        last.push(sparsity(self.nonzero_weights, self.weights));
        Sheet {
            header: header.map(str::to_owned).into(),
            rows: self.rows.iter().map(cells).chain([last]).collect(),
        }
    }

    /// The table and its totals for a console of this width; see [`Sheet::fitted`].
    #[must_use]
    pub fn fitted(&self, width: usize) -> String {
        let totals = wrapped(&self.totals(), width);
        format!("{}\n{totals}", self.sheet().fitted(width))
    }

    /// The lines below the table.
    fn totals(&self) -> String {
        let samples = match self.batch {
            1 => "sample",
            _ => "samples",
        };
        let StoredBytes {
            dense,
            bitmask,
            csr,
            int8,
        } = self.stored;
        let [dense, bitmask, csr, int8] = [dense, bitmask, csr, int8].map(thousands);
        format!(
            "MACs of {} {samples}: {}; with weights that are not zero: {} ({:.2} % saved)\n\
             Trainable parameters: {} in {} bytes; {} with running statistics\n\
             Activations: {} bytes in all, {} alive at once\n\
             Stored, in bytes: {dense} as f32, {bitmask} with bitmasks, {csr} as CSR, {int8} with int8 weights",
            thousands(self.batch as u64),
            thousands(self.macs),
            thousands(self.nonzero_macs),
            100.0 * self.mac_sparsity(),
            thousands(self.parameters),
            thousands(self.parameter_bytes),
            thousands(self.stored.dense / size_of::<f32>() as u64),
            thousands(self.activation_bytes),
            thousands(self.peak_bytes),
        )
    }

    /// The rows as comma-separated values:
    /// `name,type,attributes,ifm,ifm_volume,ofm,ofm_volume,weights,nonzero_weights,macs,nonzero_macs,share`, one line
    /// per row. Shapes are written as `1x3x32x32`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let header = [
            "name",
            "type",
            "attributes",
            "ifm",
            "ifm_volume",
            "ofm",
            "ofm_volume",
            "weights",
            "nonzero_weights",
            "macs",
            "nonzero_macs",
            "share",
        ];
        let cells = |row: &ComputeRow| {
            vec![
                row.name.clone(),
                row.kind.clone(),
                row.attributes.clone(),
                joined(&row.ifm, "x"),
                row.ifm_volume.to_string(),
                joined(&row.ofm, "x"),
                row.ofm_volume.to_string(),
                row.weights.to_string(),
                row.nonzero_weights.to_string(),
                row.macs.to_string(),
                row.nonzero_macs.to_string(),
                row.share.to_string(),
            ]
        };
        Sheet {
            header: header.map(str::to_owned).into(),
            rows: self.rows.iter().map(cells).collect(),
        }
        .to_csv()
    }

    /// The rows and all totals as a JSON object.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("rows and totals are plain numbers and text")
    }
}

/// For a console: the [sheet](ComputeTable::sheet), followed by totals of compute and memory.
impl fmt::Display for ComputeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.sheet(), self.totals())
    }
}

fn percent(part: u64, all: u64) -> f64 {
    match all {
        0 => 0.0,
        _ => 100.0 * part as f64 / all as f64,
    }
}
