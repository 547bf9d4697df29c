//! Checks numeric settings. The errors name the schedule and the setting.

use crate::RateError;

/// A numeric setting of a schedule.
pub(super) struct Setting {
    pub(super) schedule: &'static str,
    pub(super) name: &'static str,
    pub(super) value: f64,
}

impl Setting {
    pub(super) fn new(schedule: &'static str, name: &'static str, value: f64) -> Self {
        Self {
            schedule,
            name,
            value,
        }
    }

    /// The value, if it is finite and above 0.
    pub(super) fn positive(self) -> Result<f64, RateError> {
        if 0.0 < self.value && self.value.is_finite() {
            Ok(self.value)
        } else {
            Err(self.refused("a finite number above 0"))
        }
    }

    /// The value, if it is finite and not below 0.
    pub(super) fn not_negative(self) -> Result<f64, RateError> {
        if 0.0 <= self.value && self.value.is_finite() {
            Ok(self.value)
        } else {
            Err(self.refused("a finite number, 0 or above"))
        }
    }

    /// The value, if it is finite and not below 1.
    pub(super) fn at_least_one(self) -> Result<f64, RateError> {
        if 1.0 <= self.value && self.value.is_finite() {
            Ok(self.value)
        } else {
            Err(self.refused("a finite number, 1 or above"))
        }
    }

    /// The value, if it is in `[0, 1]`.
    pub(super) fn fraction(self) -> Result<f64, RateError> {
        if 0.0 <= self.value && self.value <= 1.0 {
            Ok(self.value)
        } else {
            Err(self.refused("a number from 0 to 1"))
        }
    }

    /// The error for an invalid value; `valid` says what would be valid.
    pub(super) fn refused(self, valid: &'static str) -> RateError {
        RateError::Setting {
            schedule: self.schedule,
            setting: self.name,
            value: self.value,
            valid,
        }
    }
}

/// The milestones, if none is below the one before it.
pub(super) fn ascending(
    schedule: &'static str,
    milestones: impl IntoIterator<Item = u64>,
) -> Result<Vec<u64>, RateError> {
    let milestones: Vec<u64> = milestones.into_iter().collect();
    for (index, pair) in milestones.windows(2).enumerate() {
        let (previous, found) = (pair[0], pair[1]);
        if found < previous {
            return Err(RateError::NotAscending {
                schedule,
                index: index + 1,
                previous,
                found,
            });
        }
    }
    Ok(milestones)
}

/// The number of milestones that are reached at the position `epochs`.
pub(super) fn reached(milestones: &[u64], epochs: f64) -> usize {
    milestones.partition_point(|milestone| *milestone <= whole(epochs))
}

/// The number of epochs that are completed at the position `epochs`.
pub(super) fn whole(epochs: f64) -> u64 {
    epochs.max(0.0).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_numbers_are_never_valid() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            let setting = || Setting::new("step", "gamma", value);
            assert!(setting().positive().is_err());
            assert!(setting().not_negative().is_err());
            assert!(setting().at_least_one().is_err());
            assert!(setting().fraction().is_err());
        }
    }

    #[test]
    fn a_refusal_names_schedule_setting_value_and_the_valid_numbers() {
        let error = Setting::new("cosine", "floor", 1.5).fraction().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cosine schedule: floor is 1.5, but must be a number from 0 to 1"
        );
    }

    #[test]
    fn positions_before_the_beginning_are_the_beginning() {
        assert_eq!(
            [-3.0, f64::NAN, 0.0, 0.999, 1.0].map(whole),
            [0, 0, 0, 0, 1]
        );
    }
}
