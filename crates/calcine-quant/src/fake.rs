//! Fake-quantization: the forward pass quantizes and dequantizes, and gradients pass straight through.

use burn::tensor::Tensor;

use calcine_device::in_host_memory;

use crate::one_pass::{self, Rounding, Scales};
use crate::{MAX_BITS, Quantizer, Scheme};

/// The lower bound of learned scales: a scale of zero would lead to a division of zero by zero.
const LEAST_SCALE: f64 = 1e-15;

/// Panics unless the number of bits is valid.
fn assert_bits(bits: u8, least: u8, what: &str) {
    assert!(
        (least..=MAX_BITS).contains(&bits),
        "{what} of {bits} bits: expected {least} to {MAX_BITS}"
    );
}

/// Fake-quantizes `x`: `scale · (clamp(round(x / scale) + zero_point, low, high) − zero_point)`, ties to even.
///
/// The gradient passes where `x` lies within the range of the quantizer, including its bounds, and is zero where `x` was
/// clipped (straight-through estimator; Bengio et al., 2013). The operation is exactly idempotent. It does not read from the
/// device.
#[must_use]
pub fn fake_quantize<const D: usize>(x: Tensor<D>, quantizer: &Quantizer) -> Tensor<D> {
    let scale = f64::from(quantizer.scale);
    let [low, high] = quantizer.centred().map(f64::from);
    let ends = [low * scale, high * scale];
    let rounding = Rounding::Values {
        scale: quantizer.scale,
        ends: quantizer.centred(),
        bounds: ends.map(|end| end as f32),
    };
    if let Some(fake_quantized) = one_pass::round(&x, rounding) {
        return fake_quantized;
    }
    let fake_quantized = (x.clone().detach())
        .div_scalar(scale)
        .round()
        .clamp(low, high)
        .mul_scalar(scale);
    if x.is_autodiff() {
        straight_through(fake_quantized, clipped(x, ends))
    } else {
        fake_quantized
    }
}

/// The value of a tensor with one element in host memory.
fn number(tensor: &Tensor<1>) -> f32 {
    tensor.clone().without_autodiff().into_scalar()
}

/// Fake-quantizes `x` with a range that is a tensor on the device. The quantizer is that of [`Quantizer::from_range`], but
/// computed in `f32`. Use it for moving ranges, without a device read.
///
/// The range is widened to contain zero; a range that contains only zero has a scale of 1. The gradient of `x` passes within
/// the range; the range itself gets no gradient. Nothing is read from the device.
///
/// # Shapes
///
/// `ends`: `[2]`, the bounds of the range.
///
/// # Panics
///
/// If the number of bits is not 2 to 16 (symmetric) or 1 to 16 (affine).
#[must_use]
pub fn fake_quantize_between<const D: usize>(
    x: Tensor<D>,
    ends: Tensor<1>,
    bits: u8,
    scheme: Scheme,
) -> Tensor<D> {
    let [scale, below, above] = quantizer_between(ends, bits, scheme);
    if in_host_memory(&x.device()) {
        let [scale, low, high] = [&scale, &below, &above].map(number);
        let ends = [low, high];
        if let Some(fake_quantized) = one_pass::round(&x, Rounding::Quotients { scale, ends }) {
            return fake_quantized;
        }
    }
    let everywhere = |end: Tensor<1>| end.reshape([1; D]).expand(x.shape());
    let (scale, below, above) = (everywhere(scale), everywhere(below), everywhere(above));
    let values = x.clone().detach() / scale.clone();
    let outside =
        (values.clone().lower(below.clone())).bool_or(values.clone().greater(above.clone()));
    let fake_quantized = values.round().max_pair(below).min_pair(above) * scale;
    straight_through(fake_quantized, x.mask_fill(outside, 0.0))
}

