use burn::tensor::{Device, Tensor};

/// A score for each unit, or numbers whose magnitudes are the scores.
///
/// A selection in host memory computes magnitudes while it reads, so they need no memory of their own.
/// [`values`](Self::values) computes them on any device.
///
/// # Shapes
///
/// `[units]`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Scores {
    /// The scores.
    Values(Tensor<1>),
    /// Numbers whose magnitudes are the scores.
    MagnitudesOf(Tensor<1>),
}

impl Scores {
    /// The scores themselves.
    #[must_use]
    pub fn values(&self) -> Tensor<1> {
        match self {
            Self::Values(values) => values.clone(),
            Self::MagnitudesOf(signed) => signed.clone().abs(),
        }
    }

    /// The number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.stored().dims()[0]
    }

    /// The device of the scores.
    #[must_use]
    pub fn device(&self) -> Device {
        self.stored().device()
    }

    /// Applies a function to the values or to the numbers.
    pub(crate) fn map(&self, of: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        match self {
            Self::Values(values) => Self::Values(of(values.clone())),
            Self::MagnitudesOf(signed) => Self::MagnitudesOf(of(signed.clone())),
        }
    }

    pub(crate) fn stored(&self) -> &Tensor<1> {
        match self {
            Self::Values(stored) | Self::MagnitudesOf(stored) => stored,
        }
    }
}

impl From<Tensor<1>> for Scores {
    fn from(values: Tensor<1>) -> Self {
        Self::Values(values)
    }
}
