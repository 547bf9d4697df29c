//! Forecast sizes against encodings that are carried out.

use calcine_summary::StoredBytes;
use calcine_testkit::{each, values};

/// A bit for each element, then the elements that are not zero.
fn bitmask(weight: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for eight in weight.chunks(8) {
        let bits = eight.iter().enumerate();
        bytes.push(bits.fold(0, |byte, (at, x)| byte | (u8::from(*x != 0.0) << at)));
    }
    let kept = weight.iter().filter(|x| **x != 0.0);
    bytes.extend(kept.flat_map(|x| x.to_le_bytes()));
    bytes
}

/// Values, columns, and where each row begins, with the end.
fn csr(weight: &[f32], rows: usize) -> Vec<u8> {
    let (mut values, mut columns, mut starts) = (Vec::new(), Vec::new(), vec![0_u32]);
    for row in weight.chunks(weight.len() / rows) {
        for (column, x) in (0_u32..).zip(row) {
            if *x != 0.0 {
                values.push(*x);
                columns.push(column);
            }
        }
        starts.push(u32::try_from(values.len()).unwrap());
    }
    let mut bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes.extend(columns.iter().chain(&starts).flat_map(|x| x.to_le_bytes()));
    bytes
}

/// Each row in steps of its own.
fn int8(weight: &[f32], rows: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in weight.chunks(weight.len() / rows) {
        let step = row
            .iter()
            .fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()))
            / 127.0;
        bytes.extend(step.to_le_bytes());
        bytes.extend(row.iter().map(|x| (x / step).round() as i8 as u8));
    }
    bytes
}

#[test]
fn encodings_are_as_long_as_forecast() {
    each(
        [(12, 3, 2), (35, 5, 3), (64, 8, 7), (9, 1, 1), (10, 10, 4)],
        |&(count, rows, keep)| {
            let mut weight = values(count);
            for (at, x) in weight.iter_mut().enumerate() {
                *x = if at % 7 < keep { x.abs() + 0.5 } else { 0.0 };
            }
            let nonzero = weight.iter().filter(|x| **x != 0.0).count();
            let forecast = StoredBytes::of_weight(count as u64, nonzero as u64, rows as u64);
            assert_eq!(forecast.dense, weight.len() as u64 * 4);
            assert_eq!(forecast.bitmask, bitmask(&weight).len() as u64);
            assert_eq!(forecast.csr, csr(&weight, rows).len() as u64);
            assert_eq!(forecast.int8, int8(&weight, rows).len() as u64);
        },
    );
}

#[test]
fn what_is_no_weight_is_stored_as_it_is() {
    let sum: StoredBytes = [StoredBytes::of_weight(64, 0, 4), StoredBytes::of_others(10)]
        .into_iter()
        .sum();
    assert_eq!(
        (sum.dense, sum.bitmask, sum.csr, sum.int8),
        (296, 48, 60, 120)
    );
}
