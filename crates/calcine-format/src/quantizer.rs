use serde::{Deserialize, Serialize};

use crate::QuantizerError;

/// The largest bit width of a quantizer.
pub const MAX_BITS: u8 = 16;

/// A quantizer maps numbers to integers: `x = scale · (q − zero_point)`, with `low ≤ q ≤ high`.
///
/// A number `x` becomes `q = clamp(round(x / scale) + zero_point, low, high)`, in `f32`, ties to even. Zero becomes exactly
/// `zero_point`, so that zero padding and pruned weights stay zero. This is the convention of ONNX's `QuantizeLinear`;
/// Distiller uses another convention (`calcine_quant::DistillerQuantizer`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantizer {
    /// The distance between neighbouring levels.
    pub scale: f32,
    /// The integer that represents zero.
    pub zero_point: i32,
    /// The smallest integer.
    pub low: i32,
    /// The largest integer.
    pub high: i32,
}

/// How the integers and the zero point are chosen for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// `zero_point = 0`, and symmetric integers `−(2^(b−1) − 1) … 2^(b−1) − 1`. The range is that of the largest
    /// magnitude.
    Symmetric,
    /// Integers `0 … 2^b − 1`, with a `zero_point` according to the range. No levels are wasted on ranges of one sign.
    #[default]
    Affine,
}

impl Quantizer {
    /// The quantizer for a range, which is widened to contain zero. If the range contains only zero, or is so narrow that the
    /// scale would be a subnormal `f32`, the scale is 1, and all values become zero.
    ///
    /// # Errors
    ///
    /// If the range is not finite, exceeds `f32`, or its bounds are reversed; or if the number of bits is not 2 to 16
    /// (symmetric) or 1 to 16 (affine).
    pub fn from_range(
        low: f64,
        high: f64,
        bits: u8,
        scheme: Scheme,
    ) -> Result<Self, QuantizerError> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(QuantizerError::Range { low, high });
        }
        let least = match scheme {
            Scheme::Symmetric => 2,
            Scheme::Affine => 1,
        };
        if !(least..=MAX_BITS).contains(&bits) {
            return Err(QuantizerError::Bits { bits, least });
        }
        let (low, high) = (low.min(0.0), high.max(0.0));
        #[allow(clippy::cast_possible_truncation, reason = "scales are f32 everywhere")]
        let scale = |span: f64, scales: i32| match (span / f64::from(scales)) as f32 {
            scale if scale.is_normal() => Ok(scale),
            scale if scale.is_infinite() => Err(QuantizerError::Range { low, high }),
            _ => Ok(1.0),
        };
        Ok(match scheme {
            Scheme::Symmetric => {
                let top = (1 << (bits - 1)) - 1;
                Self {
                    scale: scale(high.max(-low), top)?,
                    zero_point: 0,
                    low: -top,
                    high: top,
                }
            }
            Scheme::Affine => {
                let top = (1 << bits) - 1;
                let scale = scale(high - low, top)?;
                // Computed from the range, because the scale has been rounded.
                let zero_point = match high - low {
                    span if span > 0.0 => -low / span * f64::from(top),
                    _ => 0.0,
                };
                #[allow(clippy::cast_possible_truncation, reason = "of 16 bits")]
                let zero_point = zero_point.round_ties_even().clamp(0.0, f64::from(top)) as i32;
                Self {
                    scale,
                    zero_point,
                    low: 0,
                    high: top,
                }
            }
        })
    }

    /// A symmetric quantizer that uses all integers, `−2^(b−1) … 2^(b−1) − 1`, with the scale `largest / ((2^b − 1) / 2)`:
    /// Distiller's mode `symmetric`. The largest magnitude itself lies half a level beyond the largest integer.
    ///
    /// # Errors
    ///
    /// If the magnitude is negative or not finite, or the bits are not 2 to 16.
    #[allow(clippy::cast_possible_truncation, reason = "scales are f32 everywhere")]
    pub fn full_range(largest: f64, bits: u8) -> Result<Self, QuantizerError> {
        let narrow = Self::from_range(-largest, largest, bits, Scheme::Symmetric)?;
        let scale = (2.0 * largest / f64::from((1_i32 << bits) - 1)) as f32;
        Ok(Self {
            scale: if scale.is_normal() { scale } else { 1.0 },
            low: narrow.low - 1,
            ..narrow
        })
    }

    /// The quantizer with the same integers whose scale is rounded up to a power of two, so that rescaling between such
    /// quantizers is a shift. Its range contains that of this quantizer, up to half a level at each end, and is at most twice
    /// as wide.
    #[must_use]
    pub fn power_of_two(self) -> Self {
        let scale = f64::from(self.scale).log2().ceil().exp2();
        let symmetric = self.zero_point == 0 && self.low < 0;
        let below = f64::from(self.zero_point - self.low) * f64::from(self.scale) / scale;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "fewer integers than there are"
        )]
        let zero_point = if symmetric {
            0
        } else {
            self.low + below.round_ties_even() as i32
        };
        #[allow(clippy::cast_possible_truncation, reason = "scales are f32 everywhere")]
        let scale = scale as f32;
        // There is no power of two above the largest one of `f32`.
        if scale.is_finite() {
            Self {
                scale,
                zero_point,
                ..self
            }
        } else {
            self
        }
    }

    /// The same quantizer with all integers reduced by a number: reducing `0 … 255` by 128 gives `−128 … 127`.
    #[must_use]
    pub fn shifted(self, by: i32) -> Self {
        Self {
            zero_point: self.zero_point - by,
            low: self.low - by,
            high: self.high - by,
            ..self
        }
    }

    /// Whether the scale is positive and normal, the integers have at most 17 bits, and the zero point is one of them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let most = 1 << MAX_BITS;
        self.scale.is_normal()
            && self.scale > 0.0
            && (self.low..=self.high).contains(&self.zero_point)
            && self.low >= -most
            && self.high <= most
    }

    /// Quantizes a number.
    #[must_use]
    pub fn quantize(&self, x: f32) -> i32 {
        #[allow(clippy::cast_possible_truncation, reason = "a cast saturates")]
        let rounded = (x / self.scale).round_ties_even() as i32;
        rounded
            .saturating_add(self.zero_point)
            .clamp(self.low, self.high)
    }

    /// Dequantizes an integer.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "integers of 17 bits at most")]
    pub fn dequantize(&self, q: i32) -> f32 {
        self.scale * (q - self.zero_point) as f32
    }

    /// `q − zero_point` of the smallest and the largest integer.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "integers of 17 bits at most")]
    pub fn centred(&self) -> [f32; 2] {
        [
            (self.low - self.zero_point) as f32,
            (self.high - self.zero_point) as f32,
        ]
    }

    /// The largest `|q − zero_point|`.
    #[must_use]
    pub fn largest(&self) -> u64 {
        let [low, high] =
            [self.low, self.high].map(|q| u64::from((q - self.zero_point).unsigned_abs()));
        low.max(high)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]
