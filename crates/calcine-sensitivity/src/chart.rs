use calcine_metric::Metric;
use calcine_plot::{Axis, Chart, Panels};

use crate::{Point, Sensitivity};

impl Sensitivity {
    /// Draws the metric against the share of zeros, with one line for each parameter.
    #[must_use]
    pub fn chart(&self, title: impl Into<String>, metric: &Metric) -> Chart {
        let x = Axis::new("zeros in the layer", "%").with_range(0.0, 0.0);
        let label = match metric.name.strip_prefix("top") {
            Some(k) if k.parse::<u32>().is_ok() => format!("top-{k}"),
            _ => metric.name.replace('_', " "),
        };
        let chart = Chart::new(title, x, Axis::new(label, &*metric.unit));
        self.by_parameter()
            .fold(chart, |chart, (parameter, points)| {
                let label = parameter.strip_suffix(".weight").unwrap_or(parameter);
                chart.with_series(label, self.line(points, metric))
            })
    }

    /// Draws the same data as small multiples: one panel for each parameter, with the others in grey behind it.
    #[must_use]
    pub fn panels(&self, title: impl Into<String>, metric: &Metric) -> Panels {
        self.chart(title, metric).into()
    }

    /// The points of a parameter, starting with the unpruned model, by ascending share of zeros. Levels that lead to
    /// the same weights are one point.
    fn line(&self, points: &[Point], metric: &Metric) -> Vec<(f64, f64)> {
        let mut line: Vec<(f64, f64)> = points
            .iter()
            .map(|point| (100.0 * point.achieved, point.value(&metric.name)))
            .collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        line.dedup();
        if line.first().is_some_and(|first| first.0 > 0.0) {
            line.insert(0, (0.0, self.baseline.evaluation.value(&metric.name)));
        }
        line
    }
}