/// The quantizer of a range that is a tensor on the device: its scale, and `q − zero_point` of its smallest and its largest
/// integer, each `[1]`. Nothing is read from the device.
///
/// # Panics
///
/// As [`fake_quantize_between`].
#[must_use]
pub fn quantizer_between(ends: Tensor<1>, bits: u8, scheme: Scheme) -> [Tensor<1>; 3] {
    let ends = ends.detach();
    let low = ends.clone().narrow(0, 0, 1).clamp_max(0.0);
    let high = ends.narrow(0, 1, 1).clamp_min(0.0);
    let least = match scheme {
        Scheme::Symmetric => 2,
        Scheme::Affine => 1,
    };
    assert_bits(bits, least, "a quantizer");
    match scheme {
        Scheme::Symmetric => {
            let top = f64::from((1_i32 << (bits - 1)) - 1);
            let scale = scale_over(low.neg().max_pair(high), top);
            let zero = scale.zeros_like();
            [scale, zero.clone().sub_scalar(top), zero.add_scalar(top)]
        }
        Scheme::Affine => {
            let top = f64::from((1_i32 << bits) - 1);
            let scale = scale_over(high - low.clone(), top);
            // As ONNX's `DynamicQuantizeLinear`.
            let zero = (low.neg() / scale.clone()).round().clamp(0.0, top);
            let below = zero.neg();
            [scale, below.clone(), below.add_scalar(top)]
        }
    }
}

/// The scale at which this many levels span a length; 1 if it would be zero or subnormal, as in [`Quantizer::from_range`].
fn scale_over<const D: usize>(length: Tensor<D>, scales: f64) -> Tensor<D> {
    let scale = length.div_scalar(scales);
    let none = scale.clone().lower_elem(f32::MIN_POSITIVE);
    scale.mask_fill(none, 1.0)
}

/// Fake-quantizes each row of a weight with a symmetric quantizer for its largest magnitude: row `i` has the scale
/// `max|x_i| / (2^(b−1) − 1)`, which is recomputed on the device in each call.
///
/// The gradient passes to the weight unchanged; the scales are treated as constants. Rows of zeros stay zero. Nothing is
/// read from the device.
///
/// # Shapes
///
/// `rows` and the result: `[units, members]`. For one scale per tensor, pass the weight as a single row.
///
/// # Panics
///
/// If `bits` is not 2 to 16.
#[must_use]
pub fn fake_quantize_rows(rows: Tensor<2>, bits: u8) -> Tensor<2> {
    assert_bits(bits, 2, "a symmetric quantizer");
    let top = f64::from((1_i32 << (bits - 1)) - 1);
    let rounding = Rounding::Rows {
        length: rows.dims()[1],
        top: top as f32,
    };
    if let Some(fake_quantized) = one_pass::round(&rows, rounding) {
        return fake_quantized;
    }
    let values = rows.clone().detach();
    let scales = scale_over(values.clone().abs().max_dim(1), top);
    let fake_quantized = (values / scales.clone()).round().clamp(-top, top) * scales;
    straight_through(fake_quantized, rows)
}

/// LSQ (Esser et al., 2020): fake-quantizes `x` with a learned scale.
///
/// `x̂ = s · clamp(round(x / s), low, high)`. The gradient of `x` passes within the range; that of `s` is
/// `round(x/s) − x/s` within the range and `low` or `high` outside of it, times `1 / √(numel · high)`, so that scales and
/// weights change at similar rates. Scales have a lower bound of 1e-15, so that weights that consist only of zeros have
/// finite gradients. Nothing is read from the device.
///
/// # Shapes
///
/// `scale`: `[1]`, positive.
#[must_use]
pub fn lsq<const D: usize>(x: Tensor<D>, scale: Tensor<1>, low: f64, high: f64) -> Tensor<D> {
    lsq_along(x, scale, 0, low, high)
}

