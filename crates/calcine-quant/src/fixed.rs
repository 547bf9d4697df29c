use crate::QuantizerError;

/// A positive factor as an integer multiplier and a shift: `factor ≈ multiplier / 2^shift`.
///
/// `shift = ⌊log₂((2^bits − 1) / factor)⌋` is the largest at which the multiplier has that many bits, and
/// `multiplier = ⌊factor · 2^shift⌋`. The error is less than `1 / multiplier` of the factor. For a large factor the
/// shift is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPoint {
    /// The integer multiplier.
    pub multiplier: u32,
    /// The number of bits by which the product is shifted to the right.
    pub shift: i32,
}

impl FixedPoint {
    /// The nearest approximation from below with a multiplier of this many bits, and a shift of at most `limit`.
    ///
    /// # Errors
    ///
    /// If the factor is not positive and finite, or the bits are not 1 to 30.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "of at most 30 bits"
    )]
    pub fn approximate(factor: f64, bits: u8, limit: Option<i32>) -> Result<Self, QuantizerError> {
        if !(factor.is_normal() && factor > 0.0 && (1..=30).contains(&bits)) {
            return Err(QuantizerError::Factor { factor, bits });
        }
        let most = f64::from((1_u32 << bits) - 1);
        let shift = (most / factor).log2().floor() as i32;
        let shift = limit.map_or(shift, |limit| shift.min(limit));
        Ok(Self {
            multiplier: (factor * 2.0_f64.powi(shift)).floor() as u32,
            shift,
        })
    }

    /// The represented factor, `multiplier / 2^shift`.
    #[must_use]
    pub fn factor(self) -> f64 {
        f64::from(self.multiplier) / 2.0_f64.powi(self.shift)
    }

    /// `round(x · multiplier / 2^shift)` in integer arithmetic, ties to even; saturates at the limits of 64 bits.
    #[must_use]
    pub fn apply(self, x: i32) -> i64 {
        let product = i64::from(x) * i64::from(self.multiplier);
        match self.shift {
            ..=0 => {
                let by = self.shift.unsigned_abs();
                let fits = by < 63 && product.unsigned_abs() <= i64::MAX.unsigned_abs() >> by;
                match product {
                    0 => 0,
                    _ if fits => product << by,
                    1.. => i64::MAX,
                    _ => i64::MIN,
                }
            }
            63.. => 0,
            shift => {
                let (floor, rest) = (product >> shift, product & ((1 << shift) - 1));
                let half = 1 << (shift - 1);
                floor + i64::from(rest > half || (rest == half && floor & 1 == 1))
            }
        }
    }
}

/// The accumulator width that holds every sum of `count` products of operands with `a` and `b` bits: `a + b + ⌈log₂ count⌉`.
///
/// For a convolution, `count` is `channels · k²`.
#[must_use]
pub fn accumulator_bits(a: u8, b: u8, count: u64) -> u32 {
    u32::from(a) + u32::from(b) + count.max(1).next_power_of_two().trailing_zeros()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_rounded_as_its_real_value() {
        for (factor, bits) in [
            (0.037, 8),
            (0.9, 15),
            (3.7, 12),
            (1.0, 1),
            (0.5, 4),
            (1e-6, 20),
            (1e12, 8),
            (1e20, 30),
        ] {
            let fixed = FixedPoint::approximate(factor, bits, None).unwrap();
            assert!(fixed.multiplier < 1 << bits);
            assert!((fixed.factor() - factor).abs() <= factor / f64::from(fixed.multiplier));
            for x in [-100_000, -77, -3, -2, -1, 0, 1, 2, 3, 5, 6, 1000, 123_456] {
                let real = f64::from(x) * f64::from(fixed.multiplier) / 2.0_f64.powi(fixed.shift);
                #[allow(clippy::cast_possible_truncation, reason = "small")]
                let expected = real.round_ties_even() as i64;
                assert_eq!(fixed.apply(x), expected, "{x} by {fixed:?}");
            }
        }
        assert!(
            FixedPoint::approximate(0.0, 8, None).is_err()
                && FixedPoint::approximate(1.0, 31, None).is_err()
        );
    }

    #[test]
    fn sums_fit_the_accumulator() {
        assert_eq!(accumulator_bits(8, 8, 1), 16);
        // 512 channels of 3 × 3: fits 32 bits.
        assert_eq!(accumulator_bits(8, 8, 512 * 9), 29);
        for (a, b, count) in [(2_u8, 3_u8, 5_u64), (8, 8, 100), (4, 8, 64)] {
            let largest = (1_u64 << (a - 1)) * (1 << (b - 1)) * count;
            assert!(largest < 1 << (accumulator_bits(a, b, count) - 1));
        }
    }
}
