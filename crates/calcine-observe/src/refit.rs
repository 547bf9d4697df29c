use std::collections::BTreeMap;

use faer::linalg::solvers::SolveLstsq;
use faer::{Mat, MatRef};

use crate::layer_samples::LayerSamples;

/// A weight, and bias, that gives what the layer gave, with fewer inputs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Refit {
    /// As the layer's weight lies in memory; exactly zero where nothing was kept.
    pub weight: Vec<f64>,
    /// Of each filter, if the layer has a bias.
    pub bias: Option<Vec<f64>>,
    /// What is left unexplained, as [`LayerSamples::error`].
    pub error: f64,
    /// The systems that were solved: one for all filters that keep the same inputs.
    pub systems: Vec<System>,
}

/// A least-squares problem that was solved, for some filters at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct System {
    /// How many filters.
    pub filters: usize,
    /// Numbers looked for, of each filter: the kept inputs, and one for a bias.
    pub unknowns: usize,
    /// How many of them, in combination, the samples determine.
    pub rank: usize,
}

impl System {
    /// Whether the samples determine all unknowns. If not, of all the weights that are equally near the
    /// smallest was taken.
    #[must_use]
    pub fn is_determined(&self) -> bool {
        self.rank == self.unknowns
    }
}

/// Why a layer cannot be refitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefitError {
    /// Another number of elements than the weight has.
    #[error("the weight has {expected} elements, `keep` has {given}")]
    Keep {
        /// The weight's.
        expected: usize,
        /// The choice's.
        given: usize,
    },
    /// There is nothing to fit to.
    #[error("there are no samples")]
    Empty,
    /// A sample that is infinite or no number.
    #[error("row {row} of the samples has a value that is not finite")]
    NotFinite {
        /// The first such row.
        row: usize,
    },
    /// A decomposition that did not converge.
    #[error("the singular values of {rows} rows of {columns} columns did not converge")]
    NotConverged {
        /// The system's.
        rows: usize,
        /// The system's.
        columns: usize,
    },
}

impl LayerSamples {
    /// The weight that gives what was sampled, as nearly as it can with the elements that are kept: feature-map
    /// reconstruction.
    ///
    /// ```text
    /// W = argmin ‖X·Wᵀ + b - Y‖²      over W that are zero outside `keep`, and b if the layer has a bias
    /// ```
    ///
    /// After channels were chosen, it makes up for the dropped ones with those that are left, as far as they
    /// are alike (He et al., 2017, "Channel Pruning for Accelerating Very Deep Neural Networks"; Distiller's
    /// `FMReconstructionChannelPruner`, which fits no bias). Each filter is fitted by itself, so that any choice of elements may
    /// be kept; [`of_channels`](Self::of_channels) turns a choice of input channels into one. A filter of a grouped
    /// convolution is fitted to the inputs of its group.
    ///
    /// In `f64`, by a QR decomposition with column pivoting. Where the samples determine less than all
    /// unknowns, because there are fewer rows, or inputs say the same, or nothing, the smallest of the solutions is
    /// taken, by singular values, and [`System::rank`] says so. What is below the rounding of the
    /// samples' `f32` beside the largest counts as nothing.
    ///
    /// # Shapes
    ///
    /// `keep`: the weight's, as it lies in memory.
    ///
    /// # Errors
    ///
    /// If `keep` is not as long as the weight, or the samples are none or not finite.
    ///
    /// # Examples
    ///
    /// ```
    /// use calcine_observe::LayerSamples;
    ///
    /// // The second input is twice the first, and y = x₀ + x₁.
    /// let inputs = vec![1.0, 2.0, 2.0, 4.0, -1.0, -2.0];
    /// let outputs = vec![3.0, 6.0, -3.0];
    /// let samples = LayerSamples::of_linear((inputs, 2), (outputs, 1)).expect("three rows");
    /// let refit = samples.refit(&[true, false])?;
    /// assert!((refit.weight[0] - 3.0).abs() < 1e-12);
    /// assert_eq!(refit.weight[1], 0.0);
    /// assert!(refit.error < 1e-12);
    /// assert!(!samples.refit(&[true, true])?.systems[0].is_determined());
    /// # Ok::<(), calcine_observe::RefitError>(())
    /// ```
    pub fn refit(&self, keep: &[bool]) -> Result<Refit, RefitError> {
        if keep.len() != self.numel() {
            return Err(RefitError::Keep {
                expected: self.numel(),
                given: keep.len(),
            });
        }
        self.check()?;
        let mut weight = vec![0.0; self.numel()];
        let mut bias = self.bias.as_ref().map(|_| vec![0.0; self.filters]);
        let mut systems = Vec::new();
        for (columns, filters) in self.alike(keep) {
            let inputs = self.kept(&columns);
            let outputs = Mat::from_fn(self.rows(), filters.len(), |row, at| {
                f64::from(self.outputs[row * self.filters + filters[at]])
            });
            let (solution, rank) = solve(inputs.as_ref(), outputs.as_ref())?;
            for (at, &filter) in filters.iter().enumerate() {
                let first = self.columns_of(filter).start;
                for (row, &column) in columns.iter().enumerate() {
                    weight[self.element(filter, column - first)] = solution[(row, at)];
                }
                if let Some(bias) = &mut bias {
                    bias[filter] = solution[(columns.len(), at)];
                }
            }
            systems.push(System {
                filters: filters.len(),
                unknowns: inputs.ncols(),
                rank,
            });
        }
        Ok(Refit {
            error: self.error(&weight, bias.as_deref()),
            weight,
            bias,
            systems,
        })
    }