/// [`lsq`] with a scale for each position of an axis, for example for each output of a weight. `numel` in the factor of the
/// gradient is the number of elements that share a scale.
///
/// # Shapes
///
/// `scales`: `[1]`, or the length of the axis; positive.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of elements, and ends that are integers of 17 bits"
)]
pub fn lsq_along<const D: usize>(
    x: Tensor<D>,
    scales: Tensor<1>,
    axis: usize,
    low: f64,
    high: f64,
) -> Tensor<D> {
    let length = scales.dims()[0];
    let count = (x.shape().num_elements() / length) as f64;
    let factor = 1.0 / (count * high.max(1.0)).sqrt();
    let scales = positive(scales);
    let options = Scales {
        inner: x.dims()[axis + 1..].iter().product(),
        ends: [low as f32, high as f32],
        factor,
    };
    if let Some(fake_quantized) = one_pass::learned(&x, &scales, options) {
        return fake_quantized;
    }
    let mut shape = [1; D];
    shape[axis] = length;
    let scales = scaled_gradient(scales, factor).reshape(shape);
    let inside = clipped(x / scales.clone(), [low, high]);
    let rounded = inside.clone().detach().round();
    straight_through(rounded, inside) * scales
}

/// LSQ+ (Bhalgat et al., 2020): [`lsq`] with a learned offset, for values that are not centred on zero, such as the outputs
/// of a swish.
///
/// `x̂ = s · clamp(round((x − β) / s), low, high) + β`. The gradient of `β` is 1 where `x` was clipped and 0 elsewhere, times
/// the factor of the scale's gradient. Zero is not represented exactly unless β is a multiple of the scale. Nothing is read
/// from the device.
///
/// # Shapes
///
/// `scale`, `offset`: `[1]`; the scale is positive.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts of elements")]
pub fn lsq_plus<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    offset: Tensor<1>,
    low: f64,
    high: f64,
) -> Tensor<D> {
    let factor = 1.0 / (x.shape().num_elements() as f64 * high.max(1.0)).sqrt();
    let offset = scaled_gradient(offset, factor).reshape([1; D]);
    lsq(x - offset.clone(), scale, low, high) + offset
}

/// The initial scale of LSQ, `[1]`: `2 · mean|x| / √high`, or 1 if all values are zero. Nothing is read from the device.
#[must_use]
pub fn lsq_initial_scale<const D: usize>(x: Tensor<D>, high: f64) -> Tensor<1> {
    scale_over(x.detach().abs().mean(), high.max(1.0).sqrt() / 2.0)
}

/// PACT (Choi et al., 2018): clips the output of a ReLU at a learned `α`, and rounds it to multiples of `α / (2^b − 1)`.
///
/// The gradient of `x` passes where `0 ≤ x < α`; that of `α` is the sum of the incoming gradients where `x ≥ α`. `α` has a
/// lower bound of 1e-15. Nothing is read from the device.
///
/// # Shapes
///
/// `alpha`: `[1]`, positive.
///
/// # Panics
///
/// If `bits` is not 1 to 16.
#[must_use]
pub fn pact<const D: usize>(x: Tensor<D>, alpha: Tensor<1>, bits: u8) -> Tensor<D> {
    assert_bits(bits, 1, "PACT's activations");
    let levels = f64::from((1_u32 << bits) - 1);
    let alpha = positive(alpha);
    if let Some(fake_quantized) = one_pass::pact(&x, &alpha, levels as f32) {
        return fake_quantized;
    }
    let alpha = alpha.reshape([1; D]).expand(x.shape());
    let above = x.clone().detach().greater_equal(alpha.clone().detach());
    let below = x.clone().detach().lower_elem(0.0);
    let clipped = x.mask_fill(below, 0.0).mask_where(above, alpha.clone());
    let scale = alpha.detach().div_scalar(levels);
    let fake_quantized = (clipped.clone().detach() / scale.clone()).round() * scale;
    straight_through(fake_quantized, clipped)
}