mod tests {
    use super::*;

    /// All quantizers of few bits, all their integers, and numbers between and beyond them, against the definition.
    #[test]
    fn small_quantizers_are_what_the_definition_says() {
        for scheme in [Scheme::Symmetric, Scheme::Affine] {
            for bits in 2..=6 {
                for (low, high) in [
                    (-1.0, 1.0),
                    (0.0, 3.0),
                    (-2.5, 0.3),
                    (-4.0, -1.0),
                    (0.5, 2.0),
                ] {
                    let quantizer = Quantizer::from_range(low, high, bits, scheme).unwrap();
                    assert_eq!(quantizer.dequantize(quantizer.zero_point), 0.0);
                    assert!((quantizer.low..=quantizer.high).contains(&quantizer.zero_point));
                    let count = quantizer.high - quantizer.low + 1;
                    let all = 1 << bits;
                    assert_eq!(
                        count,
                        if scheme == Scheme::Symmetric {
                            all - 1
                        } else {
                            all
                        }
                    );
                    for q in quantizer.low..=quantizer.high {
                        assert_eq!(
                            quantizer.quantize(quantizer.dequantize(q)),
                            q,
                            "{quantizer:?}"
                        );
                    }
                    assert_eq!(quantizer.quantize(1e30), quantizer.high);
                    assert_eq!(quantizer.quantize(f32::NEG_INFINITY), quantizer.low);
                    let span = f64::from(quantizer.scale) * f64::from(count - 1);
                    let range: f64 = match scheme {
                        Scheme::Symmetric => 2.0 * f64::max(high, -low),
                        Scheme::Affine => f64::max(high, 0.0) - f64::min(low, 0.0),
                    };
                    assert!((span - range).abs() < 1e-5, "{quantizer:?}");
                }
            }
        }
    }

    #[test]
    fn ties_go_to_even_integers_and_ends_hold() {
        let quantizer = Quantizer {
            scale: 0.5,
            zero_point: 3,
            low: 0,
            high: 15,
        };
        for q in 0..15 {
            let between = 0.5 * ((q - 3) as f32 + 0.5);
            let even = if (q - 3) % 2 == 0 { q } else { q + 1 };
            assert_eq!(quantizer.quantize(between), even, "{q}");
        }
        assert_eq!(
            (quantizer.quantize(-1.75), quantizer.quantize(6.25)),
            (0, 15)
        );
    }

    #[test]
    fn steps_that_are_powers_of_two_cover_the_same() {
        for (low, high) in [
            (-1.0, 1.0),
            (0.0, 3.0),
            (-2.5, 0.3),
            (-4.0, -1.0),
            (0.0, 0.25),
        ] {
            for scheme in [Scheme::Symmetric, Scheme::Affine] {
                let quantizer = Quantizer::from_range(low, high, 5, scheme).unwrap();
                let shifts = quantizer.power_of_two();
                assert_eq!(shifts.scale.log2().fract(), 0.0);
                assert!(shifts.scale >= quantizer.scale && shifts.scale < 2.0 * quantizer.scale);
                assert!(shifts.is_sound() && shifts.dequantize(shifts.zero_point) == 0.0);
                for x in [quantizer.low, quantizer.high].map(|end| quantizer.dequantize(end)) {
                    let off = (shifts.dequantize(shifts.quantize(x)) - x).abs();
                    assert!(off <= 0.5 * shifts.scale, "{shifts:?}: {x} is off by {off}");
                }
                assert_eq!(shifts.power_of_two(), shifts);
            }
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (low, high, bits) in [
            (1.0, -1.0, 8),
            (f64::NAN, 1.0, 8),
            (0.0, f64::INFINITY, 8),
            (0.0, 1.0, 17),
            (0.0, 1.0, 0),
        ] {
            assert!(Quantizer::from_range(low, high, bits, Scheme::Affine).is_err());
        }
        let nothing = Quantizer::from_range(0.0, 0.0, 8, Scheme::Affine).unwrap();
        assert_eq!((nothing.scale, nothing.zero_point), (1.0, 0));
    }
}
