use faer::Mat;

use crate::error::ObserveError;

/// Which inputs and outputs of a layer are sampled.
///
/// # Examples
///
/// ```
/// use calcine_observe::Sampling;
///
/// assert_eq!(Sampling::default().positions, 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// The number of output positions per batch; each is taken from all samples of the batch. If there are fewer, all
    /// are taken. The positions of a linear layer are its rows within a sample: an input `[batch, in]` has one.
    pub positions: usize,
    /// The seed of the random positions, which are drawn for each layer separately and are the same on every device.
    pub seed: u64,
}

impl Default for Sampling {
    /// Ten positions, as in Distiller.
    fn default() -> Self {
        Self {
            positions: 10,
            seed: 0,
        }
    }
}

/// Samples of the inputs and outputs of a layer, as rows.
///
/// A row of a convolution is a receptive field, channel by channel, including the zeros of the padding. A row of a
/// linear layer is a row of its input.
///
/// # Shapes
///
/// `inputs`: `[rows, columns]`, `outputs`: `[rows, filters]`. The columns are `in · kh · kw` for a convolution, and
/// `in` for a linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSamples {
    pub(crate) inputs: Vec<f32>,
    pub(crate) outputs: Vec<f32>,
    pub(crate) columns: usize,
    pub(crate) filters: usize,
    pub(crate) layout: Layout,
    pub(crate) bias: Option<String>,
}

/// The memory layout of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[filters, columns / groups]`.
    Convolution { groups: usize },
    /// `[columns, filters]`.
    Linear,
}

impl LayerSamples {
    /// Samples of a convolution without a bias, whose weight is stored as `[filters, columns / groups]`. `None` if the
    /// sizes do not match.
    #[must_use]
    pub fn from_convolution(
        (inputs, columns): (Vec<f32>, usize),
        (outputs, filters): (Vec<f32>, usize),
        groups: usize,
    ) -> Option<Self> {
        let even = |count: usize| groups > 0 && count.is_multiple_of(groups);
        let layout = Layout::Convolution { groups };
        let whole = even(columns) && even(filters);
        let samples = Self::new((inputs, columns), (outputs, filters), layout)?;
        whole.then_some(samples)
    }

    /// Samples of a linear layer without a bias, whose weight is stored as `[columns, filters]`. `None` if the sizes do
    /// not match.
    #[must_use]
    pub fn from_linear(
        (inputs, columns): (Vec<f32>, usize),
        (outputs, filters): (Vec<f32>, usize),
    ) -> Option<Self> {
        Self::new((inputs, columns), (outputs, filters), Layout::Linear)
    }

    /// Declares that the layer has a bias with this path.
    #[must_use]
    pub fn with_bias(mut self, path: impl Into<String>) -> Self {
        self.bias = Some(path.into());
        self
    }

    pub(crate) fn new(
        (inputs, columns): (Vec<f32>, usize),
        (outputs, filters): (Vec<f32>, usize),
        layout: Layout,
    ) -> Option<Self> {
        let rows = inputs.len().checked_div(columns)?;
        let whole = inputs.len() == rows * columns && outputs.len() == rows * filters;
        (whole && filters > 0).then_some(Self {
            inputs,
            outputs,
            columns,
            filters,
            layout,
            bias: None,
        })
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.inputs.len() / self.columns
    }

