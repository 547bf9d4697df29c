use serde::{Deserialize, Serialize};

use crate::{Quantizer, QuantizerError, Scheme, pack, unpack};

/// A group-wise quantized weight: integers of few bits, with a scale for each group of neighbouring weights. For weight-only
/// quantization of any model, traced or not.
///
/// Each row is divided into groups of `group` columns; the last group of a row has the remaining columns. Each group has a
/// symmetric quantizer for its largest magnitude. 4 bits in groups of 32 take 5 bits per weight.
///
/// # Examples
///
/// ```
/// use calcine_quant::GroupedWeight;
///
/// let weights: Vec<f32> = (0..128).map(|i| (i as f32 * 0.7).sin()).collect();
/// let int4 = GroupedWeight::quantize(&weights, 64, 32, 4)?;
/// assert_eq!(int4.bytes(), 128 / 2 + 4 * 4);
/// let back = int4.weights();
/// assert!(weights.iter().zip(&back).all(|(w, b)| (w - b).abs() <= 0.5 / 7.0 + 1e-6));
/// # Ok::<(), calcine_quant::QuantizerError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct GroupedWeight {
    bits: u8,
    columns: usize,
    group: usize,
    scales: Vec<f32>,
    ints: Vec<i32>,
}

/// The serialized form, with packed integers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    bits: u8,
    rows: usize,
    columns: usize,
    group: usize,
    scales: Vec<f32>,
    packed: Vec<u8>,
}

impl GroupedWeight {
    /// Quantizes weights, given row by row, to the nearest integers of 2 to 8 bits.
    ///
    /// # Errors
    ///
    /// If a weight is not finite, the number of bits is not 2 to 8, `columns` or `group` is 0, or the last row is incomplete.
    pub fn quantize(
        weights: &[f32],
        columns: usize,
        group: usize,
        bits: u8,
    ) -> Result<Self, QuantizerError> {
        if columns == 0 || group == 0 || !weights.len().is_multiple_of(columns) {
            return Err(QuantizerError::Groups {
                weights: weights.len(),
                columns,
                group,
            });
        }
        if bits > 8 {
            return Err(QuantizerError::Bits { bits, least: 2 });
        }
        let (mut scales, mut ints) = (Vec::new(), Vec::with_capacity(weights.len()));
        for part in weights.chunks(columns).flat_map(|row| row.chunks(group)) {
            let largest = part.iter().try_fold(0.0_f64, |largest, weight| {
                let size = f64::from(weight.abs());
                size.is_finite().then(|| largest.max(size))
            });
            let largest = largest.unwrap_or(f64::INFINITY);
            let quantizer = Quantizer::from_range(-largest, largest, bits, Scheme::Symmetric)?;
            scales.push(quantizer.scale);
            ints.extend(part.iter().map(|&weight| quantizer.quantize(weight)));
        }
        Ok(Self {
            bits,
            columns,
            group,
            scales,
            ints,
        })
    }

    /// The dequantized weights, row by row.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "integers of 8 bits")]
    pub fn weights(&self) -> Vec<f32> {
        let rows = self.ints.chunks(self.columns);
        let groups = rows.flat_map(|row| row.chunks(self.group));
        let numbers = groups
            .zip(&self.scales)
            .flat_map(|(group, scale)| group.iter().map(move |&int| scale * int as f32));
        numbers.collect()
    }

    /// The integers, row by row.
    #[must_use]
    pub fn ints(&self) -> &[i32] {
        &self.ints
    }

    /// The scale of each group, row by row.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The number of bytes of the packed integers and the scales.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.ints.len() * usize::from(self.bits)).div_ceil(8) + 4 * self.scales.len()
    }
}

impl From<GroupedWeight> for Stored {
    fn from(weight: GroupedWeight) -> Self {
        Self {
            bits: weight.bits,
            rows: weight.ints.len() / weight.columns,
            columns: weight.columns,
            group: weight.group,
            packed: pack(&weight.ints, weight.bits),
            scales: weight.scales,
        }
    }
}

