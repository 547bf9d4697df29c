/// The layout of a batch of images in memory: samples, rows, positions and channels, from the slowest to the fastest
/// axis (channels last).
///
/// Each image can be surrounded by a border of positions, which windows read that extend beyond the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plane {
    /// The number of rows, without the border.
    pub height: usize,
    /// The number of positions in a row, without the border.
    pub width: usize,
    /// The number of channels of a position.
    pub channels: usize,
    /// The distance between neighbouring positions of a row, at least `channels`. The numbers between the last channel
    /// and the next position are padding with unspecified contents.
    pub pitch: usize,
    /// The width of the border in positions: `[[above, below], [left, right]]`.
    pub border: [[usize; 2]; 2],
}

impl Plane {
    /// The layout of images without border and padding.
    #[must_use]
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self {
            height,
            width,
            channels,
            pitch: channels,
            border: [[0; 2]; 2],
        }
    }

    /// The layout of images of 8-bit integers without a border. The channels of a position are padded to a multiple of
    /// four.
    #[must_use]
    pub const fn of_codes(height: usize, width: usize, channels: usize) -> Self {
        let mut plane = Self::new(height, width, channels);
        plane.pitch = channels.next_multiple_of(4);
        plane
    }

    /// The same layout with a border.
    #[must_use]
    pub const fn with_border(mut self, border: [[usize; 2]; 2]) -> Self {
        self.border = border;
        self
    }

    /// The length of a row in numbers, including border and padding.
    #[must_use]
    pub const fn row_len(&self) -> usize {
        (self.border[1][0] + self.width + self.border[1][1]) * self.pitch
    }

    /// The length of an image in numbers, including border and padding.
    #[must_use]
    pub const fn sample_len(&self) -> usize {
        (self.border[0][0] + self.height + self.border[0][1]) * self.row_len()
    }

    /// The index of the first channel of a position in memory. `y` and `x` are the row and the column, without the
    /// border.
    #[must_use]
    pub const fn index(&self, sample: usize, y: usize, x: usize) -> usize {
        sample * self.sample_len()
            + (self.border[0][0] + y) * self.row_len()
            + (self.border[1][0] + x) * self.pitch
    }

    /// Whether the images have no border.
    #[must_use]
    pub const fn is_borderless(&self) -> bool {
        let [[above, below], [left, right]] = self.border;
        above + below + left + right == 0
    }

    /// Fills the borders of the first `samples` images with a number.
    ///
    /// # Panics
    ///
    /// If the slice is shorter than `samples` images.
    pub fn fill_border<T: Copy>(&self, samples: usize, with: T, numbers: &mut [T]) {
        if self.is_borderless() {
            return;
        }
        let (row, sample) = (self.row_len(), self.sample_len());
        let [[above, _], [left, right]] = self.border;
        let (left, right) = (left * self.pitch, right * self.pitch);
        for numbers in numbers[..samples * sample].chunks_exact_mut(sample) {
            numbers[..above * row + left].fill(with);
            for y in 0..self.height {
                // The right border of a row and the left border of the next one are contiguous.
                let end = (above + y + 1) * row;
                if y + 1 < self.height {
                    numbers[end - right..end + left].fill(with);
                } else {
                    numbers[end - right..].fill(with);
                }
            }
        }
    }
}

/// The windows of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The number of rows and columns.
    pub kernel: [usize; 2],
    /// The distance between neighbouring windows in rows and columns.
    pub stride: [usize; 2],
    /// The distance between neighbouring elements of a window in rows and columns.
    pub dilation: [usize; 2],
    /// The number of positions above and left of the image at which the first window begins.
    pub padding: [usize; 2],
}

impl Window {
    /// The window of a single position, for linear layers.
    pub const POINT: Self = Self {
        kernel: [1; 2],
        stride: [1; 2],
        dilation: [1; 2],
        padding: [0; 2],
    };

    /// The border that images of `input` rows and columns need so that `output` rows and columns of windows are within
    /// image and border: `[[above, below], [left, right]]`.
    #[must_use]
    pub fn border(&self, input: [usize; 2], output: [usize; 2]) -> [[usize; 2]; 2] {
        [0, 1].map(|axis| {
            let before = self.padding[axis];
            let last = output[axis].saturating_sub(1) * self.stride[axis];
            let end = last + (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            [before, end.saturating_sub(before + input[axis])]
        })
    }
}
