//! Charts that compare the runs in several directories.

use std::fs;
use std::path::Path;

use calcine_metric::label;
use calcine_plot::{Axis, Chart, Marks};
use serde_json::Value;

use crate::RunError;

/// Draws the validation metric against the sparsity of each epoch: one line for each run, labelled by the name of its
/// directory. It reads `metrics.csv`, so the runs need not be finished.
///
/// The metric is the first one of the objective, or the loss if there is none.
///
/// # Errors
///
/// If a file cannot be read or is not that of a run, or the runs have different metrics.
pub fn compare_epochs<P: AsRef<Path>>(runs: &[P]) -> Result<Chart, RunError> {
    let mut lines = Vec::new();
    for run in runs.iter().map(AsRef::as_ref) {
        let file = run.join("metrics.csv");
        let (metric, points) = epochs(&file)?;
        lines.push((file, metric, (name_of(run), points)));
    }
    let (metric, lines) = of_one_metric(lines)?;
    let y = format!("validation {}", label(&metric));
    let title = format!("Validation {} while the sparsity rises", label(&metric));
    let chart = Chart::new(title, sparsity(), Axis::new(y, unit(&metric)));
    Ok(lines
        .into_iter()
        .fold(chart, |chart, (name, points)| {
            chart.with_series(name, points)
        })
        .with_marks(Marks::LinesAndPoints))
}

/// Draws the test metric against the sparsity of finished runs: one point for each run, with the same label for all
/// runs of a recipe, and one for the networks before the runs. It reads `report.json`.
///
/// # Errors
///
/// If a file cannot be read or is not that of a finished run, or the runs have different main metrics.
pub fn compare_results<P: AsRef<Path>>(runs: &[P]) -> Result<Chart, RunError> {
    let mut results = Vec::new();
    for run in runs.iter().map(AsRef::as_ref) {
        let file = run.join("report.json");
        let (metric, result) = RunResult::read(&file)?;
        results.push((file, metric, result));
    }
    let (metric, results) = of_one_metric(results)?;
    let mut before: Vec<(f64, f64)> = Vec::new();
    let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for result in results {
        let dense = (0.0, result.before);
        if !before.contains(&dense) {
            before.push(dense);
        }
        let point = (100.0 * result.sparsity, result.after);
        match series
            .iter_mut()
            .find(|(recipe, _)| *recipe == result.recipe)
        {
            Some((_, points)) => points.push(point),
            None => series.push((result.recipe, vec![point])),
        }
    }
    let y = format!("test {}", label(&metric));
    let title = format!("Test {} against sparsity", label(&metric));
    let x = sparsity().with_range(0.0, 100.0);
    let mut chart = Chart::new(title, x, Axis::new(y, unit(&metric))).with_marks(Marks::Points);
    for (recipe, points) in series {
        let label = match points.len() {
            1 => recipe,
            runs => format!("{recipe}, {runs} runs"),
        };
        chart = chart.with_series(label, points);
    }
    Ok(chart.with_series("before", before))
}

fn sparsity() -> Axis {
    Axis::new("sparsity", "%")
}

/// The unit of a metric, which the files of a run do not contain: accuracies are in percent.
fn unit(metric: &str) -> &'static str {
    let is_accuracy = label(metric).starts_with("top-");
    if is_accuracy || ["mean_iou", "pixel_accuracy"].contains(&metric) {
        "%"
    } else {
        ""
    }
}

/// The values of several files, if all have the same metric.
fn of_one_metric<P: AsRef<Path>, T>(
    values: Vec<(P, String, T)>,
) -> Result<(String, Vec<T>), RunError> {
    let mut first: Option<String> = None;
    let mut all = Vec::new();
    for (file, metric, value) in values {
        let expected = first.get_or_insert_with(|| metric.clone());
        if *expected != metric {
            let reason =
                format!("its metric is `{metric}`, expected `{expected}` as in the first run");
            return Err(RunError::malformed(file.as_ref(), reason));
        }
        all.push(value);
    }
    Ok((first.unwrap_or_default(), all))
}

fn read(file: &Path) -> Result<String, RunError> {
    fs::read_to_string(file).map_err(|error| RunError::io(file, error))
}

/// The result of a finished run.
struct RunResult {
    recipe: String,
    sparsity: f64,
    before: f64,
    after: f64,
}

impl RunResult {
    /// The main metric of a run, and its result.
    fn read(file: &Path) -> Result<(String, Self), RunError> {
        let wrong = |reason: String| RunError::malformed(file, reason);
        let report: Value =
            serde_json::from_str(&read(file)?).map_err(|error| wrong(error.to_string()))?;
        let missing =
            |key: &str| wrong(format!("no `{key}`: expected the report of a finished run"));
        let number = |key: &str| report[key].as_f64().ok_or_else(|| missing(key));
        let recipe = report["recipe"].as_str().ok_or_else(|| missing("recipe"))?;
        let metric = main_metric(&report).ok_or_else(|| missing("METRIC_before"))?;
        let result = Self {
            recipe: name_of(&Path::new(recipe).with_extension("")),
            sparsity: number("sparsity")?,
            before: number(&format!("{metric}_before"))?,
            after: number(&metric)?,
        };
        Ok((metric, result))
    }
}