    fn check(&self) -> Result<(), RefitError> {
        if self.inputs.is_empty() {
            return Err(RefitError::Empty);
        }
        let of = |values: &[f32], length: usize| {
            let bad = values.iter().position(|value| !value.is_finite());
            bad.map(|at| at / length)
        };
        let inputs = of(&self.inputs, self.columns);
        let outputs = of(&self.outputs, self.filters);
        match inputs.into_iter().chain(outputs).min() {
            Some(row) => Err(RefitError::NotFinite { row }),
            None => Ok(()),
        }
    }

    /// The columns that are kept, with the filters that keep just these.
    fn alike(&self, keep: &[bool]) -> BTreeMap<Vec<usize>, Vec<usize>> {
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for filter in 0..self.filters {
            let columns = self.columns_of(filter).enumerate();
            let kept = columns.filter(|&(place, _)| keep[self.element(filter, place)]);
            let kept: Vec<usize> = kept.map(|(_, column)| column).collect();
            alike.entry(kept).or_default().push(filter);
        }
        alike
    }

    /// The rows' values in these columns, and a column of ones for a bias.
    fn kept(&self, columns: &[usize]) -> Mat<f64> {
        let ones = usize::from(self.bias.is_some());
        Mat::from_fn(self.rows(), columns.len() + ones, |row, at| {
            let input = |&column: &usize| f64::from(self.inputs[row * self.columns + column]);
            columns.get(at).map_or(1.0, input)
        })
    }
}

/// The smallest `X` that minimises `‖A·X - B‖`, and the rank of `A`.
fn solve(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<(Mat<f64>, usize), RefitError> {
    // What is always zero says nothing: the smallest solution leaves it out.
    let speaks = |column: &usize| a.col(*column).iter().any(|&value| value != 0.0);
    let spoken: Vec<usize> = (0..a.ncols()).filter(speaks).collect();
    let mut all = Mat::zeros(a.ncols(), b.ncols());
    if spoken.is_empty() {
        return Ok((all, 0));
    }
    let a = Mat::from_fn(a.nrows(), spoken.len(), |row, at| a[(row, spoken[at])]);
    let (solution, rank) = match by_qr(&a, b) {
        Some(solution) => (solution, a.ncols()),
        None => by_singular_values(&a, b)?,
    };
    for (at, &column) in spoken.iter().enumerate() {
        all.row_mut(column).copy_from(solution.row(at));
    }
    Ok((all, rank))
}

/// What counts as nothing beside 1: the samples are rounded to that.
const ROUNDING: f64 = f32::EPSILON as f64;

/// `None` if the columns are not independent.
fn by_qr(a: &Mat<f64>, b: MatRef<'_, f64>) -> Option<Mat<f64>> {
    if a.nrows() < a.ncols() {
        return None;
    }
    let qr = a.col_piv_qr();
    let pivots = qr.thin_R();
    let last = a.ncols() - 1;
    let independent = pivots[(last, last)].abs() > ROUNDING * pivots[(0, 0)].abs();
    independent.then(|| qr.solve_lstsq(b))
}

/// Over the singular values that are not nothing: the smallest solution.
fn by_singular_values(a: &Mat<f64>, b: MatRef<'_, f64>) -> Result<(Mat<f64>, usize), RefitError> {
    let svd = a.thin_svd().map_err(|_| RefitError::NotConverged {
        rows: a.nrows(),
        columns: a.ncols(),
    })?;
    let values = svd.S().column_vector();
    let rank = values
        .iter()
        .take_while(|&&value| value > ROUNDING * values[0])
        .count();
    let (u, v) = (svd.U().subcols(0, rank), svd.V().subcols(0, rank));
    let mut shares = u.transpose() * b;
    for (at, &value) in values.iter().take(rank).enumerate() {
        for share in shares.row_mut(at).iter_mut() {
            *share /= value;
        }
    }
    Ok((v * shares, rank))
}
