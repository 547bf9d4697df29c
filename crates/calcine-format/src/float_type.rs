use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The format in which parameters that stay in float are stored.
///
/// # Examples
///
/// ```
/// use calcine_format::FloatType;
///
/// assert_eq!(FloatType::F16.nearest(0.1), 0.099_975_586);
/// assert_eq!(FloatType::Bf16.nearest(0.1), 0.100_097_656);
/// assert_eq!(FloatType::F16.nearest(70_000.0), f32::INFINITY);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// 8 exponent bits and 7 fraction bits.
    Bf16,
    /// 5 exponent bits and 10 fraction bits; the largest number is 65,504.
    F16,
    /// 8 exponent bits and 23 fraction bits.
    F32,
}

impl FloatType {
    /// The nearest number of this type, ties to even; infinity if the number exceeds the largest one.
    #[must_use]
    pub fn nearest(self, x: f32) -> f32 {
        match self {
            Self::F32 => x,
            Self::F16 => f16::from_f32(x).to_f32(),
            Self::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }

    /// The number of bytes of one value.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Converts values to the nearest ones of this type, in little-endian order.
    #[must_use]
    pub fn to_bytes(self, values: &[f32]) -> Vec<u8> {
        let values = values.iter().copied();
        match self {
            Self::F32 => values.flat_map(f32::to_le_bytes).collect(),
            Self::F16 => values
                .flat_map(|x| f16::from_f32(x).to_le_bytes())
                .collect(),
            Self::Bf16 => values
                .flat_map(|x| bf16::from_f32(x).to_le_bytes())
                .collect(),
        }
    }

    /// Reads the values that [`to_bytes`](Self::to_bytes) wrote; an incomplete value at the end is ignored.
    #[must_use]
    pub fn from_bytes(self, bytes: &[u8]) -> Vec<f32> {
        let (two, _) = bytes.as_chunks();
        let two = two.iter().copied();
        match self {
            Self::F32 => {
                let (four, _) = bytes.as_chunks();
                four.iter().copied().map(f32::from_le_bytes).collect()
            }
            Self::F16 => two.map(|x| f16::from_le_bytes(x).to_f32()).collect(),
            Self::Bf16 => two.map(|x| bf16::from_le_bytes(x).to_f32()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all numbers of 16 bits the nearest, the even one of two; found by looking at all of them.
    #[test]
    fn numbers_become_the_nearest_of_all_that_there_are() {
        for kept in [FloatType::F16, FloatType::Bf16] {
            let all = (0..=u16::MAX).map(|bits| kept.from_bytes(&bits.to_le_bytes())[0]);
            let mut all: Vec<(f64, u16)> = (all.zip(0..=u16::MAX))
                .filter(|(x, bits)| x.is_finite() && *bits != 1 << 15)
                .map(|(x, bits)| (f64::from(x), bits))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            // Numbers of all sizes within the type's range, and the middles between its own.
            let spread = (0..4000).map(|i: i32| {
                let size = 2.0_f64.powi(i % 40 - 25);
                f64::from((i * 7919 + 13) % 2001 - 1000) / 1000.0 * size
            });
            let middles = (1..all.len())
                .step_by(97)
                .map(|i| 0.5 * (all[i - 1].0 + all[i].0));
            for x in spread.chain(middles).map(|x| x as f32) {
                let at = all.partition_point(|(y, _)| *y < f64::from(x));
                let near = [at.saturating_sub(1), at.min(all.len() - 1)].map(|at| all[at]);
                let off = |(y, _): (f64, u16)| (y - f64::from(x)).abs();
                let [low, high] = near;
                let expected = match off(low).total_cmp(&off(high)) {
                    std::cmp::Ordering::Less => low.0,
                    std::cmp::Ordering::Greater => high.0,
                    std::cmp::Ordering::Equal if low.1 % 2 == 0 => low.0,
                    std::cmp::Ordering::Equal => high.0,
                };
                assert!(
                    (f64::from(kept.nearest(x)) - expected).abs() == 0.0,
                    "{kept:?} of {x}"
                );
            }
        }
    }
}
