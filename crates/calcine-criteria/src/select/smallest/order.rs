//! The order in which selections compare scores: subnormal numbers are zero, and NaN is infinite.

/// The largest number below [`f32::MIN_POSITIVE`].
const LARGEST_SUBNORMAL: f32 = f32::from_bits(0x007f_ffff);

/// The score as it is compared.
#[inline]
pub(super) fn ordered(score: f32) -> f32 {
    // In integer arithmetic without branches, which could not be predicted.
    let bits = score.to_bits();
    let magnitude = score.abs().to_bits();
    let bits = if magnitude < f32::MIN_POSITIVE.to_bits() {
        0
    } else {
        bits
    };
    let is_nan = magnitude > f32::INFINITY.to_bits();
    f32::from_bits(if is_nan {
        f32::INFINITY.to_bits()
    } else {
        bits
    })
}

/// The largest number that is equal to a score in this order.
pub(super) fn last_equal(score: f32) -> f32 {
    let score = ordered(score);
    if score == 0.0 {
        LARGEST_SUBNORMAL
    } else {
        score
    }
}

/// The largest number below a score in this order; NaN if there is none.
pub(super) fn last_below(score: f32) -> f32 {
    let score = ordered(score);
    let first_equal = if score == 0.0 {
        -LARGEST_SUBNORMAL
    } else {
        score
    };
    if first_equal == f32::NEG_INFINITY {
        f32::NAN
    } else {
        first_equal.next_down()
    }
}

/// An integer key with the same order as the scores.
#[inline]
pub(in crate::select) fn key(score: f32) -> i32 {
    flipped(ordered(score).to_bits().cast_signed())
}

/// The score of a key.
pub(super) fn score(key: i32) -> f32 {
    f32::from_bits(flipped(key).cast_unsigned())
}

/// Maps the bits of a float to an integer with the same order, and back: the bits of negative numbers are flipped.
#[inline]
fn flipped(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ascending, equal ones together.
    const CLASSES: [&[f32]; 9] = [
        &[f32::NEG_INFINITY],
        &[f32::MIN],
        &[-1.5],
        &[-f32::MIN_POSITIVE],
        &[
            -LARGEST_SUBNORMAL,
            -1e-45,
            -0.0,
            0.0,
            1e-45,
            LARGEST_SUBNORMAL,
        ],
        &[f32::MIN_POSITIVE],
        &[1.5],
        &[f32::MAX],
        &[f32::INFINITY, f32::NAN, -f32::NAN],
    ];

    #[test]
    fn keys_order_as_the_classes_do_and_lead_back() {
        for (i, class) in CLASSES.iter().enumerate() {
            for &a in *class {
                assert_eq!(score(key(a)), ordered(a));
                for (j, other) in CLASSES.iter().enumerate() {
                    for &b in *other {
                        assert_eq!(key(a).cmp(&key(b)), i.cmp(&j), "{a} and {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_class_ends_where_the_next_begins() {
        for classes in CLASSES[..8].windows(2) {
            let (lower, upper) = (classes[0], classes[1]);
            for &below in lower {
                for &above in upper {
                    assert!(below <= last_equal(below) && above > last_equal(below));
                    assert!(below <= last_below(above) && above > last_below(above));
                }
            }
        }
    }
}
