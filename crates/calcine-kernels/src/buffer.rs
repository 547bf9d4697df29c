use std::fmt;

/// The bytes of a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Memory for integers or floats, aligned to cache lines of 64 bytes. It ends with [`SPARE`](Buffer::SPARE) additional
/// bytes, because kernels read whole vectors beyond the last number.
#[derive(Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// The number of additional bytes behind the last number.
    pub const SPARE: usize = 64;

    /// Allocates a number of bytes that are zero, and the additional ones.
    #[must_use]
    pub fn zeros(bytes: usize) -> Self {
        let lines = bytes.div_ceil(64) + Self::SPARE / 64;
        Self {
            lines: vec![Line([0; 64]); lines],
        }
    }

    /// All bytes, including the additional ones.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: lines are arrays of bytes without gaps.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), 64 * self.lines.len()) }
    }

    /// Mutable access to the same.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let length = 64 * self.lines.len();
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), length) }
    }

    /// All bytes as floats.
    #[must_use]
    pub fn floats(&self) -> &[f32] {
        // SAFETY: lines are aligned to more than floats are, and every four bytes are a float.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), 16 * self.lines.len()) }
    }

    /// Mutable access to the same.
    #[must_use]
    pub fn floats_mut(&mut self) -> &mut [f32] {
        let length = 16 * self.lines.len();
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), length) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", 64 * self.lines.len())
    }
}
