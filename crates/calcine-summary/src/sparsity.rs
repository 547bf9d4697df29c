use std::fmt;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, Transaction};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_params::{Inventory, Parameter, Role, flat};
use calcine_sparsity::{Share, moments, nonzero, nonzero_units};
use serde::Serialize;

use crate::sheet::Sheet;
use crate::sheet::{bracketed, joined, wrapped};

/// Computes the sparsity of every weight of a model.
///
/// Weights are the parameters of rank 2 or more: convolutions, linear layers, embeddings. All counts are read from the
/// device in one transaction. Channels, kernels and filters are counted only where the groups of the convolution are known, as in traced
/// networks; for other models, use [`sparsity_of`].
#[must_use]
pub fn sparsity<M: Module>(model: &M) -> SparsityTable {
    sparsity_of(model, &Inventory::from_module(model))
}

/// [`sparsity`] of a model whose inventory has been told the groups of its convolutions ([`Inventory::tell_groups`]).
///
/// # Examples
///
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use burn::tensor::Device;
/// use calcine_params::Inventory;
/// use calcine_summary::{sparsity, sparsity_of};
///
/// let layer = Conv2dConfig::new([4, 6], [3, 3]).init(&Device::flex());
/// assert!(!sparsity(&layer).rows[0].structures_known);
/// let mut inventory = Inventory::from_module(&layer);
/// inventory.tell_groups("weight", 1);
/// assert!(sparsity_of(&layer, &inventory).rows[0].structures_known);
/// ```
#[must_use]
pub fn sparsity_of<M: Module>(model: &M, inventory: &Inventory) -> SparsityTable {
    let trainable: Vec<&Parameter> = inventory
        .iter()
        .filter(|parameter| parameter.is_trainable())
        .collect();
    let weight = |(parameter, values): (&Parameter, Tensor<1>)| Weight {
        name: parameter.path.clone(),
        shape: parameter.shape.clone(),
        // Structures are defined only if the groups of the convolution are known.
        layout: parameter.groups.get().and(parameter.layout()),
        groups: parameter.groups.get().unwrap_or(1),
        values,
    };
    let weights = inventory
        .weights()
        .zip(flat(model, inventory.weights()))
        .map(weight);
    let others = trainable
        .iter()
        .copied()
        .filter(|parameter| parameter.role != Role::Weight);
    let others = flat(model, others).into_iter().map(nonzero);
    let (mut rows, others) = measure(weights.collect(), others.collect());
    for (row, parameter) in rows.iter_mut().zip(inventory.weights()) {
        row.structures_known = parameter.groups.get().is_some() || parameter.layout().is_none();
    }
    let nonzero = others + rows.iter().map(|row| row.nonzero).sum::<u64>();
    let total = trainable
        .iter()
        .map(|parameter| parameter.numel() as u64)
        .sum();
    SparsityTable {
        rows,
        all: Share { nonzero, total },
    }
}

/// One weight for a [`SparsityTable`] of weights that do not belong to a model.
#[derive(Debug, Clone)]
pub struct Weight {
    /// The name in the table.
    pub name: String,
    /// The shape as stored.
    pub shape: Vec<usize>,
    /// Which stored axis is the output. `None` counts elements only; use it for a convolution whose groups are not
    /// known.
    pub layout: Option<Layout>,
    /// The groups of a convolution; 1 for other layers.
    pub groups: usize,
    /// The elements in stored order: `[numel]`.
    pub values: Tensor<1>,
}

/// One row of a [`SparsityTable`]: a weight. Percentages are shares of zeros, and 0 where a column does not apply.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SparsityRow {
    /// The path of the parameter.
    pub name: String,
    /// The shape with the output axis first, as PyTorch stores it.
    pub shape: Vec<usize>,
    /// False for a convolution whose groups are unknown: its channels, kernels and filters were not counted, and `shape` is as stored.
    pub structures_known: bool,
    /// The number of elements.
    pub numel: u64,
    /// The number of elements that are not zero.
    pub nonzero: u64,
    /// The percentage of zero outputs of a linear layer.
    pub fc_outputs: f64,
    /// The percentage of zero inputs of a linear layer.
    pub fc_inputs: f64,
    /// The percentage of zero input channels of a convolution.
    pub channels: f64,
    /// The percentage of zero kernels of a convolution (2D), or of zero outputs of a linear layer.
    pub kernels: f64,
    /// The percentage of zero filters of a convolution (3D).
    pub filters: f64,
    /// The percentage of zero elements.
    pub elements: f64,
    /// The unbiased standard deviation of all elements, including zeros.
    pub std: f64,
    /// The mean.
    pub mean: f64,
    /// The mean magnitude.
    pub abs_mean: f64,
}

/// The sparsity of every weight of a model, in the order of the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SparsityTable {
    /// One row per weight.
    pub rows: Vec<SparsityRow>,
    /// All trainable parameters, including biases and norms.
    #[serde(skip)]
    pub all: Share,
}

