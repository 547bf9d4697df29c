use crate::axis::{Ends, Scale};
use crate::palette::{Colour, Dash, Style, style};
use crate::scene::{Anchor, Scene};
use crate::spread::spread;
use crate::{Axis, PlotError, paint, text};

/// A line chart: lines in one plot, each labelled at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The title of the chart.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines. Up to 28 lines have different styles.
    pub series: Vec<Series>,
    /// Whether lines, marks or both are drawn.
    pub marks: Marks,
}

/// One line of a [`Chart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The label.
    pub label: String,
    /// The points, in the order in which they are joined. A point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// Whether lines, marks or both are drawn for a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marks {
    /// The line through the points.
    #[default]
    Lines,
    /// The line, and a mark at every point.
    LinesAndPoints,
    /// The marks only: a scatter chart.
    Points,
}

/// Sizes, in points.
const WIDTH: f64 = 860.0;
const PLOT_HEIGHT: f64 = 400.0;
pub(crate) const MARGIN: f64 = 16.0;
const TITLE: f64 = 16.0;
const HEADING: f64 = 12.0;
pub(crate) const TICK: f64 = 11.0;
/// Where plots begin, below the title and the heading of the vertical axis.
pub(crate) const TOP: f64 = MARGIN + TITLE + 14.0 + HEADING + 12.0;
const LABEL: f64 = 11.0;
/// The smallest distance between two labels.
const LABEL_STEP: f64 = 14.0;
/// The distance from the plot to its labels, which the connecting lines (leaders) bridge: it grows with the distance by
/// which a label has been moved.
const LEADER: [f64; 2] = [26.0, 84.0];
/// The dashes of a leader within the plot.
const LEADER_DASH: Dash = &[1.0, 4.0];
const LINE: f64 = 1.8;
const RADIUS: f64 = 3.2;

