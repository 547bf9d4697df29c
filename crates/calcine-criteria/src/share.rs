/// How a fractional number of units is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// Down.
    #[default]
    Floor,
    /// Up.
    Ceil,
    /// To the nearest, ties to even.
    Round,
}

impl Rounding {
    /// The number of units that a share of `of` units is. The share is interpreted as a decimal number.
    ///
    /// ```text
    /// R(share · of)       R is this rounding; share below 0 or NaN counts as 0, above 1 as 1
    /// ```
    ///
    /// Binary fractions differ from decimal ones: in `f64`, 0.29 · 100 is slightly less than 29, and 0.07 · 100 slightly more
    /// than 7. A product within four units in the last place of a whole number, or of a half, is therefore taken as that number,
    /// so that decimal numbers with up to 15 digits give the expected result.
    ///
    /// ```
    /// use calcine_criteria::Rounding;
    ///
    /// assert_eq!(Rounding::Floor.share(0.29, 100), 29);
    /// assert_eq!(Rounding::Ceil.share(0.07, 100), 7);
    /// assert_eq!(Rounding::Round.share(0.575, 100), 58);
    /// ```
    #[must_use]
    pub fn share(self, share: f64, of: usize) -> usize {
        (self.apply(product(share, of as f64)) as usize).min(of)
    }

    /// The same for a sum of costs.
    pub(crate) fn share_of_cost(self, share: f64, of: u128) -> u128 {
        (self.apply(product(share, of as f64)) as u128).min(of)
    }

    /// Rounds a count to a number of multiples.
    pub(crate) fn multiples(self, count: usize, multiple: usize) -> usize {
        let (whole, rest) = (count / multiple, count % multiple);
        let up = match self {
            Self::Floor => false,
            Self::Ceil => rest > 0,
            Self::Round => match (2 * rest).cmp(&multiple) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => !whole.is_multiple_of(2),
                std::cmp::Ordering::Greater => true,
            },
        };
        whole + usize::from(up)
    }

    fn apply(self, x: f64) -> f64 {
        match self {
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
        }
    }
}

/// The product, or the whole or half number that it would be in decimal arithmetic.
fn product(share: f64, of: f64) -> f64 {
    // NaN counts as 0.
    let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
    let doubled = 2.0 * share * of;
    let nearest = doubled.round();
    let doubled = if (doubled - nearest).abs() <= 4.0 * f64::EPSILON * doubled {
        nearest
    } else {
        doubled
    };
    doubled / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In whole numbers: `numerator / denominator` of `of`.
    fn exact(rounding: Rounding, numerator: usize, denominator: usize, of: usize) -> usize {
        let (whole, rest) = (numerator * of / denominator, numerator * of % denominator);
        whole
            + usize::from(match rounding {
                Rounding::Floor => false,
                Rounding::Ceil => rest > 0,
                Rounding::Round => {
                    2 * rest > denominator || (2 * rest == denominator && whole % 2 == 1)
                }
            })
    }

    const ALL: [Rounding; 3] = [Rounding::Floor, Rounding::Ceil, Rounding::Round];

    #[test]
    fn shares_are_the_decimals_that_were_written() {
        let widths = (0..=130).chain([
            144, 192, 250, 256, 333, 500, 512, 640, 999, 1000, 1024, 2048, 4096, 5000,
        ]);
        for of in widths {
            for denominator in [10, 100, 1000] {
                for numerator in 0..=denominator {
                    let share = numerator as f64 / denominator as f64;
                    let written: f64 = format!("{share}").parse().unwrap();
                    for rounding in ALL {
                        let expected = exact(rounding, numerator, denominator, of);
                        assert_eq!(
                            rounding.share(written, of),
                            expected,
                            "{rounding:?} {share} of {of}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_arithmetic_leaves_of_a_decimal_is_the_decimal() {
        for steps in 1..=100_usize {
            let summed: f64 = (0..steps).map(|_| 0.01).sum::<f64>().min(1.0);
            let ramp = 0.25 + (0.85 - 0.25) * (steps as f64 / 100.0);
            assert!(Rounding::Floor.share(ramp, 1000) >= 250 + 6 * steps - 1);
            if steps < 12 {
                assert_eq!(Rounding::Floor.share(summed, 100), steps, "{summed}");
            }
        }
        assert_eq!(Rounding::Floor.share(1.0 - 0.9, 10), 1);
        assert_eq!(Rounding::Floor.share(0.1 + 0.2, 10), 3);
        assert_eq!(Rounding::Ceil.share(0.1 + 0.2, 10), 3);
    }

    #[test]
    fn large_numbers_keep_their_last_digit() {
        let of = 1_000_000_000;
        assert_eq!(Rounding::Floor.share(0.999_999_999, of), of - 1);
        assert_eq!(Rounding::Floor.share(0.999_999_999_9, of), of - 1);
        assert_eq!(Rounding::Ceil.share(0.999_999_999_1, of), of);
        assert_eq!(Rounding::Floor.share(0.123_456_789_012, of), 123_456_789);
        assert_eq!(Rounding::Ceil.share(1e-12, of), 1);
        assert_eq!(Rounding::Floor.share_of_cost(0.5, 1 << 40), 1 << 39);
    }

    #[test]
    fn shares_beyond_zero_and_one_are_none_and_all() {
        for rounding in ALL {
            for (share, expected) in [
                (-0.5, 0),
                (f64::NAN, 0),
                (f64::NEG_INFINITY, 0),
                (1.0, 7),
                (1.5, 7),
                (f64::INFINITY, 7),
            ] {
                assert_eq!(rounding.share(share, 7), expected, "{share}");
            }
            assert_eq!(rounding.share(0.5, 0), 0);
        }
    }

    #[test]
    fn multiples_round_as_shares_do() {
        for rounding in ALL {
            for multiple in 1..=9 {
                for count in 0..100 {
                    let expected = exact(rounding, 1, multiple, count);
                    assert_eq!(rounding.multiples(count, multiple), expected);
                }
            }
        }
    }
}