impl SparsityTable {
    /// The table of weights that do not belong to a model, for example those of a file, or masks as zeros and ones.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use calcine_fold::Layout;
    /// use calcine_summary::{SparsityTable, Weight};
    ///
    /// let weight = Weight {
    ///     name: "fc.weight".to_owned(),
    ///     shape: vec![2, 3],
    ///     layout: Some(Layout::OutputFirst), // as PyTorch stores it
    ///     groups: 1,
    ///     values: Tensor::from_data([0.0, 0.0, 0.0, 1.0, 0.0, 2.0], &Device::flex()),
    /// };
    /// let table = SparsityTable::of_weights(vec![weight]);
    /// assert_eq!(table.rows[0].nonzero, 2);
    /// assert_eq!(table.rows[0].fc_outputs, 50.0);
    /// ```
    ///
    /// # Panics
    ///
    /// If `values` has another number of elements than `shape`.
    #[must_use]
    pub fn of_weights(weights: Vec<Weight>) -> Self {
        let (rows, _) = measure(weights, Vec::new());
        let mut table = Self {
            rows,
            all: Share::default(),
        };
        table.all = table.total();
        table
    }

    /// The non-zeros of all weights together.
    #[must_use]
    pub fn total(&self) -> Share {
        self.rows
            .iter()
            .map(|row| Share {
                nonzero: row.nonzero,
                total: row.numel,
            })
            .sum()
    }

    /// The table as text, with a last row of totals.
    ///
    /// The columns are name, shape, elements, non-zeros; the percentage of zero linear outputs (Cols), linear inputs
    /// (Rows), channels (Ch), kernels (2D), filters (3D) and elements (Fine); standard deviation, mean, and mean
    /// magnitude. The titles are those of Distiller. Where the groups of a convolution are unknown, a question mark stands for
    /// the percentages of channels, kernels and filters.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let header = [
            "Name",
            "Shape",
            "NNZ (dense)",
            "NNZ (sparse)",
            "Cols (%)",
            "Rows (%)",
            "Ch (%)",
            "2D (%)",
            "3D (%)",
            "Fine (%)",
            "Std",
            "Mean",
            "Abs-Mean",
        ];
        // Channels, kernels and filters among the numbers.
        const STRUCTURES: [usize; 3] = [2, 3, 4];
        let cells = |row: &SparsityRow| {
            let counts = [row.numel, row.nonzero].map(|n| n.to_string());
            let numbers = [
                row.fc_outputs,
                row.fc_inputs,
                row.channels,
                row.kernels,
                row.filters,
                row.elements,
                row.std,
                row.mean,
                row.abs_mean,
            ];
            [row.name.clone(), bracketed(&row.shape)]
                .into_iter()
                .chain(counts)
                .chain(numbers.iter().enumerate().map(|(column, x)| {
                    if row.structures_known || !STRUCTURES.contains(&column) {
                        format!("{x:.5}")
                    } else {
                        "?".to_owned()
                    }
                }))
                .collect()
        };
        let total = self.total();
        let mut last = vec!["Total sparsity:".to_owned(), "-".to_owned()];
        last.extend([total.total, total.nonzero].map(|n| n.to_string()));
        last.extend(vec![format!("{:.5}", 0.0); 5]);
        last.push(format!("{:.5}", 100.0 * total.sparsity()));
        last.extend(vec![format!("{:.5}", 0.0); 3]);
        let rows = self.rows.iter().map(cells).chain([last]).collect();
        Sheet {
            header: header.map(str::to_owned).into(),
            rows,
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
        let Share { nonzero, total } = self.all;
        let sparsity = 100.0 * self.all.sparsity();
        format!("All trainable parameters: {nonzero} of {total} not zero ({sparsity:.2} % zeros)")
    }

    /// The rows as comma-separated values: `parameter,shape,volume,sparse_volume,sparsity`, one line per weight.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let cells = |row: &SparsityRow| {
            vec![
                row.name.clone(),
                joined(&row.shape, "x"),
                row.numel.to_string(),
                row.nonzero.to_string(),
                (row.elements / 100.0).to_string(),
            ]
        };
        let header = ["parameter", "shape", "volume", "sparse_volume", "sparsity"];
        let header = header.map(str::to_owned).into();
        Sheet {
            header,
            rows: self.rows.iter().map(cells).collect(),
        }
        .to_csv()
    }

    /// The rows as a JSON array.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.rows).expect("rows are plain numbers and text")
    }
}

/// For a console: the [sheet](SparsityTable::sheet), followed by a line for all trainable parameters.
impl fmt::Display for SparsityTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.sheet(), self.totals())
    }
}

/// The layout of a weight, and the groups of its convolution.
#[derive(Debug, Clone, Copy)]
struct Axes {
    layout: Layout,
    groups: usize,
}

fn fold(granularity: Granularity, shape: &[usize], axes: Option<Axes>) -> Fold {
    let Axes { layout, groups } = axes.expect("only weights of a known layout have structures");
    Fold::grouped(granularity, shape, layout, groups).expect("the granularity fits the rank")
}

