use calcine_plot::{Axis, Chart, Panels, PlotError};

fn empty() -> Chart {
    Chart::new("nothing", Axis::new("x", ""), Axis::new("y", ""))
}

#[test]
fn a_chart_without_series_is_refused_by_name() {
    let error = empty().to_svg().unwrap_err();
    assert_eq!(error.to_string(), "chart `nothing` has no series");
    assert_eq!(Panels::from(empty()).to_png().unwrap_err(), error);
}

#[test]
fn a_series_without_a_finite_point_is_refused_by_name() {
    for points in [vec![], vec![(f64::NAN, 1.0)], vec![(0.0, f64::INFINITY)]] {
        let chart = empty()
            .with_series("fine", [(0.0, 1.0)])
            .with_series("lost", points);
        let label = "lost".to_owned();
        assert_eq!(
            chart.to_png(),
            Err(PlotError::NoPoints {
                label: label.clone()
            })
        );
        assert_eq!(
            Panels::from(chart).to_svg(),
            Err(PlotError::NoPoints { label })
        );
    }
}
