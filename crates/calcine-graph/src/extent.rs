use std::fmt;

use serde::{Deserialize, Serialize};

/// The length of an axis: a constant, or a linear function of the batch size.
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
/// assert_eq!(Extent::BATCH.length_for(32), 32);
/// assert_eq!(Extent::fixed(10).length_for(32), 10);
/// // Two traces determine both numbers.
/// assert_eq!(Extent::between((2, 98), (3, 147)), Some(Extent { fixed: 0, per_sample: 49 }));
/// assert_eq!(Extent::between((2, 4), (3, 9)), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent {
    /// The part that does not depend on the batch size.
    pub fixed: usize,
    /// The number of elements that each sample adds.
    pub per_sample: usize,
}

impl Extent {
    /// One element per sample.
    pub const BATCH: Self = Self {
        fixed: 0,
        per_sample: 1,
    };

    /// A constant length.
    #[must_use]
    pub const fn fixed(length: usize) -> Self {
        Self {
            fixed: length,
            per_sample: 0,
        }
    }

    /// The length for a batch of this size.
    #[must_use]
    pub const fn length_for(self, batch: usize) -> usize {
        self.fixed + self.per_sample * batch
    }

    /// The number of indices that are distinguished along such an axis: those that a sample adds if the length is
    /// proportional to the batch size; none if the length is one, or has both parts.
    pub(crate) const fn indices(self) -> usize {
        match (self.fixed, self.per_sample) {
            (length, 0) | (0, length) if length > 1 => length,
            _ => 0,
        }
    }

    /// Whether the length is independent of the batch size.
    #[must_use]
    pub const fn is_fixed(self) -> bool {
        self.per_sample == 0
    }

    /// The extent that has these lengths at these batch sizes; each pair is a batch size and a length.
    ///
    /// `None` if the batch sizes are equal, or if no linear function with whole, non-negative coefficients matches
    /// both.
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

/// Displays an extent as `16`, `B`, `49·B` or `49·B+1`.
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