/// `DoReFa` (Zhou et al., 2016): transforms a weight to `2^b` levels between −1 and 1.
///
/// `u = tanh(w) / (2·max|tanh(w)|) + ½`, `q = 2·round(u·n)/n − 1` with `n = 2^b − 1`. With one bit, the result is
/// `sign(w)·mean|w|`, where zero counts as positive, and the gradient passes unchanged. With more bits, only the rounding is
/// treated as the identity. If all weights are zero (`max|tanh(w)|` below 1e-12), `u = ½`, which gives the level next to
/// zero, with the gradient of `tanh(w)`. Nothing is read from the device.
///
/// # Panics
///
/// If `bits` is not 1 to 16.
#[must_use]
pub fn dorefa_weight<const D: usize>(w: Tensor<D>, bits: u8) -> Tensor<D> {
    /// The gradient is divided by the square of the maximum, which must be a normal number.
    const NOTHING: f32 = 2e-12;
    assert_bits(bits, 1, "DoReFa's weights");
    if bits == 1 {
        let values = w.clone().detach();
        let mean = values
            .clone()
            .abs()
            .mean()
            .reshape([1; D])
            .expand(values.shape());
        let negative = values.lower_elem(0.0);
        let fake_quantized = mean.clone().mask_where(negative, mean.neg());
        return straight_through(fake_quantized, w);
    }
    let levels = f64::from((1_u32 << bits) - 1);
    if let Some(fake_quantized) = one_pass::dorefa(&w, levels as f32, NOTHING) {
        return fake_quantized;
    }
    let t = w.tanh();
    let largest = t.clone().abs().max().mul_scalar(2.0).reshape([1; D]);
    let none = largest.clone().detach().lower_elem(NOTHING);
    let largest = largest.mask_fill(none, 1.0);
    let u = (t / largest).add_scalar(0.5);
    let fake_quantized = u
        .clone()
        .detach()
        .mul_scalar(levels)
        .round()
        .div_scalar(levels);
    straight_through(fake_quantized, u)
        .mul_scalar(2.0)
        .sub_scalar(1.0)
}

/// The activations of `DoReFa` and WRPN: clipped to `[0, 1]` and rounded to multiples of `1 / (2^b − 1)`. The gradient passes
/// within the range, including its bounds. Nothing is read from the device.
///
/// # Panics
///
/// If `bits` is not 1 to 16.
#[must_use]
pub fn unit_activation<const D: usize>(x: Tensor<D>, bits: u8) -> Tensor<D> {
    assert_bits(bits, 1, "unit activations");
    levels_between(x, [0.0, 1.0], f64::from((1_u32 << bits) - 1))
}

/// WRPN (Mishra et al., 2018): clips a weight to `[−1, 1]` and rounds it to multiples of `1 / (2^(b−1) − 1)`. The gradient
/// passes within the range, including its bounds. Nothing is read from the device.
///
/// Distiller rounds to multiples of `2 / (2^b − 1)` and does not clip afterwards, so that its values can exceed 1.
///
/// # Panics
///
/// If `bits` is not 2 to 16.
#[must_use]
pub fn wrpn_weight<const D: usize>(w: Tensor<D>, bits: u8) -> Tensor<D> {
    assert_bits(bits, 2, "WRPN's weights");
    levels_between(w, [-1.0, 1.0], f64::from((1_u32 << (bits - 1)) - 1))
}

/// `round(x · levels) / levels`, where `x` is clipped to bounds that are whole numbers. The gradient passes within the
/// range, including its bounds.
#[allow(
    clippy::cast_possible_truncation,
    reason = "ends of −1, 0 and 1, and levels of 16 bits"
)]
fn levels_between<const D: usize>(x: Tensor<D>, ends: [f64; 2], levels: f64) -> Tensor<D> {
    let rounding = Rounding::Levels {
        levels: levels as f32,
        ends: ends.map(|end| end as f32),
    };
    if let Some(fake_quantized) = one_pass::round(&x, rounding) {
        return fake_quantized;
    }
    let inside = clipped(x, ends);
    let fake_quantized = inside
        .clone()
        .detach()
        .mul_scalar(levels)
        .round()
        .div_scalar(levels);
    straight_through(fake_quantized, inside)
}

