use crate::chart::{Frame, MARGIN, TOP};
use crate::palette::{COLOURS, Colour, Mark};
use crate::scene::{Anchor, Scene};
use crate::{Chart, PlotError, paint, text};

/// A chart as small multiples: one panel per series, with all other series in grey behind it, and shared axes.
///
/// Use it if there are more than about eight lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Panels {
    /// The chart whose series are shown.
    pub chart: Chart,
    /// The number of panels in a row; with `None`, it is chosen so that the image is wider than high.
    pub columns: Option<usize>,
}

/// Sizes, in points.
const WIDTH: f64 = 138.0;
const HEIGHT: f64 = 92.0;
const GAP: f64 = 18.0;
const NAME: f64 = 11.0;

impl From<Chart> for Panels {
    fn from(chart: Chart) -> Self {
        Self {
            chart,
            columns: None,
        }
    }
}

impl Panels {
    /// The panels as an SVG document. Text stays text.
    ///
    /// # Errors
    ///
    /// If there are no series, or one has no finite point.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        paint::svg(&self.scene()?)
    }

    /// The panels as a PNG file, of twice the SVG's size in pixels.
    ///
    /// # Errors
    ///
    /// If there are no series, or one has no finite point.
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        paint::png(&self.scene()?)
    }

    fn columns(&self) -> usize {
        let count = self.chart.series.len().max(1);
        let square = (count as f64 * 1.4).sqrt().ceil() as usize;
        self.columns.unwrap_or(square).clamp(1, count)
    }

    pub(crate) fn scene(&self) -> Result<Scene, PlotError> {
        let chart = &self.chart;
        chart.check()?;
        let (x, y) = chart.scales((5, 3));
        let names = chart.series.iter().map(|series| series.label.as_str());
        let width = f64::max(WIDTH, text::widest(names, NAME)?);
        let (columns, count, left) = (self.columns(), chart.series.len(), Chart::left(&y)?);
        let (across, down) = (width + GAP, HEIGHT + NAME + GAP);
        let right = left + columns as f64 * across - GAP;
        let bottom = TOP + count.div_ceil(columns) as f64 * down - GAP;
        let mut scene = Scene {
            width: right + MARGIN,
            height: 0.0,
            shapes: Vec::new(),
        };
        for index in 0..count {
            let (row, column) = (index / columns, index % columns);
            let frame = Frame {
                left: left + column as f64 * across,
                top: TOP + NAME + row as f64 * down,
                width,
                height: HEIGHT,
                x,
                y,
            };
            frame.grid(&mut scene);
            if column == 0 {
                frame.numbers_left(&mut scene);
            }
            // If the last row is not full, the last panel of some columns is in the row above.
            if index + columns >= count {
                frame.numbers_below(&mut scene);
            }
            self.panel(index, &frame, &mut scene);
        }
        chart.surround([left, right], bottom, &mut scene)?;
        Ok(scene)
    }

    fn panel(&self, index: usize, frame: &Frame, scene: &mut Scene) {
        let others = self.chart.series.iter().enumerate();
        let others = others.filter(|(other, _)| *other != index);
        for run in others.flat_map(|(_, series)| series.runs()) {
            scene.line(on_frame(frame, run), Colour::BEHIND, 0.75, &[]);
        }
        let series = &self.chart.series[index];
        for run in series.runs() {
            match run {
                [point] => scene.point(frame.at(*point), 2.4, COLOURS[0], Mark::Circle),
                _ => scene.line(on_frame(frame, run), COLOURS[0], 2.0, &[]),
            }
        }
        let at = (frame.left, frame.top - 5.0);
        scene.text(at, &*series.label, NAME, Colour::INK, Anchor::Start);
    }
}

fn on_frame(frame: &Frame, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().map(|&point| frame.at(point)).collect()
}
