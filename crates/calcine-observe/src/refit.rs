use std::collections::BTreeMap;

use faer::linalg::solvers::SolveLstsq;
use faer::{Mat, MatRef};

use crate::layer_samples::LayerSamples;

/// A refitted weight and bias, which reproduce the outputs of a layer with fewer inputs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Refit {
    /// The weight in stored order; exactly zero where it was not kept.
    pub weight: Vec<f64>,
    /// The bias of each filter, if the layer has one.
    pub bias: Option<Vec<f64>>,
    /// The relative error, as [`LayerSamples::error`].
    pub error: f64,
    /// The systems that were solved: one for all filters that keep the same inputs.
    pub systems: Vec<System>,
}

/// A least-squares problem that was solved for one or several filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct System {
    /// The number of filters.
    pub filters: usize,
    /// The number of unknowns of each filter: the kept inputs, and one for a bias.
    pub unknowns: usize,
    /// The rank of the samples: how many of the unknowns they determine.
    pub rank: usize,
}

impl System {
    /// Whether the samples determine all unknowns. If not, the solution with the smallest norm was taken.
    #[must_use]
    pub fn is_determined(&self) -> bool {
        self.rank == self.unknowns
    }
}

/// Why a layer cannot be refitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefitError {
    /// The length of `keep` differs from the number of elements of the weight.
    #[error("the weight has {expected} elements, `keep` has {given}")]
    Keep {
        /// The number of elements of the weight.
        expected: usize,
        /// The length of `keep`.
        given: usize,
    },
    /// There are no samples.
    #[error("there are no samples")]
    Empty,
    /// A sample is infinite or NaN.
    #[error("row {row} of the samples has a value that is not finite")]
    NotFinite {
        /// The first row with such a sample.
        row: usize,
    },
    /// A decomposition did not converge.
    #[error("the singular values of {rows} rows of {columns} columns did not converge")]
    NotConverged {
        /// The number of rows of the system.
        rows: usize,
        /// The number of columns of the system.
        columns: usize,
    },
}

impl LayerSamples {
    /// Computes the weight with the kept elements that best reproduces the sampled outputs (feature-map
    /// reconstruction).
    ///
    /// ```text
    /// W = argmin ‖X·Wᵀ + b - Y‖²      over W that are zero outside of `keep`, and b if the layer has a bias
    /// ```
    ///
    /// After channels have been selected, the remaining channels compensate for the dropped ones as far as they are
    /// correlated (He et al., 2017, "Channel Pruning for Accelerating Very Deep Neural Networks"; Distiller's
    /// `FMReconstructionChannelPruner`, which does not fit a bias). Each filter is fitted separately, so any set of
    /// elements can be kept; [`of_channels`](Self::of_channels) converts a selection of input channels to such a set. A
    /// filter of a grouped convolution is fitted to the inputs of its group.
    ///
    /// The computation is in `f64`, by a QR decomposition with column pivoting. If the samples do not determine all
    /// unknowns (too few rows, or linearly dependent inputs), the solution with the smallest norm is computed by a
    /// singular value decomposition, and [`System::rank`] reports the rank. Singular values that are smaller than the
    /// rounding error of the `f32` samples, relative to the largest one, count as zero.
    ///
    /// # Shapes
    ///
    /// `keep`: the elements of the weight, in stored order.
    ///
    /// # Errors
    ///
    /// If `keep` has another length than the weight, or there are no samples, or one is not finite.
    ///
    /// # Examples
    ///
    /// ```
    /// use calcine_observe::LayerSamples;
    ///
    /// // The second input is twice the first, and y = x₀ + x₁.
    /// let inputs = vec![1.0, 2.0, 2.0, 4.0, -1.0, -2.0];
    /// let outputs = vec![3.0, 6.0, -3.0];
    /// let samples = LayerSamples::from_linear((inputs, 2), (outputs, 1)).expect("three rows");
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

    /// The kept columns, each set with the filters that keep exactly these.
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

    /// The values of the rows in these columns, and a column of ones for a bias.
    fn kept(&self, columns: &[usize]) -> Mat<f64> {
        let ones = usize::from(self.bias.is_some());
        Mat::from_fn(self.rows(), columns.len() + ones, |row, at| {
            let input = |&column: &usize| f64::from(self.inputs[row * self.columns + column]);
            columns.get(at).map_or(1.0, input)
        })
    }
}

/// The `X` with the smallest norm that minimises `‖A·X - B‖`, and the rank of `A`.
fn solve(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<(Mat<f64>, usize), RefitError> {
    // Columns that are always zero have zero weights in the solution with the smallest norm.
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

/// Values below this, relative to 1, count as zero: the rounding error of the samples.
const ROUNDING: f64 = f32::EPSILON as f64;

/// `None` if the columns are linearly dependent.
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

/// The solution with the smallest norm, from the singular values that do not count as zero.
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