impl TryFrom<Stored> for GroupedWeight {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored {
            bits,
            rows,
            columns,
            group,
            scales,
            packed,
        } = stored;
        if !(2..=8).contains(&bits) || columns == 0 || group == 0 {
            return Err(format!(
                "{bits} bits, {columns} columns in groups of {group}: expected 2 to 8 bits, and a group size of at least 1"
            ));
        }
        let groups = rows.checked_mul(columns.div_ceil(group));
        let count = rows.checked_mul(columns);
        let count = count.filter(|count| count.checked_mul(8).is_some());
        let ints = count.and_then(|count| unpack(&packed, bits, count));
        match ints {
            Some(ints) if groups == Some(scales.len()) => Ok(Self {
                bits,
                columns,
                group,
                scales,
                ints,
            }),
            _ => Err(format!(
                "{rows} rows of {columns} columns in groups of {group} have {} scales and {} bytes",
                scales.len(),
                packed.len()
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use calcine_testkit::values;

    #[test]
    fn each_group_has_a_quantizer_of_its_own_and_the_file_gives_the_same() {
        let mut weights = values(6 * 50);
        weights
            .iter_mut()
            .enumerate()
            .for_each(|(i, w)| *w *= (1 + i / 25) as f32);
        for bits in 2..=8 {
            for group in [1, 16, 50, 64] {
                let grouped = GroupedWeight::quantize(&weights, 50, group, bits).unwrap();
                let per_row = 50_usize.div_ceil(group);
                assert_eq!(grouped.scales().len(), 6 * per_row);
                for (at, (weight, back)) in weights.iter().zip(grouped.weights()).enumerate() {
                    let scale = grouped.scales()[at / 50 * per_row + at % 50 / group];
                    assert!((weight - back).abs() <= 0.5001 * scale, "{bits} {group}");
                    let own = Quantizer {
                        scale,
                        zero_point: 0,
                        low: -128,
                        high: 127,
                    };
                    assert_eq!(grouped.ints()[at], own.quantize(*weight));
                }
                let text = serde_json::to_string(&grouped).unwrap();
                let read: GroupedWeight = serde_json::from_str(&text).unwrap();
                assert_eq!(read, grouped);
                let again = GroupedWeight::quantize(&grouped.weights(), 50, group, bits).unwrap();
                assert_eq!(again.ints(), grouped.ints(), "once is twice");
            }
        }
    }

    #[test]
    fn what_is_no_weight_is_refused() {
        let errors = [
            GroupedWeight::quantize(&[1.0; 5], 2, 1, 4),
            GroupedWeight::quantize(&[1.0; 4], 0, 1, 4),
            GroupedWeight::quantize(&[1.0; 4], 2, 0, 4),
            GroupedWeight::quantize(&[1.0; 4], 2, 2, 9),
            GroupedWeight::quantize(&[1.0; 4], 2, 2, 1),
            GroupedWeight::quantize(&[1.0, f32::NAN], 2, 2, 4),
            GroupedWeight::quantize(&[1.0, f32::INFINITY], 2, 2, 4),
        ];
        assert!(errors.iter().all(Result::is_err), "{errors:?}");
        let good = GroupedWeight::quantize(&[1.0; 8], 4, 2, 4).unwrap();
        let text = serde_json::to_string(&good).unwrap();
        for (from, to) in [
            ("\"bits\":4", "\"bits\":0"),
            ("\"rows\":2", "\"rows\":3"),
            ("\"group\":2", "\"group\":4"),
            ("\"columns\":4", "\"columns\":0"),
            ("\"rows\":2", "\"rows\":18446744073709551615"),
        ] {
            let broken = text.replace(from, to);
            assert!(
                serde_json::from_str::<GroupedWeight>(&broken).is_err(),
                "{broken}"
            );
        }
    }
}
