//! What observers say, against plain passes over all numbers.

use calcine_quant::{CalibrationStatistics, Counts, Observer};
use calcine_testkit::{each, values};

/// Numbers that an observer might be fed: many, few, far from zero, tiny, huge, all the same.
fn cases() -> Vec<(&'static str, Vec<f32>)> {
    let many = values(20_000);
    let scaled = |by: f32, plus: f32| many.iter().map(|x| x * by + plus).collect::<Vec<f32>>();
    let mut growing = scaled(1e-6, 0.0);
    growing.extend(scaled(1.0, 0.0));
    growing.extend([-700.0, 3e5]);
    vec![
        ("many", many.clone()),
        ("after a relu", many.iter().map(|x| x.max(0.0)).collect()),
        ("negative", many.iter().map(|x| -x.abs()).collect()),
        ("far from zero", scaled(1e-3, 4000.0)),
        ("tiny", scaled(1e-37, 0.0)),
        ("huge", scaled(3e38, 0.0)),
        ("growing", growing),
        ("zeros", vec![0.0; 9]),
        ("one", vec![-0.7]),
        ("at borders", (-8..=8_i8).map(f32::from).collect()),
    ]
}

/// By the definition: each number's bin, found by dividing.
#[test]
fn counts_are_those_of_the_numbers_in_each_bin() {
    each(cases(), |(_, numbers)| {
        let statistics = CalibrationStatistics::from_samples(&[numbers]).unwrap();
        let Counts { low, high, counts } = &statistics.counts;
        let width = statistics.counts.width();
        assert_eq!(width, width.log2().round().exp2(), "a power of two");
        assert_eq!((low / width).fract(), 0.0, "zero is at a border");
        assert!(counts.len() <= Counts::MOST);
        let mut expected = vec![0_u64; counts.len()];
        for &x in numbers {
            let x = f64::from(x);
            assert!((*low..*high).contains(&x), "{x} from {low} to {high}");
            expected[((x - low) / width).floor() as usize] += 1;
        }
        assert_eq!(*counts, expected);
        // No bin of half the width would do, unless f32 has no numbers for so many.
        let half = width / 2.0;
        let needed = (statistics.max / half).floor() - (statistics.min / half).floor() + 1.0;
        let largest = statistics.max.abs().max(statistics.min.abs());
        let finest = width <= 2.0_f64.powi(-120) || largest / half > f64::from(1 << 22);
        assert!(needed > Counts::MOST as f64 || finest, "{width}");
    });
}

#[test]
fn moments_are_those_of_all_numbers() {
    each(cases(), |(_, numbers)| {
        let samples: Vec<&[f32]> = numbers.chunks(7).collect();
        let statistics = CalibrationStatistics::from_samples(&samples).unwrap();
        let count = numbers.len() as f64;
        let all = || numbers.iter().map(|&x| f64::from(x));
        let mean = all().sum::<f64>() / count;
        let deviation = (all().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        let ends = |numbers: &[f32]| {
            let min = numbers.iter().copied().fold(f32::INFINITY, f32::min);
            let max = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            [f64::from(min), f64::from(max)]
        };
        assert_eq!([statistics.min, statistics.max], ends(numbers));
        let largest = statistics.max.abs().max(statistics.min.abs());
        let average = |end: usize| {
            let others = samples.iter().filter(|sample| ends(sample) != [0.0, 0.0]);
            let sum: f64 = others.clone().map(|sample| ends(sample)[end]).sum();
            sum / f64::max(others.count() as f64, 1.0)
        };
        for (found, expected) in [
            (statistics.mean, mean),
            (statistics.deviation, deviation),
            (statistics.average[0], average(0)),
            (statistics.average[1], average(1)),
        ] {
            assert!(
                (found - expected).abs() <= 1e-7 * largest,
                "{found} {expected}"
            );
        }
    });
}

/// Bins, counts and extrema do not depend on the order, nor on who saw what.
#[test]
fn parts_add_up_in_any_order() {
    each(cases(), |(_, numbers)| {
        let whole = CalibrationStatistics::from_samples(&[numbers]).unwrap();
        let parts = || numbers.chunks(numbers.len().div_ceil(5));
        let merged = |parts: &mut dyn Iterator<Item = &[f32]>| {
            let mut all = Observer::default();
            for part in parts {
                let mut one = Observer::default();
                one.observe(part);
                all.merge(&one);
            }
            all.merge(&Observer::default());
            all.statistics().unwrap()
        };
        for found in [merged(&mut parts()), merged(&mut parts().rev())] {
            assert_eq!(found.counts, whole.counts);
            assert_eq!((found.min, found.max), (whole.min, whole.max));
        }
    });
}

#[test]
fn what_is_not_finite_was_not_seen() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(
            CalibrationStatistics::from_samples(&[&[1.0, bad, 2.0], &[3.0]]),
            None
        );
        let mut observer = Observer::default();
        observer.observe(&[bad]);
        let mut other = Observer::default();
        other.observe(&[1.0]);
        other.merge(&observer);
        assert_eq!(other.statistics(), None);
    }
    assert_eq!(CalibrationStatistics::from_samples(&[]), None);
    assert_eq!(CalibrationStatistics::from_samples(&[&[]]), None);
}
