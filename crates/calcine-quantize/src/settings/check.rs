//! Checks settings.

use std::fmt::Display;
use std::ops::RangeInclusive;

use calcine_names::Pattern;
use calcine_quant::{MAX_BITS, Method};

use super::{
    AccumulatorSettings, ActivationSettings, FirstLastSettings, Override, Preparation,
    QuantizationSettings, WeightSettings,
};
use crate::{RangeEstimator, Scheme};

/// A setting has an invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}, expected {expected}")]
#[non_exhaustive]
pub struct SettingError {
    /// The name of the setting in a file: `weights.bits`, `layer.fc.weight_stretch`.
    pub field: String,
    /// The value.
    pub found: String,
    /// What would be valid.
    pub expected: String,
}

/// All problems, in the order of the settings.
type Found = Vec<SettingError>;

fn error(field: impl Display, found: impl Display, expected: impl Display) -> Found {
    vec![SettingError {
        field: field.to_string(),
        found: found.to_string(),
        expected: expected.to_string(),
    }]
}

/// The first of several problems.
fn first(found: Found) -> Result<(), SettingError> {
    match found.into_iter().next() {
        Some(wrong) => Err(wrong),
        None => Ok(()),
    }
}

fn within(field: impl Display, bits: u8, range: &RangeInclusive<u8>) -> Found {
    if range.contains(&bits) {
        return Found::new();
    }
    let (least, most) = (range.start(), range.end());
    error(field, bits, format!("{least} to {most}"))
}

fn range_estimator(field: impl Display, range_estimator: RangeEstimator) -> Found {
    match range_estimator.check() {
        Ok(()) => Found::new(),
        Err(_) => error(
            field,
            format!("`{range_estimator}`"),
            "norm(P) with P from 1 to 16, deviations(N) with N above 0, or percentile(P) with P above 50 and at most 100",
        ),
    }
}

/// The valid numbers of bits of weights after training.
fn weight_bits(scheme: Scheme) -> RangeInclusive<u8> {
    match scheme {
        Scheme::Symmetric => 2..=MAX_BITS,
        Scheme::Affine => 1..=MAX_BITS,
    }
}

/// Checks the bits of activations; 0, which leaves them in float, is handled separately.
fn activation_bits(field: impl Display, bits: u8, scheme: Scheme) -> Found {
    let least = match scheme {
        Scheme::Symmetric => 2,
        Scheme::Affine => 1,
    };
    if bits == 0 || (least..=MAX_BITS).contains(&bits) {
        return Found::new();
    }
    let expected = format!("{least} to {MAX_BITS}, or 0 for activations in float");
    error(field, bits, expected)
}

impl QuantizationSettings {
    /// Checks all values. All functions that take settings call it first.
    ///
    /// # Errors
    ///
    /// If a setting has an invalid value; the error contains the setting, the value, and what would be valid.
    pub fn check(&self) -> Result<(), SettingError> {
        first(self.problems())
    }

    /// All problems of settings for post-training quantization, in their order.
    #[must_use]
    pub fn problems(&self) -> Vec<SettingError> {
        self.all(&weight_bits(self.weights.scheme))
    }

    /// All problems of settings for quantization-aware training by this method, in their order. The bits of weights
    /// must be valid for the method, weights must be symmetric without groups, and the parameter of the method must be
    /// valid.
    #[must_use]
    pub fn problems_of_training(&self, method: Method) -> Vec<SettingError> {
        // Levels without zero need one more bit as integers.
        let bits = match method {
            Method::Dorefa | Method::Pact => 1..=MAX_BITS - 1,
            _ => 2..=MAX_BITS,
        };
        let mut found = self.all(&bits);
        let expected = "quantization after training: weights that train are symmetric, with a scale for each output, or one";
        if self.weights.scheme == Scheme::Affine {
            found.extend(error("weights.scheme", "`affine`", expected));
        }
        if let Some(group) = self.weights.group.filter(|group| *group > 0) {
            found.extend(error("weights.group", group, expected));
        }
        if let Method::Linear { decay } = method
            && !(0.0..1.0).contains(&decay)
        {
            found.extend(error("training.decay", decay, "a number from 0 to below 1"));
        }
        found
    }

    /// All problems, if weights may have these numbers of bits.
    fn all(&self, bits: &RangeInclusive<u8>) -> Found {
        let mut found = self.prepare.problems();
        found.extend(within("weights.bits", self.weights.bits, bits));
        found.extend(self.weights.problems_but_bits());
        found.extend(self.activations.problems());
        found.extend(self.accumulator.problems());
        let scheme = self.activations.scheme;
        if let Some(first_last) = &self.first_last {
            if let Some(own) = first_last.weight_bits {
                found.extend(within("first_last.weight_bits", own, bits));
            }
            if let Some(bits) = first_last.activation_bits {
                found.extend(activation_bits("first_last.activation_bits", bits, scheme));
            }
        }
        for layer in &self.layers {
            if let Some(own) = layer.weight_bits {
                found.extend(within(layer.field("weight_bits"), own, bits));
            }
            if let Some(bits) = layer.activation_bits {
                found.extend(activation_bits(
                    layer.field("activation_bits"),
                    bits,
                    scheme,
                ));
            }
            found.extend(layer.problems_but_bits());
        }
        found
    }
}

