//! Layers that skip zero weights.
//!
//! One instruction multiplies inputs with the weights of 16 outputs: one input with 16 floats, or four inputs with 64 8-bit
//! integers. Such a step can be skipped if all of its weights are zero. The other steps are read one by one, from a list of the
//! positions of their inputs, by the same kernels.

use std::fmt;

use crate::buffer::Buffer;
use crate::packed::{BLOCK, Filters, Number, Packed};
use crate::plane::{Plane, Window};
use crate::winograd::Winograd;

/// The steps of a block of 16 outputs that have weights other than zero.
#[derive(Debug, Clone)]
pub(crate) struct KeptSteps {
    /// Where each step reads the inputs, relative to the first position of the window.
    pub(crate) runs: Vec<usize>,
    /// The index of the weights.
    pub(crate) weights: usize,
}

/// How many steps of a layer have zero weights, and whether they are skipped.
///
/// A step consists of the weights that are multiplied by one instruction: those of one input and 16 outputs (floats), or of four
/// inputs and 16 outputs (8-bit integers).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZeroSteps {
    /// The number of steps.
    pub all: usize,
    /// The number of steps whose weights are all zero.
    pub zero: usize,
    /// Whether these are skipped.
    pub skipped: bool,
    /// From how many percent of zero steps the layer is faster if it skips them; `None` for a depthwise layer, which cannot.
    pub pays_from: Option<u8>,
}

impl ZeroSteps {
    /// The share of steps whose weights are all zero, 0 if there are no steps.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "numbers of weights")]
    pub fn share(&self) -> f64 {
        self.zero as f64 / self.all.max(1) as f64
    }
}

impl ZeroSteps {
    /// Whether the layer is faster if it skips its zero steps.
    pub(crate) fn pays(&self) -> bool {
        let least = self
            .pays_from
            .map(|percent| usize::from(percent) * self.all);
        least.is_some_and(|least| 100 * self.zero >= least)
    }

    /// Counts the steps of weights `[outputs, inputs / groups, rows, columns]` of a layer with outputs in this layout.
    pub(crate) fn count<T: Copy>(
        number: Number,
        filters: &Filters,
        y: &Plane,
        weights: &[T],
        is_zero: impl Fn(T) -> bool,
    ) -> Self {
        let unit = number.step();
        let inputs = filters.inputs / filters.groups;
        let places = weights.len() / (filters.outputs * inputs).max(1);
        let each = inputs * places;
        let outputs = filters.outputs / filters.groups;
        let mut counted = Self {
            all: 0,
            zero: 0,
            skipped: false,
            pays_from: pays_from(number, filters, y),
        };
        let mut is_used = vec![false; inputs.div_ceil(unit) * places];
        for group in weights.chunks((outputs * each).max(1)) {
            for block in group.chunks((BLOCK * each).max(1)) {
                is_used.fill(false);
                for output in block.chunks(each.max(1)) {
                    for (at, weight) in output.iter().enumerate() {
                        is_used[at / places / unit * places + at % places] |= !is_zero(*weight);
                    }
                }
                counted.all += is_used.len();
                counted.zero += is_used.iter().filter(|is_used| !**is_used).count();
            }
        }
        counted
    }
}

/// From how many percent of zero steps a layer is faster if it skips them, by the measurements in `docs/engine.md`: that depends
/// on what the dense layer gains by computing several blocks at once, and by Winograd's minimal filtering.
fn pays_from(number: Number, filters: &Filters, y: &Plane) -> Option<u8> {
    let together = match filters.window == Window::POINT {
        true => y.height * y.width,
        false => y.width,
    };
    match number {
        _ if filters.is_depthwise() => None,
        Number::Halves(_) if together < 4 => Some(50),
        Number::Halves(_) => Some(20),
        Number::Floats if Winograd::suits(filters, y) || together < 4 => Some(50),
        Number::Floats => Some(10),
        Number::Codes if together < 4 => Some(60),
        Number::Codes => Some(25),
    }
}

