use super::Curve;
use crate::{CurveError, Window};

/// A threshold that rises with two slopes, slowly at first and faster after a bend, for recurrent networks.
///
/// ```text
/// θ    = 2·q / (2·(bend − start) + 3·(end − bend))        increase per moment before the bend
/// φ    = slope·θ                                          and after it
/// ε(t) = θ·(t − start + 1)                                 t < bend
///        θ·(bend − start + 1) + φ·(t − bend + 1)           t ≥ bend
/// ```
///
/// at the positions `t` of a window, with `bend = start + offset`. `q` is the final threshold, for example the 90th percentile of the
/// magnitudes of the dense weights. The constant 3 presumes a slope of 1.5; with another slope, the final value differs from `q`.
/// Source: Narang et al. (2017); this is Distiller's Baidu RNN pruner.
///
/// # Examples
///
/// ```
/// use calcine_schedule::{Curve, TwoSlopes, Window};
///
/// let window = Window::new(0, 12, 1)?;
/// let ramp = TwoSlopes::new(0.06, 4, 1.5, &window)?;
/// assert!((ramp.value_at(0.0) - 0.00375).abs() < 1e-12);
/// assert!((ramp.value_at(window.progress(4)) - 0.024375).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoSlopes {
    /// θ and φ, per moment.
    slopes: [f64; 2],
    /// The number of moments from the start to the bend.
    offset: f64,
    /// The number of moments from the first to the last firing.
    span: f64,
}

impl TwoSlopes {
    /// The ramp over a window that ends at `q` and bends `offset` moments after the start.
    ///
    /// # Errors
    ///
    /// If the window is a list, or ends before the bend.
    pub fn new(q: f64, offset: u64, slope: f64, window: &Window) -> Result<Self, CurveError> {
        let length = window.end() - window.first();
        if window.every().is_none() || length < offset {
            return Err(CurveError::NoBend { offset, length });
        }
        let (offset, length) = (offset as f64, length as f64);
        let first = 2.0 * q / (2.0 * offset + 3.0 * (length - offset));
        Ok(Self {
            slopes: [first, slope * first],
            offset,
            span: (window.last() - window.first()) as f64,
        })
    }
}

impl Curve for TwoSlopes {
    fn value_at(&self, progress: f64) -> f64 {
        // The number of moments is whole, but progress has been rounded.
        let moments = (progress.clamp(0.0, 1.0) * self.span * 1e6).round() / 1e6;
        let [slow, fast] = self.slopes;
        if moments < self.offset {
            slow * (moments + 1.0)
        } else {
            slow * (self.offset + 1.0) + fast * (moments - self.offset + 1.0)
        }
    }
}
