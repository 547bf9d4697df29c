//! A drawing as a list of shapes, which is independent of the file format.

use crate::palette::{Colour, Dash, Mark};

/// Shapes on a white background, in painting order. Lengths are in points of 1/96 inch, and y increases downwards.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Line(Line),
    Point(Point),
    Text(Text),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) colour: Colour,
    pub(crate) width: f64,
    pub(crate) dash: Dash,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) at: (f64, f64),
    pub(crate) radius: f64,
    pub(crate) colour: Colour,
    pub(crate) mark: Mark,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text {
    /// The position, on the baseline.
    pub(crate) at: (f64, f64),
    pub(crate) text: String,
    /// The font size (em).
    pub(crate) size: f64,
    pub(crate) colour: Colour,
    pub(crate) anchor: Anchor,
}

/// Which part of a text is at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Scene {
    pub(crate) fn line(&mut self, points: Vec<(f64, f64)>, colour: Colour, width: f64, dash: Dash) {
        self.shapes.push(Shape::Line(Line {
            points,
            colour,
            width,
            dash,
        }));
    }

    pub(crate) fn point(&mut self, at: (f64, f64), radius: f64, colour: Colour, mark: Mark) {
        self.shapes.push(Shape::Point(Point {
            at,
            radius,
            colour,
            mark,
        }));
    }

    pub(crate) fn text(
        &mut self,
        at: (f64, f64),
        text: impl Into<String>,
        size: f64,
        colour: Colour,
        anchor: Anchor,
    ) {
        self.shapes.push(Shape::Text(Text {
            at,
            text: text.into(),
            size,
            colour,
            anchor,
        }));
    }
}

impl Line {
    /// The segments of the line that its dashes draw.
    pub(crate) fn strokes(&self) -> Vec<Vec<(f64, f64)>> {
        if self.dash.is_empty() {
            return vec![self.points.clone()];
        }
        let mut strokes = Vec::new();
        let mut stroke = Vec::from_iter(self.points.first().copied());
        let (mut part, mut left) = (0, self.dash[0]);
        for pair in self.points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            loop {
                let length = (to.0 - from.0).hypot(to.1 - from.1);
                let drawn = part % 2 == 0;
                if length <= left {
                    left -= length;
                    if drawn {
                        stroke.push(to);
                    }
                    break;
                }
                let share = left / length;
                from = (
                    from.0 + share * (to.0 - from.0),
                    from.1 + share * (to.1 - from.1),
                );
                if drawn {
                    stroke.push(from);
                    strokes.push(std::mem::take(&mut stroke));
                } else {
                    stroke = vec![from];
                }
                part = (part + 1) % self.dash.len();
                left = self.dash[part];
            }
        }
        if stroke.len() > 1 {
            strokes.push(stroke);
        }
        strokes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::palette::style;
    use crate::{Axis, Chart, Marks, Panels, text};

    /// The rectangle that a text covers: left, top, right, bottom.
    fn covered(text: &Text) -> [f64; 4] {
        let width = text::width(&text.text, text.size).unwrap();
        let left = match text.anchor {
            Anchor::Start => text.at.0,
            Anchor::Middle => text.at.0 - width / 2.0,
            Anchor::End => text.at.0 - width,
        };
        let (top, bottom) = (text.at.1 - 0.75 * text.size, text.at.1 + 0.2 * text.size);
        [left, top, left + width, bottom]
    }

    fn overlap(a: [f64; 4], b: [f64; 4]) -> bool {
        a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
    }

    /// Charts of 1 to 28 lines that end close together, far apart, early, or in gaps.
    fn scenes() -> Vec<Scene> {
        let mut scenes = Vec::new();
        for count in [1, 2, 7, 22, 28] {
            let y = Axis::new("top-1", "%").with_range(0.0, 100.0);
            let mut chart = Chart::new("Top-1 of every layer", Axis::new("sparsity", "%"), y);
            for index in 0..count {
                let end = if index % 3 == 0 {
                    99.5
                } else {
                    f64::from(index * 13 % 90)
                };
                let last = if index % 5 == 4 { f64::NAN } else { end };
                let points = [(0.0, 91.7), (45.0 + f64::from(index), 90.0), (95.0, last)];
                let label = format!("layer{index}.{}", "conv".repeat(index as usize % 4));
                chart = chart.with_series(label, points);
            }
            for marks in [Marks::Lines, Marks::LinesAndPoints] {
                scenes.push(chart.clone().with_marks(marks).scene().unwrap());
            }
            for columns in [None, Some(1), Some(4)] {
                let chart = chart.clone();
                scenes.push(Panels { chart, columns }.scene().unwrap());
            }
        }
        scenes
    }