impl fmt::Display for ZeroSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.skipped {
            "skipped"
        } else {
            "not skipped"
        };
        write!(f, "{} of {} steps are zero, {how}", self.zero, self.all)?;
        match self.pays_from {
            Some(percent) => write!(f, " (faster from {percent} %)"),
            None => Ok(()),
        }
    }
}

impl Packed {
    /// The steps of all blocks in the order of the weights: of each, where it reads the inputs.
    fn steps(&self, number: Number) -> Vec<Vec<usize>> {
        let unit = number.step();
        let blocks = self.groups.iter().flat_map(|group| {
            let runs = group.runs.iter();
            let steps = runs.flat_map(|run| (0..group.steps).map(move |step| run + step * unit));
            let steps: Vec<usize> = steps.collect();
            std::iter::repeat_n(steps, group.outputs.div_ceil(BLOCK))
        });
        blocks.collect()
    }

    /// Removes the steps whose weights are all zero, before weights are stored in 4 bits.
    pub(crate) fn skip_zeros(&mut self, number: Number) {
        let (mut kept, mut own) = (Vec::new(), Vec::new());
        let size = number.step_bytes();
        let mut weights = self.weights.bytes().chunks_exact(size);
        for steps in self.steps(number) {
            let first = own.len() / size * number.step() * BLOCK;
            let mut runs = Vec::new();
            for (run, step) in steps.into_iter().zip(&mut weights) {
                if !is_zero(number, step) {
                    runs.push(run);
                    own.extend_from_slice(step);
                }
            }
            kept.push(KeptSteps {
                runs,
                weights: first,
            });
        }
        let mut packed = Buffer::zeros(own.len());
        packed.bytes_mut()[..own.len()].copy_from_slice(&own);
        self.weights = packed;
        self.kept = Some(kept);
    }

    /// A layer whose weights are the sums of those of parts, which skip zeros: blocks have the steps of one part after the
    /// other.
    pub(crate) fn joined(mut parts: Vec<Self>, number: Number) -> Self {
        let (size, step) = (number.step_bytes(), number.step() * BLOCK);
        let blocks = parts[0].kept.iter().flatten().count();
        let (mut kept, mut own) = (Vec::new(), Vec::new());
        for block in 0..blocks {
            let first = own.len() / size * step;
            let mut runs = Vec::new();
            for part in &parts {
                let Some(steps) = part.kept.as_ref().map(|kept| &kept[block]) else {
                    continue;
                };
                runs.extend_from_slice(&steps.runs);
                let first = steps.weights / step * size;
                own.extend_from_slice(
                    &part.weights.bytes()[first..first + steps.runs.len() * size],
                );
            }
            kept.push(KeptSteps {
                runs,
                weights: first,
            });
        }
        let mut weights = Buffer::zeros(own.len());
        weights.bytes_mut()[..own.len()].copy_from_slice(&own);
        Self {
            weights,
            kept: Some(kept),
            ..parts.swap_remove(0)
        }
    }

    /// The number of bytes of the weights, and of the list of kept steps.
    pub(crate) fn bytes(&self) -> usize {
        let kept = self.kept.iter().flatten();
        let runs: usize = kept.map(|kept| size_of_val(&kept.runs[..])).sum();
        self.weights.bytes().len() + runs
    }
}

/// Whether all numbers are zero, where a float may be −0: its products do not change a sum either.
fn is_zero(number: Number, step: &[u8]) -> bool {
    match number {
        Number::Codes => step.iter().all(|byte| *byte == 0),
        Number::Floats => {
            let (floats, _) = step.as_chunks::<4>();
            floats.iter().all(|float| f32::from_ne_bytes(*float) == 0.0)
        }
        Number::Halves(_) => {
            let (halves, _) = step.as_chunks::<2>();
            let mut halves = halves.iter().map(|half| u16::from_ne_bytes(*half));
            halves.all(|half| half & 0x7fff == 0)
        }
    }
}
