use burn::tensor::{Device, Tensor};

/// A score for each unit, larger stays; or numbers whose magnitude is the score.
///
/// A selection in host memory takes magnitudes as it reads, so those of a large weight need no memory of
/// their own. [`values`](Self::values) takes them anywhere.
///
/// # Shapes
///
/// `[units]`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Scores {
    /// These.
    Values(Tensor<1>),
    /// The magnitudes of these.
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

    /// How many units there are.
    #[must_use]
    pub fn units(&self) -> usize {
        self.stored().dims()[0]
    }

    /// Where they are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.stored().device()
    }

    /// The same scores of other numbers.
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
