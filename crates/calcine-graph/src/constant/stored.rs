use super::ConstantSlices;

/// The elements of a tensor, row-major, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Vec<f32>,
}

impl Stored {
    /// The elements of one row, where all axes after the first few are combined.
    ///
    /// `at` has an index for each of the first axes.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, at: &[usize]) -> &[f32] {
        let length: usize = self.shape[at.len()..].iter().product();
        let place = at
            .iter()
            .zip(&self.shape)
            .fold(0, |place, (&index, &axis)| place * axis + index);
        &self.values[place * length..(place + 1) * length]
    }

    /// Whether all elements of such a row are zero.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn is_zero(&self, at: &[usize]) -> bool {
        self.row(at).iter().all(|&weight| weight == 0.0)
    }

    /// The sum of the elements of such a row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn sum(&self, at: &[usize]) -> f64 {
        self.row(at).iter().map(|&weight| f64::from(weight)).sum()
    }

    /// The slices in which all elements are equal.
    #[must_use]
    pub fn slices(&self) -> ConstantSlices {
        let rank = self.shape.len();
        let Some(&first) = self.values.first() else {
            return ConstantSlices::unknown(rank);
        };
        if self.values.iter().all(|&value| value == first) {
            return ConstantSlices::uniform(rank, f64::from(first));
        }
        let mut slices = ConstantSlices::unknown(rank);
        for (axis, &length) in self.shape.iter().enumerate() {
            let numbers = (0..length).map(|index| self.slice(axis, index));
            slices.set(axis, numbers.collect());
        }
        slices
    }

    /// The value of the slice at this index of an axis, if all its elements are equal.
    fn slice(&self, axis: usize, index: usize) -> Option<f64> {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let stride = inner * self.shape[axis];
        let first = *self.values.get(index * inner)?;
        let same = self
            .values
            .chunks_exact(stride)
            .all(|chunk| chunk[index * inner..][..inner].iter().all(|&x| x == first));
        (same && first.is_finite()).then_some(f64::from(first))
    }
}
