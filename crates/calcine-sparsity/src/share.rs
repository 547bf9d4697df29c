use burn::tensor::{Int, Tensor};

/// The number of non-zero elements or units, and the total number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// The number that are not zero.
    pub nonzero: u64,
    /// The total number.
    pub total: u64,
}

impl Share {
    /// Reads a count from the device.
    ///
    /// This waits for the device. To read many counts, register them with one
    /// `burn::tensor::Transaction` and build the shares from the numbers.
    #[must_use]
    pub fn read(nonzero: Tensor<1, Int>, total: u64) -> Self {
        let nonzero = nonzero.into_scalar::<i64>();
        Self {
            nonzero: nonzero.unsigned_abs(),
            total,
        }
    }

    /// `nonzero / total`; 1 if the total is 0.
    #[must_use]
    pub fn density(self) -> f64 {
        if self.total == 0 {
            1.0
        } else {
            self.nonzero as f64 / self.total as f64
        }
    }

    /// `1 - density`.
    #[must_use]
    pub fn sparsity(self) -> f64 {
        1.0 - self.density()
    }
}

impl std::iter::Sum for Share {
    fn sum<I: Iterator<Item = Self>>(shares: I) -> Self {
        shares.fold(Self::default(), |a, b| Self {
            nonzero: a.nonzero + b.nonzero,
            total: a.total + b.total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_model_is_the_sum_of_its_parts() {
        let parts = [
            Share {
                nonzero: 1,
                total: 4,
            },
            Share {
                nonzero: 4,
                total: 4,
            },
        ];
        let whole: Share = parts.into_iter().sum();
        assert_eq!(
            whole,
            Share {
                nonzero: 5,
                total: 8
            }
        );
        assert_eq!(whole.sparsity(), 0.375);
        assert_eq!(Share::default().sparsity(), 0.0);
    }
}