/// The granularities whose zeros a row reports, in the order of the columns.
fn granularities(shape: &[usize], axes: Option<Axes>) -> &'static [Granularity] {
    match shape.len() {
        _ if axes.is_none() || shape.contains(&0) => &[],
        2 => &[Granularity::FcOutput, Granularity::FcInput],
        3..=5 => &[
            Granularity::Channel,
            Granularity::Kernel,
            Granularity::Filter,
        ],
        _ => &[],
    }
}

/// Measures all weights, counts the non-zeros of all other parameters, and reads the results in one transaction.
fn measure(weights: Vec<Weight>, others: Vec<Tensor<1, Int>>) -> (Vec<SparsityRow>, u64) {
    let (plans, measures): (Vec<_>, Vec<_>) = weights
        .into_iter()
        .map(
            |Weight {
                 name,
                 shape,
                 layout,
                 groups,
                 values,
             }| {
                let axes = layout.map(|layout| Axes { layout, groups });
                let measure = Measure::new(values, &shape, axes);
                ((name, shape, axes), measure)
            },
        )
        .unzip();
    let (measured, others) = read(measures, others);
    let rows = plans
        .iter()
        .zip(measured)
        .map(|((name, shape, axes), measured)| measured.row(name, shape, *axes));
    (rows.collect(), others)
}

/// The measures of one weight, on the device.
struct Measure {
    nonzero: Tensor<1, Int>,
    units: Vec<Tensor<1, Int>>,
    moments: Tensor<1>,
}

/// The measures of one weight, on the host.
struct Measured {
    nonzero: u64,
    units: Vec<u64>,
    moments: [f64; 3],
}

impl Measure {
    fn new(values: Tensor<1>, shape: &[usize], axes: Option<Axes>) -> Self {
        let count = |granularity: &Granularity| {
            let fold = fold(*granularity, shape, axes);
            nonzero_units(fold.rows(values.clone()))
        };
        Self {
            units: granularities(shape, axes).iter().map(count).collect(),
            nonzero: nonzero(values.clone()),
            moments: moments(values),
        }
    }
}

impl Measured {
    fn row(self, name: &str, shape: &[usize], axes: Option<Axes>) -> SparsityRow {
        let numel = shape.iter().product::<usize>() as u64;
        let percent = |wanted: Granularity| {
            let Some(at) = granularities(shape, axes)
                .iter()
                .position(|granularity| *granularity == wanted)
            else {
                return 0.0;
            };
            let fold = fold(wanted, shape, axes);
            100.0
                * Share {
                    nonzero: self.units[at],
                    total: fold.units() as u64,
                }
                .sparsity()
        };
        let mut output_first = shape.to_vec();
        if axes.is_some_and(|axes| axes.layout == Layout::InputFirst) && shape.len() > 1 {
            output_first.swap(0, 1);
        }
        let is_linear = shape.len() == 2;
        let [std, mean, abs_mean] = self.moments;
        SparsityRow {
            name: name.to_owned(),
            shape: output_first,
            structures_known: axes.is_some() || !(3..=5).contains(&shape.len()),
            numel,
            nonzero: self.nonzero,
            fc_outputs: percent(Granularity::FcOutput),
            fc_inputs: percent(Granularity::FcInput),
            channels: percent(Granularity::Channel),
            kernels: percent(if is_linear {
                Granularity::FcOutput
            } else {
                Granularity::Kernel
            }),
            filters: percent(Granularity::Filter),
            elements: 100.0
                * Share {
                    nonzero: self.nonzero,
                    total: numel,
                }
                .sparsity(),
            std,
            mean,
            abs_mean,
        }
    }
}

/// Reads everything in one transaction; the second result is the sum of `others`.
fn read(measures: Vec<Measure>, others: Vec<Tensor<1, Int>>) -> (Vec<Measured>, u64) {
    let units: Vec<usize> = measures.iter().map(|measure| measure.units.len()).collect();
    let mut transaction = Transaction::default();
    for measure in measures {
        transaction = transaction
            .register(measure.nonzero)
            .register(measure.moments);
        transaction = measure
            .units
            .into_iter()
            .fold(transaction, Transaction::register);
    }
    transaction = others.into_iter().fold(transaction, Transaction::register);
    let mut data = transaction.execute().into_iter();
    let measured = units.into_iter().map(|units| Measured {
        nonzero: count(data.next()),
        moments: floats(data.next()),
        units: (0..units).map(|_| count(data.next())).collect(),
    });
    let measured = measured.collect();
    (measured, data.map(|data| count(Some(data))).sum())
}

fn count(data: Option<TensorData>) -> u64 {
    let data = data.expect("one answer for each tensor registered");
    data.iter::<i64>().next().map_or(0, i64::unsigned_abs)
}

fn floats(data: Option<TensorData>) -> [f64; 3] {
    let data = data.expect("one answer for each tensor registered");
    let mut numbers = data.iter::<f64>();
    std::array::from_fn(|_| numbers.next().expect("three moments"))
}
