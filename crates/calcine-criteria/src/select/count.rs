use crate::share::Rounding;

/// Converts a level to the number of units to drop.
///
/// ```text
/// n = R(f·N)                       N units, level f, rounding R
/// n = R(n / multiple)·multiple
/// n = N − multiple                 if all units would be dropped, and f < 1
/// n ≤ N − at_least                 rounded down to a multiple
/// ```
///
/// Products are computed as for decimal numbers ([`Rounding::share`]). A level of exactly 1 drops everything, unless `at_least`
/// is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    /// How fractional counts are rounded.
    pub rounding: Rounding,
    /// Units are dropped in multiples of this number, for example the vector width of the hardware. At least 1.
    pub multiple: usize,
    /// The number of units that are kept in every parameter.
    pub at_least: AtLeast,
}

impl Default for Count {
    /// ⌊f·N⌋, in multiples of 1; at least one unit is kept unless the level is 1.
    fn default() -> Self {
        Self {
            rounding: Rounding::Floor,
            multiple: 1,
            at_least: AtLeast::Unset,
        }
    }
}

/// The number of units that are kept in a parameter, whatever the level.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum AtLeast {
    /// One unit, unless the level is 1.
    #[default]
    Unset,
    /// This number of units.
    Units(usize),
    /// This share of its units, rounded up.
    Share(f64),
}

impl AtLeast {
    /// The number of units that are kept at this level, out of `units`.
    #[must_use]
    pub fn units_kept(self, units: usize, level: f64) -> usize {
        match self {
            Self::Unset => usize::from(level < 1.0),
            Self::Units(count) => count,
            Self::Share(share) => Rounding::Ceil.share(share, units),
        }
        .min(units)
    }
}

impl Count {
    /// The number of units to drop, out of `units`.
    #[must_use]
    pub fn to_drop(&self, units: usize, level: f64) -> usize {
        let multiple = self.multiple.max(1);
        let count = self.rounding.share(level, units);
        let count = self.rounding.multiples(count, multiple) * multiple;
        let count = if count >= units && level < 1.0 {
            units.saturating_sub(multiple)
        } else {
            count.min(units)
        };
        let limit = units - self.at_least.units_kept(units, level);
        if count > limit {
            limit / multiple * multiple
        } else {
            count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_round_as_asked_and_in_multiples() {
        let cases = [
            (Rounding::Floor, 1, 10, 0.37, 3),
            (Rounding::Ceil, 1, 10, 0.37, 4),
            (Rounding::Round, 1, 10, 0.37, 4),
            (Rounding::Round, 1, 10, 0.25, 2),
            (Rounding::Floor, 4, 16, 0.7, 8),
            (Rounding::Ceil, 4, 16, 0.7, 12),
            (Rounding::Ceil, 4, 16, 0.9, 12),
            (Rounding::Floor, 1, 100, 0.29, 29),
            (Rounding::Ceil, 1, 100, 0.07, 7),
            (Rounding::Ceil, 8, 100, 0.56, 56),
            (Rounding::Round, 1, 200, 0.575, 115),
        ];
        for (rounding, multiple, units, level, expected) in cases {
            let count = Count {
                rounding,
                multiple,
                ..Count::default()
            };
            assert_eq!(count.to_drop(units, level), expected, "{count:?} {level}");
        }
    }

    #[test]
    fn a_parameter_is_emptied_only_by_a_level_of_one_and_not_below_what_must_stay() {
        let count = |at_least| Count {
            rounding: Rounding::Ceil,
            at_least,
            ..Count::default()
        };
        assert_eq!(count(AtLeast::Unset).to_drop(10, 0.999), 9);
        assert_eq!(count(AtLeast::Unset).to_drop(10, 1.0), 10);
        assert_eq!(count(AtLeast::Units(3)).to_drop(10, 1.0), 7);
        assert_eq!(count(AtLeast::Share(0.25)).to_drop(10, 0.9), 7);
        assert_eq!(count(AtLeast::Share(0.28)).to_drop(100, 0.9), 72);
        assert_eq!(count(AtLeast::Units(30)).to_drop(10, 0.9), 0);
    }
}
