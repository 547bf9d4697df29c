/// Images in memory: sample by sample, row by row, position by position, the channels of a position next to each other.
///
/// Around each image there may be a border of positions, so that windows that hang over the edge read what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plane {
    /// Rows, without the border.
    pub height: usize,
    /// Positions of a row, without the border.
    pub width: usize,
    /// Numbers of a position.
    pub channels: usize,
    /// From one position to the next; the numbers between the last channel and the next position mean nothing.
    pub pitch: usize,
    /// Positions of the border: above and below, left and right.
    pub border: [[usize; 2]; 2],
}

impl Plane {
    /// Images without a border, channels without gaps.
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

    /// Such images of 8-bit integers: the channels of a position fill groups of four.
    #[must_use]
    pub const fn of_codes(height: usize, width: usize, channels: usize) -> Self {
        let mut plane = Self::new(height, width, channels);
        plane.pitch = channels.next_multiple_of(4);
        plane
    }

    /// The same with a border.
    #[must_use]
    pub const fn with_border(mut self, border: [[usize; 2]; 2]) -> Self {
        self.border = border;
        self
    }

    /// Numbers of a row, border and gaps included.
    #[must_use]
    pub const fn row(&self) -> usize {
        (self.border[1][0] + self.width + self.border[1][1]) * self.pitch
    }

    /// Numbers of an image, border and gaps included.
    #[must_use]
    pub const fn sample(&self) -> usize {
        (self.border[0][0] + self.height + self.border[0][1]) * self.row()
    }

    /// Where the first channel of a position is.
    #[must_use]
    pub const fn at(&self, sample: usize, y: usize, x: usize) -> usize {
        sample * self.sample()
            + (self.border[0][0] + y) * self.row()
            + (self.border[1][0] + x) * self.pitch
    }

    /// Whether there is no border.
    #[must_use]
    pub const fn is_borderless(&self) -> bool {
        let [[above, below], [left, right]] = self.border;
        above + below + left + right == 0
    }

    /// Fills the borders of so many images.
    ///
    /// # Panics
    ///
    /// If the slice is too short.
    pub fn fill_border<T: Copy>(&self, samples: usize, with: T, numbers: &mut [T]) {
        if self.is_borderless() {
            return;
        }
        let (row, sample) = (self.row(), self.sample());
        let [[above, _], [left, right]] = self.border;
        let (left, right) = (left * self.pitch, right * self.pitch);
        for numbers in numbers[..samples * sample].chunks_exact_mut(sample) {
            numbers[..above * row + left].fill(with);
            for y in 0..self.height {
                // The right border of a row and the left one of the next are neighbours.
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
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Distance of neighbouring windows.
    pub stride: [usize; 2],
    /// Distance of neighbouring elements in a window.
    pub dilation: [usize; 2],
    /// Positions before the first of the image at which the first window begins.
    pub padding: [usize; 2],
}

impl Window {
    /// One position after the other: what a linear layer reads.
    pub const POINT: Self = Self {
        kernel: [1; 2],
        stride: [1; 2],
        dilation: [1; 2],
        padding: [0; 2],
    };

    /// The border that images need so that so many windows are within it: above and below, left and right.
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