    #[test]
    fn no_text_covers_another_or_is_cut_off() {
        for scene in scenes() {
            let texts: Vec<&Text> = scene
                .shapes
                .iter()
                .filter_map(|shape| match shape {
                    Shape::Text(text) => Some(text),
                    _ => None,
                })
                .collect();
            for (index, text) in texts.iter().enumerate() {
                let [left, top, right, bottom] = covered(text);
                assert!(
                    0.0 <= left && right <= scene.width,
                    "{text:?} of {}",
                    scene.width
                );
                assert!(
                    0.0 <= top && bottom <= scene.height,
                    "{text:?} of {}",
                    scene.height
                );
                for other in &texts[index + 1..] {
                    assert!(
                        !overlap(covered(text), covered(other)),
                        "{text:?} and {other:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_line_and_point_is_inside() {
        for scene in scenes() {
            let mut places = Vec::new();
            for shape in &scene.shapes {
                match shape {
                    Shape::Line(line) => places.extend(&line.points),
                    Shape::Point(point) => places.push(point.at),
                    Shape::Text(_) => {}
                }
            }
            for (x, y) in places {
                assert!((0.0..=scene.width).contains(&x), "{x}");
                assert!((0.0..=scene.height).contains(&y), "{y}");
            }
        }
    }

    /// Lines of data and leaders: an early end is led out of the plot in dotted grey, so that the only lines of a
    /// series' colour within the plot are its data.
    #[test]
    fn a_leader_does_not_look_like_data() {
        let chart = Chart::new("", Axis::new("x", ""), Axis::new("y", ""))
            .with_series("early", [(0.0, 1.0), (40.0, 3.0)])
            .with_series("late", [(0.0, 2.0), (100.0, 1.0)]);
        for marks in [Marks::Lines, Marks::LinesAndPoints, Marks::Points] {
            let scene = chart.clone().with_marks(marks).scene().unwrap();
            let lines = scene.shapes.iter().filter_map(|shape| match shape {
                Shape::Line(line) => Some(line),
                _ => None,
            });
            let lines: Vec<&Line> = lines.collect();
            let rightmost =
                |line: &&&Line| line.points.iter().all(|point| point.0 <= right(&lines));
            let coloured = lines.iter().filter(|line| line.colour == style(0).colour);
            let within: Vec<_> = coloured.filter(rightmost).collect();
            let data = usize::from(marks != Marks::Points);
            assert_eq!(within.len(), data, "{marks:?}: {within:?}");
            let dotted = lines.iter().filter(|line| !line.dash.is_empty());
            assert_eq!(
                dotted.count(),
                1,
                "{marks:?}: only the early end is away from the edge"
            );
        }
    }

    /// The right end of the plot: of the line beneath it.
    fn right(lines: &[&Line]) -> f64 {
        let base = lines
            .iter()
            .find(|line| line.colour == Colour::AXIS && line.dash.is_empty());
        base.unwrap().points[1].0
    }

    /// Lines that meet at the largest number are labelled at the other end.
    #[test]
    fn labels_of_a_descending_axis_are_where_lines_end_at_the_smallest_number() {
        let y = Axis::new("top-1", "%").with_range(0.0, 100.0);
        let chart = Chart::new("", Axis::new("bits", "").descending(), y)
            .with_series("a", [(2.0, 10.0), (8.0, 90.0)])
            .with_series("b", [(2.0, 80.0), (8.0, 90.0)]);
        let scene = chart.scene().unwrap();
        let height = |label: &str| {
            let text = scene.shapes.iter().find_map(|shape| match shape {
                Shape::Text(text) if text.text == label => Some(text.at.1),
                _ => None,
            });
            text.unwrap()
        };
        assert!(
            height("a") - height("b") > 200.0,
            "they stand far apart, as 10 and 80 do"
        );
    }

    fn strokes(points: &[(f64, f64)], dash: Dash) -> Vec<Vec<(f64, f64)>> {
        let line = Line {
            points: points.to_vec(),
            colour: Colour::INK,
            width: 1.0,
            dash,
        };
        line.strokes()
    }

    #[test]
    fn a_line_without_dash_is_one_stroke() {
        let points = [(0.0, 0.0), (5.0, 5.0)];
        assert_eq!(strokes(&points, &[]), [points.to_vec()]);
    }

    #[test]
    fn dashes_go_on_around_corners() {
        let points = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)];
        let expected = [
            vec![(0.0, 0.0), (3.0, 0.0)],
            vec![(4.0, 0.0), (5.0, 0.0), (5.0, 2.0)],
            vec![(5.0, 3.0), (5.0, 5.0)],
        ];
        assert_eq!(strokes(&points, &[3.0, 1.0]), expected);
    }
}
