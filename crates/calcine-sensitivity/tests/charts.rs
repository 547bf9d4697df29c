use calcine_fold::Granularity;
use calcine_sensitivity::Scan;

use crate::{counted, net, whole};

fn top1() -> calcine_sensitivity::Metric {
    calcine_sensitivity::Metric::higher("top1", "%")
}

#[test]
fn a_chart_has_a_line_a_parameter_from_the_unpruned_model_on() {
    let plan = Scan::new(Granularity::Element).with_levels([0.75, 0.5, 0.25]);
    let chart = whole(&net(), &plan, counted)
        .unwrap()
        .chart("layers", &top1());
    let labels: Vec<&str> = chart
        .series
        .iter()
        .map(|series| series.label.as_str())
        .collect();
    assert_eq!(labels, ["conv", "head"]);
    let xs: Vec<f64> = chart.series[0].points.iter().map(|point| point.0).collect();
    assert_eq!(xs, [0.0, 25.0, 50.0, 75.0]);
    assert_eq!(chart.series[0].points[0].1, 17.6);
    assert!(chart.to_svg().is_ok());
}

#[test]
fn panels_are_drawn_of_levels_that_come_to_the_same() {
    let plan = Scan::new(Granularity::Filter).with_levels([0.0, 0.01, 0.5, 0.51]);
    let panels = whole(&net(), &plan, counted)
        .unwrap()
        .panels("filters", &top1());
    assert_eq!(panels.chart.series[0].points, [(0.0, 17.6), (50.0, 10.4)]);
    assert!(panels.to_svg().is_ok());
}
