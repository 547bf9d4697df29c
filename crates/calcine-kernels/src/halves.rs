//! Weights that are stored as floats of 16 bits.

/// A type of floats of 16 bits, in which weights can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HalfType {
    /// 5 exponent bits and 10 fraction bits (IEEE 754 binary16).
    F16,
    /// 8 exponent bits and 7 fraction bits: the upper half of an `f32`.
    Bf16,
}

impl HalfType {
    /// The number with these bits, which is exact in `f32`.
    #[must_use]
    #[inline(always)]
    pub fn to_float(self, bits: u16) -> f32 {
        let bits = u32::from(bits);
        match self {
            Self::Bf16 => f32::from_bits(bits << 16),
            Self::F16 => {
                let sign = (bits & 0x8000) << 16;
                let rest = (bits & 0x7fff) << 13;
                // Exponents differ by 112, also of subnormal numbers; the largest one means infinity or NaN.
                let magnitude = match bits & 0x7c00 {
                    0x7c00 => rest | 0x7f80_0000,
                    _ => (f32::from_bits(rest) * f32::from_bits(0x7780_0000)).to_bits(),
                };
                f32::from_bits(sign | magnitude)
            }
        }
    }
}
