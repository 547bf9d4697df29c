//! Rounding with error compensation (GPTQ).

use calcine_quant::Quantizer;
use faer::{Mat, Side};

/// The number that is added to the diagonal, as a share of its mean.
const DAMPING: f64 = 0.01;

/// The correlations of the inputs of a layer, prepared for rounding weights.
pub(crate) struct Rounding {
    /// The columns, in descending order of the size of their inputs.
    order: Vec<usize>,
    /// `L` with `H⁻¹ = L·Lᵀ`, in that order.
    lower: Mat<f64>,
}

impl Rounding {
    /// The preparation for the second moments of the inputs, `H = XᵀX`, row by row; `None` if they are not valid
    /// moments.
    pub(crate) fn new(moments: &[f64], columns: usize) -> Option<Self> {
        let diagonal = |column: usize| moments[column * columns + column];
        let mean = (0..columns).map(diagonal).sum::<f64>() / columns as f64;
        let mut order: Vec<usize> = (0..columns).collect();
        order.sort_by(|a, b| diagonal(*b).total_cmp(&diagonal(*a)));
        let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
        let damped = Mat::from_fn(columns, columns, |row, column| {
            let moment = moments[order[row] * columns + order[column]];
            moment + if row == column { damping } else { 0.0 }
        });
        let identity = Mat::<f64>::identity(columns, columns);
        let inverse = {
            use faer::linalg::solvers::Solve;
            damped.llt(Side::Lower).ok()?.solve(&identity)
        };
        let lower = inverse.llt(Side::Lower).ok()?.L().to_owned();
        Some(Self { order, lower })
    }

    /// Rounds a row of weights, each with a quantizer. Columns are rounded one by one, and the error of each is
    /// compensated by the remaining ones according to the moments of the inputs (GPTQ; Frantar et al., 2023).
    pub(crate) fn round(&self, weights: &[f64], quantizers: &[Quantizer]) -> Vec<i32> {
        let mut left: Vec<f64> = self.order.iter().map(|&column| weights[column]).collect();
        let mut ints = vec![0; weights.len()];
        for at in 0..left.len() {
            let quantizer = quantizers[self.order[at]];
            #[allow(clippy::cast_possible_truncation, reason = "quantizers are of f32")]
            let int = quantizer.quantize(left[at] as f32);
            ints[self.order[at]] = int;
            let error = (left[at] - f64::from(quantizer.dequantize(int))) / self.lower[(at, at)];
            for (later, weight) in left.iter_mut().enumerate().skip(at + 1) {
                *weight -= error * self.lower[(later, at)];
            }
        }
        ints
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use calcine_quant::Scheme;

    /// Inputs that go together: of 12 columns each is a mixture of its neighbours.
    fn inputs() -> Vec<[f64; 12]> {
        let number = |i: usize| ((i * 7919 + 13) % 101) as f64 / 50.0 - 1.0;
        (0..200)
            .map(|row| {
                let own: Vec<f64> = (0..14).map(|column| number(row * 14 + column)).collect();
                std::array::from_fn(|c| own[c] + 0.8 * own[c + 1] + 0.6 * own[c + 2] + 0.5)
            })
            .collect()
    }

    fn moments(inputs: &[[f64; 12]]) -> Vec<f64> {
        let product = |a: usize, b: usize| inputs.iter().map(|row| row[a] * row[b]).sum();
        (0..144).map(|at| product(at / 12, at % 12)).collect()
    }

    #[test]
    fn outputs_are_nearer_than_by_the_nearest_integers() {
        let inputs = inputs();
        let rounding = Rounding::new(&moments(&inputs), 12).unwrap();
        let (mut own, mut nearest) = (0.0, 0.0);
        for row in 0..20_usize {
            let weight = |column: usize| ((row * 31 + column * 17) % 23) as f64 / 11.0 - 1.0;
            let weights: Vec<f64> = (0..12).map(weight).collect();
            let quantizer = Quantizer::from_range(-1.0, 1.0, 3, Scheme::Symmetric).unwrap();
            let error = |ints: &[i32]| {
                let off = |x: &[f64; 12]| -> f64 {
                    let columns = ints.iter().zip(&weights).zip(x);
                    columns
                        .map(|((&q, w), x)| (f64::from(quantizer.dequantize(q)) - w) * x)
                        .sum()
                };
                inputs.iter().map(|x| off(x).powi(2)).sum::<f64>()
            };
            own += error(&rounding.round(&weights, &[quantizer; 12]));
            let ints: Vec<i32> = weights
                .iter()
                .map(|&w| quantizer.quantize(w as f32))
                .collect();
            nearest += error(&ints);
        }
        assert!(own < 0.8 * nearest, "{own} for {nearest}");
    }

    /// Inputs that have nothing to do with each other leave nothing to make up for.
    #[test]
    fn independent_inputs_are_rounded_to_the_nearest() {
        let mut moments = vec![0.0; 25];
        (0..5).for_each(|column| moments[column * 6] = 1.0 + column as f64);
        let quantizer = Quantizer::from_range(-1.0, 1.0, 4, Scheme::Symmetric).unwrap();
        let weights = [0.31, -0.77, 0.05, 0.99, -0.2];
        let expected: Vec<i32> = weights
            .iter()
            .map(|&w| quantizer.quantize(w as f32))
            .collect();
        assert_eq!(
            Rounding::new(&moments, 5)
                .unwrap()
                .round(&weights, &[quantizer; 5]),
            expected
        );
        assert_eq!(
            Rounding::new(&[0.0; 25], 5)
                .unwrap()
                .round(&weights, &[quantizer; 5]),
            expected
        );
    }
}
