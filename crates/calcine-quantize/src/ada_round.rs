//! Rounding of weights up or down that minimizes the error of the layer.

use calcine_quant::Quantizer;

/// The number of weights that are tried in pairs with every other weight.
const LEADERS: usize = 16;

/// Rounds a row of weights, each with a quantizer. Starting from the nearest integers, the weight whose rounding to its
/// other neighbour reduces `e·H·eᵀ` the most is changed; if no single change reduces it, the best pair of weights;
/// until nothing reduces it. e are the errors of the weights, and `H = XᵀX` the second moments of their inputs, row by
/// row. The result is never worse than the nearest integers.
///
/// This is the quadratic problem of `AdaRound` (Nagel et al., 2020, equation 13).
pub(crate) fn round(weights: &[f64], quantizers: &[Quantizer], moments: &[f64]) -> Vec<i32> {
    let columns = weights.len();
    #[allow(clippy::cast_possible_truncation, reason = "quantizers are of f32")]
    let mut ints: Vec<i32> = (weights.iter().zip(quantizers))
        .map(|(&weight, quantizer)| quantizer.quantize(weight as f32))
        .collect();
    let mut errors: Vec<f64> = (ints.iter().zip(weights).zip(quantizers))
        .map(|((&int, weight), quantizer)| f64::from(quantizer.dequantize(int)) - weight)
        .collect();
    let row = |column: usize| &moments[column * columns..(column + 1) * columns];
    let mut slopes: Vec<f64> = (0..columns)
        .map(|column| row(column).iter().zip(&errors).map(|(h, e)| h * e).sum())
        .collect();
    // Every change reduces the sum; the limit prevents an endless loop because of rounding errors.
    for _ in 0..8 * columns {
        let turns = (0..columns).filter_map(|column| {
            let quantizer = &quantizers[column];
            let by = turn(ints[column], errors[column], quantizer)?;
            let change = f64::from(by) * f64::from(quantizer.scale);
            let gain = -change * (2.0 * slopes[column] + change * row(column)[column]);
            Some(Turn {
                column,
                by,
                change,
                gain,
            })
        });
        let mut turns: Vec<Turn> = turns.collect();
        turns.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        let chosen = match turns.first() {
            None => break,
            Some(best) if best.gain > 0.0 => vec![*best],
            Some(_) => match pair(&turns, |a, b| row(a)[b]) {
                None => break,
                Some(pair) => pair.to_vec(),
            },
        };
        for Turn {
            column, by, change, ..
        } in chosen
        {
            ints[column] += by;
            errors[column] += change;
            for (slope, h) in slopes.iter_mut().zip(row(column)) {
                *slope += change * h;
            }
        }
    }
    ints
}

/// A weight that could be rounded to its other neighbour.
#[derive(Clone, Copy)]
struct Turn {
    column: usize,
    /// The change of the integer.
    by: i32,
    /// The change of the weight.
    change: f64,
    /// The decrease of the sum.
    gain: f64,
}

/// The change from rounding up to rounding down, or the reverse; `None` for a clipped weight.
fn turn(int: i32, error: f64, quantizer: &Quantizer) -> Option<i32> {
    let by = if error > 0.0 { -1 } else { 1 };
    let inside = (quantizer.low..=quantizer.high).contains(&(int + by));
    // An error of one scale means one of the two neighbours, in spite of rounding errors of sums.
    let rounded = error.abs() <= f64::from(quantizer.scale) * (1.0 + 1e-9);
    (inside && rounded).then_some(by)
}