impl Preparation {
    /// Checks all values.
    ///
    /// # Errors
    ///
    /// If `smooth` is not between 0 and 1.
    pub fn check(&self) -> Result<(), SettingError> {
        first(self.problems())
    }

    fn problems(&self) -> Found {
        match self.smooth {
            Some(smooth) if !(0.0..=1.0).contains(&smooth) => {
                error("prepare.smooth", smooth, "0 to 1")
            }
            _ => Found::new(),
        }
    }
}

impl WeightSettings {
    /// Checks all values.
    ///
    /// # Errors
    ///
    /// If the number of bits is not 2 to 16, or 1 to 16 if affine, the parameter of a range estimator is invalid, or
    /// `group` is 0 or used without `per_channel`.
    pub fn check(&self) -> Result<(), SettingError> {
        let mut found = within("weights.bits", self.bits, &weight_bits(self.scheme));
        found.extend(self.problems_but_bits());
        first(found)
    }

    fn problems_but_bits(&self) -> Found {
        let mut found = match self.group {
            Some(0) => error("weights.group", 0, "at least 1 column"),
            Some(group) if !self.per_channel => {
                let expected = "groups with `per_channel = true` alone";
                error("weights.group", group, expected)
            }
            _ => Found::new(),
        };
        found.extend(range_estimator(
            "weights.range_estimator",
            self.range_estimator,
        ));
        found
    }
}

impl ActivationSettings {
    /// Checks all values.
    ///
    /// # Errors
    ///
    /// If the number of bits is not 1 to 16 (2 to 16 if symmetric) or 0; if the parameter of a range estimator is
    /// invalid; or if dynamic ranges, which are those of a batch, have a range estimator or powers of two.
    pub fn check(&self) -> Result<(), SettingError> {
        first(self.problems())
    }

    fn problems(&self) -> Found {
        let mut found = activation_bits("activations.bits", self.bits, self.scheme);
        found.extend(range_estimator(
            "activations.range_estimator",
            self.range_estimator,
        ));
        if self.dynamic && self.range_estimator != RangeEstimator::MinMax {
            let expected = "no range_estimator with `dynamic = true`: ranges are those of a batch";
            found.extend(error(
                "activations.range_estimator",
                self.range_estimator,
                expected,
            ));
        }
        if self.dynamic && self.power_of_two {
            let expected = "false with `dynamic = true`: ranges are those of a batch";
            found.extend(error("activations.power_of_two", true, expected));
        }
        found
    }
}

impl AccumulatorSettings {
    /// Checks all values.
    ///
    /// # Errors
    ///
    /// If a number of bits is not 8 to 32.
    pub fn check(&self) -> Result<(), SettingError> {
        first(self.problems())
    }

    fn problems(&self) -> Found {
        let mut found = within("accumulator.bits", self.bits, &(8..=32));
        found.extend(within("accumulator.bias_bits", self.bias_bits, &(8..=32)));
        found
    }
}

impl FirstLastSettings {
    /// Checks all values. The smallest number of bits depends on the scheme, and is checked by
    /// [`QuantizationSettings::check`].
    ///
    /// # Errors
    ///
    /// If the number of bits of weights is not 1 to 16, or that of activations is more than 16.
    pub fn check(&self) -> Result<(), SettingError> {
        first(bits(self.weight_bits, self.activation_bits, |key| {
            format!("first_last.{key}")
        }))
    }
}

impl Override {
    /// Checks all values. The smallest number of bits depends on the scheme, and is checked by
    /// [`QuantizationSettings::check`].
    ///
    /// # Errors
    ///
    /// If the name is not a valid pattern, the number of bits of weights is not 1 to 16, that of activations is more
    /// than 16, the parameter of a range estimator is invalid, or a stretch is not a number above 0.
    pub fn check(&self) -> Result<(), SettingError> {
        let mut found = bits(self.weight_bits, self.activation_bits, |key| {
            self.field(key)
        });
        found.extend(self.problems_but_bits());
        first(found)
    }

    fn problems_but_bits(&self) -> Found {
        let mut found = Found::new();
        if let Err(wrong) = Pattern::new(&self.name) {
            let expected = format!("a name or a glob: {}", wrong.reason);
            found.extend(error("layer.name", format!("`{}`", self.name), expected));
        }
        for (key, own) in [
            ("weight_range_estimator", self.weight_range_estimator),
            (
                "activation_range_estimator",
                self.activation_range_estimator,
            ),
        ] {
            if let Some(own) = own {
                found.extend(range_estimator(self.field(key), own));
            }
        }
        for (key, stretch) in [
            ("weight_stretch", self.weight_stretch),
            ("activation_stretch", self.activation_stretch),
        ] {
            if let Some(stretch) = stretch.filter(|by| !(by.is_finite() && *by > 0.0)) {
                found.extend(error(self.field(key), stretch, "a number above 0"));
            }
        }
        found
    }

    /// The name of a setting in messages.
    pub(crate) fn field(&self, key: &str) -> String {
        format!("layer.{}.{key}", self.name)
    }
}

fn bits(weights: Option<u8>, activations: Option<u8>, field: impl Fn(&str) -> String) -> Found {
    let mut found = Found::new();
    if let Some(bits) = weights {
        found.extend(within(field("weight_bits"), bits, &(1..=MAX_BITS)));
    }
    if let Some(bits) = activations {
        found.extend(activation_bits(
            field("activation_bits"),
            bits,
            Scheme::Affine,
        ));
    }
    found
}
