use burn::tensor::Tensor;

use crate::device;

/// `count` numbers in [-1, 1), spread without pattern, no two of them equal in magnitude.
///
/// Golden-ratio steps: reproducible on every machine without a generator.
#[must_use]
pub fn values(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| {
            let unit = (i as f64 * 0.618_033_988_749_894_9 + 0.271_828).fract();
            (2.0 * unit - 1.0) as f32
        })
        .collect()
}

/// [`values`] as a tensor of this shape, on the device under test.
#[must_use]
pub fn numbers<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let values = values(shape.iter().product());
    Tensor::<1>::from_floats(values.as_slice(), &device()).reshape(shape)
}

#[cfg(test)]
mod tests {
    #[test]
    fn magnitudes_are_distinct() {
        let mut bits: Vec<u32> = super::values(2000)
            .iter()
            .map(|x| x.abs().to_bits())
            .collect();
        bits.sort_unstable();
        bits.dedup();
        assert_eq!(bits.len(), 2000);
    }
}