/// The two changes that together reduce the sum the most, one of which is among the best single ones; `None` if no pair
/// reduces it.
fn pair(turns: &[Turn], moment: impl Fn(usize, usize) -> f64) -> Option<[Turn; 2]> {
    let gain = |a: &Turn, b: &Turn| {
        a.gain + b.gain - 2.0 * a.change * b.change * moment(a.column, b.column)
    };
    let pairs = turns
        .iter()
        .take(LEADERS)
        .enumerate()
        .flat_map(|(at, a)| turns[at + 1..].iter().map(move |b| ([*a, *b], gain(a, b))));
    let best = pairs.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best.1 > 0.0).then_some(best.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use calcine_quant::Scheme;

    const COLUMNS: usize = 9;

    /// Of what goes together, and is positive as what a relu leaves.
    fn moments() -> Vec<f64> {
        let number = |i: usize| ((i * 7919 + 13) % 101) as f64 / 101.0;
        let x = |row: usize, column: usize| number(row * 31 + column * 7) + number(row * 3);
        let product = |a: usize, b: usize| (0..60).map(|row| x(row, a) * x(row, b)).sum();
        let places = 0..COLUMNS * COLUMNS;
        places
            .map(|at| product(at / COLUMNS, at % COLUMNS))
            .collect()
    }

    fn cost(ints: &[i32], weights: &[f64], quantizer: &Quantizer, moments: &[f64]) -> f64 {
        let errors: Vec<f64> = (ints.iter().zip(weights))
            .map(|(&int, weight)| f64::from(quantizer.dequantize(int)) - weight)
            .collect();
        let pair = |at: usize| errors[at / COLUMNS] * moments[at] * errors[at % COLUMNS];
        (0..COLUMNS * COLUMNS).map(pair).sum()
    }

    #[test]
    fn no_weight_left_to_turn_over_helps_and_the_best_is_near() {
        let (moments, quantizer) = (
            moments(),
            Quantizer::from_range(-1.0, 1.0, 3, Scheme::Symmetric).unwrap(),
        );
        let (mut own, mut nearest, mut least) = (0.0, 0.0, 0.0);
        for row in 0..20_usize {
            let weight = |column: usize| ((row * 31 + column * 17) % 23) as f64 / 11.6 - 1.0;
            let weights: Vec<f64> = (0..COLUMNS).map(weight).collect();
            let ints = round(&weights, &[quantizer; COLUMNS], &moments);
            let to_nearest: Vec<i32> = weights
                .iter()
                .map(|&w| quantizer.quantize(w as f32))
                .collect();
            let found = cost(&ints, &weights, &quantizer, &moments);
            // All ways to round each up or down.
            let all = (0..1_usize << COLUMNS).map(|way| {
                let int = |column: usize| {
                    let low = (weights[column] / f64::from(quantizer.scale)).floor() as i32;
                    (low + (way >> column & 1) as i32).clamp(quantizer.low, quantizer.high)
                };
                let ints: Vec<i32> = (0..COLUMNS).map(int).collect();
                cost(&ints, &weights, &quantizer, &moments)
            });
            let best = all.fold(f64::INFINITY, f64::min);
            for column in 0..COLUMNS {
                for by in [-1, 1] {
                    let mut other = ints.clone();
                    other[column] += by;
                    let off = f64::from(quantizer.dequantize(other[column])) - weights[column];
                    if off.abs() <= f64::from(quantizer.scale)
                        && (quantizer.low..=quantizer.high).contains(&other[column])
                    {
                        assert!(cost(&other, &weights, &quantizer, &moments) >= found - 1e-9);
                    }
                }
            }
            assert!(best <= found + 1e-9);
            own += found;
            nearest += cost(&to_nearest, &weights, &quantizer, &moments);
            least += best;
        }
        assert!(own < 0.7 * nearest, "{own} for {nearest}");
        assert!(own < 1.02 * least, "{own} for {least}");
    }

    #[test]
    fn independent_inputs_are_rounded_to_the_nearest() {
        let mut moments = vec![0.0; 25];
        (0..5).for_each(|column| moments[column * 6] = 1.0 + column as f64);
        let quantizer = Quantizer::from_range(-1.0, 1.0, 4, Scheme::Symmetric).unwrap();
        let weights = [0.31, -0.77, 0.05, 1.99, -0.2];
        let expected: Vec<i32> = weights
            .iter()
            .map(|&w| quantizer.quantize(w as f32))
            .collect();
        assert_eq!(round(&weights, &[quantizer; 5], &moments), expected);
    }
}
