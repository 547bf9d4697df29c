use calcine_plot::{Axis, Chart, Panels};

use crate::{Point, Sensitivity};

impl Sensitivity {
    /// Top-1 against the share of zeros, a line a parameter.
    #[must_use]
    pub fn chart(&self, title: impl Into<String>) -> Chart {
        let x = Axis::new("zeros in the layer", "%").with_range(0.0, 0.0);
        let chart = Chart::new(title, x, Axis::new("top-1", "%"));
        self.by_parameter()
            .fold(chart, |chart, (parameter, points)| {
                let label = parameter.strip_suffix(".weight").unwrap_or(parameter);
                chart.with_series(label, self.line(points))
            })
    }

    /// The same as small multiples: a panel a parameter, the others in grey behind it.
    #[must_use]
    pub fn panels(&self, title: impl Into<String>) -> Panels {
        self.chart(title).into()
    }

    /// From the unpruned model on, to the right. Levels that come to the same are one point.
    fn line(&self, points: &[Point]) -> Vec<(f64, f64)> {
        let mut line: Vec<(f64, f64)> = points
            .iter()
            .map(|point| (100.0 * point.achieved, point.top1))
            .collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        line.dedup();
        if line.first().is_some_and(|first| first.0 > 0.0) {
            line.insert(0, (0.0, self.baseline.top1));
        }
        line
    }
}
