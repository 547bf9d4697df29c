use serde::Serialize;

/// How many bytes weights take in a file, as they are and as encodings of sparse and quantized weights would
/// store them.
///
/// Of a weight with `n` elements, `z` of them not zero, in `r` rows (one for each output):
///
/// ```text
/// dense     4·n                        each element as f32
/// bitmask   ⌈n / 8⌉ + 4·z              a bit for each element, then those that are not zero
/// csr       8·z + 4·(r + 1)            value and column of each that is not zero, and where each row begins
/// int8      n + 4·r                    each element in a byte, and a scale for each row
/// ```
///
/// Everything else a model stores (biases, scales and shifts, running statistics) takes 4 bytes an element in
/// all four. Headers and names are not counted. This is a forecast: nothing is encoded.
///
/// A bitmask is smaller than dense from 1 in 32 zeros on, CSR from about one half.
///
/// # Examples
///
/// ```
/// use calcine_summary::StoredBytes;
///
/// // 16 filters of 3 · 3 · 3, nine of ten elements zero.
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
    /// A mask of bits, and the elements that are not zero as f32.
    pub bitmask: u64,
    /// Compressed sparse rows: f32 values, u32 columns, u32 row starts.
    pub csr: u64,
    /// Every element as an 8-bit integer, with an f32 scale for each output.
    pub int8: u64,
}

impl StoredBytes {
    /// Those of one weight.
    #[must_use]
    pub fn of_weight(numel: u64, nonzero: u64, rows: u64) -> Self {
        Self {
            dense: 4 * numel,
            bitmask: numel.div_ceil(8) + 4 * nonzero,
            csr: 8 * nonzero + 4 * (rows + 1),
            int8: numel + 4 * rows,
        }
    }

    /// Those of what no encoding changes: 4 bytes an element.
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
