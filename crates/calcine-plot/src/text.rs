//! The font, and the width of text.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, OutlinedGlyph, ScaleFont};
use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

use crate::PlotError;

/// The font families of an SVG. The first one is the font of a PNG; the whole string is also the name under which the
/// font is registered, so that it does not replace another font.
pub(crate) const FAMILY: &str = "Ubuntu, Helvetica, Arial, sans-serif";

/// The height of a line of the font, from the top of the ascenders to the bottom of the descenders, in em.
pub(crate) const HEIGHT: f64 = 1.121;

/// A factor for the widths of other fonts in which an SVG may be shown.
pub(crate) const SLACK: f64 = 1.12;

/// The outlines of the letters of a text, with the first origin at (0, 0), and the width of the text. All lengths,
/// including the size (em), are in pixels.
pub(crate) fn letters(text: &str, size: f64) -> Result<(Vec<OutlinedGlyph>, f64), PlotError> {
    let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|error| PlotError::backend(&error))?;
    let font = font.as_scaled((size * HEIGHT) as f32);
    let (mut outlines, mut x, mut before) = (Vec::new(), 0.0, None);
    for letter in text.chars() {
        let mut glyph = font.scaled_glyph(letter);
        x += before.map_or(0.0, |before| font.kern(before, glyph.id));
        before = Some(glyph.id);
        glyph.position.x = x;
        x += font.h_advance(glyph.id);
        outlines.extend(font.outline_glyph(glyph));
    }
    Ok((outlines, f64::from(x)))
}

/// The font at a size given as the height of its line, in pixels.
pub(crate) fn font(height: f64) -> Result<FontDesc<'static>, PlotError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        register_font(
            FAMILY,
            FontStyle::Normal,
            epaint_default_fonts::UBUNTU_LIGHT,
        )
        .is_ok()
    });
    if !registered {
        let reason = "the font cannot be read".to_owned();
        return Err(PlotError::Backend { reason });
    }
    Ok(FontDesc::new(
        FontFamily::Name(FAMILY),
        height,
        FontStyle::Normal,
    ))
}

/// The width of a text of this size (em), with a margin for other fonts.
pub(crate) fn width(text: &str, size: f64) -> Result<f64, PlotError> {
    // Widths are whole pixels, so they are measured at a large size.
    const LARGE: f64 = 32.0;
    let ((left, _), (right, _)) = font(size * HEIGHT * LARGE)?
        .layout_box(text)
        .map_err(|error| PlotError::backend(&error))?;
    Ok(f64::from(right - left) / LARGE * SLACK)
}

/// The width of the widest of several texts.
pub(crate) fn widest<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    size: f64,
) -> Result<f64, PlotError> {
    let mut texts = texts.into_iter();
    texts.try_fold(0.0, |widest, text| Ok(f64::max(widest, width(text, size)?)))
}
