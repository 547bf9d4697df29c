//! Tensors of f64, slow and obvious.

/// Row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

/// All index tuples of a shape, row-major.
pub(crate) fn each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        visit(&index);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

impl Numbers {
    pub(crate) fn new(shape: &[usize], value: impl Fn(&[usize]) -> f64) -> Self {
        let mut data = Vec::new();
        each_index(shape, |index| data.push(value(index)));
        Self {
            shape: shape.into(),
            data,
        }
    }

    fn position(&self, index: &[usize]) -> usize {
        assert_eq!(index.len(), self.shape.len());
        index
            .iter()
            .zip(&self.shape)
            .fold(0, |position, (&index, &length)| {
                assert!(
                    index < length,
                    "index {index} of an axis of length {length}"
                );
                position * length + index
            })
    }

    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        self.data[self.position(index)]
    }

    /// Zero outside.
    pub(crate) fn at_or_zero(&self, index: &[isize]) -> f64 {
        let mut position = 0;
        for (&index, &length) in index.iter().zip(&self.shape) {
            if index < 0 || index as usize >= length {
                return 0.0;
            }
            position = position * length + index as usize;
        }
        self.data[position]
    }

    /// Axes of length 1 repeated, missing ones in front.
    pub(crate) fn broadcast(&self, index: &[usize]) -> f64 {
        let skipped = index.len() - self.shape.len();
        let own: Vec<usize> = index[skipped..]
            .iter()
            .zip(&self.shape)
            .map(|(&index, &length)| if length == 1 { 0 } else { index })
            .collect();
        self.at(&own)
    }

    pub(crate) fn keep(&self, axis: usize, keep: &[usize]) -> Self {
        let mut shape = self.shape.clone();
        shape[axis] = keep.len();
        Self::new(&shape, |index| {
            let mut index = index.to_vec();
            index[axis] = keep[index[axis]];
            self.at(&index)
        })
    }

    pub(crate) fn zero(&mut self, axis: usize, gone: &[usize]) {
        let mut position = 0;
        each_index(&self.shape, |index| {
            if gone.contains(&index[axis]) {
                self.data[position] = 0.0;
            }
            position += 1;
        });
    }

    /// Largest distance, in units of the larger of 1 and what is expected.
    pub(crate) fn distance(&self, expected: &Self) -> f64 {
        assert_eq!(self.shape, expected.shape);
        let distance = |(found, expected): (&f64, &f64)| {
            assert!(found.is_finite() && expected.is_finite());
            (found - expected).abs() / expected.abs().max(1.0)
        };
        self.data
            .iter()
            .zip(&expected.data)
            .map(distance)
            .fold(0.0, f64::max)
    }
}

/// Numbers from -1 to 1, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> f64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        bits as f64 / (1u64 << 52) as f64 - 1.0
    }
}
