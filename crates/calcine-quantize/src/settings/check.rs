//! Settings check themselves, whoever made them.

use std::fmt::Display;
use std::ops::RangeInclusive;

use calcine_names::Pattern;
use calcine_quant::{MAX_BITS, Method};

use super::{
    AccumulatorSettings, ActivationSettings, FirstLastSettings, Override, Preparation,
    QuantizationSettings, WeightSettings,
};
use crate::{RangeEstimator, Scheme};

/// A setting whose value is none that it can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
#[non_exhaustive]
pub struct SettingError {
    /// The setting, as a file calls it: `weights.bits`, `layer.fc.weight_stretch`.
    pub field: String,
    /// Its value.
    pub found: String,
    /// What would be valid.
    pub expected: String,
}

type Checked = Result<(), SettingError>;

fn error(field: impl Display, found: impl Display, expected: impl Display) -> Checked {
    Err(SettingError {
        field: field.to_string(),
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

fn within(field: impl Display, bits: u8, range: &RangeInclusive<u8>) -> Checked {
    if range.contains(&bits) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    error(field, bits, format!("{least} to {most}"))
}

fn range_estimator(field: impl Display, range_estimator: RangeEstimator) -> Checked {
    match range_estimator.check() {
        Ok(()) => Ok(()),
        Err(_) => error(
            field,
            format!("`{range_estimator}`"),
            "norm(P) with P from 1 to 16, deviations(N) with N above 0, or percentile(P) with P above 50 and at most 100",
        ),
    }
}

/// Bits of weights after training.
fn weight_bits(scheme: Scheme) -> RangeInclusive<u8> {
    match scheme {
        Scheme::Symmetric => 2..=MAX_BITS,
        Scheme::Affine => 1..=MAX_BITS,
    }
}

/// Bits of activations; 0, which leaves them in float, aside.
fn activation_bits(field: impl Display, bits: u8, scheme: Scheme) -> Checked {
    let least = match scheme {
        Scheme::Symmetric => 2,
        Scheme::Affine => 1,
    };
    if bits == 0 || (least..=MAX_BITS).contains(&bits) {
        return Ok(());
    }
    let expected = format!("{least} to {MAX_BITS}, or 0 for activations in float");
    error(field, bits, expected)
}

impl QuantizationSettings {
    /// Checks every value. All functions that take settings do so first.
    ///
    /// # Errors
    ///
    /// If a value is none that its setting can have; with the setting, the value, and what would be valid.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_with(&weight_bits(self.weights.scheme))
    }

    /// The same where weights may have these bits.
    pub(crate) fn check_with(&self, bits: &RangeInclusive<u8>) -> Checked {
        self.check_but_weight_bits()?;
        within("weights.bits", self.weights.bits, bits)?;
        if let Some(own) = self
            .first_last
            .and_then(|first_last| first_last.weight_bits)
        {
            within("first_last.weight_bits", own, bits)?;
        }
        for layer in &self.layers {
            if let Some(own) = layer.weight_bits {
                within(layer.field("weight_bits"), own, bits)?;
            }
        }
        Ok(())
    }

    /// All but how many bits weights have, which goes by the method that makes them integers.
    pub(crate) fn check_but_weight_bits(&self) -> Checked {
        self.prepare.check()?;
        self.weights.check_but_bits()?;
        self.activations.check()?;
        self.accumulator.check()?;
        let scheme = self.activations.scheme;
        if let Some(first_last) = &self.first_last {
            first_last.check()?;
            if let Some(bits) = first_last.activation_bits {
                activation_bits("first_last.activation_bits", bits, scheme)?;
            }
        }
        for layer in &self.layers {
            layer.check()?;
            if let Some(bits) = layer.activation_bits {
                activation_bits(layer.field("activation_bits"), bits, scheme)?;
            }
        }
        Ok(())
    }
}

impl Preparation {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// If `smooth` is not from 0 to 1.
    pub fn check(&self) -> Result<(), SettingError> {
        match self.smooth {
            Some(smooth) if !(0.0..=1.0).contains(&smooth) => {
                error("prepare.smooth", smooth, "0 to 1")
            }
            _ => Ok(()),
        }
    }
}

impl WeightSettings {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// If the bits are not 2 to 16, or 1 to 16 if affine, the number of a range estimator is none that it can have, or `group` is
    /// 0 or without `per_channel`.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_but_bits()?;
        within("weights.bits", self.bits, &weight_bits(self.scheme))
    }

    fn check_but_bits(&self) -> Checked {
        match self.group {
            Some(0) => return error("weights.group", 0, "at least 1 column"),
            Some(group) if !self.per_channel => {
                let expected = "groups with `per_channel = true` alone";
                return error("weights.group", group, expected);
            }
            _ => {}
        }
        range_estimator("weights.range_estimator", self.range_estimator)
    }
}

impl ActivationSettings {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// If the bits are not 1 to 16, 2 to 16 if symmetric, or 0; if the number of a range estimator is none that it can have; or if
    /// dynamic ranges, which are those of a batch, are to be clipped or to have powers of two.
    pub fn check(&self) -> Result<(), SettingError> {
        activation_bits("activations.bits", self.bits, self.scheme)?;
        range_estimator("activations.range_estimator", self.range_estimator)?;
        if self.dynamic && self.range_estimator != RangeEstimator::MinMax {
            let expected = "no range_estimator with `dynamic = true`: ranges are those of a batch";
            return error(
                "activations.range_estimator",
                self.range_estimator,
                expected,
            );
        }
        if self.dynamic && self.power_of_two {
            let expected = "false with `dynamic = true`: ranges are those of a batch";
            return error("activations.power_of_two", true, expected);
        }
        Ok(())
    }
}

impl AccumulatorSettings {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// If a number of bits is not 8 to 32.
    pub fn check(&self) -> Result<(), SettingError> {
        within("accumulator.bits", self.bits, &(8..=32))?;
        within("accumulator.bias_bits", self.bias_bits, &(8..=32))
    }
}

impl FirstLastSettings {
    /// Checks every value. How few bits there may be depends on how ranges become integers, which
    /// [`QuantizationSettings::check`] knows.
    ///
    /// # Errors
    ///
    /// If weights have no bits, or more than 16, or activations more than 16.
    pub fn check(&self) -> Result<(), SettingError> {
        bits(self.weight_bits, self.activation_bits, |key| {
            format!("first_last.{key}")
        })
    }
}

impl Override {
    /// Checks every value. How few bits there may be depends on how ranges become integers, which
    /// [`QuantizationSettings::check`] knows.
    ///
    /// # Errors
    ///
    /// If the name is no pattern, weights have no bits, or more than 16, activations more than 16, the number of a range estimator
    /// is none that it can have, or a stretch is no number above 0.
    pub fn check(&self) -> Result<(), SettingError> {
        if let Err(wrong) = Pattern::new(&self.name) {
            let expected = format!("a name or a glob: {}", wrong.reason);
            return error("layer.name", format!("`{}`", self.name), expected);
        }
        bits(self.weight_bits, self.activation_bits, |key| {
            self.field(key)
        })?;
        for (key, own) in [
            ("weight_range_estimator", self.weight_range_estimator),
            (
                "activation_range_estimator",
                self.activation_range_estimator,
            ),
        ] {
            if let Some(own) = own {
                range_estimator(self.field(key), own)?;
            }
        }
        for (key, stretch) in [
            ("weight_stretch", self.weight_stretch),
            ("activation_stretch", self.activation_stretch),
        ] {
            if let Some(stretch) = stretch.filter(|by| !(by.is_finite() && *by > 0.0)) {
                return error(self.field(key), stretch, "a number above 0");
            }
        }
        Ok(())
    }

    /// What messages call a setting of it.
    pub(crate) fn field(&self, key: &str) -> String {
        format!("layer.{}.{key}", self.name)
    }
}

/// Checks the number of a method.
pub(crate) fn check_method(method: Method) -> Checked {
    match method {
        Method::Linear { decay } if !(0.0..1.0).contains(&decay) => {
            error("decay", decay, "a number from 0 to below 1")
        }
        _ => Ok(()),
    }
}

fn bits(weights: Option<u8>, activations: Option<u8>, field: impl Fn(&str) -> String) -> Checked {
    if let Some(bits) = weights {
        within(field("weight_bits"), bits, &(1..=MAX_BITS))?;
    }
    match activations {
        Some(bits) => activation_bits(field("activation_bits"), bits, Scheme::Affine),
        None => Ok(()),
    }
}
