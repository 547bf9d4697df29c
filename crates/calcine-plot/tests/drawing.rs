use calcine_plot::{Axis, Chart, Marks, Panels};

fn chart(series: usize) -> Chart {
    let chart = Chart::new("a < b", Axis::new("level", "%"), Axis::new("top-1", "%"));
    (0..series).fold(chart, |chart, index| {
        let points = (0..5).map(|level| (f64::from(level), (index * level as usize) as f64));
        chart.with_series(format!("layer{index}"), points)
    })
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn an_svg_names_every_series_and_escapes_what_it_must() {
    for svg in [
        chart(9).to_svg().unwrap(),
        Panels::from(chart(9)).to_svg().unwrap(),
    ] {
        for index in 0..9 {
            assert_eq!(count(&svg, &format!("\nlayer{index}\n")), 1);
        }
        assert!(svg.contains("a &lt; b") && svg.contains("top-1 (%)") && svg.contains("level (%)"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}

#[test]
fn equal_charts_are_equal_bytes() {
    assert_eq!(chart(3).to_png().unwrap(), chart(3).to_png().unwrap());
    let panels = || Panels::from(chart(3));
    assert_eq!(panels().to_svg().unwrap(), panels().to_svg().unwrap());
}

#[test]
fn a_png_has_twice_the_size_of_the_svg() {
    let (svg, png) = (chart(3).to_svg().unwrap(), chart(3).to_png().unwrap());
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let (width, height) = (side(16) / 2, side(20) / 2);
    assert!(
        svg.starts_with(&format!("<svg width=\"{width}\" height=\"{height}\"")),
        "{svg:.80}"
    );
}

#[test]
fn a_point_that_is_not_finite_leaves_a_gap_and_a_note() {
    let lines = |points: &[(f64, f64)]| {
        let chart = Chart::new("", Axis::new("x", ""), Axis::new("y", ""));
        let svg = chart
            .with_series("a", points.iter().copied())
            .to_svg()
            .unwrap();
        (
            count(&svg, "#0072B2"),
            svg.contains("1 point that is not finite is left out"),
        )
    };
    // One line and its leader; with a gap, two lines.
    assert_eq!(
        lines(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]),
        (2, false)
    );
    assert_eq!(
        lines(&[
            (0.0, 1.0),
            (1.0, 2.0),
            (2.0, f64::NAN),
            (3.0, 4.0),
            (4.0, 5.0)
        ]),
        (3, true)
    );
    // A point alone is seen as a mark.
    assert_eq!(
        lines(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 4.0), (3.0, 4.0)]),
        (3, true)
    );
}

#[test]
fn marks_are_drawn_where_asked_for() {
    let circles = |marks| count(&chart(2).with_marks(marks).to_svg().unwrap(), "<circle");
    assert_eq!(circles(Marks::Lines), 0);
    assert_eq!(circles(Marks::LinesAndPoints), 10);
    assert_eq!(circles(Marks::Points), 10);
}

#[test]
fn one_point_and_huge_numbers_are_drawn() {
    let axes = || (Axis::new("x", ""), Axis::new("y", ""));
    for points in [
        vec![(3.0, 3.0)],
        vec![(0.0, f64::MAX), (1.0, f64::MIN)],
        vec![(1e-300, 1e300)],
    ] {
        let (x, y) = axes();
        let chart = Chart::new("odd", x, y).with_series("a", points);
        assert!(chart.to_svg().is_ok() && Panels::from(chart).to_png().is_ok());
    }
}
