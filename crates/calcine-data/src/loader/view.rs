//! One image as the network sees it: cropped, mirrored, normalised.

use super::normalization::Table;
use crate::Augmentation;
use rand::{Rng, RngExt};

/// Pixels of padding on each side.
pub(crate) const PADDING: usize = 4;

/// A window, as large as the image, of the padded image, and whether it is mirrored.
///
/// The image is padded by four pixels of black on each side *before* it is normalised, as
/// torchvision's `RandomCrop(32, padding=4)` followed by `ToTensor` and `Normalize` does. Padded
/// values are therefore what a byte of 0 becomes, -1 by default, and not 0. Mirroring swaps left and right, after cropping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// First row of the window in the padded image, 0 to 8.
    top: usize,
    /// First column of the window in the padded image, 0 to 8.
    left: usize,
    /// Whether left and right are swapped.
    mirrored: bool,
}

impl View {
    /// The image as it is.
    pub(crate) const WHOLE: Self = Self {
        top: PADDING,
        left: PADDING,
        mirrored: false,
    };

    /// As much of this as the augmentation has: a window drawn uniformly, mirrored with probability ½.
    pub(crate) fn draw(augmentation: Augmentation, rng: &mut impl Rng) -> Self {
        let mut view = Self::WHOLE;
        if augmentation.crop {
            view.top = rng.random_range(0..=2 * PADDING);
            view.left = rng.random_range(0..=2 * PADDING);
        }
        if augmentation.flip {
            view.mirrored = rng.random();
        }
        view
    }

    /// Writes the view of `image` to `target`, each byte as the table says. Both `[c, h, w]`, with at most three channels.
    pub(crate) fn render(
        self,
        image: &[u8],
        [_, height, width]: [usize; 3],
        table: &Table,
        target: &mut [f32],
    ) {
        let (rows_from, rows_to) = overlap(self.top, height);
        let (from, to) = overlap(self.left, width);
        let plane = height * width;
        let planes = image
            .chunks_exact(plane)
            .zip(target.chunks_exact_mut(plane));
        for ((image, target), numbers) in planes.zip(&table.0) {
            // What the window has of the padding.
            target.fill(numbers[0]);
            let rows = image[rows_from.start * width..rows_from.end * width].chunks_exact(width);
            let targets =
                target[rows_to.start * width..rows_to.end * width].chunks_exact_mut(width);
            for (row, target) in rows.zip(targets) {
                let bytes = &row[from.clone()];
                if self.mirrored {
                    let target = &mut target[width - to.end..width - to.start];
                    normalise(bytes, numbers, target.iter_mut().rev());
                } else {
                    normalise(bytes, numbers, target[to.clone()].iter_mut());
                }
            }
        }
    }
}

fn normalise<'a>(bytes: &[u8], numbers: &[f32; 256], target: impl Iterator<Item = &'a mut f32>) {
    for (&byte, target) in bytes.iter().zip(target) {
        *target = numbers[usize::from(byte)];
    }
}

/// Along one side: which pixels of the image are in a window that starts at `start` of the padded
/// image with sides of `side` pixels, and where in the window they are.
fn overlap(start: usize, side: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let cut = start.saturating_sub(PADDING).min(side);
    let gap = PADDING.saturating_sub(start).min(side);
    let count = side - cut - gap;
    (cut..cut + count, gap..gap + count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cifar10::PIXELS;
    use crate::loader::Normalization;
    use calcine_criteria::stream;

    const SHAPE: [usize; 3] = [3, 32, 32];

    /// Pads with zero bytes, crops, flips and normalises, pixel by pixel.
    fn oracle(view: View, image: &[u8], by: Normalization) -> Vec<f32> {
        let mut out = Vec::new();
        for c in 0..3 {
            for y in 0..32 {
                for x in 0..32 {
                    let x = if view.mirrored { 31 - x } else { x };
                    let (y, x) = ((y + view.top) as i32 - 4, (x + view.left) as i32 - 4);
                    let inside = (0..32).contains(&y) && (0..32).contains(&x);
                    let byte = if inside {
                        image[(c * 32 + y as usize % 32) * 32 + x as usize % 32]
                    } else {
                        0
                    };
                    out.push((f32::from(byte) / 255.0 - by.mean[c]) / by.std[c]);
                }
            }
        }
        out
    }

    #[test]
    fn every_view_equals_the_pixel_by_pixel_oracle() {
        let mut rng = stream(1, "image", 0);
        let image: Vec<u8> = (0..PIXELS).map(|_| rng.random()).collect();
        let by = Normalization::KNOWN[1].0;
        for top in 0..=8 {
            for left in 0..=8 {
                for mirrored in [false, true] {
                    let view = View {
                        top,
                        left,
                        mirrored,
                    };
                    let mut target = vec![f32::NAN; PIXELS];
                    view.render(&image, SHAPE, &by.table(), &mut target);
                    assert_eq!(target, oracle(view, &image, by), "{view:?}");
                }
            }
        }
    }

    #[test]
    fn padding_is_black_after_normalising() {
        let mut target = vec![f32::NAN; PIXELS];
        let table = Normalization::default().table();
        View {
            top: 0,
            left: 8,
            mirrored: false,
        }
        .render(&[255; PIXELS], SHAPE, &table, &mut target);
        assert_eq!(
            (target[0], target[4 * 32], target[4 * 32 + 28]),
            (-1.0, 1.0, -1.0)
        );
    }

    #[test]
    fn draws_reach_every_offset_and_both_directions_evenly() {
        let mut rng = stream(1, "draws", 0);
        let views: Vec<View> = (0..9000)
            .map(|_| View::draw(Augmentation::ALL, &mut rng))
            .collect();
        let count = |test: &dyn Fn(&View) -> bool| views.iter().filter(|view| test(view)).count();
        for offset in 0..=8 {
            assert!((850..1150).contains(&count(&|view| view.top == offset)));
            assert!((850..1150).contains(&count(&|view| view.left == offset)));
        }
        assert!((4300..4700).contains(&count(&|view| view.mirrored)));
    }
}
