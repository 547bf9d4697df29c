//! Drops exactly the n smallest of one or several score vectors.
//!
//! There are two implementations with the same result. In host memory, [`host`] finds the largest dropped score in a
//! few counting passes. On other devices, [`device`] bisects with comparisons and sums, because sorting on a GPU would
//! read from it.

mod bracket;
mod chunks;
mod device;
mod host;
mod order;

pub(super) use chunks::read;
pub(super) use device::ordered;
pub(super) use order::key;

use burn::tensor::{Bool, DType, FloatDType, Tensor};
use rayon::prelude::*;

use crate::score::Scores;
use calcine_device::in_host_memory;

/// The total number of scores from which on several vectors are processed by several threads.
const MANY: usize = 1 << 17;

/// [`drop_smallest`] for each vector by itself, with its own count.
pub(super) fn drop_smallest_of_each(vectors: Vec<(Scores, usize)>) -> Vec<Tensor<1, Bool>> {
    let total: usize = vectors.iter().map(|(scores, _)| scores.units()).sum();
    let here = |(scores, _): &(Scores, usize)| in_host_memory(&scores.device());
    let one = |(scores, count)| drop_smallest(vec![scores], count).remove(0);
    if vectors.len() > 1 && total > MANY && vectors.iter().all(here) {
        vectors.into_par_iter().map(one).collect()
    } else {
        vectors.into_iter().map(one).collect()
    }
}

/// Returns one decision per vector: false for the `count` smallest scores of all vectors together. Ties are resolved by
/// the lowest vector and index.
pub(super) fn drop_smallest(scores: Vec<Scores>, count: usize) -> Vec<Tensor<1, Bool>> {
    let total: usize = scores.iter().map(Scores::units).sum();
    if count == 0 || count >= total {
        let everything = |scores: Scores| {
            let shape = [scores.units()];
            let device = scores.device();
            if count == 0 {
                Tensor::<1>::zeros(shape, &device).equal_scalar(0.0)
            } else {
                Tensor::<1>::zeros(shape, &device).not_equal_scalar(0.0)
            }
        };
        return scores.into_iter().map(everything).collect();
    }
    if scores.iter().all(|scores| in_host_memory(&scores.device())) {
        let scores = scores.iter().map(|scores| scores.map(single_precision));
        host::drop_smallest(scores.collect(), count)
    } else {
        let values = |scores: &Scores| single_precision(scores.values());
        let scores: Vec<_> = scores.iter().map(values).collect();
        device::drop_smallest(&scores, count)
    }
}

