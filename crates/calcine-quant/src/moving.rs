use burn::tensor::Tensor;

use crate::one_pass;
use crate::{Quantizer, QuantizerError, Scheme};

/// The smallest and the largest number of a tensor, `[2]`, on its device. No gradient passes. Nothing is read.
#[must_use]
pub fn value_range<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    one_pass::range(x).unwrap_or_else(|| {
        let x = x.clone().detach();
        Tensor::cat(vec![x.clone().min(), x.max()], 0)
    })
}

/// The exponential moving average of the smallest and the largest value of each batch, for quantization-aware training.
///
/// ```text
/// m_t = decay · m_{t−1} + (1 − decay) · [min x_t, max x_t],   m_0 = 0
/// range = m_t / (1 − decay^t)
/// ```
///
/// The division removes the bias towards the initial zero (Kingma and Ba, 2015): after one batch, the range is that of the
/// batch. The range stays on its device; only [`quantizer`](Self::quantizer) reads it.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use calcine_quant::{MovingRange, Scheme};
///
/// let device = Device::flex();
/// let mut range = MovingRange::new(0.9);
/// range.observe(Tensor::<1>::from_floats([-1.0, 0.0, 3.0], &device));
/// let quantizer = range.quantizer(8, Scheme::Affine)?.unwrap();
/// assert_eq!((quantizer.quantize(3.0), quantizer.quantize(0.0)), (255, 64));
/// # Ok::<(), calcine_quant::QuantizerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MovingRange {
    decay: f64,
    batches: i32,
    /// The moving average m: `[2]`.
    ends: Option<Tensor<1>>,
}

impl MovingRange {
    /// An average without any batch yet. `decay` is at least 0 (only the last batch counts) and below 1; Distiller uses
    /// 0.999.
    #[must_use]
    pub fn new(decay: f64) -> Self {
        Self {
            decay,
            batches: 0,
            ends: None,
        }
    }

    /// Adds a batch. Nothing is read from the device.
    pub fn observe<const D: usize>(&mut self, batch: Tensor<D>) {
        let share = value_range(&batch.without_autodiff()).mul_scalar(1.0 - self.decay);
        self.ends = Some(match self.ends.take() {
            Some(before) => before.mul_scalar(self.decay) + share,
            None => share,
        });
        self.batches += 1;
    }

    /// The bounds of the range, `[2]`; `None` before the first batch. Nothing is read from the device.
    #[must_use]
    pub fn range(&self) -> Option<Tensor<1>> {
        let weight = 1.0 - self.decay.powi(self.batches);
        self.ends.clone().map(|ends| ends.div_scalar(weight))
    }

    /// The quantizer for the range; `None` before the first batch. Reads from the device.
    ///
    /// # Errors
    ///
    /// As [`Quantizer::from_range`].
    pub fn quantizer(&self, bits: u8, scheme: Scheme) -> Result<Option<Quantizer>, QuantizerError> {
        let Some(range) = self.range() else {
            return Ok(None);
        };
        let ends: Vec<f64> = range.into_data().iter().collect();
        Quantizer::from_range(ends[0], ends[1], bits, scheme).map(Some)
    }
}
