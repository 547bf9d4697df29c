//! Paints a scene as SVG and as PNG, with one function for both backends of plotters.

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoTextStyle, RGBColor, ShapeStyle};

use crate::PlotError;
use crate::palette::{Colour, Mark};
use crate::scene::{Anchor, Line, Point, Scene, Shape, Text};
use crate::text::{font, letters};

/// The backends use whole pixels. Each point is this many pixels wide, in the SVG and in the PNG before it is reduced.
const PIXELS: u32 = 4;

/// A PNG is reduced by this factor, by averaging. The result has two pixels per point, for sharp displays.
const REDUCE: u32 = 2;

/// How text is written.
#[derive(Debug, Clone, Copy)]
enum Lettering {
    /// As text elements of the SVG.
    Vector,
    /// As the outlines of the letters. The text function of the backend drops the space before each of them.
    Raster,
}

/// plotters writes its height / 1.24 as `font-size`, and places the text 0.76 em below its position.
const VECTOR_HEIGHT: f64 = 1.24;
const VECTOR_RISE: f64 = 0.76;

/// The scene as an SVG document.
pub(crate) fn svg(scene: &Scene) -> Result<String, PlotError> {
    let mut document = String::new();
    let (width, height) = size(scene);
    let backend = SVGBackend::with_string(&mut document, (width, height));
    paint(backend, scene, Lettering::Vector)?;
    // The SVG has many pixels for exact positions, and is displayed in the intended size.
    let (inner, outer) = (
        attributes(width, height),
        attributes(width / PIXELS, height / PIXELS),
    );
    Ok(document.replacen(&inner, &outer, 1))
}

fn attributes(width: u32, height: u32) -> String {
    format!("width=\"{width}\" height=\"{height}\"")
}

/// The scene as a PNG file.
pub(crate) fn png(scene: &Scene) -> Result<Vec<u8>, PlotError> {
    let (width, height) = size(scene);
    let mut pixels = vec![255; width as usize * height as usize * 3];
    let backend = BitMapBackend::with_buffer(&mut pixels, (width, height));
    paint(backend, scene, Lettering::Raster)?;
    let pixels = reduce(&pixels, width as usize);
    encode(&pixels, width / REDUCE, height / REDUCE)
}

/// The size in pixels, a multiple of both reduction factors.
fn size(scene: &Scene) -> (u32, u32) {
    let pixels = |points: f64| points.ceil().clamp(1.0, 8192.0) as u32 * PIXELS;
    (pixels(scene.width), pixels(scene.height))
}

/// Averages every square of [`REDUCE`]² pixels.
fn reduce(pixels: &[u8], width: usize) -> Vec<u8> {
    let side = REDUCE as usize;
    let mut reduced = Vec::with_capacity(pixels.len() / (side * side));
    for rows in pixels.chunks_exact(width * 3 * side) {
        for column in 0..width / side {
            for part in 0..3 {
                let square = (0..side * side).map(|cell| {
                    let (row, column) = (cell / side, column * side + cell % side);
                    u32::from(rows[(row * width + column) * 3 + part])
                });
                let sum: u32 = square.sum();
                reduced.push(((sum + REDUCE * REDUCE / 2) / (REDUCE * REDUCE)) as u8);
            }
        }
    }
    reduced
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, PlotError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.map_err(|error| PlotError::backend(&error))?;
    Ok(file)
}

/// Paints all shapes in order.
fn paint<B: DrawingBackend>(
    mut backend: B,
    scene: &Scene,
    lettering: Lettering,
) -> Result<(), PlotError> {
    let size = backend.get_size();
    let corner = (size.0 as i32, size.1 as i32);
    let painted = backend
        .draw_rect((0, 0), corner, &plotters::style::WHITE, true)
        .map_err(|error| PlotError::backend(&error));
    scene
        .shapes
        .iter()
        .fold(painted, |painted, shape| {
            painted.and_then(|()| match shape {
                Shape::Line(line) => paint_line(&mut backend, line),
                Shape::Point(point) => paint_point(&mut backend, point),
                Shape::Text(text) => match lettering {
                    Lettering::Vector => paint_text(&mut backend, text),
                    Lettering::Raster => paint_letters(&mut backend, text),
                },
            })
        })
        .and_then(|()| {
            backend
                .present()
                .map_err(|error| PlotError::backend(&error))
        })
}

fn paint_line<B: DrawingBackend>(backend: &mut B, line: &Line) -> Result<(), PlotError> {
    let style = ShapeStyle {
        color: rgb(line.colour).to_rgba(),
        filled: false,
        stroke_width: pixels(line.width).max(1) as u32,
    };
    for stroke in line.strokes() {
        // Consecutive points in the same pixel would spoil the joints of wide lines.
        let mut path: Vec<(i32, i32)> = stroke.into_iter().map(at).collect();
        path.dedup();
        backend
            .draw_path(path, &style)
            .map_err(|error| PlotError::backend(&error))?;
    }
    Ok(())
}

fn paint_point<B: DrawingBackend>(backend: &mut B, point: &Point) -> Result<(), PlotError> {
    let style = rgb(point.colour).filled();
    let radius = point.radius;
    let corners: &[(f64, f64)] = match point.mark {
        Mark::Circle => {
            let drawn = backend.draw_circle(at(point.at), pixels(radius) as u32, &style, true);
            return drawn.map_err(|error| PlotError::backend(&error));
        }
        Mark::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        Mark::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        Mark::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
    };
    let (x, y) = point.at;
    let corners = corners
        .iter()
        .map(|(dx, dy)| at((x + dx * radius, y + dy * radius)));
    let drawn = backend.fill_polygon(corners.collect::<Vec<_>>(), &style);
    drawn.map_err(|error| PlotError::backend(&error))
}

fn paint_text<B: DrawingBackend>(backend: &mut B, text: &Text) -> Result<(), PlotError> {
    let horizontal = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let em = text.size * f64::from(PIXELS);
    let colour = rgb(text.colour);
    let style = font(em * VECTOR_HEIGHT)?
        .into_text_style(&(0, 0))
        .color(&colour)
        .pos(Pos::new(horizontal, VPos::Top));
    let (x, baseline) = at(text.at);
    let place = (x, baseline - (em * VECTOR_RISE).round() as i32);
    let drawn = backend.draw_text(&text.text, &style, place);
    drawn.map_err(|error| PlotError::backend(&error))
}

fn paint_letters<B: DrawingBackend>(backend: &mut B, text: &Text) -> Result<(), PlotError> {
    let (letters, width) = letters(&text.text, text.size * f64::from(PIXELS))?;
    let before = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let (x, baseline) = at(text.at);
    let corner = (x - before.round() as i32, baseline);
    let colour = rgb(text.colour);
    let mut painted = Ok(());
    for letter in letters {
        let bounds = letter.px_bounds();
        let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
        letter.draw(|across, down, share| {
            let at = (
                corner.0 + left + across as i32,
                corner.1 + top + down as i32,
            );
            if painted.is_ok() {
                let colour = colour.mix(f64::from(share.min(1.0)));
                painted = backend.draw_pixel(at, colour.to_backend_color());
            }
        });
    }
    painted.map_err(|error| PlotError::backend(&error))
}

fn at((x, y): (f64, f64)) -> (i32, i32) {
    (pixels(x), pixels(y))
}

fn pixels(points: f64) -> i32 {
    (points * f64::from(PIXELS)).round() as i32
}

fn rgb(Colour(red, green, blue): Colour) -> RGBColor {
    RGBColor(red, green, blue)
}
