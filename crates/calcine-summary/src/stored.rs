use serde::Serialize;

/// The size of weights in a file, as f32 and in encodings for sparse and quantized weights.
///
/// For a weight with `n` elements in `r` rows (one per output), of which `z` elements are not zero:
///
/// ```text
/// dense     4·n                        each element as f32
/// bitmask   ⌈n / 8⌉ + 4·z              one bit per element, and the non-zero elements as f32
/// csr       8·z + 4·(r + 1)            value and column of each non-zero element, and the start of each row
/// int8      n + 4·r                    one byte per element, and one scale per row
/// ```
///
/// All other values that a model stores (biases, scales and shifts, running statistics) take 4 bytes per element in all
/// four encodings. Headers and names are not counted. The sizes are estimates: nothing is encoded.
///
/// A bitmask is smaller than the dense form if more than 1 in 32 elements is zero, and CSR if more than about half of
/// them are.
///
/// # Examples
///
/// ```
/// use calcine_summary::StoredBytes;
///
/// // 16 filters of 3 · 3 · 3 elements, about nine of ten of which are zero.
/// let bytes = StoredBytes::of_weight(432, 43, 16);
/// assert_eq!(bytes.dense, 1728);
/// assert_eq!(bytes.bitmask, 54 + 172);
/// assert_eq!(bytes.csr, 344 + 68);
/// assert_eq!(bytes.int8, 432 + 64);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct StoredBytes {
    /// Every element as f32.
    pub dense: u64,
    /// One bit per element, and the non-zero elements as f32.
    pub bitmask: u64,
    /// Compressed sparse rows: values in f32, columns and row starts in u32.
    pub csr: u64,
    /// Every element as an 8-bit integer, with one scale per output in f32.
    pub int8: u64,
}

impl StoredBytes {
    /// The size of one weight.
    #[must_use]
    pub fn of_weight(numel: u64, nonzero: u64, rows: u64) -> Self {
        Self {
            dense: 4 * numel,
            bitmask: numel.div_ceil(8) + 4 * nonzero,
            csr: 8 * nonzero + 4 * (rows + 1),
            int8: numel + 4 * rows,
        }
    }

    /// The size of values that no encoding changes: 4 bytes per element.
    #[must_use]
    pub fn of_others(numel: u64) -> Self {
        let bytes = 4 * numel;
        Self {
            dense: bytes,
            bitmask: bytes,
            csr: bytes,
            int8: bytes,
        }
    }
}

impl std::iter::Sum for StoredBytes {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |a, b| Self {
            dense: a.dense + b.dense,
            bitmask: a.bitmask + b.bitmask,
            csr: a.csr + b.csr,
            int8: a.int8 + b.int8,
        })
    }
}