pub(super) fn single_precision(scores: Tensor<1>) -> Tensor<1> {
    if scores.dtype() == DType::F32 {
        scores
    } else {
        scores.cast(FloatDType::F32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use calcine_testkit::{device as device_under_test, each, is_host, values};

    /// A score as documented: subnormal as zero, NaN as infinite.
    fn ordered(score: f32) -> f32 {
        if score.is_nan() {
            f32::INFINITY
        } else if score.abs() < f32::MIN_POSITIVE {
            0.0
        } else {
            score
        }
    }

    /// Sorts by (score, position) and drops the first `count`.
    fn oracle(scores: &[Vec<f32>], count: usize) -> Vec<Vec<bool>> {
        let mut order: Vec<(f32, usize, usize)> = scores
            .iter()
            .enumerate()
            .flat_map(|(v, scores)| {
                scores
                    .iter()
                    .enumerate()
                    .map(move |(i, &x)| (ordered(x), v, i))
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut keep: Vec<Vec<bool>> = scores.iter().map(|v| vec![true; v.len()]).collect();
        for &(_, v, i) in &order[..count] {
            keep[v][i] = false;
        }
        keep
    }

    fn tables() -> Vec<Vec<Vec<f32>>> {
        let magnitudes: Vec<f32> = values(1500).iter().map(|x| x.abs()).collect();
        let coarse = |x: &f32| (x * 7.0).round() / 7.0;
        vec![
            vec![magnitudes.clone()],
            vec![values(777)],
            vec![values(64).iter().map(coarse).map(|x| x + 0.0).collect()],
            vec![vec![1.0; 50]],
            vec![vec![0.0; 33]],
            vec![vec![0.5, 0.0, 0.5, 1e-30, 3e30, 0.5, 2.0]],
            vec![
                magnitudes[..100].to_vec(),
                magnitudes[100..130].to_vec(),
                vec![0.25; 9],
            ],
            vec![
                values(40).iter().map(coarse).map(|x| x + 0.0).collect(),
                values(21),
            ],
            vec![vec![
                2.0,
                f32::INFINITY,
                f32::NEG_INFINITY,
                0.0,
                -0.0,
                f32::MAX,
                -f32::MAX,
                1e-40,
            ]],
            vec![
                vec![f32::NAN, 1.0, f32::INFINITY, -f32::NAN, 3.0],
                vec![f32::NAN, f32::INFINITY],
            ],
        ]
    }

    /// Every table with several counts; on a GPU that is a CPU in disguise, the large ones with one.
    fn rows() -> Vec<(Vec<Vec<f32>>, usize)> {
        let counts = |total: usize| {
            if is_host() || total <= 64 {
                vec![0, 1, 2, total / 3, total / 2, total - 1, total]
            } else {
                vec![total / 3]
            }
        };
        tables()
            .into_iter()
            .flat_map(|scores| {
                let counts = counts(scores.iter().map(Vec::len).sum()).into_iter();
                counts.map(move |count| (scores.clone(), count))
            })
            .collect()
    }

    fn upload(scores: &[Vec<f32>]) -> Vec<Tensor<1>> {
        let vector = |v: &Vec<f32>| {
            Tensor::from_data(TensorData::new(v.clone(), [v.len()]), &device_under_test())
        };
        scores.iter().map(vector).collect()
    }

    fn scores(vectors: Vec<Tensor<1>>) -> Vec<Scores> {
        vectors.into_iter().map(Scores::Values).collect()
    }

    fn magnitudes(vectors: Vec<Tensor<1>>) -> Vec<Scores> {
        vectors.into_iter().map(Scores::MagnitudesOf).collect()
    }

    fn absolute(scores: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let absolute = |v: &Vec<f32>| v.iter().map(|x| x.abs()).collect();
        scores.iter().map(absolute).collect()
    }

    fn read(keep: Vec<Tensor<1, Bool>>) -> Vec<Vec<bool>> {
        keep.into_iter()
            .map(|k| k.into_data().iter::<bool>().collect())
            .collect()
    }

    #[test]
    fn exactly_the_smallest_are_dropped_ties_by_position() {
        each(rows(), |(table, count)| {
            assert_eq!(
                read(drop_smallest(scores(upload(table)), *count)),
                oracle(table, *count)
            );
        });
    }

    #[test]
    fn magnitudes_need_not_be_taken_first() {
        each(rows(), |(table, count)| {
            assert_eq!(
                read(drop_smallest(magnitudes(upload(table)), *count)),
                oracle(&absolute(table), *count)
            );
        });
    }

    #[test]
    fn bisection_on_the_device_agrees_with_the_oracle() {
        each(rows(), |(scores, count)| {
            let total: usize = scores.iter().map(Vec::len).sum();
            if (1..total).contains(count) {
                let keep = device::drop_smallest(&upload(scores), *count);
                assert_eq!(read(keep), oracle(scores, *count));
            }
        });
    }

    /// Scores that narrowing could get wrong: long, with values that many share, in order, or no numbers.
    fn long_tables() -> Vec<(&'static str, Vec<Vec<f32>>)> {
        let noise = |n: u32| -> Vec<f32> {
            let scramble = |i: u32| (i ^ 0x5bd1_e995).wrapping_mul(2_654_435_761) >> 8;
            let number = |i| (scramble(i) as f32 / (1 << 23) as f32 - 1.0).powi(3);
            (0..n).map(number).collect()
        };
        let magnitudes = |n| -> Vec<f32> { noise(n).into_iter().map(f32::abs).collect() };
        let pruned = |n| -> Vec<f32> {
            let zero_small = |x: f32| if x < 0.5 { 0.0 } else { x };
            magnitudes(n).into_iter().map(zero_small).collect()
        };
        let rounded = |n| -> Vec<f32> { noise(n).iter().map(|x| (x * 50.0).round()).collect() };
        let broken = |n| -> Vec<f32> {
            let values = noise(n).into_iter().enumerate();
            values
                .map(|(i, x)| match i % 7 {
                    0 => f32::NAN,
                    1 => f32::INFINITY,
                    2 => f32::NEG_INFINITY,
                    3 => x * 1e-38,
                    _ => x,
                })
                .collect()
        };
        let mut sorted = noise(70_000);
        sorted.sort_by(f32::total_cmp);
        vec![
            ("both signs", vec![noise(9216)]),
            ("magnitudes", vec![magnitudes(36_864)]),
            ("many chunks", vec![magnitudes(150_001)]),
            ("mostly zeros", vec![pruned(20_000)]),
            ("mostly zeros, many chunks", vec![pruned(100_000)]),
            ("few different values", vec![rounded(5000), rounded(80_000)]),
            ("all equal", vec![vec![0.25; 70_000]]),
            ("sorted", vec![sorted]),
            (
                "infinite, subnormal, NaN",
                vec![broken(30_000), broken(70_000)],
            ),
            (
                "long and short",
                vec![magnitudes(3), noise(90_000), vec![], rounded(700)],
            ),
            (
                "next to powers of two",
                vec![noise(1023), noise(1025), noise(65_537)],
            ),
        ]
    }

    #[test]
    fn long_vectors_in_host_memory_are_selected_from_exactly() {
        for (name, table) in long_tables() {
            let total: usize = table.iter().map(Vec::len).sum();
            let zeros = table.iter().flatten().filter(|&&x| x == 0.0).count();
            let mut counts = vec![1, total / 100, total / 2, 4 * total / 5, total - 1];
            if zeros > 1 {
                counts.extend([zeros / 2, zeros - 1, zeros, zeros + 1]);
            }
            let vector = |v: &Vec<f32>| {
                Tensor::from_data(TensorData::new(v.clone(), [v.len()]), &Device::flex())
            };
            let vectors: Vec<_> = table.iter().map(vector).collect();
            let absolute = absolute(&table);
            for count in counts {
                let keep = host::drop_smallest(scores(vectors.clone()), count);
                assert!(
                    read(keep) == oracle(&table, count),
                    "{name}, {count} of the scores"
                );
                let keep = host::drop_smallest(magnitudes(vectors.clone()), count);
                assert!(
                    read(keep) == oracle(&absolute, count),
                    "{name}, {count} of the magnitudes"
                );
            }
        }
    }

    #[test]
    fn vectors_selected_from_side_by_side_do_not_compete() {
        let vectors = [
            (values(MANY), MANY / 3),
            (values(300), 299),
            (values(50_000), 0),
        ];
        let upload = |(v, count): &(Vec<f32>, usize)| {
            let scores = TensorData::new(v.clone(), [v.len()]);
            let scores = Tensor::from_data(scores, &Device::flex());
            (Scores::Values(scores), *count)
        };
        let keep = read(drop_smallest_of_each(vectors.iter().map(upload).collect()));
        for ((scores, count), keep) in vectors.iter().zip(keep) {
            assert_eq!(vec![keep], oracle(std::slice::from_ref(scores), *count));
        }
    }
}
