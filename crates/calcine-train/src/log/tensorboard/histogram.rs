use super::event::Histogram;

const BUCKETS: usize = 200;

/// The histogram of the finite values.
///
/// ```text
/// bucket i = #{x : min + i·w <= x < min + (i + 1)·w},  w = (max - min) / 200,  max in the last
/// ```
///
/// If all values are equal, there is one bucket; if there are no values, there is none.
pub(super) fn of(values: &[f32]) -> Histogram {
    let finite = || {
        values
            .iter()
            .map(|x| f64::from(*x))
            .filter(|x| x.is_finite())
    };
    let min = finite().fold(f64::INFINITY, f64::min);
    let max = finite().fold(f64::NEG_INFINITY, f64::max);
    if min > max {
        return Histogram::default();
    }
    let buckets = if min < max { BUCKETS } else { 1 };
    let width = (max - min) / buckets as f64;
    let mut bucket = vec![0.0; buckets];
    for x in finite() {
        // If there is one bucket, its width is zero, and the quotient NaN is converted to 0.
        let index = ((x - min) / width) as usize;
        bucket[index.min(buckets - 1)] += 1.0;
    }
    let mut bucket_limit: Vec<f64> = (1..buckets).map(|i| min + i as f64 * width).collect();
    bucket_limit.push(max);
    Histogram {
        min,
        max,
        num: finite().count() as f64,
        sum: finite().sum(),
        sum_squares: finite().map(|x| x * x).sum(),
        bucket_limit,
        bucket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_has_the_values_between_its_edges() {
        // Multiples of 1/8 between -25 and 25, so that the edges are exact.
        let values: Vec<f32> = (0..997_u32)
            .map(|i| (i * i * 7 % 401) as f32 / 8.0 - 25.0)
            .collect();
        let values = [&values[..], &[-25.0, 25.0, f32::NAN, f32::INFINITY]].concat();
        let found = of(&values);
        let finite = || {
            values
                .iter()
                .filter(|x| x.is_finite())
                .map(|x| f64::from(*x))
        };
        assert_eq!((found.min, found.max, found.num), (-25.0, 25.0, 999.0));
        assert_eq!(found.sum, finite().sum::<f64>());
        assert_eq!(found.sum_squares, finite().map(|x| x * x).sum::<f64>());
        assert_eq!(found.bucket.len(), 200);
        let mut left = found.min;
        for (i, (right, count)) in found.bucket_limit.iter().zip(&found.bucket).enumerate() {
            assert_eq!(*right, -25.0 + 0.25 * (i + 1) as f64);
            let last = i == 199;
            let inside = |x: &f64| left <= *x && (x < right || last && x == right);
            assert_eq!(finite().filter(inside).count() as f64, *count, "bucket {i}");
            left = *right;
        }
    }

    #[test]
    fn equal_values_fill_one_bucket_and_no_values_none() {
        let found = of(&[0.5; 7]);
        assert_eq!((found.min, found.max), (0.5, 0.5));
        assert_eq!((found.bucket_limit, found.bucket), (vec![0.5], vec![7.0]));
        for nothing in [&[][..], &[f32::NAN]] {
            assert_eq!(of(nothing), Histogram::default());
        }
    }
}
