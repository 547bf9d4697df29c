//! Exact sums of products of integers up to 2³¹, computed with tensors in which integers are exact up to 2²⁴.
//!
//! An operand is split into digits, `x = Σ x_j · base^j` with small `|x_j|`, so that the sums of products of single
//! digits are exact in `f32`. The sums of all digits are combined in two parts, `high · 2¹² + low`, which are both
//! exact, and are therefore rounded to `f32` once, like the conversion of a 32-bit integer.

use burn::tensor::Tensor;
use calcine_trace::AnyTensor;

/// All integers up to this magnitude are exact in `f32`.
pub(crate) const EXACT: u64 = 1 << 24;

/// The largest sum that a 32-bit accumulator can hold.
pub(crate) const LARGEST: u64 = i32::MAX.unsigned_abs() as u64;

/// The unit of the upper part of a sum.
const PART: f64 = 4096.0;

/// How integers are split into digits: `x = Σ x_j · base^j`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digits {
    /// The base, a power of two.
    base: u64,
    pub(crate) count: usize,
    /// The largest magnitude of a digit.
    pub(crate) most: u64,
}

impl Digits {
    /// The smallest number of digits of magnitude at most `most` for integers up to `largest`. `None` if `most` is
    /// zero.
    pub(crate) fn of(largest: u64, most: u64) -> Option<Self> {
        if largest <= most {
            return Some(Self {
                base: 1,
                count: 1,
                most: largest,
            });
        }
        // The last digit is between −base / 2 and base / 2.
        let base = 1 << (2 * most).checked_ilog2()?;
        let (mut rest, mut count) = (largest, 1);
        while rest > most {
            rest = (rest + base / 2) / base;
            count += 1;
        }
        Some(Self { base, count, most })
    }

    /// The factors of the digits, lowest first.
    #[allow(clippy::cast_precision_loss, reason = "powers of two")]
    pub(crate) fn weights(self) -> impl Iterator<Item = f64> {
        (0..self.count)
            .map(move |digit| (self.base as f64).powi(i32::try_from(digit).unwrap_or(i32::MAX)))
    }

    /// The digits of integers, lowest first.
    #[allow(clippy::cast_precision_loss, reason = "powers of two")]
    pub(crate) fn split(self, x: AnyTensor) -> Vec<AnyTensor> {
        let shape = x.shape();
        let base = self.base as f64;
        let mut digits = Vec::with_capacity(self.count);
        let mut rest = x.flat().expect("integers are held in floats");
        for _ in 1..self.count {
            let above = rest.clone().div_scalar(base).round();
            let digit = rest - above.clone().mul_scalar(base);
            digits.push(AnyTensor::shaped(digit, &shape));
            rest = above;
        }
        digits.push(AnyTensor::shaped(rest, &shape));
        digits
    }

    /// The digits of integers on the host; for each digit, those of all integers.
    pub(crate) fn split_ints(self, ints: &[i32]) -> Vec<Vec<i32>> {
        let base = i64::try_from(self.base).unwrap_or(i64::MAX);
        let mut digits = Vec::with_capacity(self.count);
        let mut rest: Vec<i64> = ints.iter().map(|&int| int.into()).collect();
        for _ in 1..self.count {
            let above = rest.iter().map(|x| (x + base / 2).div_euclid(base));
            let above: Vec<i64> = above.collect();
            let digit = rest.iter().zip(&above).map(|(x, above)| x - above * base);
            digits.push(digit.collect());
            rest = above;
        }
        digits.push(rest);
        let narrow = |digit: Vec<i64>| digit.into_iter().filter_map(|x| i32::try_from(x).ok());
        digits
            .into_iter()
            .map(|digit| narrow(digit).collect())
            .collect()
    }
}

/// How both operands of a sum of products are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) left: Digits,
    pub(crate) right: Digits,
}

impl Split {
    /// The split with the smallest number of products. `left` is the largest integer of the left operand, and `right`
    /// that of the right one; `sum` returns the largest possible sum of magnitudes of the digits of the right operand,
    /// for each split. `None` if there is no such split.
    pub(crate) fn of(left: u64, right: u64, sum: impl Fn(Digits) -> u64) -> Option<Self> {
        let most = [right, 128, 8, 2, 1].into_iter();
        let ways = most.filter_map(|most| {
            let right = Digits::of(right, most)?;
            let left = Digits::of(left, EXACT / sum(right).max(1))?;
            Some(Self { left, right })
        });
        ways.min_by_key(|way| way.left.count * way.right.count)
    }

    /// Whether neither operand is split.
    pub(crate) fn is_whole(self) -> bool {
        self.left.count * self.right.count == 1
    }

    /// The sums of the products of all digits, combined.
    pub(crate) fn total(
        self,
        left: AnyTensor,
        right: &[AnyTensor],
        product: impl Fn(AnyTensor, AnyTensor) -> AnyTensor,
    ) -> Sum {
        let mut total = Sum::default();
        for (left, weight) in self.left.split(left).into_iter().zip(self.left.weights()) {
            for (right, factor) in right.iter().zip(self.right.weights()) {
                total.add(product(left.clone(), right.clone()), weight * factor);
            }
        }
        total
    }
}

/// Integers up to 2³¹ as `high · 2¹² + low`.
#[derive(Default)]
pub(crate) struct Sum {
    parts: Option<[Tensor<1>; 2]>,
    shape: Vec<usize>,
}

