/// Packs integers of `b` bits, `−2^(b−1) … 2^(b−1) − 1`, without gaps between them. Each integer is stored as its sum
/// with `2^(b−1)`, lowest bits first. Integers outside of this range are truncated to `b` bits.
///
/// # Panics
///
/// If `bits` is not 1 to 8.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "of so many bits"
)]
pub fn pack(ints: &[i32], bits: u8) -> Vec<u8> {
    assert!(
        (1..=8).contains(&bits),
        "{bits} bits per integer: expected 1 to 8"
    );
    let (offset, width) = (1_i32 << (bits - 1), usize::from(bits));
    let mask = (1_u16 << bits) - 1;
    let mut bytes = vec![0_u8; (ints.len() * width).div_ceil(8)];
    for (index, int) in ints.iter().enumerate() {
        let at = index * width;
        let shifted = ((int + offset) as u16 & mask) << (at % 8);
        bytes[at / 8] |= shifted as u8;
        if at % 8 + width > 8 {
            bytes[at / 8 + 1] |= (shifted >> 8) as u8;
        }
    }
    bytes
}

/// Unpacks the integers that [`pack`] has packed; `None` if the number of bytes is not the expected one.
///
/// # Panics
///
/// If `bits` is not 1 to 8.
#[must_use]
pub fn unpack(bytes: &[u8], bits: u8, count: usize) -> Option<Vec<i32>> {
    assert!(
        (1..=8).contains(&bits),
        "{bits} bits per integer: expected 1 to 8"
    );
    let (offset, width) = (1_i32 << (bits - 1), usize::from(bits));
    let mask = (1_u16 << bits) - 1;
    let int = |index: usize| {
        let at = index * width;
        let low = u16::from(bytes[at / 8]);
        let high = bytes.get(at / 8 + 1).map_or(0, |byte| u16::from(*byte));
        i32::from(((low | high << 8) >> (at % 8)) & mask) - offset
    };
    (bytes.len() == (count * width).div_ceil(8)).then(|| (0..count).map(int).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn all_integers_of_all_widths_come_back_from_as_few_bytes_as_there_can_be() {
        for bits in 1..=8_u8 {
            let (low, high) = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
            for count in [0, 1, 7, 8, 13, 1000] {
                let ints: Vec<i32> = (0..count)
                    .map(|i| low + (i * 37 + 11) % (high - low + 1))
                    .collect();
                let bytes = pack(&ints, bits);
                assert_eq!(bytes.len(), (ints.len() * usize::from(bits)).div_ceil(8));
                assert_eq!(
                    unpack(&bytes, bits, ints.len()).unwrap(),
                    ints,
                    "{bits} bits"
                );
                assert_eq!(unpack(&bytes, bits, ints.len() + 8), None);
            }
        }
    }
}
