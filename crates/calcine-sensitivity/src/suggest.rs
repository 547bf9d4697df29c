use calcine_metric::Metric;
use serde::Serialize;

use crate::{Point, Sensitivity};

/// How far a parameter can be pruned.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Suggestion {
    /// The parameter's path.
    pub parameter: String,
    /// The level; 0 if even the lowest scanned level makes the metric too much worse.
    pub level: f64,
    /// The share of zeros at that level.
    pub achieved: f64,
    /// By how much the metric is worse when it alone is pruned to that level, in the metric's unit; negative where the metric
    /// is better.
    pub drop: f64,
}

/// Suggests for each parameter the highest level at which, and below which, pruning the parameter alone makes the
/// metric worse by at most `max_drop`, in the metric's unit.
///
/// Only scanned levels are suggested, without interpolation. If several layers are pruned together, their losses
/// roughly add up, and fine-tuning recovers much of them, so take the suggestion as a starting point. A metric that is
/// NaN or missing counts as too bad.
#[must_use]
pub fn suggest(sensitivity: &Sensitivity, metric: &Metric, max_drop: f64) -> Vec<Suggestion> {
    let before = sensitivity.baseline.evaluation.value(&metric.name);
    let drop = |point: &Point| metric.loss_from(before, point.value(&metric.name));
    let suggestion = |(parameter, points): (&str, &[Point])| {
        let mut ascending: Vec<&Point> = points.iter().collect();
        ascending.sort_by(|a, b| a.requested.total_cmp(&b.requested));
        let last = ascending
            .into_iter()
            .take_while(|point| drop(point) <= max_drop)
            .last();
        Suggestion {
            parameter: parameter.to_owned(),
            level: last.map_or(0.0, |point| point.requested),
            achieved: last.map_or(0.0, |point| point.achieved),
            drop: last.map_or(0.0, drop),
        }
    };
    sensitivity.by_parameter().map(suggestion).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Measurement;

    fn top1() -> Metric {
        Metric::higher("top1", "%")
    }

    /// Top-1 of one parameter at 0.2, 0.4, …; the unpruned model has 90.
    fn level(values: &[f64], max_drop: f64) -> f64 {
        let csv = values.iter().enumerate().map(|(index, top1)| {
            let level = f64::from(2 * (index as u32 + 1)) / 10.0;
            format!("w,{level},{level},,{top1},100,1\n")
        });
        let header = "parameter,requested,achieved,macs,top1,top5,loss\n,0,0,,90,100,1\n";
        let text = header.to_owned() + &csv.collect::<String>();
        let sensitivity = Sensitivity::from_csv(&text).unwrap();
        assert_eq!(sensitivity.baseline.evaluation.value("top1"), 90.0);
        let suggestions = suggest(&sensitivity, &top1(), max_drop);
        assert_eq!(suggestions.len(), 1);
        suggestions[0].level
    }

    #[test]
    fn the_highest_level_within_the_drop_is_suggested() {
        assert_eq!(level(&[90.0, 89.5, 89.0, 70.0], 1.0), 0.6);
        assert_eq!(level(&[90.5, 91.0], 0.0), 0.4);
    }

    #[test]
    fn a_level_beyond_one_that_costs_too_much_is_not() {
        assert_eq!(level(&[89.9, 85.0, 89.9], 1.0), 0.2);
        assert_eq!(level(&[80.0, 90.0], 1.0), 0.0);
        assert_eq!(level(&[f64::NAN, 90.0], 1.0), 0.0);
    }

    #[test]
    fn an_error_may_rise_as_an_accuracy_may_fall() {
        let text = "parameter,requested,achieved,macs,rmse,loss\n,0,0,,1,1\nw,0.2,0.2,,1.5,1\nw,0.4,0.4,,2.5,1\n";
        let sensitivity = Sensitivity::from_csv(text).unwrap();
        let suggestion = suggest(&sensitivity, &Metric::lower("rmse", ""), 1.0).remove(0);
        assert_eq!((suggestion.level, suggestion.drop), (0.2, 0.5));
    }

    #[test]
    fn levels_need_not_ascend() {
        let header = "parameter,requested,achieved,macs,top1,top5,loss\n,0,0,,90,100,1\n";
        let rows = "w,0.8,0.8,,50,99,2\nw,0.2,0.2,,90,99,2\nw,0.4,0.4,,89.5,99,2\n";
        let sensitivity = Sensitivity::from_csv(&(header.to_owned() + rows)).unwrap();
        let suggestion = suggest(&sensitivity, &top1(), 1.0).remove(0);
        assert_eq!((suggestion.level, suggestion.drop), (0.4, 0.5));
        let empty = Sensitivity {
            baseline: Measurement::default(),
            points: Vec::new(),
        };
        assert!(suggest(&empty, &top1(), 1.0).is_empty());
    }
}
