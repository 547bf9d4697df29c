//! Elementary functions of single floats, without branches, so that compilers turn loops over them into vector
//! instructions.
//!
//! They consist of separate multiplications and additions in a fixed order, and therefore give the same bits on every
//! instruction set. The documentation of each function states the largest error that the tests allow, in units in the
//! last place (ulp) of the result. NaN gives NaN.

/// `1.5 · 2²³`: the sum of this and a number up to 2²² in magnitude has the nearest integer (ties to even) in its
/// lowest bits.
const ROUNDER: f32 = 12_582_912.0;

/// Evaluates a polynomial, given its coefficients from the constant on.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut result = 0.0;
    for coefficient in coefficients.into_iter().rev() {
        result = result * x + coefficient;
    }
    result
}

/// `eˣ`, with an error of at most 2 ulp; 0 below −104, and infinity above 88.8.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    /// ln 2 in two parts. Multiples of the first up to 150 are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    // x = n · ln 2 + r, |r| ≤ ln 2 / 2.
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let tail = polynomial(
        r,
        [
            0.5,
            0.166_666_67,
            0.041_666_27,
            0.008_333_266,
            0.001_394_608_6,
            0.000_199_178_32,
        ],
    );
    let fraction = 1.0 + (r + r * r * tail);
    // 2ⁿ in two factors, so that results below the normal range are rounded once.
    let n = rounded
        .to_bits()
        .wrapping_sub(ROUNDER.to_bits())
        .cast_signed();
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned());
    fraction * power(half) * power(n - half)
}

/// The logistic function `1 / (1 + e⁻ˣ)`, with an error of at most 4 ulp.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, with an error of at most 4 ulp.
#[inline(always)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let square = x * x;
    let tail = polynomial(
        square,
        [
            -0.333_332_63,
            0.133_308_99,
            -0.053_692_963,
            0.020_483_306,
            -0.005_528_624_6,
        ],
    );
    let near = magnitude + magnitude * square * tail;
    let far = 1.0 - 2.0 / (exp(magnitude + magnitude) + 1.0);
    let result = if magnitude < 0.625 { near } else { far };
    result.copysign(x)
}

/// The error function, with an error of at most 4 ulp.
#[inline(always)]
#[must_use]
pub fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let square = x * x;
    let tail = polynomial(
        square,
        [
            0.128_379_17,
            -0.376_126_26,
            0.112_836,
            -0.026_854_444,
            0.005_189_535,
            -0.000_802_084_1,
            7.889_119e-5,
        ],
    );
    let near = magnitude + magnitude * tail;
    // 1 − e^p, where p approximates the logarithm of the complement. It is 1 from 3.92 on.
    let bounded = if magnitude > 4.0 { 4.0 } else { magnitude };
    let logarithm = polynomial(
        bounded,
        [
            0.000_188_038_18,
            -1.129_578_5,
            -0.633_219_9,
            -0.108_418_56,
            0.025_208_248,
            -0.004_204_559,
            0.000_441_335_9,
            -2.168_681_4e-5,
        ],
    );
    let far = 1.0 - exp(logarithm);
    let result = if magnitude < 1.0 { near } else { far };
    result.copysign(x)
}

/// The Gaussian error linear unit, `x / 2 · (1 + erf(x / √2))`, with one rounding for each of these operations.
#[inline(always)]
#[must_use]
pub fn gelu(x: f32) -> f32 {
    x * 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}