impl Sum {
    /// Adds integers up to 2²⁴, multiplied by a power of two.
    pub(crate) fn add(&mut self, numbers: AnyTensor, factor: f64) {
        self.shape = numbers.shape();
        let numbers = numbers.flat().expect("sums are held in floats");
        let numbers = numbers.mul_scalar(factor);
        let high = numbers.clone().div_scalar(PART).round();
        let low = numbers - high.clone().mul_scalar(PART);
        self.parts = Some(match self.parts.take() {
            Some([above, below]) => [above + high, below + low],
            None => [high, low],
        });
    }

    /// The sums plus an integer for each position of an axis, given in two parts. Rounded once.
    pub(crate) fn rounded(self, bias: Option<(usize, &[Tensor<1>; 2])>) -> AnyTensor {
        let [high, low] = self.parts.expect("a sum has products");
        let mut parts = [high, low].map(|part| AnyTensor::shaped(part, &self.shape));
        if let Some((axis, bias)) = bias {
            for (part, bias) in parts.iter_mut().zip(bias) {
                *part = part.clone().shifted(axis, bias.clone());
            }
        }
        let [high, low] = parts.map(|part| part.flat().expect("sums are held in floats"));
        AnyTensor::shaped(high.mul_scalar(PART) + low, &self.shape)
    }
}

/// An integer as the two parts of a [`Sum`].
#[allow(clippy::cast_precision_loss, reason = "of 19 and 13 bits")]
pub(crate) fn parts(int: i32) -> [f32; 2] {
    let high = (int + 2048).div_euclid(4096);
    [high as f32, (int - high * 4096) as f32]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use calcine_testkit::{device, values};

    fn any(numbers: &[f32]) -> AnyTensor {
        let data = TensorData::new(numbers.to_vec(), [numbers.len()]);
        Tensor::<1>::from_data(data, &device()).into()
    }

    #[test]
    fn digits_are_small_and_make_the_integer_again() {
        for (largest, most) in [
            (255, 255),
            (255, 128),
            (65_535, 200),
            (32_767, 1),
            (7, 2),
            (1, 1),
        ] {
            let digits = Digits::of(largest, most).unwrap();
            for sign in [-1, 1] {
                let ints: Vec<i32> = (0..=i32::try_from(largest).unwrap())
                    .map(|x| x * sign)
                    .collect();
                let floats: Vec<f32> = ints.iter().map(|&x| x as f32).collect();
                let device = digits.split(any(&floats)).into_iter();
                let device: Vec<Vec<i32>> = device
                    .map(|digit| digit.flat().unwrap().into_data().iter::<i32>().collect())
                    .collect();
                for split in [device, digits.split_ints(&ints)] {
                    assert_eq!(split.len(), digits.count);
                    for (at, &int) in ints.iter().enumerate() {
                        let back = split.iter().zip(digits.weights());
                        let back: i64 = back.map(|(d, w)| i64::from(d[at]) * w as i64).sum();
                        assert_eq!(back, i64::from(int), "{digits:?}");
                        let size = split
                            .iter()
                            .map(|digit| u64::from(digit[at].unsigned_abs()));
                        assert!(size.max() <= Some(most), "{digits:?} of {int}");
                    }
                }
            }
        }
        assert_eq!(Digits::of(3, 0), None);
    }

    /// Sums of all sizes up to 2³¹ are those of 64-bit integers, rounded once, with and without a bias.
    #[test]
    fn totals_are_rounded_once() {
        for (left, right, count) in [
            (255_u64, 127_u64, 40_u64),
            (255, 127, 4000),
            (65_535, 127, 250),
            (65_535, 32_767, 1),
            (15, 32_767, 4000),
            (1, 1, 100_000),
        ] {
            let way = Split::of(left, right, |digits| count * digits.most).unwrap();
            let numbers = |most: u64, seed: usize| -> Vec<i32> {
                let all = values(count as usize * 8 + seed);
                let near = all[seed..]
                    .iter()
                    .map(|x| (1.0 - 0.2 * f64::from(x.abs())) * most as f64);
                near.map(|x| x.round() as i32).collect()
            };
            let (a, b) = (numbers(left, 3), numbers(right, 11));
            let floats = |ints: &[i32]| -> Vec<f32> { ints.iter().map(|&x| x as f32).collect() };
            let rows = |flat: AnyTensor| -> Tensor<2> {
                flat.flat().unwrap().reshape([8, count as usize])
            };
            let right = way.right.split_ints(&b);
            let right: Vec<AnyTensor> = right.iter().map(|digit| any(&floats(digit))).collect();
            let product = |a: AnyTensor, b: AnyTensor| {
                let sums: Tensor<1> = (rows(a) * rows(b)).sum_dim(1).reshape([8]);
                sums.into()
            };
            let biases: Vec<i32> = (0..8)
                .map(|at| (1 << (20 + at % 4)) + at * 77 - 5)
                .collect();
            let split: Vec<[f32; 2]> = biases.iter().map(|&bias| parts(bias)).collect();
            let vectors = [0, 1].map(|part| {
                let part: Vec<f32> = split.iter().map(|parts| parts[part]).collect();
                any(&part).flat().unwrap()
            });
            for biased in [false, true] {
                let sum = way.total(any(&floats(&a)), &right, product);
                let found = sum.rounded(biased.then_some((0, &vectors)));
                let found: Vec<f32> = found.flat().unwrap().into_data().iter::<f32>().collect();
                for (row, found) in found.iter().enumerate() {
                    let own = row * count as usize..(row + 1) * count as usize;
                    let sum: i64 = own.map(|at| i64::from(a[at]) * i64::from(b[at])).sum();
                    let sum = sum + i64::from(biased) * i64::from(biases[row]);
                    assert_eq!(*found, sum as f32, "{way:?} row {row}");
                }
            }
        }
    }
}