impl Chart {
    /// A chart without series.
    #[must_use]
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            series: Vec::new(),
            marks: Marks::default(),
        }
    }

    /// Adds a series.
    #[must_use]
    pub fn with_series(
        mut self,
        label: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        self.series.push(Series {
            label: label.into(),
            points: points.into_iter().collect(),
        });
        self
    }

    /// Sets whether lines, marks or both are drawn.
    #[must_use]
    pub fn with_marks(mut self, marks: Marks) -> Self {
        self.marks = marks;
        self
    }

    /// The chart as an SVG document. Text stays text.
    ///
    /// # Errors
    ///
    /// If there are no series, or one has no finite point.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        paint::svg(&self.scene()?)
    }

    /// The chart as a PNG file, of twice the SVG's size in pixels.
    ///
    /// # Errors
    ///
    /// If there are no series, or one has no finite point.
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        paint::png(&self.scene()?)
    }

    /// Checks that there is something to draw.
    pub(crate) fn check(&self) -> Result<(), PlotError> {
        if self.series.is_empty() {
            let title = self.title.clone();
            return Err(PlotError::Empty { title });
        }
        let without_points = |series: &&Series| series.finite().next().is_none();
        match self.series.iter().find(without_points) {
            Some(series) => Err(PlotError::NoPoints {
                label: series.label.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The scales of both axes.
    pub(crate) fn scales(&self, ticks: (usize, usize)) -> (Scale, Scale) {
        let points = || self.series.iter().flat_map(Series::finite);
        let x = Scale::new(points().map(|point| point.0), &self.x, Ends::Tight, ticks.0);
        let y = Scale::new(points().map(|point| point.1), &self.y, Ends::Ticks, ticks.1);
        (x, y)
    }

    /// The distance of the plots from the left edge, which leaves room for the numbers beside them.
    pub(crate) fn left(y: &Scale) -> Result<f64, PlotError> {
        let ticks = y.ticks();
        let numbers = text::widest(ticks.iter().map(|(_, number)| number.as_str()), TICK)?;
        Ok(MARGIN + numbers + 8.0)
    }

    /// Draws the surroundings of plots that extend from `left` to `right` and down to `bottom`: the title, the headings
    /// of the axes, and the number of points that are left out. The scene grows as needed.
    pub(crate) fn surround(
        &self,
        [left, right]: [f64; 2],
        bottom: f64,
        scene: &mut Scene,
    ) -> Result<(), PlotError> {
        let (ink, faint) = (Colour::INK, Colour::FAINT_INK);
        let title = (MARGIN, MARGIN + TITLE * 0.8);
        scene.text(title, &*self.title, TITLE, ink, Anchor::Start);
        let above = (MARGIN, TOP - 14.0);
        scene.text(above, self.y.heading(), HEADING, faint, Anchor::Start);
        let below = ((left + right) / 2.0, bottom + 12.0 + TICK + HEADING);
        scene.text(below, self.x.heading(), HEADING, faint, Anchor::Middle);
        let wide = text::width(&self.title, TITLE)? + 2.0 * MARGIN;
        scene.width = f64::max(scene.width, wide);
        scene.height = f64::max(scene.height, below.1 + MARGIN);
        if let Some(note) = self.note() {
            let wide = text::width(&note, TICK)? + 2.0 * MARGIN;
            scene.width = f64::max(scene.width, wide);
            let at = (MARGIN, scene.height + 4.0);
            scene.text(at, note, TICK, faint, Anchor::Start);
            scene.height += MARGIN;
        }
        Ok(())
    }

    fn note(&self) -> Option<String> {
        let all: usize = self.series.iter().map(|series| series.points.len()).sum();
        match all - self.series.iter().flat_map(Series::finite).count() {
            0 => None,
            1 => Some("1 point that is not finite is left out".to_owned()),
            more => Some(format!("{more} points that are not finite are left out")),
        }
    }

    pub(crate) fn scene(&self) -> Result<Scene, PlotError> {
        self.check()?;
        let (x, y) = self.scales((8, 6));
        let mut frame = Frame {
            left: Self::left(&y)?,
            top: TOP,
            width: 0.0,
            height: f64::max(PLOT_HEIGHT, self.series.len() as f64 * LABEL_STEP),
            x,
            y,
        };
        let labels = self.label_places(&frame);
        let leader = leader(&labels);
        let names = self.series.iter().map(|series| series.label.as_str());
        let right = leader + 6.0 + text::widest(names, LABEL)? + MARGIN;
        frame.width = f64::max(WIDTH - frame.left - right, 240.0);
        let mut scene = Scene {
            width: frame.right() + right,
            height: 0.0,
            shapes: Vec::new(),
        };
        frame.grid(&mut scene);
        frame.numbers_left(&mut scene);
        frame.numbers_below(&mut scene);
        for (index, series) in self.series.iter().enumerate() {
            self.draw(series, style(index), &frame, &mut scene);
        }
        self.label(&labels, leader, &frame, &mut scene);
        self.surround([frame.left, frame.right()], frame.bottom(), &mut scene)?;
        Ok(scene)
    }

    fn draw(&self, series: &Series, style: Style, frame: &Frame, scene: &mut Scene) {
        for run in series.runs() {
            let line = self.marks != Marks::Points && run.len() > 1;
            let places: Vec<_> = run.iter().map(|&point| frame.at(point)).collect();
            // A point between two gaps is not part of a line, so it gets a mark.
            if self.marks != Marks::Lines || !line {
                for &at in &places {
                    scene.point(at, RADIUS, style.colour, style.mark);
                }
            }
            if line {
                scene.line(places, style.colour, LINE, style.dash);
            }
        }
    }

    /// For each series, the height at which it ends, and the height of its label.
    fn label_places(&self, frame: &Frame) -> Vec<(f64, f64)> {
        let ends = self.series.iter();
        let ends = ends.filter_map(|series| series.end(&frame.x));
        let wanted: Vec<f64> = ends.map(|end| frame.at(end).1).collect();
        let half = LABEL_STEP / 2.0;
        let placed = spread(&wanted, LABEL_STEP, frame.top + half, frame.bottom() - half);
        wanted.into_iter().zip(placed).collect()
    }

    /// Draws the labels to the right of the plot, each with a leader from the end of its series. Within the plot, where
    /// it could be mistaken for data, the leader is dotted and grey.
    fn label(&self, places: &[(f64, f64)], leader: f64, frame: &Frame, scene: &mut Scene) {
        let column = frame.right() + leader;
        for (index, (series, &(from, to))) in self.series.iter().zip(places).enumerate() {
            let style = style(index);
            let end = series.end(&frame.x);
            let end = end.map_or(frame.right(), |end| frame.at(end).0);
            let edge = (frame.right() + 2.0, from);
            if end + 2.0 * RADIUS < frame.right() {
                let inside = vec![(end + 2.0 * RADIUS, from), edge];
                scene.line(inside, Colour::AXIS, 0.8, LEADER_DASH);
            }
            // Leaders first leave the plot horizontally, so that they do not cross the lines that end at its edge.
            let bend = (frame.right() + 5.0, from);
            let outside = vec![edge, bend, (column - 4.0, to), (column, to)];
            scene.line(outside, style.colour, 0.8, &[]);
            let at = (column + 4.0, to + LABEL * 0.34);
            let colour = style.colour.as_text();
            scene.text(at, &*series.label, LABEL, colour, Anchor::Start);
        }
    }
}

/// The width of the leaders, so that none is too steep to follow.
fn leader(places: &[(f64, f64)]) -> f64 {
    let moved = places.iter().map(|(from, to)| (to - from).abs());
    let [least, most] = LEADER;
    (0.5 * moved.fold(0.0, f64::max)).clamp(least, most)
}

impl Series {
    /// The points that are finite.
    pub(crate) fn finite(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points.iter().copied().filter(is_finite)
    }

    /// The sections of the line between gaps.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[(f64, f64)]> {
        self.points
            .split(|point| !is_finite(point))
            .filter(|run| !run.is_empty())
    }

    /// The rightmost point; of several, the last.
    fn end(&self, x: &Scale) -> Option<(f64, f64)> {
        let farther = |end: (f64, f64), point: (f64, f64)| x.place(point.0) >= x.place(end.0);
        self.finite()
            .reduce(|end, point| if farther(end, point) { point } else { end })
    }
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The rectangle of a plot, with its two scales.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Frame {
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// The position of a data point.
    pub(crate) fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (x, y) = (self.x.place(x), self.y.place(y));
        (self.left + x * self.width, self.bottom() - y * self.height)
    }

    fn at_x(&self, x: f64) -> f64 {
        self.left + self.x.place(x) * self.width
    }

    fn at_y(&self, y: f64) -> f64 {
        self.bottom() - self.y.place(y) * self.height
    }

    pub(crate) fn grid(&self, scene: &mut Scene) {
        for (tick, _) in self.x.ticks() {
            let x = self.at_x(tick);
            scene.line(
                vec![(x, self.top), (x, self.bottom())],
                Colour::GRID,
                0.75,
                &[],
            );
        }
        for (tick, _) in self.y.ticks() {
            let y = self.at_y(tick);
            scene.line(
                vec![(self.left, y), (self.right(), y)],
                Colour::GRID,
                0.75,
                &[],
            );
        }
        let base = vec![(self.left, self.bottom()), (self.right(), self.bottom())];
        scene.line(base, Colour::AXIS, 1.0, &[]);
    }

    pub(crate) fn numbers_left(&self, scene: &mut Scene) {
        for (tick, number) in self.y.ticks() {
            let at = (self.left - 6.0, self.at_y(tick) + TICK * 0.35);
            scene.text(at, number, TICK, Colour::FAINT_INK, Anchor::End);
        }
    }

    pub(crate) fn numbers_below(&self, scene: &mut Scene) {
        for (tick, number) in self.x.ticks() {
            let at = (self.at_x(tick), self.bottom() + 5.0 + TICK);
            scene.text(at, number, TICK, Colour::FAINT_INK, Anchor::Middle);
        }
    }
}
