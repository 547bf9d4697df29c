use std::fmt;

use serde::{Deserialize, Serialize};

/// The length of an axis: a number, or one that grows with the batch.
///
/// ```text
/// length(batch) = fixed + per_sample · batch
/// ```
///
/// # Examples
///
/// ```
/// use calcine_graph::Extent;
///
/// assert_eq!(Extent::BATCH.at(32), 32);
/// assert_eq!(Extent::fixed(10).at(32), 10);
/// // Two traces tell the two numbers, if there are two.
/// assert_eq!(Extent::between((2, 98), (3, 147)), Some(Extent { fixed: 0, per_sample: 49 }));
/// assert_eq!(Extent::between((2, 4), (3, 9)), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent {
    /// What does not depend on the batch.
    pub fixed: usize,
    /// What each sample adds.
    pub per_sample: usize,
}

impl Extent {
    /// One a sample.
    pub const BATCH: Self = Self {
        fixed: 0,
        per_sample: 1,
    };

    /// A length that no batch changes.
    #[must_use]
    pub const fn fixed(length: usize) -> Self {
        Self {
            fixed: length,
            per_sample: 0,
        }
    }

    /// The length for a batch of this size.
    #[must_use]
    pub const fn at(self, batch: usize) -> usize {
        self.fixed + self.per_sample * batch
    }

    /// How many indices are told apart along such an axis: those that a sample adds if it grows with the batch; none
    /// of one, and of what grows from more than nothing.
    pub(crate) const fn indices(self) -> usize {
        match (self.fixed, self.per_sample) {
            (length, 0) | (0, length) if length > 1 => length,
            _ => 0,
        }
    }

    /// Whether the batch does not change it.
    #[must_use]
    pub const fn is_fixed(self) -> bool {
        self.per_sample == 0
    }

    /// The extent that has these lengths at these batch sizes, each pair a batch and a length.
    ///
    /// `None` if the batches are equal, or if no line with whole, non-negative numbers goes through both.
    #[must_use]
    pub fn between(one: (usize, usize), other: (usize, usize)) -> Option<Self> {
        let ((small, at_small), (large, at_large)) = if one.0 <= other.0 {
            (one, other)
        } else {
            (other, one)
        };
        let (batches, lengths) = (large - small, at_large.checked_sub(at_small)?);
        if batches == 0 || lengths % batches != 0 {
            return None;
        }
        let per_sample = lengths / batches;
        Some(Self {
            fixed: at_small.checked_sub(per_sample * small)?,
            per_sample,
        })
    }
}

impl From<usize> for Extent {
    fn from(length: usize) -> Self {
        Self::fixed(length)
    }
}

/// `16`, `B`, `49·B` or `49·B+1`.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.per_sample, self.fixed) {
            (0, fixed) => write!(f, "{fixed}"),
            (1, 0) => write!(f, "B"),
            (1, fixed) => write!(f, "B+{fixed}"),
            (per_sample, 0) => write!(f, "{per_sample}·B"),
            (per_sample, fixed) => write!(f, "{per_sample}·B+{fixed}"),
        }
    }
}
