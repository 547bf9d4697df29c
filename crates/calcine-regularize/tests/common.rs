//! Rows to the device and back, and numbers to fill them with.

use burn::tensor::{Device, Tensor, TensorData};

/// Rows in double precision: what the oracles compute with.
pub(crate) type Rows = Vec<Vec<f64>>;

pub(crate) fn tensor(rows: &Rows, device: &Device) -> Tensor<2> {
    let shape = [rows.len(), rows[0].len()];
    let numbers: Vec<f32> = rows.iter().flatten().map(|w| *w as f32).collect();
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// One number, or all of a tensor, in double precision.
pub(crate) fn doubles<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    floats(tensor).into_iter().map(f64::from).collect()
}

/// Fails unless each number is within `share` of the largest expected magnitude.
pub(crate) fn assert_close(ours: &[f64], expected: &[f64], share: f64, what: &str) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for (at, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        assert!(
            (ours - expected).abs() <= share * largest + 1e-7,
            "{what} at {at}: {ours}, expected {expected}"
        );
    }
}

/// Reproducible numbers without pattern: a linear congruential generator.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Weights with magnitudes in [0.05, 1), exact in `f32`; no penalty has a kink near them.
    pub(crate) fn rows(&mut self, units: usize, members: usize) -> Rows {
        let mut weight = || {
            let signed = 2.0 * self.unit() - 1.0;
            let magnitude = 0.05 + 0.95 * signed.abs();
            f64::from(magnitude.copysign(signed) as f32)
        };
        (0..units)
            .map(|_| (0..members).map(|_| weight()).collect())
            .collect()
    }

    /// The same with whole units, and single weights, that are zero.
    pub(crate) fn rows_with_zeros(&mut self, units: usize, members: usize) -> Rows {
        let mut rows = self.rows(units, members);
        for row in &mut rows {
            if self.unit() < 0.3 {
                row.fill(0.0);
            }
            for weight in row {
                if self.unit() < 0.2 {
                    *weight = 0.0;
                }
            }
        }
        rows
    }
}
