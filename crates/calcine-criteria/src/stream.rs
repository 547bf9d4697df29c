//! Named streams of random numbers on the host.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// The random stream called `name` of a run with this `seed`, at `position`.
///
/// Each random decision in a run (the order of the images, the crops, a random pruner) uses its own stream, which is named after
/// the decision and positioned by epoch or batch. A decision therefore depends neither on the device nor on other decisions, and a
/// resumed run draws the same numbers as an uninterrupted one.
///
/// # Examples
///
/// ```
/// use calcine_criteria::stream;
/// use rand::RngExt;
///
/// let draw = |position| stream(7, "shuffle", position).random::<u64>();
/// assert_eq!(draw(3), draw(3));
/// assert_ne!(draw(3), draw(4));
/// ```
#[must_use]
pub fn stream(seed: u64, name: &str, position: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&position.to_le_bytes());
    key[16..24].copy_from_slice(&fnv1a(name).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The 64-bit FNV-1a hash, which converts the name of a stream to a part of its key.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn seed_name_and_position_each_change_the_stream() {
        let draw = |seed, name, position| stream(seed, name, position).random::<u64>();
        let all = [
            draw(0, "a", 0),
            draw(1, "a", 0),
            draw(0, "b", 0),
            draw(0, "a", 1),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|y| x != y));
        }
    }
}