/// The metric that a report contains before and after the run.
fn main_metric(report: &Value) -> Option<String> {
    let keys = report.as_object()?.keys();
    let mut metrics = keys.filter_map(|key| key.strip_suffix("_before"));
    metrics
        .find(|metric| report[*metric].is_number())
        .map(str::to_owned)
}

/// The metric of the validation split, and its values in percent of sparsity for every epoch.
fn epochs(file: &Path) -> Result<(String, Vec<(f64, f64)>), RunError> {
    let wrong = |reason: String| RunError::malformed(file, reason);
    let text = read(file)?;
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap_or_default();
    let missing = |column: &str| {
        wrong(format!(
            "no column `{column}`: expected the metrics of a run"
        ))
    };
    let loss = header.iter().position(|name| *name == "validation_loss");
    let loss = loss.ok_or_else(|| missing("validation_loss"))?;
    let metric = |at: usize| header.get(at)?.strip_prefix("validation_");
    let (at, metric) = match metric(loss + 1) {
        Some(metric) => (loss + 1, metric),
        None => (loss, "loss"),
    };
    let sparsity = header.iter().position(|name| *name == "sparsity");
    let sparsity = sparsity.ok_or_else(|| missing("sparsity"))?;
    let mut points = Vec::new();
    for (row, cells) in rows.enumerate() {
        let number = |at: usize| -> Result<f64, RunError> {
            let cell = cells.get(at).copied().unwrap_or_default();
            let row = row + 1;
            cell.parse()
                .map_err(|_| wrong(format!("row {row} has `{cell}`, expected a number")))
        };
        points.push((100.0 * number(sparsity)?, number(at)?));
    }
    Ok((metric.to_owned(), points))
}

/// The last element of a path.
fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = Vec<(String, Vec<(f64, f64)>)>;

    fn lines(chart: Chart) -> Lines {
        let series = chart.series.into_iter();
        series.map(|series| (series.label, series.points)).collect()
    }

    #[test]
    fn runs_of_one_recipe_are_one_series_and_the_network_before_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let run = |name: &str, recipe: &str, metric: &str, value: f64| {
            let run = directory.path().join(name);
            fs::create_dir(&run).unwrap();
            let mut report = serde_json::json!({ "recipe": recipe, "sparsity": 0.9 });
            report[format!("{metric}_before")] = 86.5.into();
            report[metric] = value.into();
            fs::write(run.join("report.json"), report.to_string()).unwrap();
            run
        };
        let runs = [
            run("a", "recipes/lamp.toml", "top1", 80.0),
            run("b", "agp.toml", "top1", 70.0),
            run("c", "recipes/lamp.toml", "top1", 81.0),
        ];
        let chart = compare_results(&runs).unwrap();
        assert_eq!(
            (chart.title.as_str(), chart.y.unit.as_str()),
            ("Test top-1 against sparsity", "%")
        );
        let expected = [
            ("lamp, 2 runs".to_owned(), vec![(90.0, 80.0), (90.0, 81.0)]),
            ("agp".to_owned(), vec![(90.0, 70.0)]),
            ("before".to_owned(), vec![(0.0, 86.5)]),
        ];
        assert_eq!(lines(chart), expected);

        let other = run("d", "agp.toml", "rmse", 0.5);
        let error = compare_results(&[&runs[0], &other])
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("its metric is `rmse`, expected `top1` as in the first run"),
            "{error}"
        );

        fs::write(runs[0].join("report.json"), "{}").unwrap();
        let error = compare_results(&runs).unwrap_err().to_string();
        assert!(
            error.ends_with("no `recipe`: expected the report of a finished run"),
            "{error}"
        );
    }

    #[test]
    fn epochs_are_drawn_by_the_first_metric_or_else_the_loss() {
        let directory = tempfile::tempdir().unwrap();
        let run = |name: &str, metrics: &str| {
            let run = directory.path().join(name);
            fs::create_dir(&run).unwrap();
            fs::write(run.join("metrics.csv"), metrics).unwrap();
            run
        };
        let head = "epoch,train_loss,validation_loss";
        let top1 = run(
            "a",
            &format!("{head},validation_top1,sparsity\n0,2,1.5,50.5,0.25\n"),
        );
        let loss = run(
            "b",
            &format!("{head},sparsity\n0,2,1.5,0.5\n1,1,1.25,0.75\n"),
        );
        let of = |run: &Path| lines(compare_epochs(&[run]).unwrap());
        assert_eq!(of(&top1), [("a".to_owned(), vec![(25.0, 50.5)])]);
        assert_eq!(
            of(&loss),
            [("b".to_owned(), vec![(50.0, 1.5), (75.0, 1.25)])]
        );
        assert!(compare_epochs(&[&top1, &loss]).is_err());

        let rows = [
            ("epoch,loss\n", "no column `validation_loss`"),
            (
                "validation_loss,sparsity\n1,x\n",
                "row 1 has `x`, expected a number",
            ),
        ];
        for (at, (text, expected)) in rows.into_iter().enumerate() {
            let broken = run(&format!("broken{at}"), text);
            let error = compare_epochs(&[broken]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