/// Ternary weights (Li et al., 2016): each weight becomes `−a`, 0 or `a`. It is zero below `Δ = 0.7·mean|w|`, and `a` is the
/// mean magnitude of the others. The gradient passes unchanged. Nothing is read from the device.
#[must_use]
pub fn ternary_weight<const D: usize>(w: Tensor<D>) -> Tensor<D> {
    let values = w.clone().detach();
    let sizes = values.clone().abs();
    let bound = sizes
        .clone()
        .mean()
        .mul_scalar(0.7)
        .reshape([1; D])
        .expand(sizes.shape());
    let kept = sizes.clone().greater(bound).float();
    let sum = (sizes * kept.clone()).sum();
    let scale = (sum / kept.clone().sum().clamp_min(1.0)).reshape([1; D]);
    straight_through(values.sign() * kept * scale, w)
}

/// Trained ternary quantization (Zhu et al., 2017): each weight becomes `−n`, 0 or `p`, with learned `p` and `n`. It is zero
/// if `|w| ≤ Δ = threshold · max|w|`, `p` above `Δ`, and `−n` below `−Δ`.
///
/// The gradient of `p` is the sum of the incoming gradients above `Δ`, that of `n` the negated sum below `−Δ`. The gradient of
/// `w` is the incoming one, times `p` above `Δ` and times `n` below `−Δ`. Nothing is read from the device. The paper's threshold
/// is 0.05.
///
/// # Shapes
///
/// `positive`, `negative`: `[1]`, positive.
#[must_use]
pub fn ttq_weight<const D: usize>(
    w: Tensor<D>,
    positive: Tensor<1>,
    negative: Tensor<1>,
    threshold: f64,
) -> Tensor<D> {
    let values = w.clone().detach();
    let bound = values.clone().abs().max().mul_scalar(threshold);
    let bound = bound.reshape([1; D]).expand(values.shape());
    let above = values.clone().greater(bound.clone()).float();
    let below = values.lower(bound.neg()).float();
    let [p, n] = [positive, negative].map(|scale| scale.reshape([1; D]));
    let fake_quantized = above.clone() * p.clone() - below.clone() * n.clone();
    if !w.is_autodiff() {
        return fake_quantized;
    }
    // The factor is 1 between the thresholds.
    let by =
        (above * p.detach().sub_scalar(1.0) + below * n.detach().sub_scalar(1.0)).add_scalar(1.0);
    let through = w * by;
    fake_quantized + (through.clone() - through.detach())
}

/// The value of one tensor with the gradient of another: `value + (gradient − gradient)`, where the difference is exactly
/// zero.
fn straight_through<const D: usize>(value: Tensor<D>, gradient: Tensor<D>) -> Tensor<D> {
    if !gradient.is_autodiff() {
        return value;
    }
    let none = gradient.clone() - gradient.detach();
    value.detach() + none
}

/// Learned scales with their lower bound; gradients pass unchanged.
fn positive(scales: Tensor<1>) -> Tensor<1> {
    let clamped = scales.clone().detach().clamp_min(LEAST_SCALE);
    straight_through(clamped, scales)
}

/// The unchanged value, with its gradient multiplied by a number.
fn scaled_gradient<const D: usize>(x: Tensor<D>, by: f64) -> Tensor<D> {
    let scaled = x.clone().mul_scalar(by);
    straight_through(x, scaled)
}

/// Clamps to a range; the gradient passes at the bounds, too.
fn clipped<const D: usize>(x: Tensor<D>, [low, high]: [f64; 2]) -> Tensor<D> {
    let values = x.clone().detach();
    let (below, above) = (values.clone().lower_elem(low), values.greater_elem(high));
    x.mask_fill(below, low).mask_fill(above, high)
}