    /// The number of columns: the inputs in a receptive field.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of outputs.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.filters
    }

    /// The number of groups into which the inputs are divided; each output uses one.
    #[must_use]
    pub fn groups(&self) -> usize {
        match self.layout {
            Layout::Convolution { groups } => groups,
            Layout::Linear => 1,
        }
    }

    /// The second moments of the inputs of a group, `Σ x_i·x_j` over all rows, as a square matrix of `columns / groups`
    /// rows, row by row.
    #[must_use]
    pub fn moments(&self, group: usize) -> Vec<f64> {
        let columns = self.columns / self.groups();
        let inputs = Mat::from_fn(self.rows(), columns, |row, column| {
            self.input(row, group, column)
        });
        let moments = inputs.transpose() * &inputs;
        let all = (0..columns).flat_map(|row| (0..columns).map(move |column| (row, column)));
        all.map(|at| moments[at]).collect()
    }

    /// The means of the inputs of a group: `[columns / groups]`.
    #[must_use]
    pub fn means(&self, group: usize) -> Vec<f64> {
        let rows = self.rows().max(1) as f64;
        let sum = |column| {
            (0..self.rows())
                .map(|row| self.input(row, group, column))
                .sum::<f64>()
        };
        (0..self.columns / self.groups())
            .map(|column| sum(column) / rows)
            .collect()
    }

    fn input(&self, row: usize, group: usize, column: usize) -> f64 {
        let columns = self.columns / self.groups();
        f64::from(self.inputs[row * self.columns + group * columns + column])
    }

    /// The path of the bias of the layer, if it has one.
    #[must_use]
    pub fn bias(&self) -> Option<&str> {
        self.bias.as_deref()
    }

    /// The number of elements of the weight.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.seen_by_a_filter() * self.filters
    }

    /// The elements of the weight that belong to input channels, in stored order. `None` if the number of channels is
    /// wrong.
    ///
    /// # Shapes
    ///
    /// `channels`: `[in]`, including the channels of all groups.
    #[must_use]
    pub fn of_channels(&self, channels: &[bool]) -> Option<Vec<bool>> {
        let kernel = self.columns.checked_div(channels.len())?;
        let mut keep = vec![false; self.numel()];
        for filter in 0..self.filters {
            for (place, column) in self.columns_of(filter).enumerate() {
                keep[self.element(filter, place)] = *channels.get(column / kernel.max(1))?;
            }
        }
        (kernel * channels.len() == self.columns).then_some(keep)
    }

    /// The relative error with which a weight and a bias reproduce the outputs.
    ///
    /// ```text
    /// ‖X·Wᵀ + b - Y‖ / ‖Y‖      in the Frobenius norm
    /// ```
    ///
    /// # Panics
    ///
    /// If the weight or the bias has a wrong length.
    #[must_use]
    pub fn error(&self, weight: &[f64], bias: Option<&[f64]>) -> f64 {
        assert_eq!(weight.len(), self.numel(), "elements of the weight");
        let (mut off, mut all) = (0.0, 0.0);
        let rows = self.inputs.chunks_exact(self.columns);
        for (input, output) in rows.zip(self.outputs.chunks_exact(self.filters)) {
            for (filter, &wanted) in output.iter().enumerate() {
                let products = self.columns_of(filter).enumerate().map(|(place, column)| {
                    f64::from(input[column]) * weight[self.element(filter, place)]
                });
                let found = products.sum::<f64>() + bias.map_or(0.0, |bias| bias[filter]);
                off += (found - f64::from(wanted)).powi(2);
                all += f64::from(wanted).powi(2);
            }
        }
        if off == 0.0 { 0.0 } else { (off / all).sqrt() }
    }

    /// The number of columns that a filter uses.
    pub(crate) fn seen_by_a_filter(&self) -> usize {
        match self.layout {
            Layout::Convolution { groups } => self.columns / groups,
            Layout::Linear => self.columns,
        }
    }

    /// The columns that a filter uses.
    pub(crate) fn columns_of(&self, filter: usize) -> std::ops::Range<usize> {
        let seen = self.seen_by_a_filter();
        let group = match self.layout {
            Layout::Convolution { groups } => filter / (self.filters / groups),
            Layout::Linear => 0,
        };
        group * seen..(group + 1) * seen
    }

    /// The index in the stored weight of the element of a filter for the column at this position among those that the
    /// filter uses.
    pub(crate) fn element(&self, filter: usize, place: usize) -> usize {
        match self.layout {
            Layout::Convolution { .. } => filter * self.seen_by_a_filter() + place,
            Layout::Linear => place * self.filters + filter,
        }
    }
}

/// The error for a layer that cannot be sampled.
pub(crate) fn unsampled(weight: &str, why: &str) -> ObserveError {
    ObserveError::NotSampled {
        weight: weight.to_owned(),
        why: why.to_owned(),
    }
}
