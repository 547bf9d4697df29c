use crate::Quantizer;

/// Distiller's linear quantizer: `q = clamp(round(scale · x − zero_point), low, high)`, and back
/// `x̂ = (q + zero_point) / scale`, all in `f32`, ties to even.
///
/// Its scale is the number of integers per unit, which is the reciprocal of the scale of a [`Quantizer`], and its zero
/// point has the opposite sign. It also **subtracts the zero point before it rounds**, whereas ONNX's `QuantizeLinear`
/// and [`Quantizer`] round the quotient and then add the zero point. Ties are rounded to an even `q` here, and to an
/// even `q − zero_point` there; if the zero point is odd, every tie is therefore rounded to the other neighbour. A
/// product with the scale and a quotient by its reciprocal may also differ in their last bit, which matters for numbers
/// next to a tie. In all other cases both conventions give the same integers.
///
/// # Examples
///
/// ```
/// use calcine_quant::DistillerQuantizer;
///
/// let theirs = DistillerQuantizer { scale: 2.0, zero_point: -3.0, low: 0, high: 15 };
/// let ours = theirs.quantizer().expect("its zero point is a whole number");
/// assert_eq!((theirs.quantize(1.0), ours.quantize(1.0)), (5, 5));
/// // 2 · 0.25 = 0.5 is a tie: 3.5 is rounded to 4, and 0.5 to 0.
/// assert_eq!((theirs.quantize(0.25), ours.quantize(0.25)), (4, 3));
/// assert_eq!(DistillerQuantizer::from(ours), theirs);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistillerQuantizer {
    /// The number of integers per unit.
    pub scale: f32,
    /// The number that is subtracted from the scaled number; a whole number unless Distiller was told to use fractional
    /// zero points.
    pub zero_point: f32,
    /// The smallest integer.
    pub low: i32,
    /// The largest integer.
    pub high: i32,
}

impl DistillerQuantizer {
    /// The integer for a number, exactly as Distiller computes it.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a cast saturates")]
    pub fn quantize(&self, x: f32) -> i32 {
        let rounded = (self.scale * x - self.zero_point).round_ties_even() as i32;
        rounded.clamp(self.low, self.high)
    }

    /// The number that an integer represents.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "integers of 17 bits at most")]
    pub fn dequantize(&self, q: i32) -> f32 {
        (q as f32 + self.zero_point) / self.scale
    }

    /// The quantizer in ONNX's convention whose integers represent the same numbers; `None` if the zero point is not a
    /// whole number of 17 bits. Ties are rounded differently (see above).
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "scales are `f32` everywhere, and the zero point is checked"
    )]
    pub fn quantizer(&self) -> Option<Quantizer> {
        let whole = self.zero_point.fract() == 0.0 && self.zero_point.abs() <= 131_072.0;
        whole.then(|| Quantizer {
            scale: (1.0 / f64::from(self.scale)) as f32,
            zero_point: -(self.zero_point as i32),
            low: self.low,
            high: self.high,
        })
    }
}

impl From<Quantizer> for DistillerQuantizer {
    /// The quantizer in Distiller's convention whose integers represent the same numbers.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "scales are `f32` everywhere, and zero points have 17 bits at most"
    )]
    fn from(ours: Quantizer) -> Self {
        Self {
            scale: (1.0 / f64::from(ours.scale)) as f32,
            zero_point: -(ours.zero_point as f32),
            low: ours.low,
            high: ours.high,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]
mod tests {
    use super::*;

    /// Away from ties both conventions agree; at ties they agree where the zero point is even, and never where it is odd.
    #[test]
    fn conventions_differ_at_ties_with_odd_zero_points_and_nowhere_else() {
        for zero in -9..=9_i32 {
            let ours = Quantizer {
                scale: 0.25,
                zero_point: zero,
                low: -40,
                high: 40,
            };
            let theirs = DistillerQuantizer::from(ours);
            assert_eq!(theirs.quantizer(), Some(ours));
            for eighths in -80..=80_i16 {
                let x = f32::from(eighths) / 8.0;
                let (a, b) = (ours.quantize(x), theirs.quantize(x));
                let is_tie = eighths % 2 != 0;
                let clamped = a == ours.low || a == ours.high || b == ours.low || b == ours.high;
                if !clamped {
                    assert_eq!(a != b, is_tie && zero % 2 != 0, "{x} with {zero}: {a} {b}");
                }
                assert_eq!(ours.dequantize(a), theirs.dequantize(a));
            }
        }
    }

    #[test]
    fn fractions_are_no_zero_point_of_integers() {
        let theirs = DistillerQuantizer {
            scale: 10.0,
            zero_point: 2.5,
            low: -128,
            high: 127,
        };
        assert_eq!(theirs.quantizer(), None);
        assert_eq!((theirs.quantize(1.0), theirs.dequantize(8)), (8, 1.05));
    }
}
