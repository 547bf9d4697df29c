//! The integers of a quantizer in a type of ONNX.

use calcine_quantize::Quantizer;

use crate::proto::data_type;

/// A quantizer in a type of ONNX. All integers and the zero point may be larger by a constant than those of the
/// network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Codes {
    /// The ONNX type. With `FLOAT`, the numbers of the tensor are `q − zero_point`.
    pub(crate) data_type: i64,
    pub(crate) scale: f32,
    pub(crate) zero_point: i32,
    /// The smallest and the largest integer of the quantizer.
    pub(crate) range: [i32; 2],
    /// The smallest and the largest integer of the type.
    pub(crate) limits: [i32; 2],
}

impl Codes {
    /// The quantizer of an activation with unsigned integers, for which runtimes have kernels; the zero point of a symmetric 8-bit
    /// one is 128. The ONNX type is `narrow`, or `wide` for more than 8 bits.
    pub(crate) fn activation(quantizer: Quantizer, [narrow, wide]: [i64; 2]) -> Self {
        let (data_type, most) = match quantizer.high - quantizer.low > 255 {
            true => (wide, 65_535),
            false => (narrow, 255),
        };
        let shift = match quantizer.low < 0 || quantizer.high > most {
            true if quantizer.low >= -(most / 2 + 1) && quantizer.high <= most / 2 => most / 2 + 1,
            true => -quantizer.low,
            false => 0,
        };
        Self {
            data_type,
            scale: quantizer.scale,
            zero_point: quantizer.zero_point + shift,
            range: [quantizer.low + shift, quantizer.high + shift],
            limits: match data_type {
                data_type::FLOAT => [i32::MIN, i32::MAX],
                _ => [0, most],
            },
        }
    }

    /// The quantizer of an activation as `int8` with the zero point 0; `None` if the integers minus the zero point do not fit `int8`.
    pub(crate) fn signed(quantizer: Quantizer) -> Option<Self> {
        let [low, high] = [quantizer.low, quantizer.high].map(|q| q - quantizer.zero_point);
        (low >= -128 && high <= 127).then_some(Self {
            data_type: data_type::INT8,
            scale: quantizer.scale,
            zero_point: 0,
            range: [low, high],
            // Saturated numbers may become −128.
            limits: if [low, high] == [-127, 127] {
                [low, high]
            } else {
                [-128, 127]
            },
        })
    }

    /// `q − zero point` of the smallest and the largest integer.
    pub(crate) fn centred(self) -> [i32; 2] {
        self.range.map(|code| code - self.zero_point)
    }

    /// The largest `|q − zero point|`.
    pub(crate) fn largest(self) -> u64 {
        let [low, high] = self.centred().map(|q| u64::from(q.unsigned_abs()));
        low.max(high)
    }

    /// Whether the integers do not fit a byte.
    pub(crate) fn is_wide(self) -> bool {
        self.data_type == data_type::UINT16 || self.is_float()
    }

    /// Whether the integers are stored as floats, minus the zero point.
    pub(crate) fn is_float(self) -> bool {
        self.data_type == data_type::FLOAT
    }
}

/// The integers of a weight, in the narrowest type with 8 bits or more that holds them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeightCodes {
    pub(crate) data_type: i64,
    pub(crate) integers: Vec<i32>,
    /// One for each scale.
    pub(crate) zero_points: Vec<i32>,
}

impl WeightCodes {
    /// `centred` are `q − zero point`, `zero_of` the zero point of each element, `zeros` those of all scales, or none.
    pub(crate) fn of(
        centred: &[i32],
        zeros: &[i32],
        scales: usize,
        zero_of: impl Fn(usize) -> i32,
        four_bits: bool,
    ) -> Self {
        let fits = |low: i32, high: i32| centred.iter().all(|q| (low..=high).contains(q));
        // Centred integers that a signed type holds need no zero points.
        if !four_bits || zeros.is_empty() {
            let signed = [
                (data_type::INT4, -8, 7),
                (data_type::INT8, -128, 127),
                (data_type::INT16, -32_768, 32_767),
            ];
            let from = usize::from(!four_bits);
            let narrow = signed[from..]
                .iter()
                .take(if zeros.is_empty() { 3 } else { 1 })
                .find(|(_, low, high)| fits(*low, *high));
            if let Some((kind, ..)) = narrow {
                return Self {
                    data_type: *kind,
                    integers: centred.to_vec(),
                    zero_points: vec![0; scales],
                };
            }
        }
        let integers = centred.iter().enumerate();
        let integers: Vec<i32> = integers.map(|(at, q)| q + zero_of(at)).collect();
        let largest = integers.iter().chain(zeros).copied().max().unwrap_or(0);
        Self {
            data_type: match largest {
                ..=15 if four_bits => data_type::UINT4,
                ..=255 => data_type::UINT8,
                _ => data_type::UINT16,
            },
            integers,
            zero_points: zeros.to_vec(),
        }
    }
}
