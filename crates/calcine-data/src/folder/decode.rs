//! An image file as bytes of the wanted size.

use std::path::Path;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::ImageReader;

use crate::ImageOptions;
use crate::error::{DataError, Problem};
use crate::loader::normalization::Table;
use crate::options::Color;

/// A resized image: `[height, width, channels]`.
#[derive(Debug, PartialEq)]
pub(super) struct Pixels {
    pub(super) height: usize,
    pub(super) width: usize,
    channels: usize,
    pub(super) bytes: Vec<u8>,
}

/// Decodes the file at `path` and resizes it until its shorter side is as the options say.
///
/// The longer side has `⌊resize · longer / shorter⌋` pixels, as with torchvision. An orientation in the file's metadata is not
/// followed, as torchvision does not.
pub(super) fn read(path: &Path, options: &ImageOptions) -> Result<Pixels, DataError> {
    let broken = |reason: String| DataError::new(path, Problem::Image { reason });
    let bytes = std::fs::read(path).map_err(DataError::io(path))?;
    if bytes.starts_with(&[0xff, 0xd8]) && !is_whole_jpeg(&bytes) {
        return Err(broken(
            "the JPEG file is truncated: its end marker is missing".to_owned(),
        ));
    }
    let reader = ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(DataError::io(path))?;
    let decoded = reader.decode().map_err(|error| broken(error.to_string()))?;
    let (width, height) = (decoded.width(), decoded.height());
    let (bytes, kind) = match options.color {
        Color::Rgb => (decoded.into_rgb8().into_raw(), PixelType::U8x3),
        Color::Gray => (decoded.into_luma8().into_raw(), PixelType::U8),
    };
    let resized = resized(height, width, options.resized()).map_err(broken)?;
    let bytes = resize(bytes, [height, width], resized, kind).map_err(broken)?;
    let [height, width] = resized.map(|side| side as usize);
    Ok(Pixels {
        height,
        width,
        channels: options.color.channels(),
        bytes,
    })
}

/// Whether the end marker follows the compressed pixels of a JPEG file. Decoders fill in what is missing without an error.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END: [u8; 2] = [0xff, 0xd9];
    let mut position = 2;
    // Segments before the pixels, each with its length; thumbnails with end markers of their own are within them.
    while let Some(&[0xff, marker, high, low]) = bytes.get(position..position + 4) {
        if marker == START_OF_SCAN {
            return bytes[position..].windows(2).any(|pair| pair == END);
        }
        // A marker may be preceded by any number of 0xff.
        position += match marker {
            0xff => 1,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
    }
    // No pixels: the decoder says what is wrong.
    true
}

/// Height and width of the resized image.
fn resized(height: u32, width: u32, shorter: usize) -> Result<[u32; 2], String> {
    const LARGEST: u64 = 1 << 16;
    let (short, long) = (height.min(width), height.max(width));
    if short == 0 {
        return Err("it has no pixels".to_owned());
    }
    let longer = shorter as u64 * u64::from(long) / u64::from(short);
    if longer > LARGEST {
        return Err(format!(
            "{height}×{width} pixels are too elongated to be resized to {shorter}"
        ));
    }
    let (shorter, longer) = (shorter as u32, longer as u32);
    Ok(if height <= width {
        [shorter, longer]
    } else {
        [longer, shorter]
    })
}

/// Bilinear with antialiasing.
fn resize(
    bytes: Vec<u8>,
    from: [u32; 2],
    to: [u32; 2],
    kind: PixelType,
) -> Result<Vec<u8>, String> {
    if from == to {
        return Ok(bytes);
    }
    let source =
        Image::from_vec_u8(from[1], from[0], bytes, kind).map_err(|error| error.to_string())?;
    let mut target = Image::new(to[1], to[0], kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let result = Resizer::new().resize(&source, &mut target, &options);
    result.map_err(|error| error.to_string())?;
    Ok(target.into_vec())
}

impl Pixels {
    /// Writes the window of `size`×`size` pixels that begins at this row and column to `target`, `[channels, size, size]`, each
    /// byte as the table says.
    pub(super) fn cut(
        &self,
        [top, left]: [usize; 2],
        size: usize,
        mirrored: bool,
        table: &Table,
        target: &mut [f32],
    ) {
        let channels = self.channels;
        let planes = target.chunks_exact_mut(size * size).zip(&table.0);
        for (channel, (plane, numbers)) in planes.enumerate() {
            for (row, target) in plane.chunks_exact_mut(size).enumerate() {
                let start = ((top + row) * self.width + left) * channels;
                let pixels = self.bytes[start..start + size * channels].chunks_exact(channels);
                let values = pixels.map(|pixel| numbers[usize::from(pixel[channel])]);
                if mirrored {
                    target
                        .iter_mut()
                        .rev()
                        .zip(values)
                        .for_each(|(target, value)| *target = value);
                } else {
                    target
                        .iter_mut()
                        .zip(values)
                        .for_each(|(target, value)| *target = value);
                }
            }
        }
    }
}
