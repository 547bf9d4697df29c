//! Fake-quantization against its definition for each number, on each instruction set that this CPU has.

use calcine_kernels::fake::{
    Learned, Side, clip, map, map_in_place, stop, sum_where, symmetric_rows,
};
use proptest::prelude::*;

use crate::{Numbers, available};

/// Lengths that tasks and lanes do and do not divide.
const LENGTHS: [usize; 7] = [0, 1, 15, 1023, 16_384, 16_385, 50_000];

fn floats(count: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers(seed);
    (0..count).map(|_| numbers.float()).collect()
}

/// A number between −1 and 1.5.
fn clipped(x: f32) -> (f32, Side) {
    let side = Side::of(x, [-1.0, 1.5]);
    (x.clamp(-1.0, 1.5), side)
}

#[test]
fn numbers_become_what_the_function_says() {
    for length in LENGTHS {
        let x = floats(length, 5);
        let dy = floats(length, 6);
        let expected: Vec<(f32, Side)> = x.iter().map(|x| clipped(*x)).collect();
        let values: Vec<f32> = expected.iter().map(|(value, _)| *value).collect();
        let above: f64 = (expected.iter().zip(&dy))
            .filter(|((_, side), _)| *side == Side::Above)
            .map(|(_, dy)| f64::from(*dy))
            .sum();
        for isa in available() {
            assert_eq!(map(isa, &x, |x| clipped(x).0), values, "{isa}");
            let mut in_place = x.clone();
            map_in_place(isa, &mut in_place, |x| clipped(x).0);
            assert_eq!(in_place, values, "{isa}");
            let (found, sides) = clip(isa, &x, clipped);
            assert_eq!(found, values, "{isa}");
            let Some(sides) = sides else {
                assert!(expected.iter().all(|(_, side)| *side == Side::Inside));
                continue;
            };
            let mut dx = dy.clone();
            stop(isa, &mut dx, &sides);
            for (((_, side), own), (dx, dy)) in expected.iter().zip(&sides).zip(dx.iter().zip(&dy))
            {
                assert_eq!(*side as u8, *own);
                assert_eq!(*dx, if *side == Side::Inside { *dy } else { 0.0 });
            }
            let found = sum_where(isa, &dy, &sides, Side::Above);
            assert!((found - above).abs() < 1e-3, "{isa}: {found} for {above}");
        }
    }
}

#[test]
fn nothing_that_is_clipped_has_no_sides() {
    for isa in available() {
        assert_eq!(clip(isa, &[-1.0, 1.5], clipped).1, None);
        assert_eq!(clip(isa, &[-1.0, f32::NAN], clipped).1, None);
    }
}

#[test]
fn rows_have_the_quantizer_of_their_largest_magnitude() {
    for (rows, length) in [(1, 40_000), (3, 20_000), (700, 45), (64, 1), (2, 17)] {
        let mut x = floats(rows * length, 8);
        x[..length].fill(0.0);
        let expected = x.chunks(length).flat_map(|row| {
            let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let scale = if largest == 0.0 { 1.0 } else { largest / 127.0 };
            let value = move |x: &f32| (x / scale).round_ties_even().clamp(-127.0, 127.0) * scale;
            row.iter().map(value).collect::<Vec<f32>>()
        });
        let expected: Vec<f32> = expected.collect();
        for isa in available() {
            assert_eq!(symmetric_rows(isa, &x, length, 127.0), expected, "{isa}");
            x[length / 2] = f32::NAN;
            let found = symmetric_rows(isa, &x, length, 127.0);
            assert!(found[..length].iter().all(|x| x.is_nan()), "{isa}");
            x[length / 2] = 0.0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Results and gradients are those of the paper's formula; the sums are those of double precision to the last bits of a block.
    #[test]
    fn learned_scales_have_the_papers_gradient(
        (scales, inner, outer) in prop_oneof![
            (Just(1_usize), Just(1_usize), 1..40_000_usize),
            (2..70_usize, 1..3_usize, 1..300_usize),
            (2..20_usize, 1..5_000_usize, 1..3_usize),
        ],
        low in -8..1_i16,
        high in 1..8_i16,
        seed in any::<u64>(),
    ) {
        let count = scales * inner * outer;
        let (x, dy) = (floats(count, seed), floats(count, seed ^ 77));
        let scales: Vec<f32> = floats(scales, seed ^ 5).iter().map(|x| 0.1 + x.abs()).collect();
        let ends = [low, high].map(f32::from);
        let (mut values, mut dx) = (Vec::new(), Vec::new());
        let mut sums = vec![[0.0_f64; 2]; scales.len()];
        for (at, (x, dy)) in x.iter().zip(&dy).enumerate() {
            let own = at / inner % scales.len();
            let q = x / scales[own];
            let rounded = q.clamp(ends[0], ends[1]).round_ties_even();
            values.push(rounded * scales[own]);
            let inside = (ends[0]..=ends[1]).contains(&q);
            dx.push(if inside { *dy } else { 0.0 });
            let term = f64::from(*dy) * f64::from(if inside { rounded - q } else { rounded });
            sums[own][0] += term;
            sums[own][1] += term.abs();
        }
        let mut first: Option<Vec<f64>> = None;
        for isa in available() {
            let learned = Learned { isa, scales: &scales, inner, ends };
            prop_assert_eq!(&learned.forward(&x), &values, "{}", isa);
            let mut gradients = dy.clone();
            let found = learned.backward(&x, &mut gradients);
            prop_assert_eq!(&gradients, &dx, "{}", isa);
            for (found, [sum, magnitude]) in found.iter().zip(&sums) {
                prop_assert!((found - sum).abs() <= 1e-5 * (1.0 + magnitude), "{}: {} for {}", isa, found, sum);
            }
            let first = first.get_or_insert_with(|| found.clone());
            prop_assert_eq!(&*first, &found, "{}", isa);
        }
    }
}
